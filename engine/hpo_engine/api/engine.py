"""Starts an engine for a study, in a process of its own, and waits for it: for `run` and `Study.resume` alike."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hpo_engine.errors import EngineError, MachineError, SpecError, StudyLocked

if TYPE_CHECKING:
    from hpo_engine.api.notebook.following import Followed
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.study.history import History

_POLL_S = 0.02
_ERRORS: Mapping[int, type[EngineError]] = {2: SpecError, 4: StudyLocked, 5: MachineError}
"""By the exit code of an engine that did not begin."""


def started(
    study: Followed,
    paths: StudyPaths,
    history: History,
    changes: Mapping[str, Any],
    *,
    wait: bool,
    quiet: bool,
    retry: bool = False,
) -> None:
    """Starts an engine for the study, or joins the one that runs it if nothing is to change, and waits for the end."""
    from hpo_engine.control.engines import start_engine

    if not study.running or changes or retry:
        begun = start_engine(paths, {"known": history, "changes": dict(changes), "retry": retry})
        joins = begun.code == StudyLocked.exit_code and study.running and not changes and not retry
        if begun.code and not joins:
            raise _refusal(begun.code, begun.output)
        while not wait and study.running and study.history.events == history.events:  # its changes are there on return
            time.sleep(_POLL_S)
    if wait:
        _wait(study, paths, quiet=quiet)


def _wait(study: Followed, paths: StudyPaths, *, quiet: bool) -> None:
    from hpo_engine.api.notebook.live import in_notebook
    from hpo_engine.control.following import display
    from hpo_engine.control.stopping import ask_to_stop

    interrupts = 0
    in_cell = not quiet and in_notebook()
    while True:
        try:
            if in_cell:
                from hpo_engine.api.notebook.following import follow

                follow(study, paths)
            elif not quiet and not interrupts:
                display(paths, sys.stdout)
            study.wait()
            break
        except KeyboardInterrupt:
            interrupts += 1
            if study.running:
                kill = interrupts > 1
                ask_to_stop(paths, kill=kill, why="Ctrl-C")
                more = "killing its trials" if kill else "stopping the study; Ctrl-C again kills its trials"
                print(f"hpo-engine: {more}", file=sys.stderr, flush=True)
    if interrupts:
        raise KeyboardInterrupt


def _refusal(code: int, output: str) -> EngineError:
    """What the engine said before it left."""
    text = "\n".join(line.removeprefix("hpo-engine: ") for line in output.splitlines())
    return _ERRORS.get(code, EngineError)(text or f"the engine left with exit code {code}")
