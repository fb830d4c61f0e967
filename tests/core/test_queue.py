"""The queue: configurations to try first, before the searcher, through crashes and whatever the searcher is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo_engine.core.ports import Searcher
from hpo_engine.core.queue import TrialQueue
from hpo_engine.errors import JournalError
from hpo_engine.searchers.asha import Asha
from hpo_engine.searchers.grid import Grid
from hpo_engine.searchers.hyperband import Hyperband
from hpo_engine.searchers.random import Random
from hpo_engine.searchers.sobol import Sobol
from hpo_engine.space.searchspace import SearchSpace
from hpo_engine.study.events import TrialProposed, TrialQueued, apply, fold
from hpo_engine.study.history import History
from hpo_engine.study.spec import Budget, Resource, Resources
from hpo_engine.study.trial import Proposal, Queued
from hpo_engine.testing.histories import FATES, SPACES, as_text, opened, proposed, simulated, spec_of, with_fate
from tests.support.loop_bench import Bench
from tests.support.searchers import SMALL, Rungs, Stubborn, run, texts


def numbers(history: History) -> list[int | None]:
    """Of each trial, the number of the queued configuration that it was made of."""
    return [t.proposal.queued.number if t.proposal.queued else None for t in history.trials]


# -- the events --------------------------------------------------------------------------------------------------------


def test_a_study_begins_with_its_points_in_the_queue() -> None:
    history = opened(spec_of(SMALL, points=({"a": 2}, {"b": "y"})))
    assert history.queue == (Queued(0, {"a": 2}), Queued(1, {"b": "y"})) and history.queued == 2


def test_a_trial_takes_its_configuration_out_of_the_queue() -> None:
    history = opened(spec_of(SMALL, points=({"a": 2}, {"b": "y"})))
    history = apply(history, TrialProposed(1.0, 0, {"a": 3, "b": "y"}, queued=1))
    assert history.queue == (Queued(0, {"a": 2}),) and history.trials[0].proposal.queued == Queued(1, {"b": "y"})
    history = apply(history, TrialQueued(2.0, 2, {"a": 5}))
    assert [entry.number for entry in history.queue] == [0, 2]


def test_what_is_not_in_the_queue_cannot_be_taken_from_it_or_put_there_twice() -> None:
    history = opened(spec_of(SMALL, points=({"a": 2},)))
    with pytest.raises(JournalError, match="trial 0: configuration 7 is not in the queue"):
        apply(history, TrialProposed(1.0, 0, {"a": 3, "b": "y"}, queued=7))
    with pytest.raises(JournalError, match="configuration 0 queued where 1 is next"):
        apply(history, TrialQueued(1.0, 0, {"a": 1}))


# -- the order ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inner", [Random, Sobol, Stubborn, Grid])
@pytest.mark.parametrize("batch", [1, 2, 7])
def test_points_come_first_filled_in_and_once(inner: Any, batch: int) -> None:
    first = {"opt": "sgd", "lr": 0.5, "momentum": 0.75, "nesterov": False}
    points: tuple[dict[str, Any], ...] = (first, {"delay": 4}, {"lr": 0.25}, {})
    spec = spec_of(SPACES["conditional"], points=points)
    history = run(TrialQueue(spec, inner(spec)), spec, most=12, batch=batch)
    assert numbers(history)[:5] == [0, 1, 2, 3, None] and history.queue == ()
    assert all(point.items() <= dict(history.trials[i].params).items() for i, point in enumerate(points))
    assert history.trials[1].params["nesterov"] is True, "what has to be so for the delay to apply"
    assert all(spec.space.problem_with(t.params) is None for t in history.trials) and len(set(texts(history))) == 12


def test_what_a_point_leaves_open_is_the_searchers_to_choose() -> None:
    spec = spec_of(SPACES["mixed"], points=({"lr": 0.01},))
    (answer,) = TrialQueue(spec, Sobol(spec)).ask(opened(spec), 1)
    (own,) = Sobol(spec).ask(opened(spec), 1)
    assert dict(answer.params) == {**own.params, "lr": 0.01}


def test_grid_counts_from_the_first_trial_of_its_own_and_leaves_out_what_was_a_point() -> None:
    spec = spec_of(SPACES["tiny"], points=({"a": 1, "b": 2}, {"a": 0, "b": 1}))
    history = run(TrialQueue(spec, Grid(spec)), spec, batch=4)
    got = [(t.params["a"], t.params["b"]) for t in history.trials]
    assert got == [(1, 2), (0, 1), (0, 2), (0, 3), (1, 1), (1, 3)]
    assert Grid(spec).over(history).startswith("searched it all")


def test_promotions_stay_as_they_are_and_points_wait_for_a_new_configuration() -> None:
    points = tuple({"a": a, "b": "y"} for a in (1, 2, 3, 4, 5))
    spec = spec_of(SMALL, points=points, resource=Resource("epochs", 9))
    history = run(TrialQueue(spec, Rungs(spec)), spec, most=12, batch=5)
    assert numbers(history)[:8] == [0, 1, 2, None, 3, 4, None, None]
    notes = [(t.proposal.note, t.proposal.repeats) for t in history.trials]
    assert notes[:3] == [({"rung": 0}, None)] * 3 and notes[3] == notes[7] == ({"rung": 1}, 0)
    assert all(t.proposal.resource == (3 if i % 4 == 3 else 1) for i, t in enumerate(history.trials))
    assert texts(history)[3] == texts(history)[7], "carried on twice, as the searcher wants"
    fresh = [text for i, text in enumerate(texts(history)) if i % 4 != 3]
    assert len(set(fresh)) == len(fresh)


@pytest.mark.parametrize("cls", [Hyperband, Asha])
def test_points_and_rules_are_kept_by_searchers_of_rungs(cls: Any) -> None:
    space = SearchSpace(SPACES["mixed"].params, ("hidden > 100",))
    spec = spec_of(space, points=({"lr": 0.01}, {"lr": 0.02}), resource=Resource("steps", 9), budget=Budget(runs=30))
    queue = TrialQueue(spec, cls(spec))
    history = simulated(opened(spec), queue, 30, np.random.default_rng(4), batch=3)
    assert [t.params["lr"] for t in history.trials][:2] == [0.01, 0.02]
    assert all(space.problem_with(t.params) is None for t in history.trials)
    assert {t.proposal.resource for t in history.trials} >= {1, 3, 9}


def test_history_alone_decides() -> None:
    for space in (SMALL, SPACES["mixed"]):
        spec = spec_of(space, points=({},))
        kept = TrialQueue(spec, Random(spec))
        history = simulated(opened(spec), kept, 9, np.random.default_rng(2), fates=FATES)
        other = simulated(opened(spec), TrialQueue(spec, Stubborn(spec)), 15, np.random.default_rng(3), fates=FATES)
        for seen in (history, other, opened(spec), history, with_fate(history, history.next_id - 1, "pending")):
            assert as_text(kept.ask(seen, 4)) == as_text(TrialQueue(spec, Random(spec)).ask(seen, 4))


def test_whole_configurations_need_no_searcher() -> None:
    class Never(Stubborn):
        def ask(self, history: History, count: int) -> Sequence[Proposal]:
            raise AssertionError("asked")

    whole, partial = {"a": 2, "b": "y"}, {"a": 3}
    spec = spec_of(SMALL, points=(whole, {"a": 4, "b": "z"}, partial))
    ready = TrialQueue(spec, Never(spec)).ready(opened(spec), 5)
    assert [p.params for p in ready] == [whole, {"a": 4, "b": "z"}]
    history = proposed(opened(spec), ready)
    assert TrialQueue(spec, Never(spec)).ready(history, 5) == []
    assert TrialQueue(spec, Stubborn(spec)).ask(history, 1)[0].params["a"] == 3


def test_a_configuration_that_was_tried_is_replaced_by_a_neighbour() -> None:
    spec = spec_of(SMALL)
    history = proposed(opened(spec), [Proposal({"a": 2, "b": "y"})])
    history = apply(history, TrialQueued(history.last_at, 0, {"a": 2, "b": "y"}))
    queue = TrialQueue(spec, Random(spec))
    assert queue.ready(history, 1) == []
    (answer,) = queue.ask(history, 1)
    assert answer.queued == history.queue[0] and answer.params != {"a": 2, "b": "y"}


# -- in the loop -------------------------------------------------------------------------------------------------------


class Noting(Searcher):
    """A plugin whose notes have the keys that searchers of ours use."""

    def ask(self, history: History, count: int) -> Sequence[Proposal]:
        note: dict[str, Any] = {"from": "nowhere", "point": -1, "bracket": "b", "rung": None, "layout": 3, "place": []}
        return [Proposal({"x": 5 + i / 100}, note=note) for i in range(history.next_id, history.next_id + count)]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_notes_of_a_plugin_are_its_own(bench: Bench) -> None:
    bench.searcher = Noting()
    history = bench.run(bench.open(budget=Budget(4), points=({"x": 1.0},)))
    assert [t.params["x"] for t in history.trials] == [1.0, 5.01, 5.02, 5.03]
    assert history.trials[0].proposal.note is None and history.trials[1].proposal.note is not None


def test_the_queue_survives_an_engine_that_dies(bench: Bench) -> None:
    bench.searcher = Noting()
    engine = bench.open(budget=Budget(5), resources=Resources(1), points=({"x": 1.0}, {"x": 2.0}, {"x": 3.0}))
    bench.now += 1
    engine.step(bench.now)
    history = bench.run(bench.lead())
    assert [t.params["x"] for t in history.trials] == [1.0, 2.0, 3.0, 5.03, 5.04]
    assert fold(bench.store.read()).queue == ()


def test_what_is_queued_later_comes_next(bench: Bench) -> None:
    bench.searcher = Noting()
    engine = bench.open(budget=Budget(4), resources=Resources(1), points=({"x": 1.0},))
    bench.now += 1
    engine.step(bench.now)
    history = bench.run(bench.lead(TrialQueued(bench.now, 1, {"x": 9.0})))
    assert [t.params["x"] for t in history.trials] == [1.0, 9.0, 5.02, 5.03]
