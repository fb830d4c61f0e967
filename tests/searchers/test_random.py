"""Random search: shares of the space, repeats in small spaces, and what a proposal depends on."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from engine.searchers.random import Random
from engine.space import Choice, Constant, Float, Int, SearchSpace
from engine.study import History
from tests.laws.searcher_laws import SPACES, opened, proposed, spec_of, told


def asked(searcher: Random, history: History, count: int) -> History:
    return proposed(history, searcher.ask(history, count))


def texts(history: History) -> list[str]:
    return [json.dumps(dict(t.params)) for t in history.trials]


def test_small_space_is_seen_whole_before_much_repeats() -> None:
    space = SearchSpace((Int("a", 1, 4), Choice("b", ("x", "y", "z", "w"))))
    for seed in range(5):
        spec = spec_of(space, seed=seed)
        seen = texts(asked(Random(spec), opened(spec), 16))
        # A repeat needs 20 misses in a row: likely only for the last few (odds (15/16)^20 = 0.28 for the very last,
        # (14/16)^20 = 0.07 before it ...). Fewer than 12 different in 16: odds below 1e-4, and the seeds are fixed.
        assert len(set(seen)) >= 12
        assert len(set(seen[:8])) == 8  # odds of a repeat among these: below 8 * (8/16)^20


def test_space_with_everything_tried_goes_on_with_repeats() -> None:
    spec = spec_of(SPACES["one value"])
    history = asked(Random(spec), opened(spec), 5)
    assert texts(history) == [json.dumps({"a": 3, "c": [1, {"k": None}]})] * 5


def test_repeats_are_avoided_from_the_history_alone() -> None:
    spec = spec_of(SearchSpace((Int("a", 1, 50),)))
    searcher = Random(spec)
    one = asked(searcher, opened(spec), 30)
    two = opened(spec)
    for _ in range(30):
        two = asked(Random(spec), two, 1)
    assert texts(one) == texts(two) and len(set(texts(one))) == 30


def test_kept_memory_of_one_history_does_not_leak_into_another() -> None:
    spec = spec_of(SearchSpace((Int("a", 1, 20),)))
    used = Random(spec)
    ten = asked(used, opened(spec), 10)
    asked(used, ten, 5)
    other = asked(Random(spec_of(spec.space, seed=8)), opened(spec), 7)
    for history in (other, opened(spec), ten, other):
        assert told(used.ask(history, 5)) == told(Random(spec).ask(history, 5))


def test_a_trial_does_not_depend_on_results_or_count_in_a_large_space() -> None:
    spec = spec_of(SPACES["mixed"])
    ten = Random(spec).ask(opened(spec), 10)
    for i in range(10):
        history = proposed(opened(spec), ten[:i])
        assert told(Random(spec).ask(history, 1)) == told(ten[i : i + 1])


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
