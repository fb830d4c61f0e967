"""A study in short, for `list`: one row, written in the same transaction as the events, so that it is never behind them
and costs the same at any size."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from hpo_engine.store.database import checksum

if TYPE_CHECKING:
    from hpo_engine.study.history import History


@dataclass(frozen=True)
class Summary:
    """`state` is the log's own ("running" also if no engine leads the study). `best`: (trial, value) or None.

    `metrics`: of the objectives; with several, `best` is by the first one, and `front` is the number of trials that no
    other one dominates (0 or 1 with one objective). `counts`: trials by state. `total`: the trial budget (None:
    unlimited). `last_at`: UTC seconds of the latest event.
    """

    algorithm: str
    metrics: tuple[str, ...]
    state: str
    counts: Mapping[str, int]
    best: tuple[int, float] | None
    front: int
    total: int | None
    last_at: float

    @classmethod
    def of(cls, history: History) -> Summary:
        number, value, spec = history.best_id, history.best_value, history.spec
        return cls(
            algorithm=spec.algorithm.name,
            metrics=tuple([objective.metric for objective in spec.objectives]),
            state=history.state.value,
            counts={state.value: count for state, count in history.counts.items()},
            best=None if number is None or value is None else (number, value),
            front=len(history.front),
            total=spec.budget.trials,
            last_at=history.last_at,
        )

    @property
    def ended(self) -> int:
        """Number of trials that have ended."""
        return sum(count for state, count in self.counts.items() if state not in ("pending", "running"))

    def store(self, db: sqlite3.Connection, end: tuple[int, int]) -> None:
        """Keeps it in the database, within the open transaction. `end`: number and checksum of the latest event."""
        body = json.dumps(asdict(self), allow_nan=False)
        row = (end[0], body, _checksum(end, body))
        db.execute("INSERT OR REPLACE INTO summary(only, seq, body, crc) VALUES (1, ?, ?, ?)", row)


def stored(db: sqlite3.Connection, end: tuple[int, int]) -> Summary | None:
    """The summary in the database; None if it is not that of the events up to `end`, their number and checksum."""
    found = db.execute("SELECT body, crc FROM summary WHERE seq = ?", (end[0],)).fetchone()
    if found is None or found[1] != _checksum(end, found[0]):
        return None
    values = json.loads(found[0])
    best = values["best"]
    return Summary(**{**values, "metrics": tuple(values["metrics"]), "best": None if best is None else tuple(best)})


def _checksum(end: tuple[int, int], body: str) -> int:
    return checksum(end[1], end[0], 0.0, "summary", body)
