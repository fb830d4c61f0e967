"""Ending trials whose curve, extrapolated, will probably not end better than the best trial."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hpo_engine.plugins.card import Card, Option
from hpo_engine.stoppers.convex import MIN_COMPLETED
from hpo_engine.stoppers.live import no_live_rows
from hpo_engine.stoppers.reported import Curve
from hpo_engine.stoppers.rule import Rule
from hpo_engine.stoppers.rungs import Steps
from hpo_engine.stoppers.standing import Losses
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Trial

_MOST_POINTS = 64  # of a longer curve as many, evenly spread: more do not change what is predicted
_DRAWS = 512  # for several objectives


class CurveStopper(Rule):
    """Ends a running trial if the probability that it will end better than the best is below `probability`.

    Its curve is extrapolated to the last step, the latest one at which a completed trial with as much of the resource
    has ended: an average of power laws and exponentials, each with its posterior probability (`maths.extrapolation`).
    The best is the best result with as much of the resource. With several objectives each is extrapolated by itself,
    and better means that no result is at least as good in all of them. A trial that is already better continues.

    How true the probabilities are is measured in benchmarks/curves.md.

    Source: Domhan et al., IJCAI 2015, sections 3.1 (families of curves) and 4 (the rule); Bayesian model averaging in
    closed form instead of MCMC over their weighted sum.
    """

    card = Card(
        summary="ends running trials that will probably not end better than the best, by extrapolating their curves",
        suits="long trials with smooth curves; the later a trial shows its value, the longer it runs",
        source="Domhan et al., Speeding up Automatic Hyperparameter Optimization of Deep Neural Networks by "
        "Extrapolation of Learning Curves, IJCAI 2015; Hoeting et al., Bayesian Model Averaging, 1999",
        options={
            "probability": Option(
                "a trial ends if it would end better than the best with a lower one", float, 0.05, least=0, above=True,
                most=0.5,
            ),
            "grace": Option("no trial ends before it has reported at this many steps", int, 5, least=3),
            "min_completed": MIN_COMPLETED,
        },
    )  # fmt: skip

    def __init__(self, spec: StudySpec, *, probability: float = 0.05, grace: int = 5, min_completed: int = 3) -> None:
        self._probability, self._grace, self._min_completed = probability, grace, min_completed
        self._steps = Steps()
        self._known: dict[int, tuple[tuple[object, ...], float]] = {}  # of running trials: of what, and the probability

    def end_trial(self, trial: Trial, history: History, now: float) -> str | None:
        at, last = self._steps.last(trial, history), self._steps.end(trial, history)
        if at is None or not at < last < math.inf or self._steps.at_end(trial, history):
            return None
        curve, results = self._steps.group(trial).curves[trial.id], self._steps.results(trial)
        points = [i for i, report in enumerate(curve.reports) if all(map(math.isfinite, report))]
        if len(results) < self._min_completed or len(points) < self._grace:
            return None
        if not results.beat(curve.values[-1]):
            return None
        front = results.front
        key = (curve, len(curve.steps), last, front)  # a curve only grows, or is another one
        known, chance = self._known.get(trial.id, ((), 0.0))
        if known != key:
            chance = probability(curve, points, last, front)
            self._known[trial.id] = key, chance
        if chance >= self._probability:
            return None
        return f"not promising: better than the best trial at step {last:g} with a probability of {chance:.2g} only"

    def idle(self, history: History, now: float) -> str | None:
        return no_live_rows(history, "curve", "has nothing to extrapolate")


def probability(curve: Curve, points: Sequence[int], last: float, front: Sequence[Losses]) -> float:
    """That the curve ends at the step `last` with losses that none of the `front` dominates. `points`: finite ones."""
    import numpy as np

    from hpo_engine.maths.extrapolation import extrapolated  # numpy: only studies with this rule need it

    chosen = np.array(points)[np.unique(np.linspace(0, len(points) - 1, _MOST_POINTS).round().astype(int))]
    steps = np.array([curve.steps[i] for i in chosen], dtype=float)
    reports = np.array([curve.reports[i] for i in chosen], dtype=float)  # (n, k)
    predicted = [extrapolated(steps, column, last) for column in reports.T]
    if len(predicted) == 1:
        return predicted[0].below(min(front)[0])
    rng = np.random.default_rng(0)  # the same draws for every curve
    quantiles = [(rng.permutation(_DRAWS) + 0.5) / _DRAWS for _ in predicted]
    draws = np.stack([p.draws(q) for p, q in zip(predicted, quantiles, strict=True)], axis=1)  # (draws, k)
    worse = np.zeros(_DRAWS, dtype=bool)
    for result in np.array(front):
        worse |= (result <= draws).all(axis=1)
    return float(1 - worse.mean())
