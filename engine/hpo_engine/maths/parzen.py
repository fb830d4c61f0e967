"""Parzen windows over a mixed space: a weighted mixture of product kernels, to draw from and to evaluate.

Each point has a window. On a continuous dimension it is a Gaussian truncated to [0, 1]; on a discrete one its integral
over each cell; on unordered categories it keeps the point's value with some probability, and else takes any value. If a
point has NaN (the parameter did not apply), its window is the uniform density. Knows arrays only.
"""

# Notation: n windows with centres c, m query points x, d dimensions; widths h. Coordinates are in [0, 1] or NaN.

from __future__ import annotations

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri

_FINE = 0.3  # cells narrower than this part of a window's width count as continuous


class Parzen:
    """The mixture sum_i w_i prod_j k_j(x_j | c_ij, h_j) + w_0, whose last term is the uniform density.

    Args:
        cells: (d,) number of values of each dimension, 0 if it is continuous.
        categorical: (d,) bool, the values have no order.
        centres: (n, d) NaN if a window ignores the dimension.
        widths: (d,) standard deviations, above 0; of a categorical dimension the probability to take any value.
        weights: (n,) >= 0.
        uniform: weight of the uniform density, above 0.
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
        self._cells, self._categorical, self._widths = cells, categorical, widths
        self._blind = np.isnan(centres)
        self._any_blind = bool(self._blind.any())
        self._centres = np.where(self._blind, 0.5, centres)
        total = float(weights.sum()) + uniform
        self._weights, self._uniform = weights / total, uniform / total

    def sample(self, rng: np.random.Generator, m: int) -> np.ndarray:  # (m, d)
        """m independent draws from [0, 1]^d."""
        n, d = self._centres.shape
        which = rng.choice(n + 1, size=m, p=np.append(self._weights, self._uniform))
        out = rng.random((m, d))
        own = which[which < n]
        v, c, h = out[which < n], self._centres[own], self._widths
        low, high = ndtr((0.0 - c) / h), ndtr((1.0 - c) / h)
        drawn = np.clip(c + h * ndtri(np.clip(low + v * (high - low), 1e-300, 1.0)), 0.0, 1.0)
        for j in np.flatnonzero(self._categorical):
            # v below h: any value, and v / h is uniform again; else the window's own
            drawn[:, j] = np.where(v[:, j] < h[j], v[:, j] / h[j], c[:, j])
        out[which < n] = np.where(self._blind[own], v, drawn)
        return out

    def log_density(self, x: np.ndarray) -> np.ndarray:  # (m, d) -> (m,)
        """The log density (for cells, of their mass times their number): 0 is that of the uniform density.

        Args:
            x: query points, centres of cells if discrete; NaN for dimensions that do not count.
        """
        if not len(self._centres):
            return np.zeros(len(x))
        seen = ~np.isnan(x)
        at = np.where(seen, x, 0.5)
        lines = ~self._categorical & ((self._cells == 0) | (self._cells * self._widths * _FINE > 1.0))
        logs = self._on_lines(at[:, lines], seen[:, lines], lines) + np.log(np.maximum(self._weights, 1e-300))
        for j in np.flatnonzero(~lines).tolist():
            logs += self._on_cells(at[:, j], seen[:, j], j)
        last = np.log(self._uniform)
        top = np.maximum(logs.max(axis=1), last)
        logs -= top[:, None]
        np.exp(logs, out=logs)
        out: np.ndarray = top + np.log(logs.sum(axis=1) + np.exp(last - top))
        return out

    def overlap(self, x: np.ndarray, other: np.ndarray) -> np.ndarray:  # (m, d), (k, d) -> (m, k)
        """How much windows on `x` and on `other` overlap: 1 for equal points, 0 far away.

        If only one of two coordinates is NaN they are two widths apart; if both are, they coincide.
        """
        ordered = ~self._categorical
        a, b = np.isnan(x), np.isnan(other)
        far = np.zeros((len(x), len(other)))
        for j in range(x.shape[1]):
            apart = (x[:, j, None] - other[None, :, j]) / self._widths[j]
            if not ordered[j]:
                apart = np.where(np.abs(apart) * self._widths[j] * self._cells[j] < 0.5, 0.0, 1.0 / self._widths[j])
            odd = a[:, j, None] != b[None, :, j]
            far += np.where(odd, 2.0, np.where(a[:, j, None], 0.0, apart)) ** 2
        return np.exp(-0.5 * far)

    def _on_lines(self, x: np.ndarray, seen: np.ndarray, lines: np.ndarray) -> np.ndarray:  # (m, n)
        h, c = self._widths[lines], self._centres[:, lines]
        live = ~self._blind[:, lines]
        norm = np.log(h * (ndtr((1.0 - c) / h) - ndtr(-c / h))) + 0.5 * np.log(2 * np.pi)
        if not self._any_blind and seen.all():
            whole: np.ndarray = -0.5 * _squares(x / h, c / h) - norm.sum(axis=1)
            return whole
        # sum_j (x_j - c_ij)^2 / h_j^2 over the dimensions that both have, in three products
        on, z, t = seen.astype(float), np.where(seen, x / h, 0.0), np.where(live, c / h, 0.0)
        far = z**2 @ live.T.astype(float) - 2.0 * z @ t.T + on @ (t**2).T
        out: np.ndarray = -0.5 * np.maximum(far, 0.0) - on @ np.where(live, norm, 0.0).T
        return out

    def _on_cells(self, x: np.ndarray, seen: np.ndarray, j: int) -> np.ndarray:  # (m, n)
        size, h = int(self._cells[j]), float(self._widths[j])
        places, own = _place(x, size), _place(self._centres[:, j], size)
        if self._categorical[j]:
            kept, drawn = _log_kept(size, h)
            return np.where(seen[:, None] & ~self._blind[:, j], np.where(places[:, None] == own, kept, drawn), 0.0)
        # A last row and column of zeros stand for what does not count.
        table = np.zeros((size + 1, size + 1))
        table[:size, :size] = _masses(size, h)
        return table[np.where(seen, places, size)][:, np.where(self._blind[:, j], size, own)]


def _place(x: np.ndarray, size: int) -> np.ndarray:
    return np.minimum((x * size).astype(np.int64), size - 1)


def _squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:  # (m, d), (n, d) -> (m, n)
    out: np.ndarray = np.maximum((a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2.0 * a @ b.T, 0.0)
    return out


def _log_kept(size: int, h: float) -> tuple[float, float]:
    """log(size * mass) of a window's own value and of each other one, if a value is kept with probability 1 - h, else
    any is drawn (Aitchison and Aitken 1976)."""
    with np.errstate(divide="ignore"):
        kept, drawn = np.maximum(np.log([h + size * (1.0 - h), h]), -1e3).tolist()
    return kept, drawn


def _masses(size: int, h: float) -> np.ndarray:  # (size, size): value, window
    """log(size * mass) of each cell under a Gaussian at the centre of each cell, truncated to [0, 1]."""
    # Before truncation, the mass depends only on the distance of the two cells.
    far, middles = np.arange(size), (np.arange(size) + 0.5) / size
    masses = _log_mass((far - 0.5) / (size * h), (far + 0.5) / (size * h)) + np.log(size)
    whole = np.log(ndtr((1.0 - middles) / h) - ndtr(-middles / h))
    out: np.ndarray = np.maximum(masses[np.abs(far[:, None] - far)] - whole, -1e3)
    return out


def _log_mass(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """log(Phi(b) - Phi(a)) for a < b, exact far out on either side."""
    flip = a > 0
    a, b = np.where(flip, -b, a), np.where(flip, -a, b)
    top = log_ndtr(b)
    out: np.ndarray = top + np.log(-np.expm1(np.minimum(log_ndtr(a) - top, -1e-16)))
    return out
