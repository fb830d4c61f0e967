"""The shared start: one sequence a study, by index."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hpo_engine.searchers.start import start_point
from hpo_engine.space.searchspace import Choice, SearchSpace
from hpo_engine.testing.histories import SPACES, spec_of


def test_points_depend_on_the_seed_and_the_index_alone() -> None:
    spec = spec_of(SPACES["mixed"])
    first = [start_point(spec, i) for i in (0, 9, 3)]
    first[0][:] = 0.0  # what was given away may be changed
    again = [start_point(replace(spec, name="other"), i) for i in (3, 9)]
    np.testing.assert_array_equal(again, [first[2], first[1]])
    assert not np.array_equal(start_point(replace(spec, seed=8), 3), first[2])


def test_an_unopened_study_counts_as_seed_zero() -> None:
    spec = spec_of(SPACES["mixed"])
    np.testing.assert_array_equal(start_point(replace(spec, seed=None), 1), start_point(replace(spec, seed=0), 1))


def test_sixteen_points_show_every_value_of_small_choices() -> None:
    space = SearchSpace((Choice("a", (0, 1, 2)), Choice("b", ("x", "y")), Choice("c", (1, 2, 3, 4, 5))))
    for seed in range(30):
        seen = [space.decode(start_point(spec_of(space, seed=seed), i)) for i in range(16)]
        assert {p["a"] for p in seen} == {0, 1, 2} and {p["b"] for p in seen} == {"x", "y"}
        assert len({p["c"] for p in seen}) == 5
