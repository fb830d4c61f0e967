"""scikit-optimize's Optimizer with a Gaussian process, as `gp_minimize` sets it up, on a flattened space."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from skopt import Optimizer
from skopt.space import Categorical, Integer, Real

from benchmarks.search.peers import pruned, value_of
from benchmarks.search.problems import Problem
from hpo_engine.space.searchspace import Choice, Float, Int


class Skopt:
    def __init__(self, problem: Problem, seed: int, evaluations: int, workers: int) -> None:
        warnings.filterwarnings("ignore")
        self._space = problem.space
        dimensions = [_dimension(p) for p in problem.space.dimensions]
        self._optimizer = Optimizer(dimensions, "GP", n_initial_points=10, random_state=seed)

    def ask(self, count: int) -> Sequence[tuple[Any, Mapping[str, Any], int | None]]:
        point = self._optimizer.ask()
        values = {p.name: value_of(p, v) for p, v in zip(self._space.dimensions, point, strict=True)}
        return [(point, pruned(self._space, values), None)]

    def preload(self, problem: Problem, count: int) -> None:
        points = self._optimizer.space.rvs(count, random_state=1)
        losses = []
        for point in points:
            values = {p.name: value_of(p, v) for p, v in zip(self._space.dimensions, point, strict=True)}
            losses.append(problem.evaluate(pruned(self._space, values)))
        self._optimizer.tell(points, losses)

    def tell(self, token: Any, loss: float) -> None:
        self._optimizer.tell(token, loss)


def _dimension(p: Float | Int | Choice) -> Any:
    if isinstance(p, Choice):
        # By place: numpy would turn true and 1 into each other.
        return Integer(0, len(p.choices) - 1) if p.ordered else Categorical(list(range(len(p.choices))))
    if isinstance(p, Int):
        return Integer(p.low, p.high, prior="log-uniform" if p.log else "uniform")
    if p.step:
        return Integer(0, round((p.high - p.low) / p.step))
    return Real(p.low, p.high, prior="log-uniform" if p.log else "uniform")
