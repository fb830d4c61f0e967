"""Which points have been tried already; NaN is a value like any other."""

from __future__ import annotations

import numpy as np


def untaken(points: np.ndarray, taken: np.ndarray) -> np.ndarray:  # (m, d), (t, d) -> (at most m, d)
    """The points that are not among the taken ones, to within 1e-12."""
    if not len(taken) or not len(points):
        return points
    d = points.shape[1]
    odd = np.random.default_rng(0).integers(2**62, size=d) * 2 + 1
    return points[~np.isin(_whole(points) @ odd, _whole(taken) @ odd)]


def _whole(points: np.ndarray) -> np.ndarray:
    """Points as whole numbers, equal where the points are (to 1e-12); inactive: -1."""
    out: np.ndarray = np.rint(np.nan_to_num(points, nan=-1e-12) * 1e12).astype(np.int64)
    return out
