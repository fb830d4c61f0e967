"""Ending the study once it has what was wanted."""

from __future__ import annotations

from collections.abc import Sequence

from hpo_engine.plugins.card import Card, Option
from hpo_engine.stoppers.per_objective import per_objective
from hpo_engine.stoppers.rule import Rule
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Trial


class TargetStopper(Rule):
    """Ends the study when one trial has reached the value of every objective.

    Only results of trials that have ended count, and only those with the most of a resource, which are the ones that
    the best trial is chosen from.
    """

    card = Card(
        summary="ends the study when a trial has reached a value of the objective",
        suits="a value that is good enough",
        options={
            "value": Option("the objective's value; with several objectives a list in their order", float, many=True)
        },
    )

    def __init__(self, spec: StudySpec, *, value: float | Sequence[float] | None = None) -> None:
        if value is None:
            names = " and ".join(aim.metric for aim in spec.objectives)
            raise ValueError(f"value is missing: that of {names} at which the study ends, as in target value=0.1")
        self._values = per_objective(value, spec, "value")
        self._losses = [aim.loss(v) for aim, v in zip(spec.objectives, self._values, strict=True)]

    def end_study(self, history: History, now: float) -> str | None:
        # A trial that reaches all values is in the front, or is dominated by one that reaches them, too.
        for losses, number in history.front:
            if all(loss <= wanted for loss, wanted in zip(losses, self._losses, strict=True)):
                return f"target reached: trial {number} has {self._shown(history.trials[number], history)}"
        return None

    def _shown(self, trial: Trial, history: History) -> str:
        found = zip(history.spec.objectives, history.values(trial), self._values, strict=True)
        return " and ".join(f"{aim.metric} {value:.6g} ({_wanted(aim)} {goal:g})" for aim, value, goal in found)


def _wanted(aim: Objective) -> str:
    return "at least" if aim.goal == "maximize" else "at most"
