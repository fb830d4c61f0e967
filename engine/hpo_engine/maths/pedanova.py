"""PED-ANOVA: how much the distribution of a coordinate among the best points differs from that among all points.

Notation: n points, g cells of a coordinate with counts c (g,); p_top and p_all are Parzen densities on the cells.
The importance of a coordinate is the Pearson divergence sum(p_all (p_top / p_all - 1)^2); only ratios between
coordinates mean anything.

Source: Watanabe, Bansal and Hutter, PED-ANOVA, IJCAI 2023, eq. 16 and algorithm 1; for coordinates that do not apply
everywhere Conditional PED-ANOVA, arXiv 2601.20800, theorem 4.2.
"""

from __future__ import annotations

import os

import numpy as np
from scipy.special import ndtr

from hpo_engine.system import threads

threads.keep_to_one(os.environ)  # scipy has brought a library of its own
_LEAST_WIDTH = 0.5 / 1.64  # cells: nine tenths of a point's window are in its own cell
_TINY = 1e-12


def importances(
    counts: np.ndarray, top: np.ndarray, ordered: bool, applies: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:  # (s,)
    """The importance of one coordinate, in each of s samples of the points.

    Args:
        counts, top: (s, g) points of each cell: all, and the best of them. ordered: neighbouring cells are similar.
        applies: (s,) the share of all points that have the coordinate, and that of the best. What it decides by
            applying or not is its parent's importance, not its own.
    """
    everywhere, among_best = applies
    p_all, p_top = density(counts, ordered) + _TINY, density(top, ordered) + _TINY
    divergence = (p_all * (p_top / p_all - 1.0) ** 2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = np.where(everywhere > 0, among_best**2 / everywhere, 0.0)
    found: np.ndarray = np.where(top.sum(axis=1) > 0, weight * divergence, 0.0)
    return found


def density(counts: np.ndarray, ordered: bool) -> np.ndarray:  # (s, g) -> (s, g)
    """Parzen densities of counts on cells; rows add up to 1. A point more is spread evenly over all cells."""
    s, g = counts.shape
    total = counts.sum(axis=1, keepdims=True)
    if not ordered:
        # each point's window gives the others a little: 1 / (n + 1) spread over all cells
        own = (counts + total / (total + 1.0) / g) / (1.0 + 1.0 / (total + 1.0))
        unordered: np.ndarray = (own + 1.0 / g) / (own + 1.0 / g).sum(axis=1, keepdims=True)
        return unordered
    edges, cells = np.arange(g + 1) - 0.5, np.arange(g)
    widths = _widths(counts)
    below = ndtr((edges[None, None, :] - cells[None, :, None]) / widths[:, None, None])  # (s, g, g + 1)
    windows = np.diff(below, axis=2) / (below[..., -1:] - below[..., :1])
    wide = np.diff(ndtr((edges - (g - 1) / 2) / g))
    found: np.ndarray = np.einsum("sc,scx->sx", counts, windows) + wide / wide.sum()
    found /= total + 1.0
    return found


def _widths(counts: np.ndarray) -> np.ndarray:  # (s, g) -> (s,)
    """Scott's rule, with the smaller of the deviation and the interquartile range (Scott 1992), in cells."""
    cells, total = np.arange(counts.shape[1]), np.maximum(counts.sum(axis=1), 1.0)
    mean = counts @ cells / total
    variance = np.maximum(counts @ cells**2 - total * mean**2, 0.0) / np.maximum(1.0, total - 1.0)
    cum = counts.cumsum(axis=1)
    low = (cum >= (total // 4)[:, None]).argmax(axis=1)
    high = (cum > (total * 3 // 4)[:, None]).argmax(axis=1)
    spread = np.minimum(np.sqrt(variance), (high - low) / 1.34)
    found: np.ndarray = np.maximum(1.059 * spread * total**-0.2, _LEAST_WIDTH)
    return found
