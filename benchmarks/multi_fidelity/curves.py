"""Tasks with learning curves for any configuration: what a run of so much of the resource reports at each step.

A table's own configurations answer as they were trained, others by a forest of extremely randomised trees
(`benchmarks.search.problems.forest`), whose answers are averages of whole curves. `crossing-toy` is a formula.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from benchmarks.multi_fidelity.tasks import TASKS, Task, data_path
from benchmarks.search.problems import CURVES, problem
from benchmarks.search.problems.spaces import TASKS as LEAGUE
from benchmarks.search.problems.table import Table as LeagueTable
from benchmarks.search.problems.table import _Columns, grown
from hpo_engine.space.searchspace import Float, SearchSpace

Curve = Sequence[tuple[int, float]]
"""The rows of a run: (step, loss), the last one at its amount of the resource."""

TOY = "crossing-toy"
NAMES: tuple[str, ...] = (*TASKS, *CURVES, TOY)
_DRAWS = 4096


@dataclass
class World:
    """A task as searches see it. `best`: the lowest final loss of the table's rows; `median`: that of random draws.
    `spans`: a run cannot carry on, because its schedule spans it."""

    name: str
    space: SearchSpace
    most: int
    curve: Callable[[Mapping[str, Any], int], Curve]
    best: float
    median: float
    spans: bool = False
    seen: dict[tuple[Any, ...], Curve] = field(default_factory=dict)

    def run(self, params: Mapping[str, Any], resource: int) -> Curve:
        key = (resource, *sorted((k, v) for k, v in params.items()))
        if key not in self.seen:
            if len(self.seen) > 50_000:
                self.seen.clear()
            self.seen[key] = self.curve(params, resource)
        return self.seen[key]

    def regret(self, loss: float) -> float:
        """0 at the best, 1 at the median of random draws and above it."""
        return min(1.0, max(0.0, (loss - self.best) / (self.median - self.best)))


@cache
def world(name: str) -> World:
    if name == TOY:
        return World(name, _TOY_SPACE, 81, _toy, 0.3 + _toy_floor(), _median(_TOY_SPACE, lambda p: _toy(p, 81)[-1][1]))
    if name in TASKS:
        table = _Dense(name)
        final = table.losses[:, -1]
        return World(
            name, table.task.space, table.task.most, table.curve, float(final.min()),
            _median(table.task.space, lambda p: table.curve(p, table.task.most)[-1][1]), table.task.spans,
        )  # fmt: skip
    task, league, levels = problem(name), LeagueTable(name), LEAGUE[name].levels

    def at_levels(params: Mapping[str, Any], resource: int) -> Curve:
        losses = league.curves(task.space.encode(params)[None])[0]
        rows = [(level, float(loss)) for level, loss in zip(levels, losses, strict=True) if level <= resource]
        return rows if rows[-1][0] == resource else [*rows, (resource, rows[-1][1])]

    return World(name, task.space, levels[-1], at_levels, task.best, task.median)


class _Dense:
    """A table of this folder."""

    def __init__(self, name: str) -> None:
        self.task: Task = TASKS[name]
        with np.load(data_path(name)) as data:
            self.points, self.losses = data["points"].astype(float), data["losses"].astype(float)
        self._columns = _Columns(self.task.space)
        self._forest = grown(self._columns(self.points), self.losses)

    def curve(self, params: Mapping[str, Any], resource: int) -> Curve:
        losses = self._forest.predict(self._columns(self.task.space.encode(params)[None]))[0]
        if self.task.resolution:
            losses = np.round(losses / self.task.resolution) * self.task.resolution
        return curve_of(self.task, losses, resource)


def curve_of(task: Task, losses: np.ndarray, resource: int) -> Curve:
    """A run's rows from a row of the table. An amount between those that are known counts as the one below."""
    if not task.spans:
        own = losses[:resource]
    else:
        known = max(amount for amount in task.amounts if amount <= resource)
        begin = sum(amount for amount in task.amounts if amount < known)
        own = losses[begin : begin + known]
        own = np.concatenate([own, np.full(resource - known, own[-1])])
    return list(enumerate(own.tolist(), 1))


def _median(space: SearchSpace, final: Callable[[Mapping[str, Any]], float]) -> float:
    rng = np.random.Generator(np.random.PCG64(20))
    return float(np.median([final(space.sample(rng)) for _ in range(_DRAWS // 8)]))


# -- the toy: boosting-like curves; a large rate falls at once and overfits, a small one wins at the end ---------------

_TOY_SPACE = SearchSpace((Float("lr", 0.003, 1, log=True), Float("x", 0, 1), Float("y", 0, 1)))


def _toy(params: Mapping[str, Any], resource: int) -> Curve:
    beside = 0.2 * (params["x"] - 0.3) ** 2 + 0.2 * (params["y"] - 0.6) ** 2
    return [(e, 0.3 + _toy_time(params["lr"], e) + beside) for e in range(1, resource + 1)]


def _toy_time(rate: float, epoch: int) -> float:
    over = 0.35 * (1 - math.exp(-max(0.0, epoch * rate - 4) / 20))
    return 0.6 * math.exp(-epoch * rate * 0.9) + over


def _toy_floor() -> float:
    return min(_toy_time(rate, 81) for rate in np.geomspace(0.003, 1, 4000).tolist())
