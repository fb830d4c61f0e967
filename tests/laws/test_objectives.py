"""Searchers that learn, on two objectives: they find more than random search does, and treat both alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hpo_engine import assembly
from hpo_engine.maths import pareto
from hpo_engine.space.searchspace import Float, SearchSpace
from hpo_engine.study.events import TrialEnded, apply
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import Budget, Named, StudySpec
from hpo_engine.testing.histories import opened, proposed, spec_of

AIMS = (Objective("near", over="last"), Objective("far", "maximize", "last"))
SPACE = SearchSpace(tuple(Float(f"x{i}", 0.0, 1.0) for i in range(4)))


def study(algorithm: str, seed: int = 1) -> StudySpec:
    return spec_of(SPACE, objectives=AIMS, algorithm=Named(algorithm), seed=seed, budget=Budget(trials=40))


def bowls(x: np.ndarray) -> tuple[float, float]:
    """Distances from two corners of a diagonal, the second one mirrored: the front is the line between them."""
    return float(((x - 0.25) ** 2).sum()), -float(((x - 0.75) ** 2).sum())


def searched(spec: StudySpec, trials: int, values_of: Callable[[np.ndarray], tuple[float, float]] = bowls) -> History:
    searcher, history = assembly.searcher(spec), opened(spec)
    for i in range(trials):
        history = proposed(history, searcher.ask(history, 1))
        values = values_of(np.array(list(history.trials[i].params.values())))
        history = apply(
            history, TrialEnded(history.last_at, i, "completed", values[0], exit={"code": 0}, values=values)
        )
    return history


def volume(history: History) -> float:
    return pareto.hypervolume([t.losses for t in history.trials], (1.2, 1.2))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_bayesian_finds_more_volume_than_random_search_with_each_of_three_seeds(seed: int) -> None:
    assert volume(searched(study("bayesian", seed), 25)) > volume(searched(study("random", seed), 50))


@pytest.mark.parametrize("algorithm", ["bayesian", "tpe"])
def test_equal_values_and_one_constant_objective_do_no_harm(algorithm: str) -> None:
    for values_of in (lambda x: (1.0, 1.0), lambda x: (float(x[0]), 1.0)):
        history = searched(study(algorithm), 20, values_of)
        points = {tuple(t.params.values()) for t in history.trials}
        assert len(points) == 20
