"""Ending trials whose best value is worse than what others had on the average by the same step."""

from __future__ import annotations

from hpo_engine.plugins.card import Card
from hpo_engine.stoppers.live import no_live_rows
from hpo_engine.stoppers.percentile import GRACE, MIN_RIVALS
from hpo_engine.stoppers.rule import Rule
from hpo_engine.stoppers.rungs import Steps
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Trial


class MedianStopper(Rule):
    """Ends a running trial whose value at a step is worse than the median of the running averages of the others.

    The running average of a trial is the mean of all that it has reported up to the step. The trial's own value is its
    best one by then (or the last, where that is what the objective counts), so a trial has to be bad for some time:
    where curves fall, averages lag behind. It ends if more than half of the averages are better than its value.

    The averages of all trials count that have come as far with as much of the resource, whether they run or how they
    have ended; with several objectives better means a front ahead, as in RankStopper.

    Source: Golovin et al., Google Vizier, KDD 2017, section 3.2.2. Only completed trials count there; here the median
    would then be that of the survivors, and rise as the rule ends more.
    """

    card = Card(
        summary="ends running trials that are worse than the median of the others' running averages at the same step",
        suits="curves that fall for long: the averages lag behind, so it is slow to end anything",
        source="Golovin et al., Google Vizier: A Service for Black-Box Optimization, KDD 2017, section 3.2.2",
        options={"grace": GRACE, "min_rivals": MIN_RIVALS},
    )

    def __init__(self, spec: StudySpec, *, grace: float = 1.0, min_rivals: int = 5) -> None:
        self._grace, self._min_rivals = grace, min_rivals
        self._steps = Steps()

    def end_trial(self, trial: Trial, history: History, now: float) -> str | None:
        step = self._steps.last(trial, history)
        if step is None or step < self._grace:
            return None
        group = self._steps.group(trial)
        own = group.curves[trial.id].values[-1]
        better, rivals = group.at(step, "averages").better_than_value(own, trial.id)
        if rivals < self._min_rivals or 2 * better <= rivals or self._steps.at_end(trial, history):
            return None
        return f"not promising: {better} of {rivals} other trials were better on average by step {step:g}"

    def idle(self, history: History, now: float) -> str | None:
        return no_live_rows(history, "median", "has nothing to compare")
