"""Random logs of trials that report live, and a plain account of what they have reported: for oracles of stoppers."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hpo_engine.study.events import (
    AttemptEnded,
    AttemptIntended,
    Event,
    MetricsSeen,
    TrialCarriedOn,
    TrialEnded,
    TrialProposed,
    apply,
)
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective, Row, pick_values
from hpo_engine.study.spec import StudySpec
from hpo_engine.testing.histories import opened

STEPS = (lambda k: k, lambda k: k + 1, lambda k: (k + 1) / 4, lambda k: (k + 1) * 500)
"""How scripts count: from 0, from 1, in fractions of an epoch, in hundreds of batches."""
VALUES = (0.0, 1.0, 2.0, 3.0, math.nan, math.inf)


@dataclass
class Told:
    """One trial as its events tell it. `rows`: by the amount of the resource. `ends`: steps at which it completed by
    itself, by the amount."""

    resource: int
    rows: dict[int, list[Row]] = field(default_factory=dict)
    ends: dict[int, float] = field(default_factory=dict)
    hidden: bool = False  # the rows are provisional
    running: bool = False
    before: list[Row] = field(default_factory=list)  # when the latest attempt began
    fresh: bool = True
    goes_on: bool = False

    def shown(self, resource: int) -> list[Row]:
        return [] if self.hidden and resource == self.resource else self.rows.get(resource, [])


class Account:
    """A history, and beside it the plain account of it."""

    def __init__(self, spec: StudySpec) -> None:
        self.history, self.told = opened(spec), list[Told]()

    def take(self, event: Event) -> History:
        self.history = apply(self.history, event)
        aims = self.history.spec.objectives
        if isinstance(event, TrialProposed):
            self.told.append(Told(event.resource or 0))
            return self.history
        told = self.told[event.trial]  # type: ignore[attr-defined]
        if isinstance(event, AttemptIntended):
            told.running, told.fresh, told.hidden = True, True, False
            told.before = told.rows.get(told.resource, []) if told.goes_on else []
            told.rows[told.resource] = list(told.before)
        elif isinstance(event, MetricsSeen):
            first = min((row.step for row in event.rows), default=-math.inf)
            kept = told.rows[told.resource]
            if event.replace or told.fresh:
                kept = [row for row in told.before if row.step < first] if event.rows else told.before
            told.rows[told.resource], told.fresh, told.hidden = [*kept, *event.rows], False, event.provisional
        elif isinstance(event, TrialEnded | AttemptEnded):
            told.running = False
            if isinstance(event, TrialEnded) and event.state == "completed":
                told.goes_on = True
                steps = [row.step for row in told.rows[told.resource] if any(aim.metric in row.values for aim in aims)]
                if steps and "stop_cause" not in (event.exit or {}):
                    told.ends[told.resource] = max(steps)
        elif isinstance(event, TrialCarriedOn):
            told.rows[event.resource] = list(told.rows[told.resource])
            told.resource = event.resource
        return self.history

    def ends(self, resource: int) -> set[float]:
        return {told.ends[resource] for told in self.told if resource in told.ends}

    def at_end(self, trial: int) -> bool:
        told, aims = self.told[trial], self.history.spec.objectives
        rows = told.rows[told.resource]
        steps = [row.step for row in rows if any(aim.metric in row.values for aim in aims)]
        return bool(steps) and max(steps) in self.ends(told.resource)

    def points(self, trial: int, resource: int) -> list[tuple[float, int]]:
        """(step, number of rows up to there) of every row that counts as a point."""
        aims, rows = self.history.spec.objectives, self.told[trial].shown(resource)
        out: list[tuple[float, int]] = []
        for i, row in enumerate(rows):
            everything = {metric for r in rows[: i + 1] for metric in r.values}
            has_one = any(aim.metric in row.values for aim in aims)
            if has_one and all(aim.metric in everything for aim in aims) and (not out or row.step > out[-1][0]):
                out.append((row.step, i + 1))
        return out

    def value(self, trial: int, resource: int, step: float) -> tuple[float, ...] | None:
        """The losses that the trial had when it came to the step; infinite where they were not finite."""
        number = next((n for at, n in self.points(trial, resource) if at >= step), None)
        return None if number is None else had(self.told[trial].shown(resource)[:number], self.history.spec.objectives)

    def last(self, trial: int) -> float | None:
        points = self.points(trial, self.told[trial].resource)
        return points[-1][0] if points else None

    def running(self) -> Iterator[int]:
        return (i for i, told in enumerate(self.told) if told.running)


def had(rows: Sequence[Row], aims: Sequence[Objective]) -> tuple[float, ...]:
    values = pick_values(rows, aims)
    if values is None:
        return (math.inf,) * len(aims)
    return tuple(aim.loss(value) for aim, value in zip(aims, values, strict=True))


def report(rows: Sequence[Row], aims: Sequence[Objective]) -> tuple[float, ...]:
    """The losses of the last row alone, what it lacks from the rows before; infinite where they are not finite."""
    return had(rows, [replace(aim, over="last") for aim in aims])


def fronts_ahead(own: tuple[float, ...], others: Sequence[tuple[float, ...]]) -> int:
    """How many of the others are in fronts before that of `own`; by peeling one front after the other."""
    if len(own) == 1:
        return sum(other < own for other in others)
    left, ahead = list(others), 0
    bad = [o for o in left if not all(map(math.isfinite, o))]
    left = [o for o in left if all(map(math.isfinite, o))]
    if not all(map(math.isfinite, own)):
        return len(left)
    while any(_dominates(other, own) for other in left):
        first = [o for o in left if not any(_dominates(other, o) for other in left)]
        ahead += len(first)
        left = [o for o in left if o not in first]
    assert len(bad) <= len(others)
    return ahead


def _dominates(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b


# -- random logs -------------------------------------------------------------------------------------------------------


def random_log(
    rng: random.Random, spec: StudySpec, trials: int = 6, resources: Sequence[int] = (0,)
) -> list[list[Event]]:
    """The events of each trial of a random study, its proposal first."""
    count = rng.choice(STEPS)
    return [list(_life(rng, spec, trial, count, resources)) for trial in range(trials)]


def interleaved(rng: random.Random, lives: Sequence[Sequence[Event]]) -> list[Event]:
    """One order in which they may arrive."""
    left = [list(life[1:]) for life in lives]
    out = [life[0] for life in lives]
    while any(left):
        life = rng.choice([life for life in left if life])
        out.append(life.pop(0))
    return out


def _life(rng: random.Random, spec: StudySpec, trial: int, count: Any, resources: Sequence[int]) -> Iterator[Event]:
    levels = list(resources[rng.randrange(len(resources)) :])
    attempt, reached = 0, 0
    yield TrialProposed(0.0, trial, {"x": 0.0}, levels[0] or None)
    while levels:
        attempt += 1
        yield AttemptIntended(0.0, trial, attempt, f"n{trial}.{attempt}")
        begin, rows = reached, list[Row]()
        end = rng.choice(["running", "retry", "completed", "completed", "limit", "pruned", "failed"])
        for k in range(begin, begin + rng.randrange(6)):
            batch = _rows(rng, spec, count(k))
            rows += batch
            hidden = rng.random() < 0.1 and end not in ("completed", "limit")  # whose rows are the final ones
            yield MetricsSeen(0.0, trial, tuple(batch), provisional=hidden)
            reached = k + 1
        if rows and rng.random() < 0.2:  # a file that was written anew
            yield MetricsSeen(0.0, trial, tuple(rows[: rng.randrange(1, len(rows) + 1)]), replace=True)
        if end == "retry":
            yield AttemptEnded(0.0, trial, attempt, {"code": 1}, "x")
            reached = begin
        elif end in ("completed", "limit"):
            exit_ = {"code": 0} if end == "completed" else {"signal": 15, "stop_cause": "time_limit"}
            values = tuple(float(rng.randrange(3)) for _ in spec.objectives)
            yield TrialEnded(0.0, trial, "completed", values[0], "", exit_, None, values if len(values) > 1 else None)
            levels.pop(0)
            if levels and rng.random() < 0.7:
                yield TrialCarriedOn(0.0, trial, {"x": 0.0}, levels[0])
            else:
                return
        else:
            if end != "running":
                yield TrialEnded(0.0, trial, end, None, "x", {"code": 1})
            return


def _rows(rng: random.Random, spec: StudySpec, step: float) -> list[Row]:
    names = [aim.metric for aim in spec.objectives]
    out = []
    for _ in range(rng.choice([1, 1, 1, 2])):
        given = (
            [*names, "train"] if rng.random() < 0.7 else rng.sample([*names, "train"], rng.randrange(1, len(names) + 1))
        )
        values = {name: rng.choice(VALUES[:4]) if rng.random() < 0.9 else rng.choice(VALUES) for name in given}
        out.append(Row(step if rng.random() < 0.95 else step - 1, values))
    return out
