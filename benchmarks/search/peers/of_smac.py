"""SMAC3's facade for hyperparameters (a random forest), with conditions as ConfigSpace has them."""

from __future__ import annotations

import logging
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ConfigSpace as cs
from smac import HyperparameterOptimizationFacade, Scenario
from smac.runhistory.dataclasses import TrialValue

from benchmarks.search.peers import pruned, value_of
from benchmarks.search.problems import Problem
from benchmarks.search.runner import natural
from hpo_engine.space.searchspace import Choice, Float, Int


class Smac:
    def __init__(self, problem: Problem, seed: int, evaluations: int, workers: int) -> None:
        warnings.filterwarnings("ignore")
        logging.disable(logging.WARNING)
        self._space = problem.space
        space = cs.ConfigurationSpace(seed=seed)
        for p in problem.space.dimensions:
            space.add(_hyperparameter(p))
        for p in problem.space.dimensions:
            for parent, accepted in (p.when or {}).items():
                values = [
                    _told(problem.space[parent], v) for v in (accepted if isinstance(accepted, list) else [accepted])
                ]
                space.add(cs.InCondition(space[p.name], space[parent], values))
        self._folder = tempfile.mkdtemp()
        scenario = Scenario(
            space, deterministic=True, n_trials=evaluations, seed=seed, output_directory=Path(self._folder)
        )
        self._facade = HyperparameterOptimizationFacade(scenario, lambda config, seed=0: 0.0, overwrite=True)

    def __del__(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def ask(self, count: int) -> Sequence[tuple[Any, Mapping[str, Any], int | None]]:
        info = self._facade.ask()
        values = {}
        for p in self._space.dimensions:
            if p.name in info.config:
                values[p.name] = value_of(p, info.config[p.name])
        return [(info, pruned(self._space, {**dict.fromkeys(self._space.names), **values}), None)]

    def preload(self, problem: Problem, count: int) -> None:
        natural(self, problem, count)

    def tell(self, token: Any, loss: float) -> None:
        self._facade.tell(token, TrialValue(cost=loss), save=False)


def _hyperparameter(p: Float | Int | Choice) -> Any:
    if isinstance(p, Choice):
        places = list(range(len(p.choices)))
        return cs.OrdinalHyperparameter(p.name, places) if p.ordered else cs.CategoricalHyperparameter(p.name, places)
    if isinstance(p, Int):
        return cs.UniformIntegerHyperparameter(p.name, p.low, p.high, log=p.log)
    if p.step:
        return cs.UniformIntegerHyperparameter(p.name, 0, round((p.high - p.low) / p.step))
    return cs.UniformFloatHyperparameter(p.name, p.low, p.high, log=p.log)


def _told(p: Any, value: Any) -> Any:
    return list(p.choices).index(value) if isinstance(p, Choice) else value
