"""Studies as tasks of the dialect: their objects, encoded once for each version."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hpo_engine.control.submitting import complete
from hpo_engine.reports.objects import dump
from hpo_engine.study.history import History
from hpo_engine.studyfile import wmla
from hpo_engine.studyfile.wmla import Generation

if TYPE_CHECKING:
    from hpo_engine.service.desk import View
    from hpo_engine.service.wmla.memory import Body, Memory

_ENDED = ("finished", "failed", "stopped")
_STATES = {
    "queued": "SUBMITTED", "running": "RUNNING", "finished": "FINISHED", "failed": "FAILED", "stopped": "STOPPED",
    "interrupted": "RECOVERPEND",
}  # fmt: skip


def ended(view: View) -> bool:
    return view.state in _ENDED


def is_task(view: View) -> bool:
    """Whether a study is a search, and not one training without a search."""
    spec = view.spec if view.history is None else view.history.spec
    return spec is None or not wmla.is_training(spec.dialect)


def history_of(view: View) -> History | None:
    """The study's history, that of one which has not begun; None if nothing is known of it."""
    if view.history is None and view.spec is not None:
        return History(view.spec, opened_at=view.created)
    return view.history


def state_of(view: View) -> str:
    """The task's state: that of the log, and what the service knows beyond it."""
    if view.problem and not ended(view):
        return "RECOVERFAILED"
    if view.state == "interrupted" and view.history is not None and wmla.task_state(view.history) == "SUBMITTED":
        return "SUBMITTED"  # its folder is there, and its first engine is just starting
    return _STATES[view.state]


def task(view: View, generation: Generation, now: float) -> dict[str, Any]:
    """The task object; `now`: UTC seconds."""
    history = history_of(view)
    if history is None:
        return {
            "hpoName": view.name, "state": state_of(view), "progress": "0/-", "running": 0, "complete": 0, "failed": 0,
            "duration": wmla.duration(0), "creator": view.owner, "createtime": wmla.timestamp(view.created),
            "experiments": [],
        }  # fmt: skip
    return wmla.task_object(history, now=now, state=state_of(view), generation=generation)


def task_body(memory: Memory, view: View, generation: Generation, now: float | None = None) -> Body:
    """The task object, encoded. That of a study which goes on has durations in it, and is made anew every second."""
    now = time.time() if now is None else now
    version = view.version, state_of(view), None if ended(view) else int(now)
    return memory.body(("task", view.name, generation), version, lambda: dump(task(view, generation, now)).encode())


def list_body(bodies: Iterable[Body]) -> Body:
    return b"[" + b",".join(bodies) + b"]"


def nothing_left(view: View) -> bool:
    """Whether a study has ended, and an engine would find nothing to run."""
    return view.history is not None and ended(view) and complete(view.history, {})
