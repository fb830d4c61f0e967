"""Parzen windows over a mixed space: a weighted mixture of product kernels, to draw from and to evaluate.

A window sits on each point. On a line it is a Gaussian cut off at 0 and 1; over cells it is the integral of that over
each cell; over unordered categories it keeps its own with some probability and else takes any. Where a point has NaN
(the parameter did not apply there) its window is the uniform density. Knows arrays only.
"""

# Notation: n windows, m places to evaluate, d dimensions; x in [0, 1]^d or NaN; h > 0 widths (standard deviations).

from __future__ import annotations

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri

_MOST_TABLED = 64  # cells up to which a window's masses are tabled per cell


class Parzen:
    """The mixture sum_i w_i prod_j k_j(x_j | c_ij, h_ij) + w_0, whose last term is the uniform density.

    Args:
        cells: (d,) number of values of each dimension, 0 where it is continuous.
        categorical: (d,) bool, the values have no order.
        centres: (n, d) NaN where a window does not care.
        widths: (n, d) or (d,) standard deviations; of a categorical dimension the probability to take any value.
        weights: (n,) >= 0, not all of them 0 unless `uniform` is above 0.
        uniform: weight of the uniform density.
    """

    def __init__(
        self,
        cells: np.ndarray,
        categorical: np.ndarray,
        centres: np.ndarray,
        widths: np.ndarray,
        weights: np.ndarray,
        uniform: float,
    ) -> None:
        self._cells, self._categorical = cells, categorical
        self._blind = np.isnan(centres)
        self._centres = np.where(self._blind, 0.5, centres)
        self._widths = np.broadcast_to(widths, centres.shape)
        total = float(weights.sum()) + uniform
        self._weights, self._uniform = weights / total, uniform / total

    def sample(self, rng: np.random.Generator, m: int) -> np.ndarray:  # (m, d)
        """m independent draws, as places in [0, 1]; of cells their middles."""
        n, d = self._centres.shape
        which = rng.choice(n + 1, size=m, p=np.append(self._weights, self._uniform))
        u = rng.random((m, d))
        held = which < n
        if not held.any():
            return u
        own = which[held]
        c, h = self._centres[own], self._widths[own]
        low, high = ndtr((0.0 - c) / h), ndtr((1.0 - c) / h)
        v = u[held]
        drawn = np.clip(c + h * ndtri(np.clip(low + v * (high - low), 1e-300, 1.0)), 0.0, 1.0)
        for j in np.flatnonzero(self._categorical):
            stays = rng.random(len(own)) >= h[:, j]
            drawn[:, j] = np.where(stays, c[:, j], v[:, j])
        drawn = np.where(self._blind[own], v, drawn)
        u[held] = drawn
        return u

    def log_density(self, x: np.ndarray) -> np.ndarray:  # (m, d) -> (m,)
        """The log density (over cells: of the mass times the number of cells); 0 is the uniform density's."""
        m, n = len(x), len(self._centres)
        logs = np.zeros((m, n))
        seen = ~np.isnan(x)
        at = np.where(seen, x, 0.5)
        lines = (self._cells == 0) & ~self._categorical
        if lines.any():
            logs += self._on_lines(at[:, lines], seen[:, lines], lines)
        for j in np.flatnonzero(~lines):
            logs += np.where(seen[:, j, None] & ~self._blind[None, :, j], self._on_cells(at[:, j], j), 0.0)
        with np.errstate(divide="ignore"):
            logs += np.log(self._weights)[None, :]
            last = np.log(self._uniform) if self._uniform > 0 else -np.inf
        top = np.maximum(logs.max(axis=1, initial=last), -1e300)
        out: np.ndarray = top + np.log(np.exp(logs - top[:, None]).sum(axis=1) + np.exp(last - top))
        return out

    def _on_lines(self, x: np.ndarray, seen: np.ndarray, lines: np.ndarray) -> np.ndarray:  # (m, n)
        c, h, blind = self._centres[:, lines], self._widths[:, lines], self._blind[:, lines]
        sharp = np.where(blind, 0.0, 1.0 / h)
        squares, middles = sharp**2, c * sharp**2
        norm = np.where(blind, 0.0, np.log(h * (ndtr((1.0 - c) / h) - ndtr(-c / h))) + 0.5 * np.log(2 * np.pi))
        # sum_j s_ij (x_j - c_ij)^2, in three products, over the dimensions that apply
        on = seen.astype(float)
        z = np.where(seen, x, 0.0)
        far = (z**2) @ squares.T - 2.0 * z @ middles.T + on @ (c**2 * squares).T
        out: np.ndarray = -0.5 * np.maximum(far, 0.0) - on @ norm.T
        return out

    def _on_cells(self, x: np.ndarray, j: int) -> np.ndarray:  # (m, n)
        size, c, h = int(self._cells[j]), self._centres[:, j], self._widths[:, j]
        place = np.minimum((x * size).astype(np.int64), size - 1)
        if self._categorical[j]:
            own = np.minimum((c * size).astype(np.int64), size - 1)
            same = place[:, None] == own[None, :]
            with np.errstate(divide="ignore"):
                out: np.ndarray = np.log(np.where(same, size * (1.0 - h) + h, h))
            return out
        if size > _MOST_TABLED:
            norm = np.log(ndtr((1.0 - c) / h) - ndtr(-c / h))
            return _log_mass((x[:, None] - 0.5 / size - c) / h, (x[:, None] + 0.5 / size - c) / h) + np.log(size) - norm
        edges = np.arange(size + 1) / size
        z = (edges[:, None] - c) / h
        table = _log_mass(z[:-1], z[1:]) + np.log(size) - np.log(ndtr(z[-1]) - ndtr(z[0]))
        return table[place]


def _log_mass(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """log(Phi(b) - Phi(a)) for a < b, exact far out on either side."""
    flip = a > 0
    a, b = np.where(flip, -b, a), np.where(flip, -a, b)
    top = log_ndtr(b)
    out: np.ndarray = top + np.log(-np.expm1(np.minimum(log_ndtr(a) - top, -1e-16)))
    return out
