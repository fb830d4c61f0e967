"""A study at a glance: state, counts and best value straight from its event log, without building its history.

For `list`, which must be quick over many and large studies. Says what the fold of the log says; tests hold it to that.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

from hpo_engine.errors import JournalError
from hpo_engine.maths.front import Member, joined
from hpo_engine.store.journal import connect

_BRIEF = (
    "trial_ended", "trial_reopened", "attempt_intended", "attempt_ended",
    "engine_started", "study_closed", "spec_changed",
)  # fmt: skip


class Glance(NamedTuple):
    """`state` is the log's own word (running, also where no engine leads). `best`: (trial, value) or None.

    `metrics`: of the objectives; with several, `best` is by the first one, and `front` says how many trials no other
    one dominates (0 or 1 with one objective). `counts`: trials by state. `total`: the trial budget (None: unlimited).
    `last_at`: UTC seconds of the latest event.
    """

    name: str
    algorithm: str
    metrics: tuple[str, ...]
    state: str
    counts: dict[str, int]
    best: tuple[int, float] | None
    front: int
    total: int | None
    seconds: float
    engine_at: float | None
    last_at: float

    @property
    def ended(self) -> int:
        return sum(n for state, n in self.counts.items() if state not in ("pending", "running"))


def glance(path: str) -> Glance:
    """What the event log at `path` says in short. Raises JournalError."""
    try:
        db = connect(path)
        try:
            return _read(db, path)
        finally:
            db.close()
    except (sqlite3.Error, ValueError, KeyError, TypeError) as error:
        raise JournalError(f"{path}: damaged ({error}); restore it from a backup, nothing was changed") from error


def _read(db: sqlite3.Connection, path: str) -> Glance:
    first = db.execute("SELECT kind, at, body FROM events WHERE seq = 1").fetchone()
    if first is None or first[0] != "study_opened":
        raise JournalError(f"{path}: the event log is empty: the study was never opened")
    spec = json.loads(first[2])["spec"]
    total = spec["budget"]["trials"]
    trials = db.execute("SELECT count(*) FROM events WHERE kind = 'trial_proposed'").fetchone()[0]
    given = _resources(db) if spec["resource"] else {}
    aims = spec["objectives"]
    states: dict[int, tuple[str, Sequence[float]]] = {}
    state, seconds, engine_at, closed = "running", 0.0, None, False
    marks = ",".join("?" * len(_BRIEF))
    rows = db.execute(f"SELECT seq, at, kind, body FROM events WHERE kind IN ({marks}) ORDER BY seq", _BRIEF)
    for seq, at, kind, text in rows:
        body: dict[str, Any] = json.loads(text)
        if kind == "trial_ended":
            values = body.get("values") or ([body["value"]] if "value" in body else [])
            states[body["trial"]] = (body["state"], values)
        elif kind == "attempt_intended":
            states[body["trial"]] = ("running", ())
        elif kind in ("attempt_ended", "trial_reopened"):
            states.pop(body["trial"], None)
        elif kind == "spec_changed":
            total = body["changes"].get("trials", total)
        elif kind == "engine_started":
            if engine_at is not None and not closed:
                last = db.execute("SELECT max(at) FROM events WHERE seq < ?", (seq,)).fetchone()[0]
                seconds += max(0.0, last - engine_at)
            state, engine_at, closed = "running", at, False
        else:
            seconds += max(0.0, at - engine_at) if engine_at is not None else 0.0
            state, engine_at, closed = body["state"], None, True
    last_at = db.execute("SELECT max(at) FROM events").fetchone()[0]
    counts: dict[str, int] = {}
    for word, _ in states.values():
        counts[word] = counts.get(word, 0) + 1
    if trials > len(states):
        counts["pending"] = trials - len(states)
    signs = [-1.0 if aim["goal"] == "maximize" else 1.0 for aim in aims]
    done = {trial: values for trial, (word, values) in states.items() if word == "completed" and values}
    most = max((given.get(trial, 0) for trial in done), default=0)
    front: tuple[Member, ...] = ()
    for trial, values in done.items():
        if given.get(trial, 0) == most:
            front = joined(front, (tuple(s * v for s, v in zip(signs, values, strict=True)), trial))
    best = (front[0][1], signs[0] * front[0][0][0]) if front else None
    metrics = tuple(aim["metric"] for aim in aims)
    return Glance(
        spec["name"],
        spec["algorithm"]["name"],
        metrics,
        state,
        counts,
        best,
        len(front),
        total,
        seconds,
        engine_at,
        last_at,
    )


def _resources(db: sqlite3.Connection) -> dict[int, int]:
    """How much of the resource each trial got."""
    bodies = (json.loads(text) for (text,) in db.execute("SELECT body FROM events WHERE kind = 'trial_proposed'"))
    return {body["trial"]: body.get("resource") or 0 for body in bodies}
