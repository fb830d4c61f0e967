"""Stops a study that an engine runs, by a request to it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from hpo_engine.errors import EngineError

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths

_POLL_S = 0.05
_MORE_S = 10.0  # beyond the grace period of its trials


def ask_to_stop(paths: StudyPaths, *, kill: bool, why: str = "stop") -> str:
    """Leaves the request; returns its file. Raises StudyGone, OSError."""
    from hpo_engine.store import inbox

    return inbox.post(paths.inbox, inbox.Request("stop", None, kill, why))


def await_stop(paths: StudyPaths, request: str, grace_s: float) -> None:
    """Waits until the engine has stopped the study, which may take the grace period.

    Raises:
        EngineError: it does not answer; the request was taken back.
    """
    from hpo_engine.store import inbox
    from hpo_engine.store.lock import who_leads

    deadline = time.monotonic() + grace_s + _MORE_S
    while time.monotonic() < deadline and who_leads(paths.lock) is not None:
        time.sleep(_POLL_S)
    if os.path.exists(request):
        inbox.done(request)  # or a later engine would carry it out
        name = os.path.basename(paths.root)
        raise EngineError(f"{name}: its engine does not answer ({who_leads(paths.lock)}); nothing was stopped")


def stop_unled(paths: StudyPaths, *, kill: bool) -> None:
    """Stops the trials that run without an engine, by one that takes them over for that, in a process of its own.

    Raises:
        EngineError: it failed, with its own words.
    """
    import subprocess

    from hpo_engine.control.engines import command_line

    words = ["--kill"] if kill else []
    done = subprocess.run(command_line("stop", paths.root, *words), capture_output=True, text=True, check=False)
    if done.returncode:
        raise EngineError(done.stderr.strip().removeprefix("hpo-engine: ") or f"exit code {done.returncode}")
