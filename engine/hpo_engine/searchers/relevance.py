"""How distance an earlier study can be trusted, judged by the new study's own trials."""

from __future__ import annotations

import math

import numpy as np

from hpo_engine.searchers.observations import Observations
from hpo_engine.searchers.prior import distances

_NEIGHBOURS = 5
_OWN = 100  # trials of the new study that an earlier one is compared with
_PRIOR_AGREEMENT, _PRIOR_TRIALS = 0.75, 4.0  # before any trial: share of agreeing pairs, and its weight in trials


def relevance(observed: Observations) -> np.ndarray:  # (k,) in [0, 1]
    """How distance each earlier study can be trusted: by the share of pairs of the new study's trials that it orders
    correctly. 0.5 without any trial; 1 if all pairs are correct, towards 0 if at most half of them are.

    An earlier study predicts by the mean rank of the nearest of its points.
    """
    k = int(observed.prior_studies.max()) + 1 if len(observed.prior_studies) else 0
    out = np.zeros(k)
    n = len(observed.losses)
    own = np.unique(np.linspace(0, n - 1, min(n, _OWN)).astype(int)) if n else np.empty(0, dtype=int)
    points, losses = observed.points[own], observed.losses[own]
    for study in range(k):
        of = observed.prior_studies == study
        predicted = _predicted(points, observed.prior_points[of], observed.prior_losses[of])
        right, known = _agreement(predicted, losses)
        agreement = (known * right + _PRIOR_TRIALS * _PRIOR_AGREEMENT) / (known + _PRIOR_TRIALS)
        out[study] = min(1.0, max(0.0, 2.0 * agreement - 1.0))
    return out


def _predicted(points: np.ndarray, earlier: np.ndarray, ranks: np.ndarray) -> np.ndarray:  # (n, d) -> (n,)
    near = min(_NEIGHBOURS, len(ranks))
    if not len(points) or not near:
        return np.full(len(points), 0.5)
    distance = distances(points, earlier)
    chosen = np.argpartition(distance, near - 1, axis=1)[:, :near]
    weights = 1.0 / (np.take_along_axis(distance, chosen, axis=1) + 1e-3)
    predicted: np.ndarray = (weights * ranks[chosen]).sum(axis=1) / weights.sum(axis=1)
    return predicted


def _agreement(predicted: np.ndarray, losses: np.ndarray) -> tuple[float, float]:
    """The share of pairs predicted in the right order (a tie counts half), and the number of trials in them."""
    i, j = np.triu_indices(len(losses), 1)
    different = losses[i] != losses[j]
    i, j = i[different], j[different]
    if not len(i):
        return 0.5, 0.0
    right = np.sign(predicted[i] - predicted[j]) * np.sign(losses[i] / 2 - losses[j] / 2)
    return float((right + 1).mean() / 2), math.sqrt(2.0 * len(i))
