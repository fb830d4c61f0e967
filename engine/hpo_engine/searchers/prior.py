"""Trials of earlier studies for a new one: those that fit its space, and those worth trying first.

Only the ranks of an earlier study's losses count, so other data, scales and metrics do no harm. Whether the study is
comparable at all is decided by `relevance`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from hpo_engine.space.axes import Axis
from hpo_engine.space.partial import allowed_completion
from hpo_engine.space.searchspace import Choice, Constant, Float, Int, SearchSpace
from hpo_engine.study.spec import PriorTrial, StudySpec
from hpo_engine.study.trial import Trial

MOST_POINTS = 300  # kept of one study
MOST_STARTS = 5


# -- at submit: what is kept of an earlier study -----------------------------------------------------------------------


def reduced(study: int, space: SearchSpace, trials: Sequence[Trial], losses: Sequence[float]) -> tuple[PriorTrial, ...]:
    """The completed trials of an earlier study, as number `study`, the best first.

    Kept are parameters that the new space has under the same name, with values that it holds there; ranks go from 0,
    the best, to 1. Of more than 300 the best 100 are kept, and an even sample of the others. Trials with less of a
    resource than others are dropped.
    """
    most = max((t.proposal.resource or 0 for t in trials), default=0)
    full = [(loss, t) for loss, t in zip(losses, trials, strict=True) if (t.proposal.resource or 0) == most]
    full.sort(key=lambda item: (item[0], item[1].id))
    points = list[PriorTrial]()
    for params, rank in zip([_fitting(space, t.params) for _, t in full], _ranks([x for x, _ in full]), strict=True):
        if params:
            points.append(PriorTrial(study, params, round(rank, 6)))
    return tuple(_thinned(points))


def _fitting(space: SearchSpace, params: Mapping[str, Any]) -> dict[str, Any]:
    """The part of an earlier configuration that is valid in the new space."""
    out = {
        p.name: space.axis(p.name).tidy(params[p.name])
        for p in space.dimensions
        if p.name in params and _held(p, space.axis(p.name), params[p.name])
    }
    constants = {p.name: p.value for p in space.params if isinstance(p, Constant)}
    vector = space.vector({**out, **constants})
    return {p.name: out[p.name] for p, u in zip(space.dimensions, vector, strict=True) if u == u and p.name in out}


def _held(param: Float | Int | Choice, axis: Axis, value: Any) -> bool:
    """Whether the value is a choice of the new parameter, or within its bounds (the nearest step will do)."""
    if isinstance(param, Choice):
        return axis.problem(value) is None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    low, high = sorted((axis.decode(0.0), axis.decode(1.0)))
    return bool(low <= value <= high)


def _ranks(losses: Sequence[float]) -> list[float]:
    """Ranks of sorted losses, from 0 to 1; equal losses share their mean rank."""
    out = np.arange(len(losses), dtype=float)
    values = np.array(losses, dtype=float)
    for value in np.unique(values):
        same = values == value
        out[same] = out[same].mean()
    return [float(r) for r in out / max(1, len(losses) - 1)]


def _thinned(points: list[PriorTrial]) -> list[PriorTrial]:
    best = MOST_POINTS // 3
    if len(points) <= MOST_POINTS:
        return points
    rest = np.linspace(best, len(points) - 1, MOST_POINTS - best).astype(int)
    return [*points[:best], *(points[i] for i in rest)]


# -- in the search -----------------------------------------------------------------------------------------------------


def starts(spec: StudySpec) -> list[tuple[int, dict[str, Any]]]:
    """Configurations to try first, good in their study and not all alike: (number of the study, parameters, some of
    which may be missing).

    The studies take turns: each first with its best trial, then with the one of its best tenth (at least ten trials)
    that is furthest from those chosen.
    """
    good: dict[int, list[dict[str, Any]]] = {}
    for study, of_study in groupby(spec.prior, lambda trial: trial.study):
        trials = list(of_study)
        shown = trials[: max(10, len(trials) // 10)]
        good[study] = [dict(trial.params) for trial in shown if trial.rank <= 0.5 or trial is shown[0]]
    most = min(MOST_STARTS, max(3, 2 * len(good)))
    chosen: list[tuple[int, dict[str, Any]]] = []
    vectors: list[list[float]] = []
    for turn in range(most):
        for study, params in good.items():
            if not params or len(chosen) == most:
                continue
            points = np.array([spec.space.vector(p) for p in params])
            i = int(np.argmax(distances(points, np.array(vectors)).min(axis=1))) if turn else 0
            vectors.append(points[i].tolist())
            chosen.append((study, params.pop(i)))
    rng = random.Random(f"{spec.seed or 0}/0/instead")
    return [(study, params) for study, params in chosen if allowed_completion(spec.space, params, {}, rng.random)]


def arrays(spec: StudySpec) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points (m, d), NaN for what is missing; their ranks (m,) in [0, 1]; the number of their study (m,)."""
    points = np.array([spec.space.vector(trial.params) for trial in spec.prior], dtype=float)
    shape = len(spec.prior), len(spec.space.dimensions)
    ranks, studies = [trial.rank for trial in spec.prior], [trial.study for trial in spec.prior]
    return points.reshape(shape), np.array(ranks), np.array(studies, dtype=int)


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:  # (n, d), (m, d) -> (n, m)
    """Root mean square over the dimensions that both have; 0.5 if there is none."""
    both = ~np.isnan(a)[:, None, :] & ~np.isnan(b)[None, :, :]
    gaps = np.where(both, np.nan_to_num(a)[:, None, :] - np.nan_to_num(b)[None, :, :], 0.0)
    shared = both.sum(axis=2)
    return np.where(shared > 0, np.sqrt((gaps**2).sum(axis=2) / np.maximum(shared, 1)), 0.5)
