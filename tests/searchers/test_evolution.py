"""Evolution: that it climbs, who has children, and what a child is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hpo_engine.searchers.evolution import Evolution, _mutated
from hpo_engine.searchers.observations import Observations
from hpo_engine.searchers.random import Random
from hpo_engine.space.params import key
from hpo_engine.space.searchspace import Choice, Float, Int, SearchSpace
from hpo_engine.study.trial import Trial
from hpo_engine.testing.histories import SPACES, opened, proposed, simulated, spec_of, with_fate

WIDE = SearchSpace(tuple(Choice(f"c{i}", (0, 1, 2, 3)) for i in range(30)))


def _wrong(trial: Trial, _: Any = None) -> float:
    """How many of the choices are not the right ones; neighbours count more together."""
    right = [v == i % 4 for i, v in enumerate(trial.params.values())]
    return -float(sum(right) + sum(a and b for a, b in zip(right, right[1:], strict=False)))


def _best(searcher: Any, spec: Any, n: int) -> float:
    history = simulated(opened(spec), searcher, n, np.random.default_rng(0), batch=1, fates=("completed",), loss=_wrong)
    return min(t.loss for t in history.trials if t.loss is not None)


def test_in_wide_spaces_of_choices_it_leaves_random_search_far_behind() -> None:
    spec = spec_of(WIDE)
    assert _best(Evolution(spec), spec, 200) < 1.7 * _best(Random(spec), spec, 200)


def test_no_configuration_is_proposed_twice_while_there_are_others() -> None:
    spec = spec_of(SearchSpace((Choice("a", tuple("abcdef")), Int("b", 1, 10))))
    history = simulated(opened(spec), Evolution(spec), 40, np.random.default_rng(0), fates=("completed",))
    assert len({key(t.params) for t in history.trials[10:]}) == 30


def test_a_space_that_is_tried_through_gives_repeats_and_no_end() -> None:
    spec = spec_of(SPACES["tiny"])
    history = simulated(opened(spec), Evolution(spec), 30, np.random.default_rng(0), fates=("completed",))
    assert history.next_id == 30 and len({key(t.params) for t in history.trials}) == 6


def test_children_change_few_values_of_a_good_trial() -> None:
    spec = spec_of(WIDE)
    history = simulated(opened(spec), Evolution(spec), 60, np.random.default_rng(0), fates=("completed",), loss=_wrong)
    searcher = Evolution(spec, crossover=0.0)
    good = [t.params for t in history.trials]
    for child in searcher.ask(history, 30):
        assert min(sum(child.params[k] != p[k] for k in p) for p in good) <= 6


def test_parents_are_the_latest_and_the_best() -> None:
    spec = spec_of(SearchSpace((Float("x", 0, 1),)))
    losses = np.arange(100.0)
    observed = Observations(losses[:, None] / 100, losses, np.empty((0, 1)), np.empty((0, 1)))
    parents = Evolution(spec, population=20)._parents(observed)
    assert parents.tolist() == [*range(10), *range(80, 100)]


def test_failed_trials_have_no_children() -> None:
    spec = spec_of(SearchSpace(tuple(Choice(f"c{i}", (0, 1)) for i in range(12))))
    searcher, history = Evolution(spec), opened(spec)
    for i in range(100):
        history = proposed(history, searcher.ask(history, 1))
        bad = history.trials[i].params["c0"] == 1
        history = with_fate(history, i, "failed" if bad else "completed", float(i))
    assert sum(t.params["c0"] == 1 for t in history.trials[-50:]) < 20


@pytest.mark.parametrize(("size", "categorical"), [(0, False), (2, False), (7, False), (7, True), (1000, False)])
def test_a_mutation_gives_another_value_inside(size: int, categorical: bool) -> None:
    rng = np.random.default_rng(0)
    for u in (0.5 / max(size, 1), 0.5, 1 - 0.5 / max(size, 1)):
        got = np.array([_mutated(u, size, categorical, rng) for _ in range(300)])
        assert ((got >= 0) & (got <= 1)).all()
        if size:
            cells = np.minimum((got * size).astype(int), size - 1)
            assert (cells != min(int(u * size), size - 1)).all()
        if categorical:
            assert len(set(cells.tolist())) == size - 1
