"""Random search: shares of the space, repeats in small spaces, and what a proposal depends on."""

from __future__ import annotations

from collections import Counter

import pytest

from hpo_engine.searchers.random import Random
from hpo_engine.space.searchspace import Choice, Constant, Float, SearchSpace
from hpo_engine.testing.histories import SPACES, as_text, opened, proposed, spec_of


def test_draws_obey_the_rules_and_stay_even() -> None:
    spec = spec_of(SearchSpace((Float("a", 0, 1), Float("b", 0, 1)), ("b <= a",)))
    seen = [p.params for p in Random(spec).ask(opened(spec), 2000)]
    assert all(p["b"] <= p["a"] for p in seen)
    # The triangle's upper quarter by area (a >= sqrt(3) / 2) gets 500, sigma 19.4; 6.5 sigma.
    assert abs(sum(p["a"] >= 0.75**0.5 for p in seen) - 500) < 127


def test_a_trial_does_not_depend_on_results_or_count_in_a_large_space() -> None:
    spec = spec_of(SPACES["mixed"])
    ten = Random(spec).ask(opened(spec), 10)
    for i in range(10):
        history = proposed(opened(spec), ten[:i])
        assert as_text(Random(spec).ask(history, 1)) == as_text(ten[i : i + 1])


def test_choices_come_in_equal_shares() -> None:
    spec = spec_of(SearchSpace((Choice("c", ("a", "b", "c")), Float("x", 0, 1))))
    seen = Counter(p.params["c"] for p in Random(spec).ask(opened(spec), 3000))
    # 1000 expected, sigma 25.8; 6.5 sigma: false alarm with odds 3 * 1e-10.
    assert all(abs(seen[c] - 1000) < 168 for c in "abc")


def test_neighbouring_trials_and_seeds_are_unrelated() -> None:
    space = SearchSpace((Float("x", 0, 1),))
    for seeds in ((1, 1), (1, 2)):
        a, b = (spec_of(space, seed=s) for s in seeds)
        xs = [p.params["x"] for p in Random(a).ask(opened(a), 2001)]
        ys = [p.params["x"] for p in Random(b).ask(opened(b), 2001)]
        pairs = list(zip(xs, xs[1:] if seeds[0] == seeds[1] else ys, strict=False))[:2000]
        r = sum((x - 0.5) * (y - 0.5) for x, y in pairs) * 12 / len(pairs)
        assert abs(r) < 0.15  # sigma 1 / sqrt(2000) = 0.022; 6.7 sigma: odds 2e-11


def test_constants_only_and_no_seed_yet() -> None:
    spec = spec_of(SearchSpace((Constant("a", 1),)), seed=None)
    assert [dict(p.params) for p in Random(spec).ask(opened(spec), 2)] == [{"a": 1}, {"a": 1}]


@pytest.mark.parametrize("option", ["levels", "n_startup"])
def test_random_has_no_options(option: str) -> None:
    with pytest.raises(TypeError, match=option):
        Random(spec_of(SPACES["tiny"]), **{option: 1})
