"""Grid search: each point once, by index, in order or shuffled, over any size; and a study's own experiments."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine.errors import SpecError
from hpo_engine.searchers.grid import Grid, shuffled
from hpo_engine.space.searchspace import Choice, Float, Int, SearchSpace
from hpo_engine.study.spec import StudySpec
from hpo_engine.testing.histories import SPACES, opened, proposed, spec_of, with_fate
from tests.support.examples import some


def all_params(spec: StudySpec, batch: int = 7, **options: Any) -> list[dict[str, Any]]:
    history = opened(spec)
    while answer := Grid(spec, **options).ask(history, batch):
        history = proposed(history, answer)
    return [dict(t.params) for t in history.trials]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("name", ["tiny", "conditional", "one value"])
def test_every_point_comes_once_and_then_the_search_is_over(name: str, shuffle: bool) -> None:
    space = SPACES[name]
    got = all_params(spec_of(space), levels=2, shuffle=shuffle)
    expected = space.grid(2)[:]
    assert sorted(map(json.dumps, got)) == sorted(map(json.dumps, expected))
    assert (got == expected) is (not shuffle or len(expected) == 1)


def test_shuffle_depends_on_the_seed() -> None:
    space = SearchSpace((Int("a", 1, 30),))
    orders = [all_params(spec_of(space, seed=s), shuffle=True) for s in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


@settings(max_examples=some(60), deadline=None)
@given(st.integers(1, 300), st.integers(0, 2**64))
def test_shuffled_is_one_to_one(n: int, seed: int) -> None:
    assert sorted(shuffled(i, n, seed) for i in range(n)) == list(range(n))


def test_shuffled_beginning_is_spread_over_the_whole() -> None:
    n = 10**9
    first = [shuffled(i, n, 3) for i in range(1000)]
    assert len(set(first)) == 1000 and all(0 <= i < n for i in first)
    tenths = [sum(1 for i in first if i * 10 // n == t) for t in range(10)]
    assert all(abs(c - 100) < 62 for c in tenths)  # sigma 9.5; 6.5 sigma: odds 10 * 1e-10


def test_huge_grid_answers_at_once_and_from_anywhere() -> None:
    space = SearchSpace(tuple(Int(f"n{i}", 1, 1000) for i in range(40)))
    for shuffle in (False, True):
        spec = spec_of(space)
        searcher = Grid(spec, shuffle=shuffle)
        assert all(space.problem_with(p.params) is None for p in searcher.ask(opened(spec), 20))


def test_index_is_the_trial_id_whatever_became_of_the_trials() -> None:
    spec = spec_of(SearchSpace((Int("a", 1, 6),)))
    history = proposed(opened(spec), Grid(spec).ask(opened(spec), 4))
    for trial_id, fate in enumerate(("failed", "completed", "running", "pending")):
        history = with_fate(history, trial_id, fate, 1.0)
    assert [p.params["a"] for p in Grid(spec).ask(history, 10)] == [5, 6]


def test_levels_cut_continuous_axes_only() -> None:
    spec = spec_of(SearchSpace((Float("x", 0, 1), Float("s", 0, 1, step=0.1), Choice("c", ("a", "b")))))
    got = all_params(spec, batch=100, levels=3)
    assert len(got) == 3 * 11 * 2 and {p["x"] for p in got} == {0.0, 0.5, 1.0}


@pytest.mark.parametrize("shuffle", [False, True])
def test_points_that_a_rule_forbids_are_left_out_and_not_counted(shuffle: bool) -> None:
    space = SearchSpace((Int("a", 1, 5), Int("b", 1, 5), Choice("c", ("x", "y"))), ("b <= a", "c != 'y' or a > 3"))
    spec = spec_of(space)
    got = all_params(spec, batch=3, shuffle=shuffle)
    expected = [p for p in space.grid(5) if space.allows(p)]
    assert sorted(map(json.dumps, got)) == sorted(map(json.dumps, expected))
    assert Grid(spec, shuffle=shuffle).traits.size == len(expected) and (got == expected) is not shuffle


def test_huge_grid_with_a_rule_is_walked_lazily() -> None:
    space = SearchSpace(tuple(Int(f"n{i}", 1, 1000) for i in range(40)), ("n39 > 990",))
    searcher = Grid(spec_of(space))
    assert searcher.traits.size is None
    assert [p.params["n39"] for p in searcher.ask(opened(spec_of(space)), 3)] == [991, 992, 993]


def test_grid_of_which_a_rule_leaves_next_to_nothing_says_so() -> None:
    spec = spec_of(SearchSpace((Int("a", 1, 10**9),), ("a == 10 ** 9",)))
    with pytest.raises(SpecError, match=r"require: 100,000 points of the grid in a row"):
        Grid(spec).ask(opened(spec), 1)


def test_experiments_are_run_in_order_and_as_given() -> None:
    listed = ({"lr": 0.1, "n": 3}, {"lr": 0.2, "n": 1}, {"lr": 0.1, "n": 3})
    assert all_params(spec_of(SPACES["one float"], experiments=listed), batch=2) == list(listed)


def test_grid_gives_up_sooner_where_rules_are_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpo_engine.searchers.grid._SKIPPED", 2_000)
    rule = "+".join(["a"] * 480) + " > 0"
    spec = spec_of(SearchSpace((Int("a", 1, 10**9),), (rule, rule, "a == 10 ** 9")))
    with pytest.raises(SpecError, match="require: 207 points of the grid in a row"):
        Grid(spec).ask(opened(spec), 1)
