"""A random regression forest on points whose coordinates are bins, and the boxes of its leaves.

Notation: n points, d coordinates, at most b bins for each, L leaves of a tree. Losses are any finite numbers. Bins make
trees quick to grow without a compiler, and let their means over any coordinates be computed exactly: see `anova`.

Source: Breiman, Random forests, Machine Learning 45 (2001); the best split of a categorical coordinate is one of its
bins in the order of their means (Fisher 1958).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_DEEPEST = 40
_MOST_POINTS = 1_000  # that a tree is grown on; more trials than that change shares by less than trees differ


@dataclass(frozen=True)
class Bins:
    """The coordinates of a space as bins.

    Attributes:
        weights: the share of each bin in its coordinate, each row adds up to 1; 0 beyond a coordinate's last bin.
        ordered: whether neighbouring bins are similar.
    """

    weights: np.ndarray  # (d, b)
    ordered: np.ndarray  # (d,) bool


@dataclass(frozen=True)
class Tree:
    """A piecewise constant function: leaf i has `values[i]` wherever each coordinate j is in a bin of `boxes[i, j]`."""

    values: np.ndarray  # (L,)
    boxes: np.ndarray  # (L, d, b) bool


@dataclass(frozen=True)
class Forest:
    """`trees`, and `explained`: the share of the losses' variance that trees explain for points which they were not
    grown on (out of bag), at most 1; 0 or less: nothing. NaN: not known, as each point was used by every tree.

    A loss is `middle` + `scale` * the value of a tree: beside a large offset, or squared, the differences of losses
    would be lost.
    """

    trees: tuple[Tree, ...]
    explained: float
    middle: float = 0.0
    scale: float = 1.0


def grown(
    codes: np.ndarray, losses: np.ndarray, bins: Bins, rng: np.random.Generator, *, trees: int = 64, leaf: int = 2
) -> Forest:
    """A forest of trees, each grown on as many points as there are, drawn with replacement (of many, on 1,000).

    Args:
        codes: (n, d) whole numbers, the bin of each coordinate; -1 if the coordinate does not apply there. Such a point
            gets a random bin, another one for each tree, so that only coordinates that apply are of use to a tree.
        losses: (n,).
        leaf: the fewest points of a leaf.
    """
    n = len(losses)
    made, total, count = [], np.zeros(n), np.zeros(n)
    low, high = float(losses.min()), float(losses.max())
    middle, scale = low / 2 + high / 2, (high / 2 - low / 2) or 1.0
    losses = (losses - middle) / scale
    for _ in range(trees):
        drawn = np.bincount(rng.integers(0, n, min(n, _MOST_POINTS)), minlength=n).astype(float)
        tree, fitted = _grown(_completed(codes, bins, rng), losses, drawn, bins, rng, leaf)
        made.append(tree)
        left_out = drawn == 0
        total[left_out] += fitted[left_out]
        count[left_out] += 1
    return Forest(tuple(made), _explained(losses, total, count), middle, scale)


def _completed(codes: np.ndarray, bins: Bins, rng: np.random.Generator) -> np.ndarray:
    missing = codes < 0
    if not missing.any():
        return codes
    out: np.ndarray = codes.copy()
    for j in np.flatnonzero(missing.any(axis=0)):
        rows = missing[:, j]
        out[rows, j] = rng.choice(bins.weights.shape[1], int(rows.sum()), p=bins.weights[j])
    return out


def _explained(losses: np.ndarray, total: np.ndarray, count: np.ndarray) -> float:
    known = count > 0
    if not known.any():
        return math.nan
    spread = losses[known].var()
    error = np.mean((losses[known] - total[known] / count[known]) ** 2)
    return float(1.0 - error / spread) if spread > 0 else math.nan


def _grown(
    codes: np.ndarray, losses: np.ndarray, drawn: np.ndarray, bins: Bins, rng: np.random.Generator, leaf: int
) -> tuple[Tree, np.ndarray]:
    """A tree, and its value at each point. Grown level by level: all nodes of a level are split at once.

    Args:
        drawn: (n,) how often each point counts; the others only fall through the tree.
    """
    n = len(losses)
    boxes = (bins.weights > 0)[None]  # (m, d, b): the nodes of this level
    node, rows = np.zeros(n, dtype=np.int64), np.arange(n)  # the points that are in no leaf yet, and their nodes
    values: list[np.ndarray] = []
    done: list[np.ndarray] = []
    fitted = np.zeros(n)
    for depth in range(_DEEPEST + 1):
        y, often, m = losses[rows], drawn[rows], len(boxes)
        counts, sums, squares = (np.bincount(node, x, m) for x in (often, often * y, often * y * y))
        means = sums / counts
        open_ = (squares - sums * means > 1e-9 * squares) & (counts >= 2 * leaf) & (depth < _DEEPEST)
        split = None
        if open_.any():
            inner, number = open_[node], np.cumsum(open_) - 1
            split = _splits(codes[rows[inner]], y[inner], often[inner], number[node[inner]], bins, rng, leaf)
            open_[open_] = split.possible
        values.append(means[~open_])
        done.append(boxes[~open_])
        ended = ~open_[node]
        fitted[rows[ended]] = means[node[ended]]
        if split is None or not open_.any():
            break
        features, left = split.features[split.possible], split.left[split.possible]
        rows, node = rows[~ended], (np.cumsum(open_) - 1)[node[~ended]]
        boxes = _halved(boxes[open_], features, left)
        node = 2 * node + ~left[node, codes[rows, features[node]]]
    return Tree(np.concatenate(values), np.concatenate(done)), fitted


def _halved(boxes: np.ndarray, features: np.ndarray, left: np.ndarray) -> np.ndarray:
    """The boxes of the two children of each node, one after the other: (m, d, b) -> (2m, d, b)."""
    out = np.repeat(boxes, 2, axis=0)
    m = np.arange(len(boxes))
    out[2 * m, features] &= left
    out[2 * m + 1, features] &= ~left
    return out


@dataclass(frozen=True)
class _Splits:
    """The best split of each node: whether there is one, of which coordinate, and which of its bins go left."""

    possible: np.ndarray  # (m,) bool
    features: np.ndarray  # (m,)
    left: np.ndarray  # (m, b) bool


def _splits(
    codes: np.ndarray, losses: np.ndarray, drawn: np.ndarray, node: np.ndarray, bins: Bins, rng: np.random.Generator,
    leaf: int,
) -> _Splits:  # fmt: skip
    """The splits with the lowest squared error. Args: the points of the nodes, and the `node` of each, from 0."""
    d, b = bins.weights.shape
    m = int(node.max()) + 1
    place = ((node[:, None] * d + np.arange(d)) * b + codes).ravel()
    seen = np.bincount(place, np.repeat(drawn, d), m * d * b).reshape(m, d, b)
    totals = np.bincount(place, np.repeat(drawn * losses, d), m * d * b).reshape(m, d, b)
    order = np.broadcast_to(np.arange(b), (m, d, b))
    counts = seen
    if not bins.ordered.all():
        order, counts, totals = _by_means(order, seen, totals, np.flatnonzero(~bins.ordered))
    n_left, s_left = counts.cumsum(axis=2), totals.cumsum(axis=2)
    n_all, s_all = n_left[:, :1, -1:], s_left[:, :1, -1:]
    n_right, s_right = n_all - n_left, s_all - s_left
    with np.errstate(divide="ignore", invalid="ignore"):  # an empty side is no split
        reduced = s_left * s_left / n_left + s_right * s_right / n_right
    reduced[(n_left < leaf) | (n_right < leaf)] = -np.inf
    k = np.arange(m)
    features, at = np.divmod(reduced.reshape(m, -1).argmax(axis=1), b)
    possible = reduced[k, features, at] > s_all[:, 0, 0] ** 2 / n_all[:, 0, 0]
    at += _to_middle(n_left[k, features], at) * bins.ordered[features]
    left = np.zeros((m, b), dtype=bool)
    np.put_along_axis(left, order[k, features], np.arange(b) <= at[:, None], axis=1)
    unseen = (seen[k, features] == 0) & ~bins.ordered[features][:, None]  # categories that no point here has
    return _Splits(possible, features, np.where(unseen, rng.random((m, b)) < 0.5, left))


def _by_means(
    order: np.ndarray, counts: np.ndarray, totals: np.ndarray, which: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bins of the coordinates `which` in the order of their means, empty ones last."""
    order = order.copy()
    means = np.where(counts[:, which] > 0, totals[:, which] / np.maximum(counts[:, which], 1e-300), np.inf)
    order[:, which] = np.argsort(means, axis=2, kind="stable")
    return order, np.take_along_axis(counts, order, axis=2), np.take_along_axis(totals, order, axis=2)


def _to_middle(below: np.ndarray, at: np.ndarray) -> np.ndarray:  # (m, b), (m,) -> (m,)
    """How far the split can be moved into the middle of the empty bins beside it. `below`: points up to each bin."""
    same = (below == np.take_along_axis(below, at[:, None], axis=1)) & (np.arange(below.shape[1]) >= at[:, None])
    found: np.ndarray = (same.sum(axis=1) - 1) // 2
    return found
