"""Starts the engine of a study that exists, as a process of its own that outlives the one which started it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpo_engine.errors import EngineError

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths

_START_S = 30.0
_POLL_S = 0.05


@dataclass(frozen=True)
class Started:
    """The engine's process; if it has left again at once, its exit `code` (0: there was nothing left to run) and what
    it printed."""

    pid: int
    code: int = 0
    output: str = ""


def start_engine(paths: StudyPaths, options: dict[str, Any]) -> Started:
    """Starts an engine in a session of its own and waits until it has locked the study.

    Args:
        options: of `RunOptions`: `changes`, `retry` and `wait_s`.

    Raises:
        EngineError: it did not begin in time.
    """
    from hpo_engine.store.lock import who_leads

    with open(paths.engine_log, "ab") as log:
        begin = log.tell()
        child = subprocess.Popen(
            command_line(*words(paths, options)),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    deadline = time.monotonic() + _START_S + (options.get("wait_s") or 0.0)
    while time.monotonic() < deadline:
        try:
            time.sleep(_POLL_S)
        except KeyboardInterrupt:  # its session is its own, so that it has not got it
            child.terminate()
            raise
        holder = who_leads(paths.lock)
        if (holder is not None and holder.pid == child.pid) or child.poll() == 0:
            return Started(child.pid)
        if child.poll() is not None:
            with open(paths.engine_log, encoding="utf-8", errors="replace") as log_file:
                log_file.seek(begin)
                return Started(child.pid, child.returncode, log_file.read().rstrip())
    raise EngineError(f"the engine did not start within {_START_S:g} s; see {paths.engine_log}")


def words(paths: StudyPaths, options: Mapping[str, Any]) -> list[str]:
    """The verb of the command line that runs a study, with its arguments. `options`: as `start_engine` takes them."""
    changes = options.get("changes") or {}
    verb = ["retry", paths.root, "--failed"] if options.get("retry") else ["resume", paths.root]
    flags = [f"--{k}={v}" for k, v in changes.items() if k in ("trials", "runs", "parallel")]
    if changes.get("time_s") is not None:
        flags.append(f"--time-limit={changes['time_s']}s")
    if options.get("wait_s"):
        flags.append(f"--wait={options['wait_s']}")
    return [*verb, *flags]


def command_line(*words: str) -> Sequence[str]:
    """The argv of `hpo-engine` with these words, in this interpreter and of this very package."""
    start = os.path.join(os.path.dirname(sys.modules["hpo_engine"].__path__[0]), "hpo_engine_start.py")
    return [sys.executable, start, *words]


_TAIL_BYTES = 4096


def last_words(paths: StudyPaths) -> str:
    """The last line of the engine's log, for the end of a message; "" if there is none."""
    try:
        with open(paths.engine_log, "rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - _TAIL_BYTES))
            lines = log.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    said = [line.strip() for line in lines if line.strip()]
    return f"; its last words: {said[-1].removeprefix('hpo-engine: ')}" if said else ""
