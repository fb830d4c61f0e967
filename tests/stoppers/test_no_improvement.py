"""A trial or a study that does not get better any more, held against a plain reading of the rule."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine.errors import SpecError
from hpo_engine.stoppers import TrialEnd
from hpo_engine.stoppers.no_improvement import NoImprovementStopper
from hpo_engine.study.events import (
    AttemptIntended,
    MetricsSeen,
    TrialCarriedOn,
    TrialEnded,
    TrialProposed,
    apply,
)
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective, Row
from hpo_engine.study.spec import NO_IMPROVEMENT, Named, Resource, StudySpec
from hpo_engine.study.trial import StopCause
from hpo_engine.testing.histories import SPACES, opened, spec_of
from tests.support.examples import some

TWO = (Objective("loss", over="last"), Objective("acc", "maximize", "last"))
NAN = math.nan


def study(**changes: Any) -> StudySpec:
    return spec_of(SPACES["one float"], **changes)


def begun(history: History, resource: int | None = None) -> History:
    trial = history.next_id
    history = apply(history, TrialProposed(0.0, trial, {"x": 0.0}, resource))
    return apply(history, AttemptIntended(0.0, trial, 1, f"n{trial}"))


def curve(spec: StudySpec, values: Any) -> History:
    names = [aim.metric for aim in spec.objectives]
    rows = tuple(
        Row(i + 1, dict(zip(names, v if isinstance(v, tuple) else (v,), strict=True))) for i, v in enumerate(values)
    )
    return apply(begun(opened(spec)), MetricsSeen(1.0, 0, rows))


def answer(history: History, **options: Any) -> TrialEnd | None:
    return NoImprovementStopper(history.spec, **options).end_trial(history.trials[0], history, 2.0)


@pytest.mark.parametrize(
    ("values", "options", "since"),
    [
        ([3, 2, 1, 1, 1], {"patience": 3}, None),
        ([3, 2, 1, 1, 1, 1], {"patience": 3}, 3),
        ([3, 2, 1, 1, 1, 0.5], {"patience": 3}, None),
        ([3, 2.9, 2.8, 2.7], {"patience": 3, "min_delta": 0.5}, 1),
        ([3, 2.8, 2.6, 2.4], {"patience": 3, "min_delta": 0.5}, None),  # slowly, but it has come far enough
        ([NAN, NAN, NAN], {"patience": 3}, 1),
        ([2, NAN, math.inf, -math.inf], {"patience": 3}, 1),
    ],
)
def test_a_trial_ends_when_its_last_reports_bring_nothing(values: Any, options: Any, since: float | None) -> None:
    found = answer(curve(study(), values), **options)
    assert (found is None) == (since is None)
    if found is not None:
        assert found == TrialEnd(f"no improvement in 3 reports, since step {since}", StopCause.CONVERGED)


def test_what_is_maximised_improves_upwards_and_rows_without_it_do_not_count() -> None:
    spec = study(objectives=(Objective("acc", "maximize"),))
    assert (
        answer(curve(spec, [1, 2, 3, 4]), patience=2) is None and answer(curve(spec, [4, 3, 2]), patience=2) is not None
    )
    rows = (Row(1, {"acc": 1.0}), *(Row(i, {"train": 0.0}) for i in range(2, 30)))
    assert answer(apply(begun(opened(spec)), MetricsSeen(1.0, 0, rows)), patience=2) is None


def test_with_several_objectives_a_report_that_none_dominates_is_an_improvement() -> None:
    spec = study(objectives=TWO)
    assert answer(curve(spec, [(3.0, 0.3), (2.0, 0.2), (1.0, 0.1)]), patience=2) is None
    assert answer(curve(spec, [(1.0, 0.3), (2.0, 0.2), (1.0, 0.3)]), patience=2) is not None
    deltas = {"patience": 2, "min_delta": [0.5, 0.0]}
    assert answer(curve(spec, [(1.0, 0.3), (0.9, 0.3), (0.8, 0.3)]), **deltas) is not None
    assert answer(curve(spec, [(1.0, 0.3), (0.9, 0.31), (0.8, 0.3)]), **deltas) is None


def test_numbers_for_other_than_all_objectives_are_refused() -> None:
    from hpo_engine.assembly import stopper

    rule = Named(NO_IMPROVEMENT, {"min_delta": [0.1, 0.1]})
    with pytest.raises(SpecError, match=r"min_delta must be a list of 1 numbers, one for each of loss"):
        stopper(study(stop=(rule,)))


def test_no_trial_is_ended_at_the_step_where_others_end() -> None:
    history = curve(study(), [1.0] * 5)
    history = apply(history, TrialEnded(2.0, 0, "completed", 1.0, exit={"code": 0}))
    for length in (4, 5, 6):
        trial = history.next_id
        rows = tuple(Row(i + 1, {"loss": 1.0}) for i in range(length))
        history = apply(begun(history), MetricsSeen(1.0, trial, rows))
    rule = NoImprovementStopper(history.spec, patience=3)
    assert [rule.end_trial(history.trials[i], history, 3.0) is not None for i in (1, 2, 3)] == [True, False, True]


# -- against a plain reading -----------------------------------------------------------------------------------------------


def improvements(vectors: list[tuple[float, ...] | None], deltas: list[float]) -> list[bool]:
    """Which of the losses improve, by the words of the rule."""
    out: list[bool] = []
    for i, new in enumerate(vectors):
        before = [vectors[j] for j in range(i) if out[j]]
        dominated = new is not None and any(
            all(old[k] - new[k] <= deltas[k] for k in range(len(new))) for old in before if old is not None
        )
        out.append(new is not None and all(map(math.isfinite, new)) and not dominated)
    return out


@settings(max_examples=some(40), deadline=None)
@given(st.randoms(use_true_random=False), st.booleans(), st.sampled_from([0.0, 0.25, 1.0]))
def test_a_trial_is_ended_as_the_words_say(rng: random.Random, several: bool, delta: float) -> None:
    spec = study(objectives=TWO) if several else study()
    values = [
        (rng.choice([0.0, 0.25, 1.0, 2.0, NAN]), rng.choice([0.0, 0.5, 1.0])) for _ in range(rng.randrange(1, 12))
    ]
    losses = [(a, -b) if several else (a,) for a, b in values]
    history = curve(spec, values if several else [a for a, _ in values])
    deltas = [delta] * len(spec.objectives)
    found = improvements(list(losses), deltas)
    since = next((i for i, better in enumerate(reversed(found)) if better), len(found))
    for patience in (1, 3, 5):
        said = answer(history, patience=patience, min_delta=deltas)
        assert (said is not None) == (since >= patience), (values, patience)


@settings(max_examples=some(25), deadline=None)
@given(st.randoms(use_true_random=False), st.booleans(), st.booleans())
def test_the_study_ends_as_the_words_say(rng: random.Random, several: bool, resource: bool) -> None:
    """Trials begin in any order and end in any other; some are pruned, fail, or are carried on."""
    spec = study(**({"objectives": TWO} if several else {}), resource=Resource("epochs", 9) if resource else None)
    history, now = opened(spec), 0.0
    rule = NoImprovementStopper(spec, patience=3, scope="study", min_delta=[0.25] * len(spec.objectives))
    tries: list[tuple[int, tuple[float, ...] | None]] = []  # resource and losses, in the order of their ends
    for _ in range(25):
        now += 1.0
        move = rng.choice(["begin", "begin", "end", "end", "carry"])
        running = [t for t in history.trials if t.state.value == "running"]
        done = [t for t in history.trials if t.state.value == "completed" and t.trained < 9]
        if move == "begin" or not running:
            history = begun(history, rng.choice([1, 3]) if resource else None)
        elif move == "carry" and resource and done:
            trial = rng.choice(done)
            history = apply(history, TrialCarriedOn(now, trial.id, {"x": 0.0}, 9))
            history = apply(history, AttemptIntended(now, trial.id, len(trial.attempts) + 1, f"m{now}"))
        else:
            trial, how = rng.choice(running), rng.choice(["completed", "completed", "pruned", "failed"])
            value = (rng.choice([0.0, 0.25, 0.5, 1.0, 2.0]), rng.choice([0.0, 0.5, 1.0]))
            values = value if several else value[:1]
            good = how == "completed"
            history = apply(
                history,
                TrialEnded(
                    now, trial.id, how, values[0] if good else None, exit={"code": 0 if good else 1},
                    values=values if several and good else None,
                ),
            )  # fmt: skip
            if how != "failed":
                losses = tuple(aim.loss(v) for aim, v in zip(spec.objectives, values, strict=True))
                tries.append((trial.proposal.resource or 0, losses if good else None))
        given_most = [amount for amount, losses in tries if losses is not None]
        most = max(given_most, default=-1)
        first = next((i for i, (amount, losses) in enumerate(tries) if amount == most and losses is not None), 0)
        counted = [losses for amount, losses in tries[first:] if amount == most]
        better = improvements(counted, [0.25] * len(spec.objectives))
        since = next((i for i, yes in enumerate(reversed(better)) if yes), len(better))
        for each in (
            rule,
            NoImprovementStopper(spec, patience=3, scope="study", min_delta=[0.25] * len(spec.objectives)),
        ):
            assert (each.end_study(history, now) is not None) == (since >= 3 and most >= 0), tries


def test_the_reason_names_the_best_trial() -> None:
    history = opened(study())
    for trial, value in enumerate([3.0, 1.0, 2.0, 1.0]):
        history = begun(history)
        history = apply(history, TrialEnded(float(trial + 1), trial, "completed", value, exit={"code": 0}))
    rule = NoImprovementStopper(history.spec, patience=2, scope="study")
    assert rule.end_study(history, 9.0) == "no improvement: none of the last 2 trials was better than trial 1"
    assert rule.end_trial(history.trials[0], history, 9.0) is None and rule.idle(history, 9.0) is None
