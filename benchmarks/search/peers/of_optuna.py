"""Optuna: define-by-run, so conditions are told as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import optuna

from benchmarks.search.peers import applies
from benchmarks.search.problems import Problem
from benchmarks.search.runner import natural
from hpo_engine.space.searchspace import Choice, Float, Int

optuna.logging.set_verbosity(optuna.logging.ERROR)


class Optuna:
    def __init__(
        self, problem: Problem, seed: int, evaluations: int, workers: int, sampler: str, **options: Any
    ) -> None:
        self._space = problem.space
        cls = getattr(optuna.samplers, sampler)
        if sampler == "CmaEsSampler":
            options = {"warn_independent_sampling": False, **options}
        if workers > 1 and sampler == "TPESampler":
            options = {"constant_liar": True, **options}
        self._study = optuna.create_study(sampler=cls(seed=seed, **options))

    def ask(self, count: int) -> Sequence[tuple[Any, Mapping[str, Any], int | None]]:
        trial = self._study.ask()
        params: dict[str, Any] = {}
        for p in self._space.dimensions:
            if applies(p, params):
                params[p.name] = _suggested(trial, p)
        return [(trial, params, None)]

    def preload(self, problem: Problem, count: int) -> None:
        sampler, self._study.sampler = self._study.sampler, optuna.samplers.RandomSampler(seed=1)
        natural(self, problem, count)
        self._study.sampler = sampler

    def tell(self, token: Any, loss: float) -> None:
        self._study.tell(token, loss)


def _suggested(trial: Any, p: Float | Int | Choice) -> Any:
    if isinstance(p, Choice):
        if p.ordered:
            return p.choices[trial.suggest_int(p.name, 0, len(p.choices) - 1)]
        return trial.suggest_categorical(p.name, list(p.choices))
    if isinstance(p, Int):
        value = trial.suggest_int(p.name, p.low, p.high, step=p.step or 1, log=p.log)
    else:
        value = trial.suggest_float(p.name, p.low, p.high, step=p.step, log=p.log)
    return value if p.power is None else p.power**value
