"""Points of [0, 1]^d as vectors for a Gaussian process: ordered, categorical and inactive (NaN) coordinates.

Notation: n observed points, m query points, d coordinates, c embedded columns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Kinds:
    """The kind of each coordinate. `levels`: 0 if ordered, else the number of unordered values, which share [0, 1]
    equally. `optional`: whether it may be NaN, which means inactive."""

    levels: np.ndarray  # (d,) whole numbers
    optional: np.ndarray  # (d,) bool

    @classmethod
    def ordered(cls, d: int) -> Kinds:
        return cls(np.zeros(d, dtype=np.int64), np.zeros(d, dtype=bool))


class Embedding:
    """Maps points to vectors whose Euclidean distances the kernel uses, so that any radial kernel is positive definite.

    An ordered coordinate is one column. An inactive one lies at the centre, and a second column is 1/2 while it is
    inactive, so that the shared lengthscale learns the distance to active values. A categorical coordinate is one-hot:
    all its values (inactive is one of them) are 1/2 apart, about as far as two random values of an ordered one; values
    not in `points` share a column. If there are many coordinates (`tied`), all ordered ones share one lengthscale, and
    all categorical ones share another.

    Source: Hutter and Osborne, A Kernel for Hierarchical Parameter Spaces (2013): the embedding of inactive values.
    """

    def __init__(self, kinds: Kinds, points: np.ndarray, tied: bool = False) -> None:  # (n, d)
        self.ordered = np.flatnonzero(kinds.levels == 0)
        self._optional = np.flatnonzero((kinds.levels == 0) & kinds.optional)
        self._categorical: list[int] = np.flatnonzero(kinds.levels > 0).tolist()
        self._levels = kinds.levels
        self._known = [np.unique(self._level(points, j)) for j in self._categorical]
        groups = [np.arange(len(self.ordered)), np.searchsorted(self.ordered, self._optional)]
        if tied:
            groups = [np.zeros_like(part) for part in groups]
        first = int(groups[0].max(initial=-1)) + 1
        named = [np.full(len(known) + 1, first + (0 if tied else i)) for i, known in enumerate(self._known)]
        self.additive = not tied and len(kinds.levels) > 1
        self.groups = np.concatenate([*groups, *named]).astype(np.int64)  # (c,)
        self.size = int(self.groups.max(initial=-1)) + 1

    def __call__(self, points: np.ndarray) -> np.ndarray:  # (m, d) -> (m, c)
        m = len(points)
        out = np.zeros((m, len(self.groups)))
        out[:, : len(self.ordered)] = points[:, self.ordered] - 0.5
        if len(self._optional):
            inactive = np.isnan(points[:, self._optional])
            out[:, len(self.ordered) : len(self.ordered) + len(self._optional)] = 0.5 * inactive
            np.nan_to_num(out, copy=False, nan=0.0)
        start = len(self.ordered) + len(self._optional)
        rows = np.arange(m)
        for j, known in zip(self._categorical, self._known, strict=True):
            level = self._level(points, j)
            place = np.searchsorted(known, level)
            seen = place < len(known)
            seen[seen] = known[place[seen]] == level[seen]
            out[rows, start + np.where(seen, place, len(known))] = math.sqrt(0.125)
            start += len(known) + 1
        return out

    def _level(self, points: np.ndarray, j: int) -> np.ndarray:
        levels = int(self._levels[j])
        column = points[:, j]
        return np.where(np.isnan(column), levels, np.minimum(np.nan_to_num(column) * levels, levels - 1)).astype(int)
