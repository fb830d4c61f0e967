"""Trials whose objective is beyond a bound end as those that are not finite do."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine.stoppers import DivergedStopper
from hpo_engine.study.events import AttemptIntended, MetricsSeen, TrialProposed, apply
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective, Row
from hpo_engine.study.spec import StudySpec
from hpo_engine.testing.histories import SPACES, opened, spec_of
from tests.support.examples import some

NAN, INF = math.nan, math.inf


def curves(spec: StudySpec, *all_: Any) -> History:
    history = opened(spec)
    for trial, values in enumerate(all_):
        history = apply(history, TrialProposed(0.0, trial, {"x": 0.0}))
        history = apply(history, AttemptIntended(0.0, trial, 1, f"n{trial}"))
        rows = tuple(Row(i + 1, {spec.objectives[0].metric: v}) for i, v in enumerate(values))
        history = apply(history, MetricsSeen(0.0, trial, rows)) if rows else history
    return history


def said(history: History, trial: int = 0, **options: Any) -> tuple[str | None, str | None]:
    """What it says of a trial: with what it had before, and without."""
    rule, about = DivergedStopper(history.spec, **options), history.trials[trial]
    return rule.diverged(about, history, 1.0), rule.end_trial(about, history, 1.0)


def study(over: str = "best", goal: str = "minimize") -> StudySpec:
    return spec_of(SPACES["one float"], objectives=(Objective("loss", goal, over),))


@pytest.mark.parametrize(
    ("values", "over", "keeps", "drops"),
    [
        ([1, 2, 90, 101], "best", None, None),  # one row may be an accident
        ([1, 2, 101, 102], "best", "diverged: loss is above 100 since step 3", None),
        ([1, 2, 101, 102], "last", None, "diverged: loss is above 100 since step 3"),
        ([1, 2, 101, NAN], "last", "diverged: loss is nan since step 3", None),  # it has no value at all
        ([1, 101, 102, 3, 101, 102], "best", None, None),  # it has recovered from as much
        ([101] * 9, "best", None, None),  # a curve may begin high
        ([101] * 10, "best", None, "diverged: loss is above 100 since step 1"),
        ([100, 100, 100], "best", None, None),
    ],
)
def test_a_bound_ends_trials_on_its_worse_side(values: Any, over: str, keeps: str | None, drops: str | None) -> None:
    assert said(curves(study(over), values), bound=100) == (keeps, drops)
    flipped = curves(study(over, "maximize"), [-v for v in values])
    below = [text and text.replace("above 100", "below -100") for text in (keeps, drops)]
    assert said(flipped, bound=-100) == tuple(below)
    assert said(curves(study(over), [v if v < 101 else 99.0 for v in values]), bound=100)[1] is None


@settings(max_examples=some(30), deadline=None)
@given(st.randoms(use_true_random=False))
def test_a_value_beyond_the_bound_is_as_bad_as_an_infinite_one(rng: random.Random) -> None:
    """With infinity in its place, the rule without a bound ends the same trials."""
    all_ = [[rng.choice([0.0, 1.0, 11.0, 12.0]) for _ in range(rng.randrange(14))] for _ in range(4)]
    bounded = curves(study(), *all_)
    endless = curves(study(), *[[v if v <= 10 else INF for v in values] for values in all_])
    for trial in range(4):
        assert any(said(bounded, trial, bound=10.0)) == any(said(endless, trial)), all_
        assert said(bounded, trial) == (None, None)
