"""Runs a study that exists: in the foreground, or by an engine in the background."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from hpo_engine.errors import EngineError
from hpo_engine.report.objects import dump

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths

_START_S = 30.0
_POLL_S = 0.05


def run_study(paths: StudyPaths, *, detach: bool, as_json: bool, quiet: bool, **options: Any) -> int:
    if detach:
        return _in_background(paths, options, as_json)
    from hpo_engine.cli.driver import Driver, RunOptions

    return Driver(paths, RunOptions(**options), as_json=as_json, quiet=quiet).run()


def _in_background(paths: StudyPaths, options: dict[str, Any], as_json: bool) -> int:
    """Starts `resume` (or `retry`) in a session of its own and waits until it has locked the study."""
    from hpo_engine import studies
    from hpo_engine.store.lock import who_leads

    verb = ["retry", "--failed"] if options.get("retry") else ["resume"]
    changes = options.get("changes") or {}
    flags = [f"--{k}={v}" for k, v in changes.items() if k in ("trials", "runs", "parallel")]
    if changes.get("time_s") is not None:
        flags.append(f"--time-limit={changes['time_s']}s")
    if options.get("wait_s"):
        flags.append(f"--wait={options['wait_s']}")
    start = os.path.join(os.path.dirname(sys.modules["hpo_engine"].__path__[0]), "hpo_engine_start.py")
    with open(paths.engine_log, "ab") as log:
        begin = log.tell()
        child = subprocess.Popen(
            [sys.executable, start, verb[0], paths.root, *verb[1:], *flags],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    deadline = time.monotonic() + _START_S + (options.get("wait_s") or 0.0)
    while time.monotonic() < deadline:
        holder = who_leads(paths.lock)
        if (holder is not None and holder.pid == child.pid) or child.poll() == 0:
            name = os.path.basename(paths.root)
            if as_json:
                click.echo(dump({"study": name, "pid": child.pid, "folder": paths.root}))
            else:
                from hpo_engine.trackers.next_steps import called

                word = called(studies.read(paths), paths.root)
                click.echo(f"{name} runs in the background (process {child.pid}); its folder: {paths.root}")
                click.echo(f"  hpo-engine watch {word} | hpo-engine stop {word} | log: {paths.engine_log}")
            return 0
        if child.poll() is not None:
            with open(paths.engine_log, encoding="utf-8", errors="replace") as log_file:
                log_file.seek(begin)
                click.echo(log_file.read().rstrip(), err=True)
            return child.returncode
        time.sleep(_POLL_S)
    raise EngineError(f"the engine did not start within {_START_S:g} s; see {paths.engine_log}")
