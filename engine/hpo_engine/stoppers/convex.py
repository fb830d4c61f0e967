"""Ending trials that would be worse than the best one even if they went on improving at their present pace."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hpo_engine.plugins.card import Card, Option
from hpo_engine.stoppers.live import no_live_rows
from hpo_engine.stoppers.reported import Curve
from hpo_engine.stoppers.rule import Rule
from hpo_engine.stoppers.rungs import Steps
from hpo_engine.stoppers.standing import Losses
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Trial

MIN_COMPLETED = Option("no trial ends before this many have completed with as much of the resource", int, 3, least=1)


class ConvexStopper(Rule):
    """Ends a running trial if even an overestimate of what it will have in the end is worse than the best.

    The overestimate continues the curve in a straight line to the last step. A training that converges improves ever
    more slowly (its loss is convex), so it stays above that line. The line begins at the best value so far. Its slope
    is the steepest among those from the best value at an earlier point of the second half of the steps to the best
    value now, which noise makes steeper rather than flatter. If there was no improvement in the second half, the points
    of the first half count, too. No trial ends whose reports are all equal, or beyond the last step.

    The last step is the latest one at which a completed trial with as much of the resource has ended. The best is the
    best result with as much of it; with several objectives each has its line, and a trial ends if a result is at least
    as good in all of them and better in one.

    Source: ConvexAutomatedStoppingSpec of Google's Vertex AI Vizier (reference of StudySpec), which overestimates by
    the slope and predicts nothing for flat curves; how the slope is taken from noisy reports is ours.
    """

    card = Card(
        summary="ends running trials that would end worse than the best even if they kept improving as they do now",
        suits="the safest of these rules: curves that cross late, such as those of slow learning rates, are let run",
        source="ConvexAutomatedStoppingSpec of Google's Vertex AI Vizier",
        options={
            "grace": Option("no trial ends before it has reported at this many steps", int, 4, least=2),
            "min_completed": MIN_COMPLETED,
        },
    )

    def __init__(self, spec: StudySpec, *, grace: int = 4, min_completed: int = 3) -> None:
        self._grace, self._min_completed = grace, min_completed
        self._steps = Steps()

    def end_trial(self, trial: Trial, history: History, now: float) -> str | None:
        at = self._steps.last(trial, history)
        last = self._steps.end(trial, history)
        if at is None or not at < last < math.inf or self._steps.at_end(trial, history):
            return None
        results = self._steps.results(trial)
        curve = self._steps.group(trial).curves[trial.id]
        if len(results) < self._min_completed or len(curve.steps) < self._grace:
            return None
        bound = overestimate(curve, last)
        if bound is None or not results.beat(bound):
            return None
        values = " and ".join(f"{aim.value(x):g}" for aim, x in zip(history.spec.objectives, bound, strict=True))
        return f"not promising: not even {values}, a straight line to step {last:g}, is as good as the best trial"

    def idle(self, history: History, now: float) -> str | None:
        return no_live_rows(history, "convex", "has nothing to extrapolate")


def overestimate(curve: Curve, last: float) -> Losses | None:
    """A bound below the losses at the step `last` of a curve whose losses are convex; None: nothing can be said."""
    finite = [(step, report) for step, report in zip(curve.steps, curve.reports, strict=True) if _finite(report)]
    if len(finite) < 2 or len({report for _, report in finite}) < 2:
        return None
    steps = [step for step, _ in finite]
    bounds = [_line(steps, [report[k] for _, report in finite], last) for k in range(len(finite[0][1]))]
    return tuple(min(bound, *own) for bound, own in zip(bounds, zip(curve.values[-1], strict=True), strict=True))


def _line(steps: Sequence[float], losses: Sequence[float], last: float) -> float:
    best = [losses[0]]
    for loss in losses[1:]:
        best.append(min(best[-1], loss))
    now, half = steps[-1], (steps[0] + steps[-1]) / 2
    slopes = [(best[-1] - b) / (now - step) for step, b in zip(steps[:-1], best[:-1], strict=True)]
    late = [slope for step, slope in zip(steps[:-1], slopes, strict=True) if step >= half]
    slope = min(late, default=0.0) or min(slopes)
    return best[-1] + slope * (last - now)


def _finite(losses: Losses) -> bool:
    return all(map(math.isfinite, losses))
