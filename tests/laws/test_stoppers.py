"""The laws of stoppers over ours, and over one that breaks each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hpo_engine import assembly
from hpo_engine.stoppers import BudgetStopper, Rule
from hpo_engine.study.history import History
from hpo_engine.study.spec import BUDGET, DIVERGED, NO_IMPROVEMENT, REGRET, TARGET, Budget, StudySpec
from hpo_engine.study.trial import Trial
from hpo_engine.testing import StopperLaws

# Options beside the defaults; those that a rule cannot do without first.
OPTIONS: dict[str, list[dict[str, Any]]] = {
    TARGET: [{"value": 0.4}],
    BUDGET: [{"epochs": 20}, {"seconds": 9.0}, {"cost": 0.002, "price": 0.5}],
    NO_IMPROVEMENT: [{"patience": 2}, {"patience": 3, "scope": "study", "min_delta": 0.05}],
    DIVERGED: [{}, {"bound": 0.7}],
    REGRET: [{"below": 0.5, "min_trials": 5}],
}


@pytest.mark.parametrize(
    ("name", "options"), [(name, options) for name in assembly.STOPPERS for options in OPTIONS.get(name, [{}])]
)
class TestOurs(StopperLaws):
    @pytest.fixture(autouse=True)
    def _rule(self, name: str, options: dict[str, Any]) -> None:
        self.name, self.options = name, options

    def make(self, spec: StudySpec) -> Rule:
        rule: Rule = assembly.STOPPERS.make(self.name, self.options, spec, folder="/", path="stop")
        return rule


class TestBudget(StopperLaws):
    def make(self, spec: StudySpec) -> Rule:
        return BudgetStopper()

    def specs(self) -> dict[str, StudySpec]:
        return {name: replace(spec, budget=Budget(60, 20.0)) for name, spec in super().specs().items()}


class TestAllTogether(StopperLaws):
    def make(self, spec: StudySpec) -> Rule:
        return assembly.stopper(spec)


class Remembers(Rule):
    def __init__(self) -> None:
        self.asked = 0

    def end_study(self, history: History, now: float) -> str | None:
        self.asked += 1
        return "enough" if self.asked > 5 else None


class EndsAtOnce(Rule):
    def end_study(self, history: History, now: float) -> str | None:
        return "no"


class Rambles(Rule):
    def end_trial(self, trial: Trial, history: History, now: float) -> str | None:
        return "not\npromising"


class Clears(Rule):
    def end_trial(self, trial: Trial, history: History, now: float) -> str | None:
        trial.params.clear()  # type: ignore[attr-defined]
        return None


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (Remembers, "test_a_new_one_answers_as_one_that_saw_every_history"),
        (Remembers, "test_the_same_question_has_the_same_answer"),
        (EndsAtOnce, "test_a_study_without_trials_goes_on"),
        (Rambles, "test_an_answer_is_a_reason_in_one_line"),
        (Clears, "test_the_history_is_left_as_it_is"),
    ],
)
def test_a_stopper_that_breaks_a_law_is_caught_by_it(broken: type[Rule], law: str) -> None:
    class Laws(StopperLaws):
        def make(self, spec: StudySpec) -> Rule:
            return broken()

    with pytest.raises(AssertionError):
        getattr(Laws(), law)()
