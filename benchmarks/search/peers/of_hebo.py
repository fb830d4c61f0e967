"""HEBO on a flattened space."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from hebo.design_space.design_space import DesignSpace
from hebo.optimizers.hebo import HEBO

from benchmarks.search.peers import pruned
from benchmarks.search.problems import Problem
from benchmarks.search.runner import natural
from hpo_engine.space.searchspace import Choice, Float, Int


class Hebo:
    def __init__(self, problem: Problem, seed: int, evaluations: int, workers: int) -> None:
        warnings.filterwarnings("ignore")
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        np.random.seed(seed)
        self._space = problem.space
        space = DesignSpace().parse([_parameter(p) for p in problem.space.dimensions])
        self._optimizer = HEBO(space, scramble_seed=seed)

    def ask(self, count: int) -> Sequence[tuple[Any, Mapping[str, Any], int | None]]:
        frame = self._optimizer.suggest(1)
        row = frame.iloc[0].to_dict()
        values = {p.name: _value(p, row[p.name]) for p in self._space.dimensions}
        return [(frame, pruned(self._space, values), None)]

    def preload(self, problem: Problem, count: int) -> None:
        natural(self, problem, count)

    def tell(self, token: Any, loss: float) -> None:
        self._optimizer.observe(token, np.array([[loss]]))


def _parameter(p: Float | Int | Choice) -> dict[str, Any]:
    if isinstance(p, Choice) and not p.ordered:
        return {"name": p.name, "type": "cat", "categories": [str(i) for i in range(len(p.choices))]}
    if isinstance(p, Choice):
        return {"name": p.name, "type": "int", "lb": 0, "ub": len(p.choices) - 1}
    if isinstance(p, Int):
        return {"name": p.name, "type": "pow_int" if p.log else "int", "lb": p.low, "ub": p.high, "base": 10}
    if p.step:
        return {"name": p.name, "type": "int", "lb": 0, "ub": round((p.high - p.low) / p.step)}
    return {"name": p.name, "type": "pow" if p.log else "num", "lb": p.low, "ub": p.high, "base": 10}


def _value(p: Float | Int | Choice, v: Any) -> Any:
    if isinstance(p, Choice):
        return p.choices[int(v)]
    if isinstance(p, Int):
        whole = int(min(max(round(float(v)), p.low), p.high))
        return p.power**whole if p.power else whole
    return min(p.low + p.step * int(v), p.high) if p.step else min(max(float(v), p.low), p.high)
