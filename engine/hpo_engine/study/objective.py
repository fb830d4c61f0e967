"""What is searched for, and how the rows of a trial become the values that it counts by.

Inside the house everything is minimised: `Objective.loss` is the one place where a sign is flipped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One report of a script: `step` (int where it is one) and its numeric metrics; values may be NaN or infinite."""

    step: float
    values: Mapping[str, float]


@dataclass(frozen=True)
class Objective:
    """What is searched for: `metric` of the result rows, `goal` minimize | maximize, `over` best | last row."""

    metric: str
    goal: str = "minimize"
    over: str = "best"

    def loss(self, value: float) -> float:
        """The value as something to minimise."""
        return -value if self.goal == "maximize" else value

    def value(self, loss: float) -> float:
        """The inverse of `loss`."""
        return -loss if self.goal == "maximize" else loss

    def pick(self, rows: Sequence[Row]) -> float | None:
        """The best finite value of the metric over the rows, or that of the last row that reports it; None if there is
        none, or if the last one is not finite."""
        values = [v for row in rows if (v := row.values.get(self.metric)) is not None]
        if self.over == "last":
            return values[-1] if values and math.isfinite(values[-1]) else None
        values = [v for v in values if math.isfinite(v)]
        if not values:
            return None
        return max(values) if self.goal == "maximize" else min(values)


def last_step(rows: Iterable[Row], objectives: Sequence[Objective]) -> float | None:
    """The highest step at which an objective was reported; None: there is none.

    What else is reported may have a counter of its own, such as a loss for each batch beside a score for each epoch.
    """
    return max((row.step for row in rows if has_one(row, objectives)), default=None)


def has_one(row: Row, objectives: Sequence[Objective]) -> bool:
    """Whether the row has the value of an objective."""
    return any(objective.metric in row.values for objective in objectives)


def pick_values(rows: Sequence[Row], objectives: Sequence[Objective]) -> tuple[float, ...] | None:
    """A value for each objective, in the user's own signs; None where the rows do not give them.

    Several objectives take their values from one row, for a mixture of the best of each would promise a trade-off that
    the script never reached. It is the last row, and there is no value if that one is not finite for all; where one
    objective says `over: best`, it is of the rows with finite values for all the first in which that one is best. A row
    that lacks a metric has it from the row before, and before the first report of a metric that first one counts: a
    size, say, may be told once.
    """
    if len(objectives) == 1:
        value = objectives[0].pick(rows)
        return None if value is None else (value,)
    filled = _filled(rows, [o.metric for o in objectives])
    choosing = next((i for i, o in enumerate(objectives) if o.over == "best"), None)
    whole = [values for values in (filled[-1:] if choosing is None else filled) if all(map(math.isfinite, values))]
    if not whole:
        return None
    if choosing is None:
        return whole[0]
    return min(whole, key=lambda values: objectives[choosing].loss(values[choosing]))


def latest_losses(rows: Sequence[Row], objectives: Sequence[Objective]) -> tuple[float, ...] | None:
    """The losses of the last row, or of the last ones that report them; empty if one is not finite.

    None: each objective counts by the last row anyway, or the rows lack one.
    """
    if not rows or all(objective.over == "last" for objective in objectives):
        return None
    last, metrics = rows[-1].values, [objective.metric for objective in objectives]
    if not all(metric in last for metric in metrics):  # few scripts report them in different rows
        if not (filled := _filled(rows, metrics)):
            return None
        last = dict(zip(metrics, filled[-1], strict=True))
    losses = tuple([objective.loss(last[objective.metric]) for objective in objectives])
    return losses if all(map(math.isfinite, losses)) else ()


def _filled(rows: Sequence[Row], metrics: Sequence[str]) -> list[tuple[float, ...]]:
    """For each row all of the metrics, what it lacks from its neighbours; no rows where a metric is never told."""
    latest: list[float] = []
    for metric in metrics:
        first = next((v for row in rows if (v := row.values.get(metric)) is not None), None)
        if first is None:
            return []
        latest.append(first)
    out = []
    for row in rows:
        latest = [row.values.get(metric, before) for metric, before in zip(metrics, latest, strict=True)]
        out.append(tuple(latest))
    return out
