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
    from hpo_engine.study.trial import Trial

_ENDED = ("finished", "failed", "stopped")
_STATES = {
    "queued": "SUBMITTED", "running": "RUNNING", "finished": "FINISHED", "failed": "FAILED", "stopped": "STOPPED",
    "interrupted": "RECOVERPEND",
}  # fmt: skip


def ended(view: View) -> bool:
    return view.state in _ENDED


def is_training(memory: Memory, view: View) -> bool:
    """Whether a study is one training without a search. That never changes, so that only the first time reads it."""

    def find() -> bool:
        return view.spec is not None and wmla.is_training(view.spec.dialect)

    return memory.fact(("training", view.name, view.created), find)


def history_of(view: View) -> History | None:
    """The study's history, that of one which has not begun; None if nothing is known of it."""
    if view.history is None and view.spec is not None:
        return History(view.spec, opened_at=view.created)
    return view.history


def state_of(view: View) -> str:
    """The task's state. An interrupted study is going to be recovered, or only `restart` does that."""
    if view.state == "interrupted" and view.recovery != "pending":
        return "RECOVERFAILED"
    return _STATES[view.state]


def task_body(memory: Memory, view: View, generation: Generation, now: float | None = None) -> Body:
    """The task object, encoded. That of a study which goes on has durations in it, and is made anew every second.

    Args:
        now: UTC seconds.
    """
    at = time.time() if now is None else now
    version = view.version, state_of(view), None if ended(view) else int(at)
    return memory.body(("task", view.name, generation), version, lambda: _task(memory, view, generation, at))


def _task(memory: Memory, view: View, generation: Generation, now: float) -> Body:
    history, state = history_of(view), state_of(view)
    if history is None:
        return dump({
            "hpoName": view.name, "state": state, "progress": "0/-", "running": 0, "complete": 0, "failed": 0,
            "duration": wmla.duration(0), "creator": view.owner, "createtime": wmla.timestamp(view.created),
            "experiments": [],
        }).encode()  # fmt: skip
    known = memory.parts((view.name, view.created, generation))
    found = wmla.task_object(history, now=now, state=state, generation=generation, experiments=False)
    head = {**found, "hpoName": view.name}  # its folder's, which may have been renamed
    trials = [_trial(known, history, trial, generation, now) for trial in history.trials]
    return b'%s, "experiments": [%s]}' % (dump(head).encode()[:-1], b", ".join(trials))


def _trial(known: dict[int, Any], history: History, trial: Trial, generation: Generation, now: float) -> Body:
    """The trial's object, encoded; that of one which has ended only once."""
    made_of, body = known.get(trial.id, (None, b""))
    if made_of is not None and made_of[0] is trial and made_of[1] is history.spec:
        return bytes(body)
    encoded = dump(wmla.trial_object(history, trial, now=now, generation=generation)).encode()
    if trial.state.ended:
        known[trial.id] = (trial, history.spec), encoded
    return encoded


def list_body(bodies: Iterable[Body]) -> Body:
    return b"[" + b",".join(bodies) + b"]"


def nothing_left(view: View) -> bool:
    """Whether a study has ended, and an engine would find nothing to run."""
    return view.history is not None and ended(view) and complete(view.history, {})
