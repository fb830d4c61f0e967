"""Learning curves for a script to draw: what trials reported of one metric, thinned to what a screen can show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from hpo_engine.reports.ranking import best_first
from hpo_engine.study.history import History
from hpo_engine.study.reached import reached
from hpo_engine.study.trial import Trial

MOST, _POINTS = 300, 240
"""Curves at most, and points of one."""
SHOWS = ("best", "latest", "even")


def of(history: History, metric: str = "", show: str = "best", most: int = 60) -> dict[str, Any]:
    """Curves of a metric, the first objective by default.

    Args:
        show: the best trials, the latest ones, or some of every quality, evenly by rank.
        most: how many curves, 1 to MOST.

    Returns:
        `curves`: trial, state, `x` (steps) and `y` (None where a value is not finite). `total`: trials with a curve.
        `metrics`: those that there are. `goal`: of the metric, "" if it is not an objective.
    """
    metric = metric or history.spec.objectives[0].metric
    goal = next((aim.goal for aim in history.spec.objectives if aim.metric == metric), "")
    ranked = _ranked(history)
    chosen = _chosen(ranked, show, most)
    curves = [found for trial in chosen if (found := _curve(trial, metric)) is not None]
    return {
        "metric": metric, "goal": goal, "metrics": _metrics(history, chosen),
        "step": "step" if history.spec.resource is None else history.spec.resource.name,
        "total": len(ranked), "curves": sorted(curves, key=lambda curve: int(curve["trial"])),
        "best": history.best_id,
    }  # fmt: skip


def _metrics(history: History, trials: Sequence[Trial]) -> list[str]:
    """The objectives, and what else these trials have reported."""
    objectives = dict.fromkeys([aim.metric for aim in history.spec.objectives])
    return list(objectives | dict.fromkeys(name for trial in trials for row in trial.rows for name in row.values))


def _ranked(history: History) -> list[Trial]:
    """The trials that have reported something, the best first; those without a result by what they had reached."""
    good = [trial for trial in best_first(history) if trial.rows]
    known = {trial.id for trial in good}
    rest = [trial for trial in history.trials if trial.rows and trial.id not in known]

    def loss(trial: Trial) -> float:
        found = reached(trial, history.spec.objectives)
        return math.inf if found is None or not found.losses else found.losses[0]

    return good + sorted(rest, key=lambda trial: (loss(trial), trial.id))


def _chosen(ranked: Sequence[Trial], show: str, most: int) -> Sequence[Trial]:
    if len(ranked) <= most:
        return ranked
    if show == "latest":
        return sorted(ranked, key=lambda trial: trial.id)[-most:]
    if show == "even":
        step = (len(ranked) - 1) / max(1, most - 1)
        return [ranked[round(k * step)] for k in range(most)]
    return ranked[:most]


def _curve(trial: Trial, metric: str) -> dict[str, Any] | None:
    """The trial's curve; None if it has reported nothing of the metric."""
    points = [(row.step, row.values[metric]) for row in trial.rows if metric in row.values]
    if not points:
        return None
    if len(points) > _POINTS:
        last = len(points) - 1
        points = [points[round(k * last / (_POINTS - 1))] for k in range(_POINTS)]
    return {
        "trial": trial.id, "state": trial.state.value, "x": [step for step, _ in points],
        "y": [_finite(value) for _, value in points],
    }  # fmt: skip


def _finite(value: Any) -> float | None:
    """Six digits are more than a screen shows."""
    return float(f"{value:.6g}") if isinstance(value, int | float) and math.isfinite(value) else None
