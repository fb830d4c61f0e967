"""The filter around searchers: nothing twice, rules hold, an end when everything was tried, little cost."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hpo_engine.core.ports import Searcher
from hpo_engine.searchers.filter import ProposalFilter
from hpo_engine.searchers.grid import Grid
from hpo_engine.searchers.random import Random
from hpo_engine.searchers.sobol import Sobol
from hpo_engine.space.searchspace import Choice, Float, Int, SearchSpace
from hpo_engine.study.history import History
from hpo_engine.study.spec import Resource, StudySpec
from hpo_engine.study.trial import Proposal
from hpo_engine.testing.histories import FATES, SPACES, opened, proposed, simulated, spec_of
from tests.support.searchers import SMALL, Rungs, Stubborn, run, texts


@pytest.mark.parametrize("inner", [Random, Sobol, Stubborn])
@pytest.mark.parametrize("batch", [1, 3, 50])
def test_finite_space_is_tried_whole_once_and_then_the_search_is_over(inner: Any, batch: int) -> None:
    spec = spec_of(SMALL)
    filtered = ProposalFilter(spec, inner(spec))
    history = run(filtered, spec, batch=batch)
    assert history.next_id == 20 == len(set(texts(history))) == filtered.traits.size
    assert filtered.ask(history, 1) == [] == ProposalFilter(spec, inner(spec)).ask(history, 1)
    assert filtered.over(history) == "searched it all: all 20 configurations were tried"
    assert filtered.over(opened(spec)) == ""


@pytest.mark.parametrize("inner", [Random, Sobol, Stubborn])
def test_whatever_became_of_a_trial_it_is_not_tried_again(inner: Any) -> None:
    spec = spec_of(SMALL)
    filtered = ProposalFilter(spec, inner(spec))
    history = simulated(opened(spec), filtered, 12, np.random.default_rng(1), fates=FATES)
    assert len(set(texts(history))) == 12


def test_rules_are_kept_and_counted() -> None:
    space = SearchSpace((Int("a", 1, 9), Int("b", 1, 9), Choice("c", ("x", "y"))), ("b <= a", "c == 'x' or a < 3"))
    expected = sum(map(space.allows, space.grid(1)))
    for inner in (Random, Sobol, Stubborn):
        spec = spec_of(space)
        filtered = ProposalFilter(spec, inner(spec))
        history = run(filtered, spec)
        assert history.next_id == expected == filtered.traits.size == len(set(texts(history)))
        assert all(space.problem_with(t.params) is None for t in history.trials)


def test_forbidden_proposal_is_replaced_by_one_near_it() -> None:
    space = SearchSpace((Float("x", 0, 1), Float("y", 0, 1)), ("x + y > 1.02",))
    spec = spec_of(space)
    (answer,) = ProposalFilter(spec, Stubborn(spec)).ask(opened(spec), 1)  # (0.5, 0.5) is just outside
    assert space.allows(answer.params) and answer.note == {"note": 1}
    assert abs(answer.params["x"] - 0.5) < 0.15 and abs(answer.params["y"] - 0.5) < 0.15


def test_narrow_rule_is_met_nevertheless() -> None:
    space = SearchSpace((Float("x", 0, 1), Float("y", 0, 1), Float("z", 0, 1)), ("abs(x - y) < 0.01", "z > 0.9"))
    for inner in (Random, Sobol, Stubborn):
        spec = spec_of(space)
        history = run(ProposalFilter(spec, inner(spec)), spec, most=10, batch=2)
        assert history.next_id == 10 and all(space.allows(t.params) for t in history.trials)


def test_duplicate_in_a_mixed_space_is_moved_a_little() -> None:
    spec = spec_of(SPACES["mixed"])
    history = run(ProposalFilter(spec, Stubborn(spec)), spec, most=40)
    assert len(set(texts(history))) == 40
    middle = spec.space.encode(history.trials[0].params)
    moved = [np.nanmax(np.abs(spec.space.encode(t.params) - middle)) for t in list(history.trials)[1:6]]
    assert max(moved) < 0.5


def test_rungs_of_a_tiny_space_have_no_repeats() -> None:
    spec = spec_of(SPACES["tiny"], resource=Resource("epochs", 9))
    filtered = ProposalFilter(spec, Rungs(spec))
    history = run(filtered, spec, most=30)
    fresh = [text for i, text in enumerate(texts(history)) if i % 4 != 3]
    assert len(fresh) == 6 == len(set(fresh)) and filtered.traits.size is None and filtered.over(history) == ""


def test_search_without_rungs_that_is_given_a_resource_ends_all_the_same() -> None:
    spec = spec_of(SPACES["tiny"], resource=Resource("epochs", 9))
    filtered = ProposalFilter(spec, Random(spec))
    history = opened(spec)
    while answer := filtered.ask(history, 2):
        history = proposed(history, [replace(p, resource=9) for p in answer])  # as the loop does
    assert history.next_id == 6 == len(set(texts(history))) and "all 6 " in filtered.over(history)


def test_another_seed_replaces_by_others() -> None:
    one, two = (spec_of(SPACES["mixed"], seed=seed) for seed in (1, 2))
    first, second = (run(ProposalFilter(s, Stubborn(s)), s, most=5) for s in (one, two))
    assert texts(first)[0] == texts(second)[0] and texts(first)[1:] != texts(second)[1:]


def test_proposal_outside_the_space_is_left_for_the_loop_to_refuse() -> None:
    class Outside(Stubborn):
        def ask(self, history: History, count: int) -> Sequence[Proposal]:
            return [Proposal({"a": object(), "b": 77})]

    spec = spec_of(SMALL)
    assert ProposalFilter(spec, Outside(spec)).ask(opened(spec), 1)[0].params["b"] == 77


def test_only_what_needs_it_is_filtered() -> None:
    def passes(spec: StudySpec, inner: Searcher) -> bool:
        """Whether a proposal goes through that was tried before."""
        history = proposed(opened(spec), inner.ask(opened(spec), 1))
        inner.ask = lambda history, count: [Proposal(dict(history.trials[0].params))]  # type: ignore[method-assign]
        return ProposalFilter(spec, inner).ask(history, 1)[0].params == history.trials[0].params

    wide, ruled = spec_of(SPACES["mixed"]), spec_of(SearchSpace(SPACES["mixed"].params, ("hidden > 20",)))
    small = spec_of(SMALL)
    assert passes(wide, Random(wide)) and passes(wide, Sobol(wide)) and passes(small, Grid(small))
    partly = spec_of(SearchSpace((Choice("b", ("x", "y")), Float("f", 0, 1, when={"b": "x"}))))
    assert not passes(partly, Random(partly)), "without f there is one configuration only"
    assert not passes(wide, Stubborn(wide)) and not passes(small, Random(small)) and not passes(ruled, Random(ruled))
    assert passes(ruled, Grid(ruled))
    listed = replace(small, experiments=({"a": 1},))
    assert passes(listed, Grid(listed))


@pytest.mark.slow
def test_cost_does_not_grow_with_the_history() -> None:
    spec = spec_of(SPACES["mixed"])

    class Cheap(Stubborn):
        def ask(self, history: History, count: int) -> Sequence[Proposal]:
            rng = random.Random(history.next_id)
            return [Proposal(spec.space.decode([rng.random() for _ in spec.space.dimensions]))] * count

    filtered = ProposalFilter(spec, Cheap(spec))
    history, took = opened(spec), list[float]()
    for _ in range(3000):
        begin = time.process_time()
        answer = filtered.ask(history, 1)
        took.append(time.process_time() - begin)
        history = proposed(history, answer)
    early, late = sorted(took[100:400])[150], sorted(took[-300:])[150]
    assert late < 5 * early  # medians; one look at all 3,000 would cost a hundred times as much


def test_filtered_random_search_needs_no_numpy() -> None:
    code = (
        "import sys\nfrom hpo_engine.searchers.filter import ProposalFilter\nfrom hpo_engine.searchers.random import Random\n"
        "from hpo_engine.space.searchspace import Int, SearchSpace\nfrom hpo_engine.study.history import History\n"
        "from hpo_engine.study.objective import Objective\nfrom hpo_engine.study.spec import StudySpec\n"
        "spec = StudySpec('s', SearchSpace((Int('a', 1, 9),), ('a > 3',)), Objective('l'), ('x',), '/', seed=1)\n"
        "print(len(ProposalFilter(spec, Random(spec)).ask(History(spec), 9)), 'numpy' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code.replace("\\\n", "\n")], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["6", "False"]
