"""Training tasks as tables of real runs; a forest answers for configurations between the rows."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.search.problems.forest import Forest
from benchmarks.search.problems.spaces import TASKS, Task, data_path
from hpo_engine.space.searchspace import Choice, SearchSpace


class Table:
    """The losses of a task for any configuration. Where the metric comes in steps (an error rate), so do answers.

    A table that holds every configuration answers with its rows alone.
    """

    def __init__(self, name: str) -> None:
        self.task: Task = TASKS[name]
        with np.load(data_path(name)) as data:
            self.points, self.losses = data["points"].astype(float), data["losses"].astype(float)
        self._space = self.task.space
        self._columns = _Columns(self._space)
        self._grid = self.losses.reshape(*self._space.cells, -1) if not self.task.rows else None
        self._forest = None if not self.task.rows else grown(self._columns(self.points), self.losses)

    def evaluate(self, params: Mapping[str, Any], resource: int | None = None) -> float:
        """The loss after `resource` units of training (known at the task's levels: at the last one that is not above);
        None: after all of it."""
        curve = self.curves(self._space.encode(params)[None])[0]
        if resource is None:
            return float(curve[-1])
        return float(curve[max(bisect_right(self.task.levels, resource) - 1, 0)])

    def curves(self, points: np.ndarray) -> np.ndarray:  # (k, d) -> (k, levels)
        if self._grid is not None:
            sizes = np.array(self._space.cells)
            return np.asarray(self._grid[tuple((points * sizes).astype(int).T)])
        assert self._forest is not None
        return self._stepped(self._forest.predict(self._columns(points)))

    def _stepped(self, losses: np.ndarray) -> np.ndarray:
        step = self.task.resolution
        return np.round(losses / step) * step if step else losses


def grown(columns: np.ndarray, losses: np.ndarray) -> Forest:
    """Splits tell the ranks of the final losses apart: a few diverged trainings must not be all that they see."""
    order = np.unique(losses[:, -1], return_inverse=True)[1].astype(float)
    return Forest(columns, order / max(order.max(), 1), losses)


class _Columns:
    """Points as features: one column for each category; -0.5 where a parameter does not apply."""

    def __init__(self, space: SearchSpace) -> None:
        self._parts: list[tuple[int, int]] = []
        for i, (p, cells) in enumerate(zip(space.dimensions, space.cells, strict=True)):
            split = isinstance(p, Choice) and not p.ordered and len(p.choices) > 2
            self._parts.append((i, cells or 0) if split else (i, 0))

    def __call__(self, points: np.ndarray) -> np.ndarray:
        out = []
        for i, cells in self._parts:
            column = points[:, i]
            if cells:
                place = np.where(np.isnan(column), -1, column * cells).astype(int)
                out += [(place == k).astype(float) for k in range(cells)]
            else:
                out.append(np.where(np.isnan(column), -0.5, column))
        return np.column_stack(out)


def quality(name: str, folds: int = 5) -> tuple[float, float]:
    """How well the forest foretells rows that it has not seen: R2 and Spearman's rank correlation, final losses.

    Losses above the median of the uniform rows count as that median: what bad configurations cost is not the question.
    """
    from scipy.stats import spearmanr

    table = Table(name)
    columns, losses = table._columns(table.points), table.losses
    told = np.empty(len(losses))
    fold = np.random.default_rng(0).permutation(len(losses)) % folds
    for k in range(folds):
        forest = grown(columns[fold != k], losses[fold != k])
        told[fold == k] = forest.predict(columns[fold == k])[:, -1]
    cap = np.median(losses[: -(-len(losses) // 2), -1])
    truth, told = np.minimum(losses[:, -1], cap), np.minimum(told, cap)
    r2 = 1 - ((truth - told) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()
    return float(r2), float(spearmanr(truth, told)[0])
