"""The history of a long log, straight from its records: what `fold(read())` gives, in a fraction of the time.

Knows the events that a study is made of as `events.apply` does, and steps aside where anything is out of order: then
the fold is made event by event, and says what is wrong. Tests hold the one to the other.
"""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from hpo_engine.errors import JournalError
from hpo_engine.store.journal import Journal, Record
from hpo_engine.study.events import apply, fold, from_body
from hpo_engine.study.history import History, indices
from hpo_engine.study.rows import Unread, from_json, joined
from hpo_engine.study.table import TrialTable
from hpo_engine.study.trial import Attempt, Exit, Proposal, Trial, TrialState
from hpo_engine.study.values import changed

_PENDING, _RUNNING, _COMPLETED = TrialState.PENDING, TrialState.RUNNING, TrialState.COMPLETED
_OPEN = (_PENDING, _RUNNING)
_ENDS = {state.value: state for state in TrialState if state not in _OPEN}
_METRICS = re.compile(r'\{"trial":(0|[1-9][0-9]*),"rows":(\[\[.*\]\]),"replace":(true|false)\}').fullmatch
_new, _set = object.__new__, object.__setattr__


def read(path: str) -> History:
    """The history of the event log at `path`; the rows of its trials are read when somebody looks.

    Raises:
        JournalError: as the fold of all events does; rows that are JSON and yet no rows, when somebody looks.
    """
    collecting = gc.isenabled()
    gc.disable()  # nothing of what follows is garbage, and to look for some takes half of the time
    journal = Journal(path)
    try:
        found = history(journal.records(), lazy=journal.all_json("metrics_seen"))
        return fold(journal.read()) if found is None else found
    finally:
        journal.close()
        if collecting:
            gc.enable()


def history(records: Sequence[Record], *, lazy: bool = False) -> History | None:
    """The history that the records make, all of them from the first; None: fold them event by event.

    Args:
        lazy: leave the rows of trials unread until somebody looks at them; what is wrong with them is told then.
    """
    try:
        told = [_METRICS(text) if lazy and kind == "metrics_seen" else None for _, _, kind, text in records]
        # All at once: a call for each takes twice the time.
        texts = [record[3] for record, found in zip(records, told, strict=True) if found is None]
        bodies = iter(json.loads(f"[{','.join(texts)}]"))
        book = _Book(records[0], next(bodies))
        for (_, at, kind, _), found in zip(records[1:], told[1:], strict=True):
            if found is not None:
                _metrics_unread(book, *found.groups())
            else:
                body = next(bodies)
                if (kind, *body) not in _FORMS:
                    from_body(kind, at, body)  # raises where this version does not know them
                    _FORMS.add((kind, *body))
                _STEPS[kind](book, at, body)
            if at > book.last_at:
                book.last_at = at
        return None if list(bodies) else book.closed()
    except (_Unusual, JournalError, StopIteration, LookupError, TypeError, ValueError, AttributeError):
        return None


_FORMS: set[tuple[str, ...]] = set()
"""Kinds with the names in their bodies that are known to be right."""


class _Unusual(Exception):
    """Something is out of order."""


class _Book:
    """What is known so far. `study` has no trials; `trials` are the fields of each; `done`: COMPLETED, as they came."""

    def __init__(self, first: Record, body: Any) -> None:
        self.study = apply(None, from_body(first[2], first[1], body))
        self.aims, self.several = self.study.spec.aims, bool(self.study.spec.objectives)
        self.trials: list[dict[str, Any]] = []
        self.done: list[int] = []
        self.last_at = first[1]

    def trial(self, number: int, state: TrialState) -> dict[str, Any]:
        """The fields of a trial that is in that state."""
        trial = self.trials[number]
        if number < 0 or trial["state"] is not state:
            raise _Unusual
        return trial

    def closed(self) -> History:
        trials = [_made(Trial, fields) for fields in self.trials]
        table = TrialTable(trials)
        return changed(self.study, trials=table, last_at=self.last_at, **indices(trials, self.done))


def _made(cls: Any, fields: dict[str, Any]) -> Any:
    """A frozen value that has these fields, and the defaults of its class."""
    value = _new(cls)
    _set(value, "__dict__", fields)
    return value


# -- the events, each as `events.apply` has it -------------------------------------------------------------------------


def _of_study(kind: str) -> Callable[[_Book, float, dict[str, Any]], None]:
    def step(book: _Book, at: float, body: dict[str, Any]) -> None:
        book.study = apply(changed(book.study, last_at=book.last_at), from_body(kind, at, body))

    return step


def _trial_proposed(book: _Book, at: float, body: dict[str, Any]) -> None:
    if body["trial"] != len(book.trials):
        raise _Unusual
    proposal = {"params": body["params"], "resource": body.get("resource"), "note": body.get("slot")}
    book.trials.append({
        "id": body["trial"], "proposal": _made(Proposal, proposal), "state": _PENDING, "rows": (), "losses": (),
        "attempts": (), "reason": "", "proposed_at": at, "started_at": None, "ended_at": None,
    })  # fmt: skip


def _attempt_intended(book: _Book, at: float, body: dict[str, Any]) -> None:
    trial, number = book.trial(body["trial"], _PENDING), body["attempt"]
    if number != len(trial["attempts"]) + 1:
        raise _Unusual
    attempt = {"number": number, "nonce": body["nonce"], "gpus": tuple(body.get("gpus", ()))}
    trial["attempts"] = (*trial["attempts"], _made(Attempt, attempt))
    trial["state"], trial["rows"], trial["reason"] = _RUNNING, (), ""
    trial["started_at"] = trial["started_at"] or at


def _attempt_started(book: _Book, at: float, body: dict[str, Any]) -> None:
    attempt = _latest(book.trial(body["trial"], _RUNNING), body["attempt"])
    attempt["started_at"], attempt["pid"] = at, body["pid"]


def _metrics_unread(book: _Book, number: str, text: str, replace: str) -> None:
    trial, rows = book.trial(int(number), _RUNNING), Unread((text,))
    trial["rows"] = rows if replace == "true" else joined(trial["rows"], rows)


def _metrics_seen(book: _Book, at: float, body: dict[str, Any]) -> None:
    trial, rows = book.trial(body["trial"], _RUNNING), from_json(body["rows"])
    trial["rows"] = rows if body["replace"] else joined(trial["rows"], rows)


def _attempt_ended(book: _Book, at: float, body: dict[str, Any]) -> None:
    trial = book.trial(body["trial"], _RUNNING)
    attempt = _latest(trial, body["attempt"])
    attempt["exit"], attempt["ended_at"] = _exit(body["exit"]), at
    trial["state"], trial["reason"] = _PENDING, body.get("reason", "")


def _trial_ended(book: _Book, at: float, body: dict[str, Any]) -> None:
    number, state, value, values = body["trial"], _ENDS[body["state"]], body.get("value"), body.get("values")
    trial = book.trials[number]
    if number < 0 or trial["state"] not in _OPEN or (state is _COMPLETED) != (value is not None):
        raise _Unusual
    if trial["attempts"] and body.get("exit") is not None:
        attempt = trial["attempts"][-1].__dict__
        attempt["exit"], attempt["ended_at"] = _exit(body["exit"]), at
    values = (value,) if values is None else tuple(values)
    if value is not None:
        if not book.several:
            trial["losses"] = (book.aims[0].loss(value),)
        else:
            trial["losses"] = tuple([aim.loss(v) for aim, v in zip(book.aims, values, strict=True)])
        book.done.append(number)
    trial["state"], trial["reason"], trial["ended_at"] = state, body.get("reason", ""), at


def _trial_reopened(book: _Book, at: float, body: dict[str, Any]) -> None:
    number = body["trial"]
    trial = book.trials[number]
    if number < 0 or trial["state"] in _OPEN or trial["state"] is _COMPLETED:
        raise _Unusual
    trial["state"], trial["reason"], trial["rows"], trial["ended_at"] = _PENDING, "retry", (), None
    book.study = changed(book.study, counted_from=at)


def _stop_asked(book: _Book, at: float, body: dict[str, Any]) -> None:
    if body.get("trial") is None:
        _STUDY_STOP_ASKED(book, at, body)
    elif body["trial"] < 0 or not book.trials[body["trial"]]:
        raise _Unusual


_STUDY_STOP_ASKED = _of_study("stop_asked")
_STEPS: dict[str, Callable[[_Book, float, dict[str, Any]], None]] = {
    "engine_started": _of_study("engine_started"),
    "trial_proposed": _trial_proposed,
    "attempt_intended": _attempt_intended,
    "attempt_started": _attempt_started,
    "metrics_seen": _metrics_seen,
    "attempt_ended": _attempt_ended,
    "trial_ended": _trial_ended,
    "trial_reopened": _trial_reopened,
    "stop_asked": _stop_asked,
    "spec_changed": _of_study("spec_changed"),
    "study_closed": _of_study("study_closed"),
}


def _latest(trial: dict[str, Any], number: int) -> dict[str, Any]:
    """The fields of the trial's attempt of that number, which must be the latest; nobody has seen it yet."""
    attempts = trial["attempts"]
    if number != len(attempts):
        raise _Unusual
    fields: dict[str, Any] = attempts[-1].__dict__
    return fields


def _exit(told: Any) -> Exit:
    if ("exit", *told) not in _FORMS:
        Exit(**told)  # raises where this version does not know them
        _FORMS.add(("exit", *told))
    made: Exit = _made(Exit, told)
    return made
