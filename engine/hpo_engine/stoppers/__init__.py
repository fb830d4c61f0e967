"""Rules that end trials and studies early, as functions of (history, now). No clock, no process, no file.

A rule may keep what it has computed from trials that did not change since; dropping that changes no answer, so that a
study that was killed and resumed ends in the same way as one that was not.
"""

from __future__ import annotations

from collections.abc import Sequence

from hpo_engine.stoppers.alike import AlikeStopper
from hpo_engine.stoppers.diverged import DivergedStopper
from hpo_engine.stoppers.misnamed import MisnamedStopper
from hpo_engine.stoppers.rank import RankStopper
from hpo_engine.stoppers.rule import Halt, Rule
from hpo_engine.study.history import History
from hpo_engine.study.trial import Trial

__all__ = [
    "AlikeStopper",
    "BudgetStopper",
    "DivergedStopper",
    "FirstOf",
    "Halt",
    "MisnamedStopper",
    "RankStopper",
    "Rule",
]


class FirstOf(Rule):
    """Several rules; the first one with a reason decides."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)

    def diverged(self, trial: Trial, history: History, now: float) -> str | None:
        return next((why for rule in self._rules if (why := rule.diverged(trial, history, now))), None)

    def end_trial(self, trial: Trial, history: History, now: float) -> str | None:
        return next((why for rule in self._rules if (why := rule.end_trial(trial, history, now))), None)

    def end_study(self, history: History, now: float) -> str | None:
        return next((why for rule in self._rules if (why := rule.end_study(history, now))), None)

    def halt(self, history: History, now: float) -> Halt | None:
        return next((halt for rule in self._rules if (halt := rule.halt(history, now))), None)


class BudgetStopper(Rule):
    """The study's time limit. (A trial's own is kept by whoever runs it, so that it holds without an engine; the
    number of trials is kept by the loop, which proposes no more.)"""

    def end_study(self, history: History, now: float) -> str | None:
        limit = history.spec.budget.time_s
        if limit is not None and history.elapsed_s(now) >= limit:
            return f"time limit of {limit:g} s reached"
        return None
