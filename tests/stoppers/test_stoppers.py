"""Rules that end things early: which trials are ended by their rank, and which never are."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine.assembly import stopper
from hpo_engine.errors import StopperError
from hpo_engine.stoppers import BudgetStopper, DivergedStopper, FirstOf, Halt, RankStopper, Rule
from hpo_engine.stoppers.rungs import rungs
from hpo_engine.study.events import AttemptIntended, MetricsSeen, TrialEnded, TrialProposed, apply
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective, Row
from hpo_engine.study.spec import DIVERGED, GUARDS, RANK, Budget, Named, Resource, StudySpec
from hpo_engine.testing.histories import SPACES, opened, spec_of
from tests.support.examples import some

ONE = Objective("loss")
TWO = (Objective("loss", over="last"), Objective("acc", "maximize", "last"))
Curve = Sequence[float | tuple[float, ...]]


def rank_of(spec: StudySpec) -> RankStopper:
    return RankStopper(spec, **spec.stop[-1].options)


def study(rank: Mapping[str, Any] | None = None, **changes: Any) -> StudySpec:
    return spec_of(SPACES["one float"], stop=(*GUARDS, Named(RANK, rank or {})), **changes)


def report(history: History, trial: int, curve: Curve, *, again: bool = False, step: float = 1.0) -> History:
    """A trial (a new one where it is not there yet) has reported these values so far."""
    if trial == history.next_id:
        history = apply(history, TrialProposed(0.0, trial, {"x": 0.0}))
        history = apply(history, AttemptIntended(0.0, trial, 1, f"n{trial}"))
    names = [aim.metric for aim in history.spec.objectives]
    values = [v if isinstance(v, tuple) else (v,) for v in curve]
    rows = [Row((i + 1) * step, dict(zip(names, v, strict=False))) for i, v in enumerate(values)]
    return apply(history, MetricsSeen(0.0, trial, tuple(rows), replace=True))


def curves(spec: StudySpec, *all_: Curve, step: float = 1.0) -> History:
    history = opened(spec)
    for trial, curve in enumerate(all_):
        history = report(history, trial, curve, step=step)
    return history


def ended(history: History) -> set[int]:
    """The running trials that the rule ends now; a fresh stopper says the same as one that saw every history."""
    rule = rank_of(history.spec)
    return {t.id for t in history.running if rule.end_trial(t, history, 0.0)}


def test_the_worst_half_ends_once_enough_have_come_as_far() -> None:
    history = curves(study(), *[[float(i)] for i in range(6)])
    assert ended(history) == {3, 4, 5}
    assert ended(curves(study(), *[[float(i)] for i in range(5)])) == set(), "five in all are four others"
    rule = stopper(history.spec)
    why = "not promising: 5 of 5 other trials were better at step 1"
    assert rule.end_trial(history.trials[5], history, 0.0) == why
    assert rule.end_trial(history.trials[2], history, 0.0) is None


@pytest.mark.parametrize(("keep", "gone"), [(0.2, {2, 3, 4, 5, 6, 7, 8, 9}), (0.9, {9}), (0.5, {5, 6, 7, 8, 9})])
def test_keep_is_the_share_that_goes_on(keep: float, gone: set[int]) -> None:
    assert ended(curves(study({"keep": keep}), *[[float(i)] for i in range(10)])) == gone


def test_a_trial_is_held_against_others_at_the_highest_rung_that_it_has_reached() -> None:
    slow = [[9.0, 8.0, 0.0]] + [[1.0, 1.0, 1.0, 0.5]] * 6  # bad at steps 1 and 2, the best from step 3 on
    assert ended(curves(study(), *slow)) == {0}, "step 3 is no rung: it is judged at step 2"
    slow[0] = [9.0, 8.0, 0.0, 0.0]
    assert ended(curves(study(), *slow)) == set()
    assert ended(curves(study({"from_step": 3}), *slow)) == set()
    alone = [[5.0, 5.0]] + [[1.0]] * 9
    assert ended(curves(study(), *alone)) == set(), "nobody else has come to step 2"


def test_equal_curves_all_go_on() -> None:
    for spec, curve in ((study(), [3.0, 2.0, 1.0]), (study(objectives=TWO), [(1.0, 0.5)] * 3)):
        assert ended(curves(spec, *[curve] * 20)) == set()


def test_best_and_last_count_as_the_objective_says() -> None:
    worse_later = [[0.0, 9.0]] + [[1.0, 1.0]] * 6
    assert ended(curves(study(), *worse_later)) == set()
    assert ended(curves(study(objectives=(Objective("loss", over="last"),)), *worse_later)) == {0}
    assert ended(curves(study(objectives=(Objective("loss", "maximize"),)), *[[float(i)] for i in range(6)])) == {
        0,
        1,
        2,
    }


def test_values_that_are_not_finite_are_worse_than_all_others() -> None:
    for bad in (math.nan, math.inf, -math.inf):
        assert ended(curves(study(), [bad], *[[1.0]] * 5)) == {0}
    both = study(objectives=TWO)
    assert ended(curves(both, [(0.0, math.nan)], *[[(1.0, 0.5)]] * 5)) == {0}
    assert ended(curves(study(), *[[math.nan]] * 8)) == set(), "all are equally bad"


def test_with_several_objectives_the_fronts_decide_and_none_of_the_first_ends() -> None:
    spec = study(objectives=TWO)
    front = [[(float(i), i / 10)] for i in range(8)]
    assert ended(curves(spec, *front)) == set()
    behind = [[(float(i) + 1, i / 10)] for i in range(8)]
    assert ended(curves(spec, *front, *behind)) == {8, 9, 10, 11, 12, 13, 14, 15}
    equal = [[(9.0, 0.0)]] * 8
    assert ended(curves(spec, *front[:3], *equal)) == set(), "three of eleven are less than half"


def test_without_live_values_of_the_objective_nothing_happens() -> None:
    spec = study(objectives=TWO)
    history = opened(spec)
    for trial in range(9):
        history = report(history, trial, [(float(trial),)])  # only the first of the two
    assert ended(history) == set()
    assert ended(curves(study(), *[[]] * 9)) == set()


def test_steps_that_begin_high_or_lie_far_apart_are_rungs_all_the_same() -> None:
    assert ended(curves(study(), *[[float(i)] * 3 for i in range(6)], step=500.0)) == {3, 4, 5}
    assert ended(curves(study(), *[[float(i)] for i in range(6)], step=math.inf)) == {3, 4, 5}


def test_trials_with_another_share_of_the_resource_are_not_held_against_each_other() -> None:
    history = opened(study(resource=Resource("epochs", 9)))
    for trial in range(12):
        history = apply(history, TrialProposed(0.0, trial, {"x": 0.0}, 1 if trial < 6 else 3))
        history = apply(history, AttemptIntended(0.0, trial, 1, f"n{trial}"))
        history = report(history, trial, [float(trial)])
    assert ended(history) == {3, 4, 5, 9, 10, 11}


def test_ended_trials_count_as_rivals_and_are_not_ended_again() -> None:
    history = curves(study(), *[[float(i)] * 3 for i in range(5)])
    for trial in range(5):
        history = apply(history, TrialEnded(0.0, trial, "completed", float(trial), exit={"code": 0}))
    assert ended(report(history, 5, [9.0])) == {5} and ended(report(history, 5, [1.0])) == set()


def test_without_the_field_no_trial_ends_early_and_the_time_limit_still_counts() -> None:
    spec = spec_of(SPACES["one float"], budget=Budget(time_s=10.0))
    history = curves(spec, *[[float(i)] for i in range(9)])
    rule = stopper(spec)
    assert not any(rule.end_trial(t, history, 0.0) for t in history.running)
    assert rule.end_study(history, 11.0) == "time limit of 10 s reached" and rule.end_study(history, 9.0) is None
    assert FirstOf([BudgetStopper()]).end_study(history, 11.0) is not None


@settings(max_examples=some(40), deadline=None)
@given(st.randoms(use_true_random=False), st.booleans())
def test_what_was_seen_before_changes_no_answer(rng: random.Random, several: bool) -> None:
    spec = study({"min_rivals": 2}, **({"objectives": TWO} if several else {}))
    rule, history, past = rank_of(spec), opened(spec), []
    for _ in range(25):
        trial = rng.randrange(history.next_id + 1)
        if trial < history.next_id and history.trials[trial].state.ended:
            continue
        values = [(rng.choice([0.0, 1.0, 2.0, math.nan]), rng.random()) for _ in range(rng.randrange(6))]
        history = report(history, trial, values)
        if rng.random() < 0.2:
            history = apply(history, TrialEnded(0.0, trial, "failed", None, "x", {"code": 1}))
        past.append(history)
        asked = {t.id for t in history.running if rule.end_trial(t, history, 0.0)}
        assert asked == ended(history)
    early = past[len(past) // 3]  # a shorter history, too
    assert {t.id for t in early.running if rule.end_trial(t, early, 0.0)} == ended(early)


# -- rungs against a plain reading of the rule ---------------------------------------------------------------------------


def rows_of(history: History, trial: int, rows: Sequence[Row]) -> History:
    if trial == history.next_id:
        history = apply(history, TrialProposed(0.0, trial, {"x": 0.0}))
        history = apply(history, AttemptIntended(0.0, trial, 1, f"n{trial}"))
    return apply(history, MetricsSeen(0.0, trial, tuple(rows), replace=True))


def done(history: History, trial: int, exit_: dict[str, Any] | None = None) -> History:
    value = next(v for row in history.trials[trial].rows if (v := row.values.get("loss")) is not None)
    return apply(history, TrialEnded(0.0, trial, "completed", value, exit=exit_ or {"code": 0}))


@pytest.mark.parametrize(
    ("shape", "ends"),
    [
        (lambda v: [Row(1, {"train": 1.0}), Row(2, {"loss": v})], "validation every second epoch"),
        (lambda v: [Row(1, {"train": 1.0}), Row(1, {"loss": v})], "two reports a step, or emetrics' train line first"),
        (lambda v: [Row(i, {"train": 1.0}) for i in range(1, 9)] + [Row(9, {"loss": v})], "a row a batch"),
        (lambda v: [Row(7, {"loss": v})], "steps that begin late"),
    ],
)
def test_a_rung_is_reached_when_the_objective_has_been_reported(shape: Any, ends: str) -> None:
    history = opened(study())
    for trial in range(6):
        history = rows_of(history, trial, shape(float(trial)))
    assert ended(history) == {3, 4, 5}, ends


@pytest.mark.parametrize(
    ("keep", "from_step", "steps"),
    [
        (0.5, 1, (1, 2, 4, 8, 16)),
        (0.3, 1, (1, 3, 11, 37, 123)),
        (0.9, 1, (1, 2, 3, 4, 5)),
        (1 / 3, 3, (3, 9, 27, 81, 243)),
        (0.5, 2.6, (3, 5, 10, 21, 42)),
        (0.5, 0.25, (0.25, 0.5, 1, 2, 4)),
    ],
)
def test_rungs_are_whole_steps(keep: float, from_step: float, steps: tuple[float, ...]) -> None:
    found = rungs(keep, from_step)
    assert found[:5] == steps and len(set(found)) == len(found) == len(sorted(found))
    assert len(rungs(1e-9, 1e300)) == 0


def test_no_trial_is_stopped_at_its_last_step() -> None:
    history = curves(study(), *[[float(i)] * 4 for i in range(5)])
    for trial in range(5):
        history = done(history, trial)
    assert ended(report(history, 5, [9.0] * 3)) == {5}, "at step 3 there is something to save"
    assert ended(report(history, 5, [9.0] * 4)) == set(), "its training is done"
    assert ended(report(history, 5, [9.0] * 5)) == {5}, "it goes on where others ended"


def test_trials_that_a_time_limit_cut_off_do_not_say_where_trainings_end() -> None:
    history = curves(study(), *[[float(i)] * 4 for i in range(5)])
    for trial in range(5):
        history = done(history, trial, {"signal": 15, "stop_cause": "time_limit"})
    assert ended(report(history, 5, [9.0] * 4)) == {5}


def test_what_else_is_reported_may_be_counted_otherwise() -> None:
    """A loss for each batch beside a score for each epoch: the epochs are compared, whatever the batches' numbers."""

    def rows(best: float, epochs: int, batches: int) -> list[Row]:
        return [
            row
            for epoch in range(1, epochs + 1)
            for row in (
                *(Row((epoch - 1) * batches + i, {"train": 9.0}) for i in range(batches)),
                Row(epoch, {"loss": best + 1 / epoch}),
            )
        ]

    history = opened(study())
    for trial in range(6):
        history = rows_of(history, trial, rows(float(trial), 8, batches=3))
    history = rows_of(history, 6, rows(2.9, 1, batches=12) + [Row(i, {"train": 9.0}) for i in range(12, 16)])
    assert 6 not in ended(history), "three of six had a better first epoch, and it has no other yet"
    assert 5 in ended(history)
    history = done(rows_of(history, 7, rows(0.0, 2, batches=4)), 7)
    assert ended(rows_of(history, 8, [Row(i, {"train": 9.0}) for i in range(1, 9)])) == ended(history)


@settings(max_examples=some(60), deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from([0.3, 0.5, 0.7]))
def test_rank_is_what_a_plain_reading_of_the_rule_says(rng: random.Random, keep: float) -> None:
    history = opened(study({"keep": keep, "min_rivals": 2}))
    for trial in range(8):
        step, rows = 0, []
        for _ in range(rng.randrange(1, 9)):
            step += rng.randrange(2)  # several rows a step
            names = rng.choice([["loss"], ["train"], ["loss", "train"]])
            rows.append(Row(step, {name: rng.choice([0.0, 1.0, 2.0, math.nan]) for name in names}))
        history = rows_of(history, trial, rows)
        if rng.random() < 0.4 and any(math.isfinite(r.values.get("loss", math.nan)) for r in rows):
            history = apply(history, TrialEnded(0.0, trial, "completed", 1.0, exit={"code": 0}))
    assert ended(history) == by_the_letter(history, keep, 2)


def by_the_letter(history: History, keep: float, min_rivals: int) -> set[int]:
    def at(trial: Any, rung: float) -> float | None:
        for i, row in enumerate(trial.rows):
            upto = trial.rows[: i + 1]
            if row.step >= rung and "loss" in row.values:
                finite = [v for r in upto if (v := r.values.get("loss")) is not None and math.isfinite(v)]
                return min(finite) if finite else math.inf
        return None

    steps, out = [s for s in rungs(keep, 1) if s < 100], set()
    having = {t.id: [r.step for r in t.rows if "loss" in r.values] for t in history.trials}
    ends = {max(having[t.id]) for t in history.trials if t.state.value == "completed"}
    for trial in history.running:
        reached = [s for s in steps if at(trial, s) is not None and s < max(ends, default=math.inf)]
        if not reached or max(having[trial.id]) in ends:
            continue
        own, others = at(trial, reached[-1]), [at(t, reached[-1]) for t in history.trials if t.id != trial.id]
        rivals = [v for v in others if v is not None]
        better = sum(v < own for v in rivals)  # type: ignore[operator]
        if len(rivals) >= min_rivals and better >= math.ceil(keep * (len(rivals) + 1)):
            out.add(trial.id)
    return out


# -- trials that have diverged -------------------------------------------------------------------------------------------

NAN, INF = math.nan, math.inf


def gone(history: History) -> dict[int, str]:
    rule = DivergedStopper(history.spec)
    return {t.id: why for t in history.running if (why := rule.diverged(t, history, 0.0))}


@pytest.mark.parametrize(
    ("curve", "said"),
    [
        ([1.0, 0.5, 0.4, NAN, NAN], "diverged: loss is nan since step 4"),
        ([1.0, INF, INF], "diverged: loss is infinite since step 2"),
        ([1.0, INF, NAN, NAN], "diverged: loss is nan since step 2"),
        ([-INF] * 9 + [NAN], "diverged: loss is nan since step 1"),  # never finite: ten rows
        ([1.0, NAN], None),  # one alone may be an accident
        ([1.0, NAN, 0.5], None),
        ([NAN] * 9, None),  # not validated yet
        ([NAN] * 9 + [1.0], None),
        ([NAN] * 4 + [1.0] + [NAN] * 4, None),  # nan in between validations
        ([NAN] * 4 + [1.0] + [NAN] * 5, "diverged: loss is nan since step 6"),
        ([1e308, 1e300], None),
        ([], None),
    ],
)
def test_objectives_that_stay_nan_or_infinite_end_a_trial(curve: Curve, said: str | None) -> None:
    assert gone(curves(study(), curve)).get(0) == said


def test_what_other_trials_recovered_from_is_borne_and_what_they_never_had_is_not() -> None:
    assert gone(curves(study(), [1.0, 0.5], [NAN, NAN])) == {1: "diverged: loss is nan since step 1"}
    assert gone(curves(study(), [NAN, NAN, NAN, 1.0], [1.0, NAN, NAN, NAN], [1.0] + [NAN] * 4)) == {
        2: "diverged: loss is nan since step 2"
    }


def test_nan_beside_a_finite_loss_may_be_what_was_not_measured() -> None:
    def rows(count: int) -> list[Row]:
        return [Row(1, {"loss": 1.0})] + [Row(i + 2, {"loss": NAN, "train_loss": 1.0}) for i in range(count)]

    history = rows_of(opened(study()), 0, rows(9))
    assert gone(history) == {}
    assert gone(rows_of(history, 0, rows(10))) == {0: "diverged: loss is nan since step 2"}
    lacking = [Row(1, {"loss": 1.0}), *(Row(i, {"train_loss": 1.0}) for i in range(2, 40))]
    assert gone(rows_of(history, 0, lacking)) == {}


def test_any_of_several_objectives_may_diverge_and_the_last_step_is_left_alone() -> None:
    both = curves(study(objectives=TWO), [(1.0, 0.5), (NAN, NAN), (INF, NAN)])
    assert gone(both) == {0: "diverged: loss is infinite since step 2"}
    only = [Row(1, {"loss": 1.0, "acc": 0.5}), *(Row(i, {"acc": NAN}) for i in (2, 3))]
    assert gone(rows_of(opened(both.spec), 0, only)) == {0: "diverged: acc is nan since step 2"}
    history = done(curves(study(), [1.0] * 3), 0)
    assert gone(report(history, 1, [1.0, NAN, NAN])) == {}
    assert gone(report(history, 1, [NAN, NAN])) == {1: "diverged: loss is nan since step 1"}


def test_diverged_is_on_unless_the_study_says_off() -> None:
    for on in (True, False):
        spec = spec_of(SPACES["one float"], stop=(Named(DIVERGED),) if on else ())
        history = curves(spec, [1.0, NAN, NAN])
        assert bool(stopper(spec).diverged(history.trials[0], history, 0.0)) is on


@settings(max_examples=some(40), deadline=None)
@given(st.randoms(use_true_random=False))
def test_what_was_seen_before_changes_no_answer_about_divergence(rng: random.Random) -> None:
    spec = study()
    rule, history = DivergedStopper(spec), opened(spec)
    for _ in range(25):
        trial = rng.randrange(history.next_id + 1)
        if trial < history.next_id and history.trials[trial].state.ended:
            continue
        history = report(history, trial, [rng.choice([1.0, NAN, NAN]) for _ in range(rng.randrange(12))])
        if rng.random() < 0.2:
            history = apply(history, TrialEnded(0.0, trial, "failed", None, "x", {"code": 1}))
        assert {t.id: w for t in history.running if (w := rule.diverged(t, history, 0.0))} == gone(history)


# -- answers of plugins ------------------------------------------------------------------------------------------------


async def _later() -> None: ...


@pytest.mark.parametrize("method", ["diverged", "end_trial", "end_study", "halt"])
@pytest.mark.parametrize(
    ("answer", "shown"), [(lambda: 3, "3"), (lambda: 0, "0"), (lambda: False, "False"), (lambda: ["a"], "['a']"),
                          (_later, "<coroutine")],
)  # fmt: skip
def test_answer_that_is_no_reason_is_refused_in_one_line(method: str, answer: Any, shown: str) -> None:
    rule = type("Mine", (Rule,), {method: lambda *args: answer()})()
    with pytest.raises(StopperError) as caught:
        getattr(FirstOf([rule]), method)(*([None] * (2 if method in ("end_study", "halt") else 3)))
    line = str(caught.value)
    assert line.startswith(f"the stopper Mine answered {shown}") and line.endswith(
        "; it must be a reason in words or None"
    )


def test_reason_for_a_halt_may_be_text_alone_and_becomes_one_line() -> None:
    rule = type("Mine", (Rule,), {"halt": lambda *args: "somebody\n must look", "end_study": lambda *args: ""})()
    history: Any = None
    assert FirstOf([rule]).halt(history, 0.0) == Halt("Mine", "somebody must look")
    assert FirstOf([rule]).end_study(history, 0.0) is None
