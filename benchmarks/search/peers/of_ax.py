"""Ax (on BoTorch) with its default generation strategy, on a flattened space."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from ax.api.client import Client
from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig

from benchmarks.search.peers import pruned, value_of
from benchmarks.search.problems import Problem
from benchmarks.search.runner import natural
from hpo_engine.space.searchspace import Choice, Float, Int


class Ax:
    def __init__(self, problem: Problem, seed: int, evaluations: int, workers: int) -> None:
        warnings.filterwarnings("ignore")
        logging.disable(logging.WARNING)
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        self._space = problem.space
        self._client = Client(random_seed=seed)
        self._client.configure_experiment([_parameter(p) for p in problem.space.dimensions])
        self._client.configure_optimization("-loss")
        self._client.configure_generation_strategy(initialization_random_seed=seed, torch_device="cpu")

    def ask(self, count: int) -> Sequence[tuple[Any, Mapping[str, Any], int | None]]:
        ((index, found),) = self._client.get_next_trials(1).items()
        values = {p.name: value_of(p, found[p.name]) for p in self._space.dimensions}
        return [(index, pruned(self._space, values), None)]

    def preload(self, problem: Problem, count: int) -> None:
        natural(self, problem, count)

    def tell(self, token: Any, loss: float) -> None:
        self._client.complete_trial(token, {"loss": loss})


def _parameter(p: Float | Int | Choice) -> Any:
    if isinstance(p, Choice):
        return ChoiceParameterConfig(p.name, list(range(len(p.choices))), "int", is_ordered=p.ordered)
    scaling = "log" if p.log else "linear"
    if isinstance(p, Int) and p.low < p.high:
        return RangeParameterConfig(p.name, (p.low, p.high), "int", scaling=scaling)
    if p.step:
        return RangeParameterConfig(p.name, (0, round((p.high - p.low) / p.step)), "int")
    return RangeParameterConfig(p.name, (p.low, p.high), "float", scaling=scaling)
