"""Extremely randomised trees on arrays: the surrogate that answers for configurations that nobody trained.

Grown in NumPy alone, all trees at once and level by level, so that every environment computes the same values.
Source: Geurts, Ernst and Wehenkel, Extremely randomized trees, Machine Learning 2006.
"""

from __future__ import annotations

import numpy as np

_LEVELS = 80


class Forest:
    """Trees that are grown until each leaf has one row, or rows with equal `key`: exact at the rows it has seen.

    Args:
        x: (n, f), finite. key: (n,), what the splits are to tell apart. values: (n, m), what leaves answer.
    """

    def __init__(self, x: np.ndarray, key: np.ndarray, values: np.ndarray, trees: int = 32, seed: int = 0) -> None:
        rng = np.random.Generator(np.random.PCG64(seed))
        n, f = x.shape
        self._feature: list[np.ndarray] = []
        self._threshold: list[np.ndarray] = []
        self._left: list[np.ndarray] = []
        rows = np.tile(np.arange(n), trees)  # sorted by node; nodes of a level are numbered from `base`
        starts = np.arange(trees) * n
        base, leaves = 0, []
        self._values: list[np.ndarray] = []
        for _ in range(_LEVELS):
            counts = np.diff(np.append(starts, len(rows)))
            node = np.repeat(np.arange(len(starts)), counts)
            best = _Best(len(starts))
            open_ = np.maximum.reduceat(key[rows], starts) > np.minimum.reduceat(key[rows], starts)
            wanted = open_
            for draw in range(6 * f):
                if draw >= f:  # enough to choose from; more only where no draw parted the rows yet
                    wanted = open_ & ~np.isfinite(best.score)
                if not wanted.any():
                    break
                best.offer(x, key, rows, starts, counts, node, rng, wanted)
            split = open_ & np.isfinite(best.score)
            means = np.add.reduceat(values[rows], starts, axis=0) / counts[:, None]
            here = base + np.arange(len(starts))
            left = np.where(split, base + len(starts) + 2 * (np.cumsum(split) - 1), here)
            # A node that no draw could part is a leaf: its rows are equal.
            self._feature.append(best.feature)
            self._threshold.append(np.where(split, best.threshold, np.inf))
            self._left.append(left)
            self._values.append(means)
            leaves.append(~split)
            base += len(starts)
            keep = split[node]
            if not keep.any():
                break
            rows, node = rows[keep], node[keep]
            right = x[rows, best.feature[node]] > best.threshold[node]
            order = np.argsort(2 * node + right, kind="stable")
            rows, group = rows[order], (2 * node + right)[order]
            starts = np.flatnonzero(np.append(True, np.diff(group) > 0))
        self._trees = trees
        self._join()

    def _join(self) -> None:
        self._f = np.concatenate(self._feature)
        self._t = np.concatenate(self._threshold)
        self._l = np.concatenate(self._left)
        self._v = np.concatenate(self._values)
        self._depth = len(self._feature)

    def predict(self, x: np.ndarray) -> np.ndarray:  # (k, f) -> (k, m)
        at = np.tile(np.arange(self._trees), (len(x), 1))
        rows = np.arange(len(x))[:, None]
        for _ in range(self._depth):
            # Leaves lead to themselves: nothing is above their threshold.
            after = self._l[at] + (x[rows, self._f[at]] > self._t[at])
            if (after == at).all():
                break
            at = after
        return self._v[at].mean(axis=1)


class _Best:
    """The best split so far of each node of a level."""

    def __init__(self, nodes: int) -> None:
        self.score = np.full(nodes, -np.inf)
        self.feature = np.zeros(nodes, dtype=np.int64)
        self.threshold = np.zeros(nodes)

    def offer(
        self, x: np.ndarray, key: np.ndarray, rows: np.ndarray, starts: np.ndarray, counts: np.ndarray,
        node: np.ndarray, rng: np.random.Generator, wanted: np.ndarray,
    ) -> None:  # fmt: skip
        """One random split more for each node that is wanted."""
        feature = rng.integers(x.shape[1], size=len(starts))
        u = rng.random(len(starts))
        column = x[rows, feature[node]]
        low, high = np.minimum.reduceat(column, starts), np.maximum.reduceat(column, starts)
        threshold = low + u * (high - low)
        threshold = np.where(threshold >= high, low, threshold)
        left = column <= threshold[node]
        values = key[rows]
        n_left = np.add.reduceat(left.astype(float), starts)
        s_left = np.add.reduceat(np.where(left, values, 0.0), starts)
        total = np.add.reduceat(values, starts)
        n_right = counts - n_left
        score = np.where(n_right > 0, s_left**2 / n_left + (total - s_left) ** 2 / np.maximum(n_right, 1), -np.inf)
        better = wanted & (score > self.score)
        self.score = np.where(better, score, self.score)
        self.feature = np.where(better, feature, self.feature)
        self.threshold = np.where(better, threshold, self.threshold)
