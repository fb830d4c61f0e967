"""What a launcher is told of an attempt, see `shim.Shim.serve`."""

from __future__ import annotations

import os
import shutil
from typing import Any

from hpo_engine.contract.outputlog import logfiles
from hpo_engine.core.ports import Launch
from hpo_engine.executors.local import records


def order_of(launch: Launch, folder: str, argv0: str) -> dict[str, Any]:
    """The order of an attempt whose records are in `folder`; `argv0` is the command's program as a path."""
    return {
        "trial": launch.trial_id,
        "attempt": launch.attempt,
        "nonce": launch.nonce,
        "argv": [argv0, *launch.argv[1:]],
        "env": dict(launch.env),
        "cwd": launch.paths.result_dir,
        "started": f"{folder}/{records.STARTED}",
        "exit": f"{folder}/{records.EXIT}",
        "stop": f"{folder}/{records.STOP}",
        "log": f"{folder}/{logfiles.NAME}",
        "tails": [f"{folder}/{name}" for name in logfiles.TAILS],
        "time_limit_s": launch.time_limit_s,
        "grace_s": launch.grace_s,
        "log_bytes": launch.log_bytes,
        "protect": list(launch.protect),
    }


def program_of(launch: Launch) -> str:
    """argv[0] as a path: what a shell would find in the working directory or on the PATH.

    Raises:
        FileNotFoundError: there is none that can be executed; the text says why.
    """
    name = launch.argv[0]
    if "/" in name:
        path = os.path.join(launch.paths.result_dir, name)
        if os.path.isfile(path) and not os.access(path, os.X_OK):
            raise FileNotFoundError(f"cannot start {name}: it is not executable (chmod +x {os.path.basename(name)})")
        return path
    found = shutil.which(name, path=launch.env.get("PATH", os.defpath))
    if found is None:
        raise FileNotFoundError(f"cannot start {name}: not found on the PATH")
    return found
