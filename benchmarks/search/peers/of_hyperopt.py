"""hyperopt's TPE: a discrete parameter on which others depend becomes a nested choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from hyperopt import JOB_STATE_DONE, STATUS_OK, Trials, hp, rand, space_eval, tpe
from hyperopt.base import Domain
from hyperopt.pyll import as_apply, scope

from benchmarks.search.peers import discrete
from benchmarks.search.problems import Problem
from benchmarks.search.runner import natural
from hpo_engine.space.searchspace import Choice, Float, Int, SearchSpace


class Hyperopt:
    def __init__(self, problem: Problem, seed: int, evaluations: int, workers: int) -> None:
        self._nodes = _Nodes(problem.space)
        self._space = as_apply([self._nodes.of(p) for p in problem.space.dimensions if not p.when])
        self._domain = Domain(lambda params: 0.0, self._space)
        self._trials = Trials()
        self._suggest = tpe.suggest
        self._rng = np.random.default_rng(seed)

    def ask(self, count: int) -> Sequence[tuple[Any, Mapping[str, Any], int | None]]:
        ids = self._trials.new_trial_ids(1)
        self._trials.refresh()
        docs = self._suggest(ids, self._domain, self._trials, int(self._rng.integers(2**31 - 1)))
        self._trials.insert_trial_docs(docs)
        self._trials.refresh()
        chosen = {name: values[0] for name, values in docs[0]["misc"]["vals"].items() if values}
        params: dict[str, Any] = {}
        for part in space_eval(self._space, chosen):
            params.update(_flat(part))
        return [(ids[0], params, None)]

    def preload(self, problem: Problem, count: int) -> None:
        self._suggest = rand.suggest
        natural(self, problem, count)
        self._suggest = tpe.suggest

    def tell(self, token: Any, loss: float) -> None:
        for doc in self._trials._dynamic_trials:
            if doc["tid"] == token:
                doc["state"] = JOB_STATE_DONE
                doc["result"] = {"status": STATUS_OK, "loss": loss}
        self._trials.refresh()


class _Nodes:
    """hyperopt's expressions of parameters; one object for each, also where several branches hold it."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._made: dict[str, Any] = {}

    def of(self, p: Float | Int | Choice) -> Any:
        if p.name not in self._made:
            children = [q for q in self._space.dimensions if q.when and p.name in q.when]
            self._made[p.name] = self._choice(p, children) if children else (p.name, _expression(p), ())
        return self._made[p.name]

    def _choice(self, p: Float | Int | Choice, children: Sequence[Any]) -> Any:
        branches = []
        for value in discrete(p):
            inner = [self.of(q) for q in children if value in _accepted(q.when[p.name])]
            branches.append((p.name, value, tuple(inner)))
        return hp.choice(p.name, branches)


def _expression(p: Float | Int | Choice) -> Any:
    if isinstance(p, Choice):
        return hp.choice(p.name, list(p.choices))
    if isinstance(p, Int) and p.power:
        return hp.choice(p.name, discrete(p))
    if isinstance(p, Int) and p.log:
        return scope.int(hp.qloguniform(p.name, np.log(p.low - 0.5), np.log(p.high + 0.5), 1))
    if isinstance(p, Int):
        return hp.uniformint(p.name, p.low, p.high)
    if p.log:
        return hp.loguniform(p.name, np.log(p.low), np.log(p.high))
    if p.step:
        return hp.quniform(p.name, p.low, p.high, p.step)
    return hp.uniform(p.name, p.low, p.high)


def _flat(part: Any) -> dict[str, Any]:
    """(name, value, inner parts) -> params."""
    name, value, inner = part
    out = {name: value}
    for each in inner:
        out.update(_flat(each))
    return out


def _accepted(values: Any) -> list[Any]:
    return values if isinstance(values, list) else [values]
