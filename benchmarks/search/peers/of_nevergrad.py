"""nevergrad's NGOpt on a flattened space."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import nevergrad as ng
import numpy as np

from benchmarks.search.peers import pruned
from benchmarks.search.problems import Problem
from benchmarks.search.runner import natural
from hpo_engine.space.searchspace import Choice, Float, Int


class Nevergrad:
    def __init__(self, problem: Problem, seed: int, evaluations: int, workers: int, optimizer: str = "NGOpt") -> None:
        warnings.filterwarnings("ignore")
        self._space = problem.space
        parameters = ng.p.Dict(**{p.name: _parameter(p) for p in problem.space.dimensions})
        parameters.random_state = np.random.RandomState(seed)
        self._optimizer = ng.optimizers.registry[optimizer](parameters, budget=evaluations, num_workers=workers)

    def ask(self, count: int) -> Sequence[tuple[Any, Mapping[str, Any], int | None]]:
        candidate = self._optimizer.ask()
        values = {}
        for p in self._space.dimensions:
            value = candidate.value[p.name]
            if isinstance(p, Choice):
                values[p.name] = value
            elif isinstance(p, Int):
                value = int(min(max(value, p.low), p.high))
                values[p.name] = p.power**value if p.power else value
            else:
                value = float(value) if not p.step else p.low + p.step * round((value - p.low) / p.step)
                values[p.name] = min(max(value, p.low), p.high)
        return [(candidate, pruned(self._space, values), None)]

    def preload(self, problem: Problem, count: int) -> None:
        natural(self, problem, count)

    def tell(self, token: Any, loss: float) -> None:
        self._optimizer.tell(token, loss)


def _parameter(p: Float | Int | Choice) -> Any:
    if isinstance(p, Choice):
        return ng.p.TransitionChoice(p.choices) if p.ordered else ng.p.Choice(p.choices)
    scalar = ng.p.Log(lower=p.low, upper=p.high) if p.log else ng.p.Scalar(lower=p.low, upper=p.high)
    return scalar.set_integer_casting() if isinstance(p, Int) else scalar
