"""A study ends once one trial has all that was wanted."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine.assembly import stopper
from hpo_engine.errors import SpecError
from hpo_engine.stoppers.target import TargetStopper
from hpo_engine.study.events import AttemptIntended, TrialEnded, TrialProposed, apply
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import TARGET, Named, Resource, StudySpec
from hpo_engine.testing.histories import SPACES, opened, spec_of
from tests.support.examples import some

TWO = (Objective("loss", over="last"), Objective("acc", "maximize", "last"))


def study(**changes: Any) -> StudySpec:
    return spec_of(SPACES["one float"], **changes)


def ended(history: History, *values: float, resource: int | None = None) -> History:
    trial = history.next_id
    history = apply(history, TrialProposed(0.0, trial, {"x": 0.0}, resource))
    history = apply(history, AttemptIntended(0.0, trial, 1, f"n{trial}"))
    several = values if len(values) > 1 else None
    return apply(history, TrialEnded(1.0, trial, "completed", values[0], exit={"code": 0}, values=several))


def test_one_objective_at_its_value_ends_the_study() -> None:
    history = ended(ended(opened(study()), 0.5), 0.1)
    assert TargetStopper(history.spec, value=0.1).end_study(history, 2.0) == (
        "target reached: trial 1 has loss 0.1 (at most 0.1)"
    )
    assert TargetStopper(history.spec, value=0.0999).end_study(history, 2.0) is None
    up = ended(opened(study(objectives=(Objective("acc", "maximize"),))), 0.9)
    assert TargetStopper(up.spec, value=0.9).end_study(up, 2.0) == "target reached: trial 0 has acc 0.9 (at least 0.9)"
    assert TargetStopper(up.spec, value=0.91).end_study(up, 2.0) is None


def test_several_objectives_are_reached_in_one_trial() -> None:
    history = ended(ended(opened(study(objectives=TWO)), 0.1, 0.2), 0.9, 0.9)
    assert TargetStopper(history.spec, value=[0.1, 0.9]).end_study(history, 2.0) is None
    history = ended(history, 0.1, 0.95)
    assert TargetStopper(history.spec, value=[0.1, 0.9]).end_study(history, 2.0) == (
        "target reached: trial 2 has loss 0.1 (at most 0.1) and acc 0.95 (at least 0.9)"
    )


@settings(max_examples=some(30), deadline=None)
@given(st.randoms(use_true_random=False), st.booleans())
def test_it_ends_as_soon_as_any_trial_has_all_of_them(rng: random.Random, resource: bool) -> None:
    spec = study(objectives=TWO, resource=Resource("epochs", 3) if resource else None)
    history, seen = opened(spec), list[tuple[int, float, float]]()
    rule = TargetStopper(spec, value=[0.5, 0.5])
    for _ in range(12):
        amount, loss, acc = (
            rng.choice([1, 3]) if resource else 0,
            rng.choice([0.4, 0.5, 0.6]),
            rng.choice([0.4, 0.5, 0.6]),
        )
        history = ended(history, loss, acc, resource=amount or None)
        seen.append((amount, loss, acc))
        most = max(a for a, _, _ in seen)
        wanted = any(a == most and b <= 0.5 and c >= 0.5 for a, b, c in seen)
        assert (rule.end_study(history, 2.0) is not None) == wanted
        assert (TargetStopper(spec, value=[0.5, 0.5]).end_study(history, 2.0) is not None) == wanted


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "target: value is missing: that of loss at which the study ends, as in target value=0.1"),
        ({"value": [1, 2]}, "target: value must be a list of 1 numbers, one for each of loss"),
        ({"value": "low"}, "value: must be a number, not"),
    ],
)
def test_a_target_that_is_none_is_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        stopper(study(stop=(Named(TARGET, options),)))
