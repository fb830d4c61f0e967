"""The guide around searchers: points first, nothing twice, rules kept, an end when everything was tried, little cost."""

from __future__ import annotations

import json
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
from hpo_engine.searchers import trial_rng
from hpo_engine.searchers.asha import Asha
from hpo_engine.searchers.grid import Grid
from hpo_engine.searchers.guided import Guided, guides
from hpo_engine.searchers.hyperband import Hyperband
from hpo_engine.searchers.random import Random
from hpo_engine.searchers.sobol import Sobol
from hpo_engine.space.searchspace import Choice, Float, Int, SearchSpace
from hpo_engine.study.history import History
from hpo_engine.study.spec import Budget, Resource, StudySpec
from hpo_engine.study.trial import Proposal
from hpo_engine.testing.histories import FATES, SPACES, as_text, opened, proposed, simulated, spec_of, with_fate

SMALL = SearchSpace((Int("a", 1, 5), Choice("b", ("x", "y", "z")), Int("c", 1, 2, when={"b": "x"})))  # 5 * (2 + 1 + 1)


class Stubborn(Searcher):
    """Proposes the middle of the space, always: the worst that a searcher can do."""

    def __init__(self, spec: StudySpec) -> None:
        self.spec = spec

    def ask(self, history: History, count: int) -> Sequence[Proposal]:
        space = self.spec.space
        return [Proposal(space.decode([0.5] * len(space.dimensions)), note={"note": 1})] * count


class Rungs(Searcher):
    """New configurations with resource 1; every fourth trial carries trial 0 on with 3."""

    def __init__(self, spec: StudySpec) -> None:
        self.spec = spec

    def ask(self, history: History, count: int) -> Sequence[Proposal]:
        out = []
        for i in range(history.next_id, history.next_id + count):
            if i % 4 == 3:
                out.append(Proposal(dict(history.trials[0].params), 3, note={"rung": 1, "from": 0}))
                break
            out.append(Proposal(self.spec.space.sample(trial_rng(self.spec, i)), 1, note={"rung": 0}))
        return out


def run(searcher: Searcher, spec: StudySpec, most: int = 200, batch: int = 3) -> History:
    history = opened(spec)
    while history.next_id < most and (answer := searcher.ask(history, min(batch, most - history.next_id))):
        history = proposed(history, answer)
    return history


def texts(history: History) -> list[str]:
    return [json.dumps([dict(t.params), t.proposal.resource], sort_keys=True) for t in history.trials]


@pytest.mark.parametrize("inner", [Random, Sobol, Stubborn])
@pytest.mark.parametrize("batch", [1, 3, 50])
def test_finite_space_is_tried_whole_once_and_then_the_search_is_over(inner: Any, batch: int) -> None:
    spec = spec_of(SMALL)
    guided = Guided(spec, inner(spec))
    history = run(guided, spec, batch=batch)
    assert history.next_id == 20 == len(set(texts(history))) == guided.traits.size
    assert guided.ask(history, 1) == [] == Guided(spec, inner(spec)).ask(history, 1)
    assert guided.over(history) == "searched it all: all 20 configurations were tried"
    assert guided.over(opened(spec)) == ""


@pytest.mark.parametrize("inner", [Random, Sobol, Stubborn])
def test_whatever_became_of_a_trial_it_is_not_tried_again(inner: Any) -> None:
    spec = spec_of(SMALL)
    guided = Guided(spec, inner(spec))
    history = simulated(opened(spec), guided, 12, np.random.default_rng(1), fates=FATES)
    assert len(set(texts(history))) == 12


def test_rules_are_kept_and_counted() -> None:
    space = SearchSpace((Int("a", 1, 9), Int("b", 1, 9), Choice("c", ("x", "y"))), ("b <= a", "c == 'x' or a < 3"))
    expected = sum(map(space.allows, space.grid(1)))
    for inner in (Random, Sobol, Stubborn):
        spec = spec_of(space)
        guided = Guided(spec, inner(spec))
        history = run(guided, spec)
        assert history.next_id == expected == guided.traits.size == len(set(texts(history)))
        assert all(space.problem_with(t.params) is None for t in history.trials)


def test_forbidden_proposal_is_replaced_by_one_near_it() -> None:
    space = SearchSpace((Float("x", 0, 1), Float("y", 0, 1)), ("x + y > 1.02",))
    spec = spec_of(space)
    (answer,) = Guided(spec, Stubborn(spec)).ask(opened(spec), 1)  # (0.5, 0.5) is just outside
    assert space.allows(answer.params) and answer.note == {"note": 1}
    assert abs(answer.params["x"] - 0.5) < 0.15 and abs(answer.params["y"] - 0.5) < 0.15


def test_narrow_rule_is_met_nevertheless() -> None:
    space = SearchSpace((Float("x", 0, 1), Float("y", 0, 1), Float("z", 0, 1)), ("abs(x - y) < 0.01", "z > 0.9"))
    for inner in (Random, Sobol, Stubborn):
        spec = spec_of(space)
        history = run(Guided(spec, inner(spec)), spec, most=10, batch=2)
        assert history.next_id == 10 and all(space.allows(t.params) for t in history.trials)


def test_duplicate_in_a_mixed_space_is_moved_a_little() -> None:
    spec = spec_of(SPACES["mixed"])
    history = run(Guided(spec, Stubborn(spec)), spec, most=40)
    assert len(set(texts(history))) == 40
    middle = spec.space.encode(history.trials[0].params)
    moved = [np.nanmax(np.abs(spec.space.encode(t.params) - middle)) for t in list(history.trials)[1:6]]
    assert max(moved) < 0.5


@pytest.mark.parametrize("inner", [Random, Sobol, Stubborn, Grid])
@pytest.mark.parametrize("batch", [1, 2, 7])
def test_points_come_first_filled_in_and_once(inner: Any, batch: int) -> None:
    first = {"opt": "sgd", "lr": 0.5, "momentum": 0.75, "nesterov": False}
    points: tuple[dict[str, Any], ...] = (first, {"delay": 4}, {"lr": 0.25}, {})
    spec = spec_of(SPACES["conditional"], points=points)
    history = run(Guided(spec, inner(spec)), spec, most=12, batch=batch)
    assert [(t.proposal.note or {}).get("point") for t in history.trials][:5] == [0, 1, 2, 3, None]
    assert all(point.items() <= dict(history.trials[i].params).items() for i, point in enumerate(points))
    assert history.trials[1].params["nesterov"] is True, "what has to be so for the delay to apply"
    assert all(spec.space.problem_with(t.params) is None for t in history.trials) and len(set(texts(history))) == 12


def test_what_a_point_leaves_open_is_the_searchers_word() -> None:
    spec = spec_of(SPACES["mixed"], points=({"lr": 0.01},))
    (answer,) = Guided(spec, Sobol(spec)).ask(opened(spec), 1)
    (own,) = Sobol(spec).ask(opened(spec), 1)
    assert dict(answer.params) == {**own.params, "lr": 0.01}


def test_grid_counts_from_the_first_trial_of_its_own_and_leaves_out_what_was_a_point() -> None:
    spec = spec_of(SPACES["tiny"], points=({"a": 1, "b": 2}, {"a": 0, "b": 1}))
    history = run(Guided(spec, Grid(spec)), spec, batch=4)
    got = [(t.params["a"], t.params["b"]) for t in history.trials]
    assert got == [(1, 2), (0, 1), (0, 2), (0, 3), (1, 1), (1, 3)]
    assert Guided(spec, Grid(spec)).over(history).startswith("searched it all")


def test_promotions_stay_as_they_are_and_points_wait_for_a_new_configuration() -> None:
    points = tuple({"a": a, "b": "y"} for a in (1, 2, 3, 4, 5))
    spec = spec_of(SMALL, points=points, resource=Resource("epochs", 9))
    history = run(Guided(spec, Rungs(spec)), spec, most=12, batch=5)
    slots = [dict(t.proposal.note or {}) for t in history.trials]
    assert slots[:4] == [
        {"rung": 0, "point": 0},
        {"rung": 0, "point": 1},
        {"rung": 0, "point": 2},
        {"rung": 1, "from": 0},
    ]
    assert [s.get("point") for s in slots[4:8]] == [3, 4, None, None] and slots[7] == {"rung": 1, "from": 0}
    assert all(t.proposal.resource == (3 if i % 4 == 3 else 1) for i, t in enumerate(history.trials))
    assert texts(history)[3] == texts(history)[7], "carried on twice, as the searcher wants"
    fresh = [text for i, text in enumerate(texts(history)) if i % 4 != 3]
    assert len(set(fresh)) == len(fresh)


def test_rungs_of_a_tiny_space_have_no_repeats() -> None:
    spec = spec_of(SPACES["tiny"], resource=Resource("epochs", 9))
    guided = Guided(spec, Rungs(spec))
    history = run(guided, spec, most=30)
    fresh = [text for i, text in enumerate(texts(history)) if i % 4 != 3]
    assert len(fresh) == 6 == len(set(fresh)) and guided.traits.size is None and guided.over(history) == ""


def test_search_without_rungs_that_is_given_a_resource_ends_all_the_same() -> None:
    spec = spec_of(SPACES["tiny"], resource=Resource("epochs", 9))
    guided = Guided(spec, Random(spec))
    history = opened(spec)
    while answer := guided.ask(history, 2):
        history = proposed(history, [replace(p, resource=9) for p in answer])  # as the loop does
    assert history.next_id == 6 == len(set(texts(history))) and "all 6 " in guided.over(history)


@pytest.mark.parametrize("cls", [Hyperband, Asha])
def test_points_and_rules_are_kept_by_searchers_of_rungs(cls: Any) -> None:
    space = SearchSpace(SPACES["mixed"].params, ("hidden > 100",))
    spec = spec_of(space, points=({"lr": 0.01}, {"lr": 0.02}), resource=Resource("steps", 9), budget=Budget(30))
    guided = Guided(spec, cls(spec))
    history = simulated(opened(spec), guided, 30, np.random.default_rng(4), batch=3)
    assert [t.params["lr"] for t in history.trials][:2] == [0.01, 0.02]
    assert all(space.problem_with(t.params) is None for t in history.trials)
    assert {t.proposal.resource for t in history.trials} >= {1, 3, 9}
    assert guided.traits == replace(cls(spec).traits, title=cls.__name__)


def test_history_alone_decides() -> None:
    for space in (SMALL, SPACES["mixed"]):
        spec = spec_of(space, points=({},))
        kept = Guided(spec, Random(spec))
        history = simulated(opened(spec), kept, 9, np.random.default_rng(2), fates=FATES)
        other = simulated(opened(spec), Guided(spec, Stubborn(spec)), 15, np.random.default_rng(3), fates=FATES)
        for seen in (history, other, opened(spec), history, with_fate(history, history.next_id - 1, "pending")):
            assert as_text(kept.ask(seen, 4)) == as_text(Guided(spec, Random(spec)).ask(seen, 4))


def test_another_seed_replaces_by_others() -> None:
    one, two = (spec_of(SPACES["mixed"], seed=seed) for seed in (1, 2))
    first, second = (run(Guided(s, Stubborn(s)), s, most=5) for s in (one, two))
    assert texts(first)[0] == texts(second)[0] and texts(first)[1:] != texts(second)[1:]


def test_proposal_outside_the_space_is_left_for_the_loop_to_refuse() -> None:
    class Outside(Stubborn):
        def ask(self, history: History, count: int) -> Sequence[Proposal]:
            return [Proposal({"a": object(), "b": 77})]

    spec = spec_of(SMALL)
    assert Guided(spec, Outside(spec)).ask(opened(spec), 1)[0].params["b"] == 77


def test_only_what_needs_it_is_guided() -> None:
    wide, ruled = spec_of(SPACES["mixed"]), spec_of(SearchSpace(SPACES["mixed"].params, ("hidden > 20",)))
    small = spec_of(SMALL)
    assert not guides(wide, Random(wide)) and not guides(wide, Sobol(wide)) and not guides(small, Grid(small))
    partly = spec_of(SearchSpace((Choice("b", ("x", "y")), Float("f", 0, 1, when={"b": "x"}))))
    assert guides(partly, Random(partly)), "without f there is one configuration only"
    assert guides(wide, Stubborn(wide)) and guides(small, Random(small)) and guides(ruled, Random(ruled))
    assert guides(replace(small, points=({},)), Grid(small)) and not guides(ruled, Grid(ruled))
    listed = replace(small, experiments=({"a": 1},))
    assert not guides(listed, Grid(listed))


def test_cost_does_not_grow_with_the_history() -> None:
    spec = spec_of(SPACES["mixed"])

    class Cheap(Stubborn):
        def ask(self, history: History, count: int) -> Sequence[Proposal]:
            rng = random.Random(history.next_id)
            return [Proposal(spec.space.decode([rng.random() for _ in spec.space.dimensions]))] * count

    guided = Guided(spec, Cheap(spec))
    history, took = opened(spec), list[float]()
    for _ in range(3000):
        begin = time.process_time()
        answer = guided.ask(history, 1)
        took.append(time.process_time() - begin)
        history = proposed(history, answer)
    early, late = sorted(took[100:400])[150], sorted(took[-300:])[150]
    assert late < 5 * early  # medians; one look at all 3,000 would cost a hundred times as much


def test_guided_random_search_needs_no_numpy() -> None:
    code = (
        "import sys\nfrom hpo_engine.searchers.guided import Guided\nfrom hpo_engine.searchers.random import Random\n"
        "from hpo_engine.space.searchspace import Int, SearchSpace\nfrom hpo_engine.study.history import History\n"
        "from hpo_engine.study.objective import Objective\nfrom hpo_engine.study.spec import StudySpec\n"
        "spec = StudySpec('s', SearchSpace((Int('a', 1, 9),), ('a > 3',)), Objective('l'), ('x',), '/', seed=1)\n"
        "print(len(Guided(spec, Random(spec)).ask(History(spec), 9)), 'numpy' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code.replace("\\\n", "\n")], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["6", "False"]
