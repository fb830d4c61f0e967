"""Histories as arrays: what counts as known, failed, pending, and that the kept rows change no answer."""

from __future__ import annotations

import numpy as np

from hpo_engine.maths import pareto
from hpo_engine.searchers.observations import Observations, Observer
from hpo_engine.searchers.random import Random
from hpo_engine.study.events import AttemptIntended, TrialEnded, TrialProposed
from hpo_engine.study.geometry import Layout
from hpo_engine.study.objective import Objective
from hpo_engine.study.trial import FailureKind, Proposal
from hpo_engine.testing.histories import FATES, SPACES, applied, opened, proposed, simulated, spec_of, with_fate


def same(a: Observations, b: Observations) -> bool:
    return a.failures == b.failures and all(
        np.array_equal(vars(a)[k], vars(b)[k], equal_nan=True) for k in vars(a) if k != "failures"
    )


def test_each_fate_goes_where_it_belongs() -> None:
    spec = spec_of(SPACES["mixed"])
    history = simulated(opened(spec), Random(spec), 100, np.random.default_rng(0), fates=FATES)
    seen = Observer(spec.space).read(history)
    by_state = {state: [t for t in history.trials if t.state.value == state] for state in (*FATES, "pending")}
    assert list(seen.losses) == [t.loss for t in by_state["completed"]]
    assert len(seen.failed) == len(by_state["failed"]) + len(by_state["timed_out"]) > 0
    assert len(seen.pending) == len(by_state["pending"]) + len(by_state["running"]) > 0
    for point, trial in zip(seen.points, by_state["completed"], strict=True):
        assert np.array_equal(point, spec.space.encode(trial.params), equal_nan=True)


def test_kept_rows_change_no_answer() -> None:
    for space in SPACES.values():
        spec, rng = spec_of(space), np.random.default_rng(1)
        reader, history, before = Observer(space), opened(spec), []
        for _ in range(30):
            before.append(history)
            history = simulated(history, Random(spec), 5, rng)
            assert same(reader.read(history), Observer(space).read(history))
        assert same(reader.read(before[3]), Observer(space).read(before[3]))  # a shorter one, too


def test_several_objectives_become_one_order() -> None:
    aims = (Objective("loss"), Objective("acc", "maximize"))
    spec = spec_of(SPACES["mixed"], objectives=aims)
    history = simulated(opened(spec), Random(spec), 60, np.random.default_rng(0), fates=FATES)
    seen = Observer(spec.space).read(history)
    done = [t for t in history.trials if t.state.value == "completed"]
    assert seen.vectors.tolist() == [list(t.losses) for t in done]
    assert np.floor(seen.losses).tolist() == pareto.ranks(seen.vectors).tolist()
    assert tuple(t.id for t, loss in zip(done, seen.losses, strict=True) if loss < 1) == history.front_ids


def test_a_reader_of_studies_with_one_and_with_two_objectives_mixes_nothing() -> None:
    aims = (Objective("loss"), Objective("acc", "maximize"))
    one = spec_of(SPACES["mixed"])
    histories = [
        simulated(opened(spec), Random(spec), 20, np.random.default_rng(0))
        for spec in (one, spec_of(one.space, objectives=aims))
    ]
    reader = Observer(one.space)
    for history in histories * 2:
        assert same(reader.read(history), Observer(one.space).read(history))


def test_layout_tells_order_from_names() -> None:
    layout = Layout.of(SPACES["mixed"])
    assert layout.cells.tolist() == [0, 241, 4, 6, 5, 3]
    assert layout.categorical.tolist() == [False, False, False, False, True, False]


def test_failures_have_their_kind_and_what_was_ended_early_counts_at_its_step() -> None:
    spec = spec_of(SPACES["one float"])
    history = proposed(opened(spec), [Proposal({"x": x}) for x in (0.0, 1.0, 2.0, 1.0, 2.0)])
    for trial, fate in enumerate(("failed", "pruned", "completed", "stopped", "completed")):
        history = with_fate(history, trial, fate, float(trial))
    event = TrialProposed(history.last_at, 5, {"x": 3.0})
    history = applied(history, event, AttemptIntended(history.last_at, 5, 1, "n"))
    history = applied(history, TrialEnded(history.last_at, 5, "failed", None, "", {"code": 1}, failure="exit_code"))
    seen = Observer(spec.space).read(history)
    assert seen.points.ravel().tolist() == [0.7, 0.7] and seen.repeats.tolist() == [0, 1]
    assert seen.failed.ravel().tolist() == [0.5, 0.8]
    assert seen.failures == (None, FailureKind.EXIT_CODE)
    # At step 1 the finished trials had 2 and 4, the pruned one 1, the stopped one 3.
    assert seen.partial.ravel().tolist() == [0.6, 0.6]
    assert seen.partial_losses.tolist() == [2.0, 4.0]
    assert len(seen.taken) == 6


def test_a_pruned_trial_counts_as_failed_while_there_is_none_to_compare_with() -> None:
    spec = spec_of(SPACES["one float"])
    history = proposed(opened(spec), [Proposal({"x": x}) for x in (0.0, 1.0)])
    history = with_fate(with_fate(history, 0, "pruned", 1.0), 1, "stopped", 2.0)
    seen = Observer(spec.space).read(history)
    assert seen.failed.ravel().tolist() == [0.5] and not len(seen.partial)
