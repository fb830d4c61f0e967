"""Which points have been tried already; NaN is a value like any other."""

from __future__ import annotations

import numpy as np


def untaken(points: np.ndarray, taken: np.ndarray) -> np.ndarray:  # (m, d), (t, d) -> (at most m, d)
    """Those points that are none of the taken ones."""
    if not len(taken) or not len(points):
        return points
    d = points.shape[1]
    odd = np.random.default_rng(0).integers(2**62, size=d) * 2 + 1
    out: np.ndarray = points[~np.isin(_whole(points) @ odd, _whole(taken) @ odd)]
    return out


def _whole(points: np.ndarray) -> np.ndarray:
    """Points as whole numbers, equal where the points are (to 1e-12); inactive: -1."""
    out: np.ndarray = np.rint(np.nan_to_num(points, nan=-1e-12) * 1e12).astype(np.int64)
    return out
