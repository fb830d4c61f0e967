"""A study in short, for `list`: kept with its latest event, in the same transaction and on the same page.

The column `summary` of an event holds, after the last event of a commit, the text of `Keeper`, or the number of the
event that has it if nothing of it has changed since; NULL otherwise. So it is never behind the events, costs next to
nothing to keep, and takes the same time to read at any size.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zlib import crc32

from hpo_engine.store.database import last_event

if TYPE_CHECKING:
    from hpo_engine.study.history import History


@dataclass(frozen=True)
class Summary:
    """`state` is the log's own ("running" also if no engine leads the study). `best`: (trial, value) or None.

    `metrics`: of the objectives; with several, `best` is by the first one, and `front` is the number of trials that no
    other one dominates (0 or 1 with one objective). `counts`: trials by state. `done`, `total`: see `History.progress`.
    `runs`: those that have begun. `last_at`: UTC seconds of the latest event.
    """

    algorithm: str
    metrics: tuple[str, ...]
    state: str
    counts: Mapping[str, int]
    best: tuple[int, float] | None
    front: int
    done: int
    total: int | None
    runs: int
    last_at: float

    @classmethod
    def of(cls, history: History) -> Summary:
        number, value, spec = history.best_id, history.best_value, history.spec
        done, total = history.progress
        return cls(
            algorithm=spec.algorithm.name,
            metrics=tuple([objective.metric for objective in spec.objectives]),
            state=history.state.value,
            counts={state.value: count for state, count in history.counts.items()},
            best=None if number is None or value is None else (number, value),
            front=len(history.front),
            done=done,
            total=total,
            runs=history.runs,
            last_at=history.last_at,
        )


class Keeper:
    """Makes the values of the column for one writer."""

    def __init__(self) -> None:
        self._parts: tuple[object, ...] = ()  # what the latest text was made of
        self._number = 0  # the event that has it

    def value(self, history: History, number: int, at: float, crc: int) -> str | int:
        """That of the last event of a commit: its number, time and checksum. `history`: with that event."""
        parts = (history.state, history.counts, history.front, history.progress, history.runs)
        if parts == self._parts and history.last_at == at:
            return self._number
        self._parts, self._number = parts, number
        text = json.dumps([*Summary.of(history).__dict__.values()], allow_nan=False, separators=(",", ":"))
        return f"{_checksum(text, crc)} {text}"


def kept(db: sqlite3.Connection) -> Summary | None:
    """The summary that is in the database; None if there is none of all its events."""
    try:
        number, crc, found = last_event(db)
        (at,) = db.execute("SELECT at FROM events WHERE seq = ?", (number,)).fetchone()
        if isinstance(found, int):
            crc, found = db.execute("SELECT crc, summary FROM events WHERE seq = ?", (found,)).fetchone()
        check, text = str(found).split(" ", 1)
        if int(check) != _checksum(text, crc):
            return None
        algorithm, metrics, state, counts, best, front, done, total, runs, last_at = json.loads(text)
    except (sqlite3.Error, LookupError, TypeError, ValueError):  # reading the events reports why
        return None
    best = None if best is None else tuple(best)
    return Summary(algorithm, tuple(metrics), state, counts, best, front, done, total, runs, max(at, last_at))


def _checksum(text: str, crc: int) -> int:
    return crc32(text.encode(), crc)
