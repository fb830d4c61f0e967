"""Events: their JSON form, what may follow what, and histories as their folds."""

from __future__ import annotations

import json
import math
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine.contract.sources.candidates import Candidate
from hpo_engine.contract.sources.printed import Printed
from hpo_engine.errors import JournalError
from hpo_engine.executors.local.bound import BoundLaunch
from hpo_engine.searchers import Traits
from hpo_engine.study.decoding import from_body
from hpo_engine.study.events import (
    KINDS,
    AttemptEnded,
    AttemptIntended,
    AttemptStarted,
    CheckpointsDeleted,
    EngineGone,
    EngineStarted,
    Event,
    MetricsSeen,
    ProvenanceFound,
    SourceUsed,
    SpecChanged,
    StopAsked,
    StudyClosed,
    StudyOpened,
    TrialCarriedOn,
    TrialEnded,
    TrialPaused,
    TrialProposed,
    TrialQueued,
    TrialReopened,
    TrialResumed,
    apply,
    fold,
    opening,
)
from hpo_engine.study.history import History, StudyState
from hpo_engine.study.objective import Objective, Row
from hpo_engine.study.provenance import Code, FileChange, Gpu, Machine, Provenance, Runtime
from hpo_engine.study.spec import Budget, Checkpoints, Named, Resource, StudySpec, TrialPolicy
from hpo_engine.study.trial import Exit, FailureKind, Origin, Proposal, Result, Stop, StopCause, TrialState
from tests.support import random_logs
from tests.support.examples import some
from tests.support.loop_bench import Bench, Counting
from tests.support.reports import OWN

# -- the JSON form -----------------------------------------------------------------------------------------------------

finite = st.floats(allow_nan=False, allow_infinity=False)
text = st.text(max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
rows = st.builds(Row, st.floats() | st.integers(0, 2**53), st.dictionaries(text, st.floats(), max_size=3))
BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(),
    str: text,
    float: finite,
    bool: st.booleans(),
    type(None): st.none(),
    Mapping[str, Any]: st.dictionaries(text, json_values, max_size=4),
    Mapping[str, str]: st.dictionaries(text, text, max_size=4),
    tuple[int, ...]: st.lists(st.integers(), max_size=3).map(tuple),
    tuple[str, ...]: st.lists(text, max_size=3).map(tuple),
    Sequence[Row]: st.lists(rows, max_size=4).map(tuple),
    tuple[float, ...]: st.lists(finite, max_size=4).map(tuple),
}


def any_of(kind: type[Event]) -> st.SearchStrategy[Event]:
    hints = typing.get_type_hints(kind)
    parts = {}
    for field in fields(kind):
        hint = hints[field.name]
        options = typing.get_args(hint) if type(None) in typing.get_args(hint) else (hint,)
        parts[field.name] = st.one_of(*(BY_TYPE[option] for option in options))
    return st.builds(kind, **parts)


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_every_event_comes_back_from_its_json(kind: type[Event]) -> None:
    @settings(max_examples=some(25), deadline=None)
    @given(any_of(kind))
    def round_trip(event: Event) -> None:
        written = json.dumps(event.body(), allow_nan=False)
        again = from_body(event.kind, event.at, json.loads(written))
        assert type(again) is kind
        assert repr(again) == repr(event)  # NaN equals itself, tuples stay tuples, 1 and 1.0 differ
        assert json.dumps(again.body()) == written

    round_trip()


def test_fields_without_a_value_are_not_written() -> None:
    assert TrialEnded(1.0, 0, "failed").body() == {"trial": 0, "state": "failed", "reason": ""}
    assert "at" not in StopAsked(1.0).body()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_has_not_survive_in_rows(value: float) -> None:
    event = MetricsSeen(1.0, 0, (Row(value, {"loss": value}),))
    body = json.loads(json.dumps(event.body(), allow_nan=False))
    assert repr(from_body(event.kind, 1.0, body)) == repr(event)


def required() -> list[tuple[str, str]]:
    found = [
        (name, f.name)
        for name, kind in KINDS.items()
        for f in fields(kind)
        if f.name != "at" and f.default is MISSING and f.default_factory is MISSING
    ]
    return [*found, ("metrics_seen", "replace")]  # always written


SAMPLES: dict[str, Event] = {
    e.kind: e
    for e in (
        StudyOpened(1.0, {"name": "s"}, "text"),
        EngineStarted(1.0, 7, "host"),
        ProvenanceFound(1.0, {"commit": "abc"}, {"engine": "1", "machine": {"host": "h"}}),
        EngineGone(1.0),
        TrialQueued(1.0, 0, {"x": 1}, 2, True, "request"),
        TrialProposed(1.0, 0, {"x": 1}, 3, {"rung": 1}, repeats=0, queued=0),
        TrialCarriedOn(1.0, 0, {"x": 1}, 9, {"rung": 2}),
        AttemptIntended(1.0, 0, 1, "abc"),
        AttemptStarted(1.0, 0, 1, 99),
        MetricsSeen(1.0, 0, (Row(1, {"loss": 0.5}),), True),
        SourceUsed(1.0, 0, "csv", "log.csv", "a step is an epoch", ("output.log (stdout)",)),
        SourceUsed(1.0, 0, "csv", "log.csv", "a step is an epoch", ("output.log (stdout)",)),
        AttemptEnded(1.0, 0, 1, {"code": 1}, "why", None, True, True),
        TrialPaused(1.0, 0, "why"),
        TrialResumed(1.0, 0),
        TrialEnded(1.0, 0, "completed", 0.5, "", {"code": 0}, "d", checkpoint="last.ckpt", checkpoint_bytes=9),
        CheckpointsDeleted(1.0, 0, 9),
        TrialReopened(1.0, 0),
        StopAsked(1.0, 0, "why"),
        SpecChanged(1.0, {"trials": 3}, {"name": "s"}, "text", ("trials: 2 -> 3",), "me", "request"),
        StudyClosed(1.0, "finished", "why"),
    )
}


@pytest.mark.parametrize(("kind", "name"), required())
def test_missing_field_is_refused(kind: str, name: str) -> None:
    body = SAMPLES[kind].body()
    del body[name]
    with pytest.raises(JournalError, match=kind):
        from_body(kind, 1.0, body)


@pytest.mark.parametrize("kind", KINDS)
def test_field_of_a_newer_version_is_refused_and_not_dropped(kind: str) -> None:
    body = SAMPLES[kind].body()
    assert repr(from_body(kind, 1.0, body)) == repr(SAMPLES[kind])
    if kind != "metrics_seen":  # it is read field by field
        with pytest.raises(JournalError, match="newer version"):
            from_body(kind, 1.0, {**body, "wormhole": 1})


def test_unknown_kind_is_refused_by_name() -> None:
    with pytest.raises(JournalError, match="'trial_teleported'.*newer version"):
        from_body("trial_teleported", 1.0, {"trial": 0})


@pytest.mark.parametrize("found", [3, "x", None, {"a": 1}, [3], [[1]], [[1, 2]], [[1, [2]]], [["x", {}]]])
def test_rows_of_another_form_are_refused(found: Any) -> None:
    with pytest.raises(JournalError, match="metrics_seen"):
        from_body("metrics_seen", 1.0, {"trial": 0, "rows": found, "replace": False})


# -- what may follow what ----------------------------------------------------------------------------------------------

OPENED = StudyOpened(1.0, random_logs.spec().to_json())
PENDING = [OPENED, TrialProposed(2.0, 0, {"x": 0.5})]
RUNNING = [*PENDING, AttemptIntended(3.0, 0, 1, "a")]
AGAIN = [*RUNNING, AttemptEnded(4.0, 0, 1, {"code": 1})]
DONE = [*RUNNING, TrialEnded(5.0, 0, "completed", 0.5, "", {"code": 0})]
GIVEN = [
    OPENED,
    TrialProposed(2.0, 0, {"x": 0.5}, 3),
    AttemptIntended(3.0, 0, 1, "a"),
    MetricsSeen(4.0, 0, tuple(Row(step, {"loss": 1.0 / step}) for step in (1, 2, 3))),
    TrialEnded(5.0, 0, "completed", 1 / 3, "", {"code": 0}),
]
PAUSED = [*RUNNING, AttemptEnded(4.0, 0, 1, {"signal": 15}, "why", None, True, False)]
FAILED = [*RUNNING, TrialEnded(5.0, 0, "failed", None, "why", {"code": 1})]


@pytest.mark.parametrize(
    ("before", "event", "words"),
    [
        ([], EngineStarted(9.0, 1), "must open the study"),
        ([], TrialProposed(9.0, 0, {}), "must open the study"),
        (PENDING, OPENED, "open already"),
        (PENDING, TrialProposed(9.0, 0, {}), "trial 0 proposed where 1 is next"),
        (PENDING, TrialProposed(9.0, 2, {}), "trial 2 proposed where 1 is next"),
        (PENDING, AttemptStarted(9.0, 0, 1, 7), "trial 0 is pending, not running"),
        (PENDING, MetricsSeen(9.0, 0, ()), "trial 0 is pending, not running"),
        (PENDING, AttemptEnded(9.0, 0, 1, {}), "trial 0 is pending, not running"),
        (PENDING, AttemptIntended(9.0, 0, 2, "b"), "attempt 2 after 0"),
        (PENDING, TrialReopened(9.0, 0), "trial 0 is pending"),
        (RUNNING, AttemptIntended(9.0, 0, 2, "b"), "trial 0 is running, not pending"),
        (RUNNING, AttemptStarted(9.0, 0, 2, 7), "attempt 2 is not the latest"),
        (RUNNING, AttemptEnded(9.0, 0, 2, {}), "attempt 2 is not the latest"),
        (RUNNING, AttemptEnded(9.0, 0, 1, {"colour": "red"}), "colour"),
        (RUNNING, TrialEnded(9.0, 0, "running"), "it cannot become running"),
        (RUNNING, TrialEnded(9.0, 0, "pending"), "it cannot become pending"),
        (RUNNING, TrialEnded(9.0, 0, "exploded"), "exploded"),
        (RUNNING, TrialEnded(9.0, 0, "completed"), "a value goes with state completed"),
        (RUNNING, TrialEnded(9.0, 0, "failed", 0.5), "a value goes with state completed"),
        (RUNNING, TrialReopened(9.0, 0), "trial 0 is running"),
        (AGAIN, AttemptIntended(9.0, 0, 1, "a"), "attempt 1 after 1"),
        (AGAIN, MetricsSeen(9.0, 0, ()), "trial 0 is pending, not running"),
        (RUNNING, TrialPaused(9.0, 0), "trial 0 is running, not pending"),
        (DONE, TrialPaused(9.0, 0), "trial 0 is completed, not pending"),
        (PENDING, TrialResumed(9.0, 0), "trial 0 is pending, not paused"),
        (PAUSED, TrialPaused(9.0, 0), "trial 0 is paused, not pending"),
        (PAUSED, AttemptIntended(9.0, 0, 2, "b"), "trial 0 is paused, not pending"),
        (PAUSED, TrialReopened(9.0, 0), "trial 0 is paused"),
        (DONE, TrialEnded(9.0, 0, "failed"), "trial 0 is completed"),
        (DONE, TrialReopened(9.0, 0), "trial 0 is completed"),
        (DONE, MetricsSeen(9.0, 0, ()), "trial 0 is completed"),
        (FAILED, TrialEnded(9.0, 0, "completed", 0.5), "trial 0 is failed"),
        (FAILED, AttemptIntended(9.0, 0, 2, "b"), "trial 0 is failed, not pending"),
        (PENDING, StopAsked(9.0, 1), "1"),
        (PENDING, TrialEnded(9.0, 1, "failed"), "1"),
        (PENDING, AttemptIntended(9.0, 7, 1, "a"), "7"),
        (PENDING, TrialCarriedOn(9.0, 0, {}, 3), "trial 0 is pending, not completed"),
        (FAILED, TrialCarriedOn(9.0, 0, {}, 3), "trial 0 is failed, not completed"),
        (GIVEN, TrialCarriedOn(9.0, 0, {}, 3), "resource 3 after 3"),
        (GIVEN, TrialCarriedOn(9.0, 1, {}, 9), "there is no trial 1"),
        (FAILED, TrialProposed(9.0, 1, {}, start_from=0), "trial 0 is failed, not completed"),
        (DONE, TrialProposed(9.0, 1, {}, start_from=1), "there is no trial 1"),
        (PENDING, StopAsked(9.0, 0, cause="whim"), "whim"),
        (PENDING, StopAsked(9.0, -1), "-1"),
        (PENDING, TrialEnded(9.0, -1, "failed"), "-1"),
        (PENDING, AttemptIntended(9.0, -1, 1, "a"), "-1"),
        (FAILED, TrialReopened(9.0, -1), "-1"),
        (PENDING, SpecChanged(9.0, {"seed": 3}), r"cannot change \['seed'\]"),
        (PENDING, StudyClosed(9.0, "exploded"), "exploded"),
    ],
)
def test_event_that_cannot_follow_is_refused_with_its_number(before: list[Event], event: Event, words: str) -> None:
    if before:
        fold(before)  # which is sound
    with pytest.raises(JournalError, match=words) as caught:
        fold([*before, event])
    assert str(caught.value).startswith(f"event {len(before) + 1} ({event.kind}) cannot be applied: ")


def test_empty_log_was_never_opened() -> None:
    with pytest.raises(JournalError, match="never opened"):
        fold([])


def test_trial_goes_through_its_life() -> None:
    history = fold([*AGAIN, AttemptIntended(5.0, 0, 2, "b"), AttemptStarted(6.0, 0, 2, 77, ("1",))])
    (trial,) = history.trials
    assert [(a.number, a.nonce, a.pid, a.devices) for a in trial.attempts] == [(1, "a", None, ()), (2, "b", 77, ("1",))]
    assert trial.attempts[0].exit == Exit(code=1) and trial.attempts[0].ended_at == 4.0
    assert (trial.started_at, trial.state) == (3.0, TrialState.RUNNING)
    history = apply(history, MetricsSeen(7.0, 0, (Row(1, {"loss": 2.0}),)))
    history = apply(history, MetricsSeen(8.0, 0, (Row(2, {"loss": 1.0}),)))
    assert [r.step for r in history.trials[0].rows] == [1, 2]
    replaced = apply(history, MetricsSeen(9.0, 0, (Row(3, {"loss": 0.5}),), True))
    assert [r.step for r in replaced.trials[0].rows] == [3] and len(history.trials[0].rows) == 2
    lost = apply(history, AttemptEnded(9.0, 0, 2, {"lost": True}))
    assert apply(lost, AttemptIntended(9.5, 0, 3, "c")).trials[0].rows == (), "rows of an earlier attempt are dropped"
    ended = apply(history, TrialEnded(10.0, 0, "completed", 0.5, "", {"code": 0, "seconds": 3.5}))
    assert ended.trials[0].attempts[1].exit == Exit(code=0, seconds=3.5)
    assert (ended.best_id, ended.best_value, ended.trials[0].ended_at) == (0, 0.5, 10.0)


def losses(history: History, trial: int) -> list[tuple[float, float]]:
    return [(row.step, row.values["loss"]) for row in history.trials[trial].rows]


def test_trial_that_is_carried_on_keeps_its_results_and_merges_its_rows_by_step() -> None:
    log: list[Event] = [*GIVEN, TrialCarriedOn(6.0, 0, {"x": 0.7}, 9, {"rung": 1}), AttemptIntended(7.0, 0, 2, "b")]
    history = fold(log)
    (trial,) = history.trials
    assert (trial.state, trial.losses, trial.trained, trial.ended_at) == (TrialState.RUNNING, (1 / 3,), 3, None)
    assert [(a.params, a.resource, a.resume) for a in trial.attempts] == [({"x": 0.5}, 3, None), ({"x": 0.7}, 9, 0)]
    assert trial.proposal == Proposal({"x": 0.7}, 9, carry_on=0, note={"rung": 1})
    assert history.best_id == 0 and history.result_config(trial) == {"x": 0.5}, "it is the best one while it runs"
    assert [step for step, _ in losses(history, 0)] == [1, 2, 3]
    for rows, replace_, seen in (
        (((3, 0.3), (4, 0.2)), True, [(1, 1.0), (2, 0.5), (3, 0.3), (4, 0.2)]),  # it went back a step
        (((5, 0.1),), False, [(1, 1.0), (2, 0.5), (3, 0.3), (4, 0.2), (5, 0.1)]),
        (((1, 7.0), (2, 6.0)), True, [(1, 7.0), (2, 6.0)]),  # its file has all rows
        (((4, 0.4),), True, [(1, 1.0), (2, 0.5), (3, 1 / 3), (4, 0.4)]),
    ):
        log.append(MetricsSeen(8.0, 0, tuple(Row(step, {"loss": loss}) for step, loss in rows), replace_))
        history = apply(history, log[-1])
        assert losses(history, 0) == seen and losses(fold(log), 0) == seen
    done = apply(history, TrialEnded(9.0, 0, "completed", 0.4, "", {"code": 0})).trials[0]
    assert done.results == (Result(1, 3, (1 / 3,)), Result(2, 9, (0.4,))) and done.trained == 9


@pytest.mark.parametrize("end", ["failed", "pruned", "stopped", "retry"])
def test_trial_that_goes_wrong_when_it_is_carried_on_has_what_it_had(end: str) -> None:
    log: list[Event] = [*GIVEN, TrialCarriedOn(6.0, 0, {"x": 0.5}, 9), AttemptIntended(7.0, 0, 2, "b")]
    log.append(MetricsSeen(8.0, 0, (Row(4, {"loss": 0.0}),)))
    if end == "retry":
        log += [AttemptEnded(9.0, 0, 2, {"code": 1}, "why", "exit_code"), AttemptIntended(9.5, 0, 3, "c")]
    else:
        log.append(TrialEnded(9.0, 0, end, None, "why", {"code": 1}))
    history = fold(log)
    trial = history.trials[0]
    assert trial.losses == (1 / 3,) and history.best_id == 0
    assert (len(trial.rows), len(trial.base)) == (4, 3)
    if end == "retry":
        assert trial.attempts[1].failure is FailureKind.EXIT_CODE and trial.attempts[2].resume == 0
        for first, steps in ((5, [1, 2, 3, 4, 5]), (4, [1, 2, 3, 4]), (3, [1, 2, 3])):
            seen = apply(history, MetricsSeen(10.0, 0, (Row(first, {"loss": 1.0}),)))
            assert [step for step, _ in losses(seen, 0)] == steps, "it depends on how far the checkpoint went"
    else:
        again = fold([*log, TrialReopened(10.0, 0), AttemptIntended(11.0, 0, 3, "c")]).trials[0]
        assert (len(again.rows), again.attempts[2].resume, again.proposal.resource) == (4, 0, 9)


def test_trial_that_starts_from_another_goes_on_from_that_attempt_until_it_has_a_result() -> None:
    log: list[Event] = [*GIVEN, TrialProposed(6.0, 1, {"x": 0.1}, 9, start_from=0)]
    log.append(TrialCarriedOn(6.5, 0, {"x": 0.5}, 9))
    for number in (1, 2):
        log.append(AttemptIntended(7.0, 1, number, f"n{number}"))
        trial = fold(log).trials[1]
        assert (trial.origin, trial.attempts[-1].resume, trial.rows) == (Origin(0, 1), 0, ())
        log.append(AttemptEnded(8.0, 1, number, {"code": 1}))
    log += [AttemptIntended(9.0, 1, 3, "n3"), TrialEnded(10.0, 1, "completed", 0.5, "", {"code": 0})]
    log += [TrialCarriedOn(11.0, 1, {"x": 0.1}, 27), AttemptIntended(12.0, 1, 4, "n4")]
    assert fold(log).trials[1].attempts[-1].resume == 1


def test_stop_stays_with_its_trial_until_that_begins_again() -> None:
    asked = StopAsked(4.0, 0, "not promising", cause="early")
    stop = Stop(StopCause.EARLY, "not promising", 4.0)
    assert fold([*RUNNING, asked, EngineStarted(5.0, 2)]).trials[0].stop == stop
    ended: list[Event] = [*RUNNING, asked, TrialEnded(6.0, 0, "pruned", None, "not promising")]
    assert fold(ended).trials[0].stop == stop and fold(ended).trials[0].told_to_end
    assert fold([*ended, TrialReopened(7.0, 0)]).trials[0].stop is None
    interrupted = StopAsked(4.0, 0, "Ctrl-C", cause="interrupt")
    assert not fold([*RUNNING, interrupted]).trials[0].told_to_end


def test_retry_of_a_failed_trial_begins_without_its_rows_and_end() -> None:
    seen = MetricsSeen(4.0, 0, (Row(1, {"loss": 1.0}),))
    failed: list[Event] = [*RUNNING, seen, TrialEnded(5.0, 0, "failed", None, "why", {"code": 1})]
    assert len(fold(failed).trials[0].rows) == 1
    again = fold([*failed, TrialReopened(6.0, 0)]).trials[0]
    assert (again.state, again.rows, again.loss, again.ended_at) == (TrialState.PENDING, (), None, None)
    assert len(again.attempts) == 1


@pytest.mark.parametrize(("goal", "best"), [("minimize", 0), ("maximize", 1)])
def test_best_goes_by_the_goal_and_keeps_the_users_sign(goal: str, best: int) -> None:
    events: list[Event] = [StudyOpened(1.0, random_logs.spec(objectives=(Objective("loss", goal),)).to_json())]
    for trial, value in enumerate((0.5, 2.0, 1.0)):
        events += [TrialProposed(2.0, trial, {"x": 0.5}), AttemptIntended(3.0, trial, 1, "a")]
        events.append(TrialEnded(5.0, trial, "completed", value, "", {"code": 0}))
    history = fold(events)
    assert (history.best_id, history.best_value) == (best, (0.5, 2.0)[best])


def test_limits_change_one_by_one_and_null_is_unlimited() -> None:
    history = fold([OPENED, SpecChanged(2.0, {"time_s": 60}), SpecChanged(3.0, {"parallel": 8})])
    assert (history.spec.budget.trials, history.spec.budget.time_s, history.spec.resources.parallel) == (1000, 60, 8)
    history = apply(history, SpecChanged(4.0, {"trials": None}))
    assert (history.spec.budget.trials, history.spec.budget.time_s, history.spec.resources.parallel) == (None, 60, 8)
    assert history.opened_spec == fold([OPENED]).spec


def test_only_time_with_an_engine_counts_and_a_killed_one_counts_to_its_last_event() -> None:
    log: list[Event] = [OPENED, EngineStarted(10.0, 1), StopAsked(30.0)]
    assert fold(log).elapsed_s(40.0) == 30.0 and fold(log).events == 3
    log.append(EngineStarted(1000.0, 2))  # the first was killed after second 30
    history = fold(log)
    assert history.stop_asked is None and history.elapsed_s(1005.0) == 25.0
    history = apply(history, StudyClosed(1010.0, "stopped", "why"))
    assert history.state is StudyState.STOPPED and history.elapsed_s(5000.0) == 30.0
    history = apply(apply(history, EngineStarted(2000.0, 3)), StopAsked(2001.0))
    assert history.elapsed_s(2001.0) == 31.0
    assert apply(history, EngineStarted(3000.0, 4)).elapsed_s(3002.0) == 33.0, "killed again"


def test_the_time_between_a_killed_engine_and_a_change_without_one_does_not_count() -> None:
    log: list[Event] = [OPENED, EngineStarted(10.0, 1), StopAsked(15.0)]
    changes: list[Event] = [SpecChanged(5000.0, {"parallel": 3}), TrialQueued(5000.0, 0, {"x": 2.0}, first=True)]
    for change in changes:
        history = fold([*log, change])
        assert history.elapsed_s(6000.0) == 5.0
        assert apply(history, EngineStarted(7000.0, 2)).elapsed_s(7001.0) == 6.0
    gone = fold([*log, EngineGone(5000.0)])
    assert gone.elapsed_s(6000.0) == 5.0
    asked = fold([*log, SpecChanged(20.0, {"parallel": 3}, request="r")])
    assert asked.elapsed_s(25.0) == 15.0, "the engine carried it out, and runs on"


def test_what_a_study_ran_on_is_kept_from_change_to_change_and_its_commit_from_the_beginning() -> None:
    code = Code("a" * 40, "main", changes=(FileChange("train.py", 2, 1), FileChange("net.bin")), dirty=True)
    here = Runtime("1", Machine("here", gpus=(Gpu("H100", 81559),)), "/usr/bin/python", "3.12.1", {"torch": "2.6.0"})
    there = replace(here, machine=Machine("there"))
    history = fold(opening(random_logs.spec(), 1.0, code=code))
    assert (history.code, history.runtimes, history.runtime) == (code, (), None)
    for at, runtime in ((2.0, here), (3.0, there)):
        body = json.loads(json.dumps(ProvenanceFound(at, runtime=runtime.to_json()).body()))
        history = apply(history, from_body("provenance_found", at, {**body, "runtime": {**body["runtime"], "new": 1}}))
    assert history.runtimes == (here, there) and [found.at for found in history.runtimes] == [2.0, 3.0]
    assert history.provenance == Provenance(("run",), code, there)
    assert fold([OPENED]).provenance == Provenance(("run",)), "a log of an older version"


# -- folds -------------------------------------------------------------------------------------------------------------


def steps(events: list[Event]) -> list[History]:
    """The history after each event."""
    out: list[History] = []
    for event in events:
        out.append(apply(out[-1] if out else None, event))
    return out


@settings(max_examples=some(60), deadline=None)
@given(random_logs.logs())
def test_any_prefix_of_a_log_folds_to_what_was_known_then(events: list[Event]) -> None:
    read = [from_body(e.kind, e.at, json.loads(json.dumps(e.body()))) for e in events]
    known = steps(events)
    for count in range(1, len(events) + 1):
        assert fold(read[:count]) == known[count - 1]


@settings(max_examples=some(60), deadline=None)
@given(random_logs.logs(), st.data())
def test_no_event_changes_a_history_that_was_handed_out(events: list[Event], data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(events)))
    before = fold(events[:count])
    told = repr(before)
    for event in events[count : count + 1]:
        apply(before, event)
    assert repr(before) == told


def test_any_prefix_of_the_log_of_a_real_study_folds(tmp_path: Path) -> None:
    """Retries, failures, an engine that is killed, an interrupt, a resume with other limits, a retry of the failed, a
    trial that is carried on."""

    class CarriesOn(Counting):
        traits = Traits(carries_on=True)

        def ask(self, history: History, count: int) -> list[Proposal]:
            new = [replace(p, resource=1) for p in super().ask(history, count)]
            limit, first = history.spec.budget.trials, history.trials[0] if history.trials else None
            if history.next_id == limit and first is not None and first.losses and first.trained == 1:
                return [Proposal(first.params, 2, carry_on=0)] if first.state is TrialState.COMPLETED else []
            return new

        def promotable(self, history: History) -> list[int]:
            return [0]

    bench = Bench(tmp_path)
    bench.searcher = CarriesOn()

    def behave(launch: BoundLaunch) -> Exit | None:
        Path(launch.paths.result_dir, "last.ckpt").write_text("state")
        if launch.trial_id % 4 == 1:
            return Exit(code=3)
        if launch.trial_id == 2 and launch.attempt == 1:
            bench.write(launch, [{"step": 1, "loss": math.nan}])
            return None
        return bench.good(launch)

    bench.behave = behave
    bench.candidates = [*OWN, Candidate("stdout", Printed)]
    points = ({"x": 1.0}, {"x": 2.0})
    limited = Checkpoints((), "promotable", 1)
    engine = bench.open(
        trial=TrialPolicy(retries=1), resource=Resource("epochs", 2), points=points, checkpoints=limited
    )
    for _ in range(6):
        bench.now += 1
        engine.step(bench.now)
    engine = bench.lead(EngineGone(bench.now))  # the first was killed
    engine.interrupt("Ctrl-C", bench.now)
    assert bench.run(engine).state is StudyState.STOPPED
    waits = fold(bench.store.read()).pending[0].id
    found = ProvenanceFound(bench.now, runtime=Runtime("1", Machine("h")).to_json())
    there_and_back = TrialPaused(bench.now, waits), TrialResumed(bench.now, waits)
    bench.run(bench.lead(found, SpecChanged(bench.now, {"trials": 7, "parallel": 3}), *there_and_back))
    failed = [t.id for t in fold(bench.store.read()).trials if t.state is TrialState.FAILED]
    bench.behave = bench.good
    history = bench.run(bench.lead(*(TrialReopened(bench.now, i) for i in failed)))
    events = bench.store.read()
    assert failed and {e.kind for e in events} == set(KINDS)
    for count in range(1, len(events) + 1):
        part = fold(events[:count])
        assert part.next_id == sum(e.kind == "trial_proposed" for e in events[:count])
    assert repr(replace(part, trials=history.trials)) == repr(history)


def _of_an_older_version(spec: StudySpec) -> StudyOpened:
    """The opening of a study by a version that knew no limit of runs."""
    body = json.loads(json.dumps(spec.to_json()))
    del body["budget"]["runs"]
    return StudyOpened(1.0, body)


def test_trials_of_older_studies_that_promote_are_runs() -> None:
    epochs = Resource("epochs", 9)
    for name in ("hyperband", "asha", "bohb", "auto"):
        spec = random_logs.spec(algorithm=Named(name), resource=epochs, budget=Budget(22))
        history = fold([_of_an_older_version(spec)])
        assert history.counts_runs and history.spec.budget == Budget(None, runs=22)
        history = apply(history, SpecChanged(2.0, {"trials": 30}))
        assert history.spec.budget == Budget(None, runs=30) and history.progress == (0, 30)
        history = apply(history, SpecChanged(3.0, {"runs": 40}))
        assert history.spec.budget == Budget(None, runs=40)
        history = apply(history, SpecChanged(3.0, {}, spec=replace(spec, budget=Budget(50)).to_json()))
        assert history.spec.budget == Budget(None, runs=50)


def test_trials_of_other_studies_are_trials_whatever_version_opened_them() -> None:
    epochs = Resource("epochs", 9)
    old = [random_logs.spec(algorithm=Named("random"), resource=epochs, budget=Budget(22)),
           random_logs.spec(algorithm=Named("auto"), budget=Budget(22)),
           random_logs.spec(algorithm=Named("mine.py:Mine"), resource=epochs, budget=Budget(22))]  # fmt: skip
    for history in (
        *(fold([_of_an_older_version(spec)]) for spec in old),
        fold(
            [StudyOpened(1.0, random_logs.spec(algorithm=Named("asha"), resource=epochs, budget=Budget(22)).to_json())]
        ),
    ):
        assert not history.counts_runs and history.spec.budget == Budget(22)
        assert apply(history, SpecChanged(2.0, {"trials": 30})).spec.budget == Budget(30)


def test_trials_and_runs_are_counted_as_the_log_grows() -> None:
    spec = random_logs.spec(algorithm=Named("asha"), resource=Resource("epochs", 9), budget=Budget(2, runs=9))
    events: list[Event] = [
        StudyOpened(1.0, spec.to_json()),
        TrialProposed(2.0, 0, {"x": 0.5}, 1),
        TrialEnded(3.0, 0, "completed", 1.0),
        TrialCarriedOn(4.0, 0, {"x": 0.5}, 3),
        TrialProposed(5.0, 1, {"x": 0.5}, 3, repeats=0),
        TrialEnded(6.0, 0, "failed"),
        TrialReopened(7.0, 0),
        TrialEnded(8.0, 0, "completed", 0.5),
        TrialEnded(9.0, 1, "completed", 0.5),
    ]
    counts = [(1, 1, 0), (1, 1, 1), (1, 2, 1), (1, 3, 1), (1, 3, 2), (1, 3, 1), (1, 3, 2), (1, 3, 3)]
    for k, (begun, runs, ended) in enumerate(counts):
        for history in (fold(events[: k + 2]), apply(fold(events[: k + 1]), events[k + 1])):
            assert (history.begun, history.runs, history.runs_ended) == (begun, runs, ended)
            assert history.progress == (0 if k == 0 else 1, 2)
            assert (history.trials_left, history.runs_left) == (1, 9 - runs)
