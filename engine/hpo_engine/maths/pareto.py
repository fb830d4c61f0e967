"""Sets of vectors that are to be minimised in every coordinate: dominance, and hypervolume.

Notation: losses (n, k), finite. a dominates b: a <= b in every coordinate, and a < b in one. Equal vectors do not
dominate each other. The hypervolume of a set is the volume of what it dominates below a reference point.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np

from hpo_engine.maths.quasirandom import lattice
from hpo_engine.maths.transforms import reined

Vector = tuple[float, ...]

_SAMPLES = 512
"""Sample points for volumes that take too long to compute exactly: those of 3 or more coordinates."""


def ranks(losses: np.ndarray) -> np.ndarray:  # (n, k) -> (n,) whole numbers
    """Non-domination ranks: 0 if nothing dominates a row, 1 if only rows of rank 0 do, ... Equal rows share a rank.

    Two coordinates take O(n log n), more take O(n^2) in the worst case. Raises ValueError if one is not finite.

    Source: Goldberg 1989; Jensen, IEEE Trans. Evol. Comput. 7 (2003), for two coordinates.
    """
    losses = _checked(losses)
    if not len(losses):
        return np.zeros(0, dtype=np.int64)
    rows, where = np.unique(losses, axis=0, return_inverse=True)  # in lexicographic order
    found = _ranks_of_pairs(rows) if rows.shape[1] == 2 else _peeled(rows)
    return found[where.reshape(-1)]


def _ranks_of_pairs(rows: np.ndarray) -> np.ndarray:
    """Rows in lexicographic order: each joins the first front whose lowest second coordinate is above its own."""
    lowest: list[float] = []
    out = np.empty(len(rows), dtype=np.int64)
    for i, y in enumerate(rows[:, 1].tolist()):
        rank = bisect_right(lowest, y)
        lowest[rank : rank + 1] = [y]
        out[i] = rank
    return out


def _peeled(rows: np.ndarray) -> np.ndarray:
    """Different rows in lexicographic order: the first of what is left is never dominated by the rest."""
    out = np.empty(len(rows), dtype=np.int64)
    rank, left = 0, np.arange(len(rows))
    while len(left):
        pool, points, beaten = left, rows[left], []
        while len(pool):
            worse = (points[0] <= points).all(axis=1)
            out[pool[0]] = rank
            beaten.append(pool[worse][1:])
            pool, points = pool[~worse], points[~worse]
        rank, left = rank + 1, np.sort(np.concatenate(beaten))
    return out


def hypervolume(losses: np.ndarray | Sequence[Sequence[float]], reference: Sequence[float]) -> float:
    """The volume that the rows (n, k) dominate below the reference point (k,); exact, 0 for no rows.

    Rows that are not below the reference in every coordinate add nothing. Takes milliseconds for 200 rows of up to 4
    coordinates, about a second for 5. Raises ValueError if one is not finite.

    Source: While, Bradstreet and Barone, A fast way of calculating exact hypervolumes, IEEE Trans. Evol. Comput. 16
    (2012); Beume et al., IEEE Trans. Evol. Comput. 13 (2009), section IV, for the sweep over three coordinates.
    """
    points, end = _inside(losses, reference)
    return _volume(points, end)


def gain(point: Vector, others: Sequence[Vector], reference: Vector) -> float:
    """The volume that `point` adds to what the others dominate (While et al. 2012, equation 2)."""
    if any(p >= r for p, r in zip(point, reference, strict=True)):
        return 0.0
    limited = [tuple(map(max, point, other)) for other in others]
    rest = _volume([q for q in limited if all(a < r for a, r in zip(q, reference, strict=True))], reference)
    return max(0.0, math.prod(r - p for p, r in zip(point, reference, strict=True)) - rest)


def greedy(losses: np.ndarray, reference: Sequence[float]) -> list[int]:
    """Row indices, each row adding the most volume to those before it; ties in row order.

    Exact for two coordinates; for more the volumes are shares of 512 quasi-random points in the box from the lowest
    values to the reference.

    Source: Guerreiro et al., Greedy hypervolume subset selection, Evol. Comput. 24 (2016); Minoux 1978 for the lazy
    evaluation of gains, which can only shrink.
    """
    losses = _checked(losses)
    end = _reference(reference, losses.shape[1])
    if losses.shape[1] > 2:
        return _greedy_by_share(losses, end)
    if losses.shape[1] == 1:
        losses, end = np.column_stack([losses, np.zeros(len(losses))]), (*end, 1.0)
    return _greedy_exact(losses, end)


def _greedy_exact(losses: np.ndarray, reference: Vector) -> list[int]:
    stairs = _Stairs(reference)
    rows = losses.tolist()
    heap = [(-stairs.gain(x, y), i) for i, (x, y) in enumerate(rows)]
    heapq.heapify(heap)
    out: list[int] = []
    while heap:
        old, i = heapq.heappop(heap)
        new = -stairs.gain(*rows[i])
        if new > old and heap and (new, i) > heap[0]:
            heapq.heappush(heap, (new, i))
            continue
        out.append(i)
        stairs.gain(*rows[i], add=True)
    return out


def _greedy_by_share(losses: np.ndarray, reference: Vector) -> list[int]:
    low = losses.min(axis=0)
    samples = low + lattice(_SAMPLES, losses.shape[1]) * (np.array(reference) - low)
    open_ = (losses[:, None, :] <= samples).all(axis=2)  # (n, samples): dominated by the row, but by no chosen one
    left, out = list(range(len(losses))), []
    while left:
        shares = open_.sum(axis=1)
        best = int(shares.argmax())
        out.append(left.pop(best))
        open_ = np.delete(open_ & ~open_[best], best, axis=0)
    return out


def scores(losses: np.ndarray, exact: int = 256) -> np.ndarray:  # (n, k) -> (n,)
    """One number per row, the lower the better: its rank, plus a fraction below 1 for its place inside that rank.

    Places are those of `greedy`, with a reference point a tenth of the rank's own loss range beyond its worst values
    (enormous ones count as `reined`), so that a change of units changes nothing. If `exact` better rows are ahead of a
    whole rank, its rows stay equal.

    Source: Ozaki et al., Multiobjective tree-structured Parzen estimator, JAIR 73 (2022), section 4.2.
    """
    losses = _checked(losses)
    out = ranks(losses).astype(float)
    ahead = 0
    for rank in range(int(out.max()) + 1 if len(out) else 0):
        rows = np.flatnonzero(out == rank)
        if ahead >= exact:
            break
        if len(rows) > 1:
            unit = _unit(np.column_stack([reined(column) for column in losses[rows].T]))
            out[rows[greedy(unit, [1.1] * unit.shape[1])]] += np.arange(len(rows)) / len(rows)
        ahead += len(rows)
    return out


def _unit(losses: np.ndarray) -> np.ndarray:
    """Each coordinate scaled to [0, 1]; 0 if all are equal."""
    size = np.maximum(np.abs(losses).max(axis=0), np.finfo(float).tiny)
    scaled = losses / size  # first, so that no difference overflows
    low, high = scaled.min(axis=0), scaled.max(axis=0)
    unit: np.ndarray = (scaled - low) / np.where(high > low, high - low, 1.0)
    return unit


# -- volumes -----------------------------------------------------------------------------------------------------------


def _volume(points: list[Vector], reference: Vector) -> float:
    """Points are below the reference; they may dominate or equal each other."""
    if not points:
        return 0.0
    if len(reference) == 1:
        return reference[0] - min(points)[0]
    if len(reference) == 2:
        return _area(points, reference)
    if len(reference) == 3:
        return _sweep(points, reference)
    # From the worst in the last coordinate on: what a point shares with later ones has its own last coordinate, so
    # that one coordinate less decides (While et al. 2012, section III-C).
    points = sorted(_front(points), key=lambda p: p[-1], reverse=True)
    end, total = reference[:-1], 0.0
    for i, point in enumerate(points):
        total += (reference[-1] - point[-1]) * gain(point[:-1], [q[:-1] for q in points[i + 1 :]], end)
    return total


def _area(points: list[Vector], reference: Vector) -> float:
    total, top = 0.0, reference[1]
    for x, y in sorted(points):
        if y < top:
            total += (reference[0] - x) * (top - y)
            top = y
    return total


def _sweep(points: list[Vector], reference: Vector) -> float:
    """Slices along the last coordinate."""
    stairs = _Stairs(reference[:2])
    total = area = 0.0
    bottom = reference[2]
    for x, y, z in sorted(points, key=lambda p: p[2]):
        total += area * (z - bottom)
        area += stairs.gain(x, y, add=True)
        bottom = z
    return total + area * (reference[2] - bottom)


class _Stairs:
    """The region that a growing set of points dominates in the plane: its corners have rising `xs` and falling `ys`."""

    def __init__(self, reference: Vector) -> None:
        self._right, self._top = reference
        self._xs: list[float] = []
        self._ys: list[float] = []

    def gain(self, x: float, y: float, *, add: bool = False) -> float:
        """The area that the point adds; `add`: adds it to the set."""
        xs, ys = self._xs, self._ys
        begin = end = bisect_left(xs, x)
        top = ys[begin - 1] if begin else self._top
        if top <= y or x >= self._right:
            return 0.0
        area, left = 0.0, x
        while True:  # over the corners that the point dominates
            right = xs[end] if end < len(xs) else self._right
            area += (right - left) * (top - y)
            if end == len(xs) or ys[end] < y:
                break
            top, left, end = ys[end], right, end + 1
        if add:
            xs[begin:end], ys[begin:end] = [x], [y]
        return area


def _front(points: list[Vector]) -> list[Vector]:
    rows = np.unique(np.array(points), axis=0)
    kept = []
    while len(rows):
        kept.append(tuple(rows[0].tolist()))
        rows = rows[~(rows[0] <= rows).all(axis=1)]
    return kept


def _inside(losses: np.ndarray | Sequence[Sequence[float]], reference: Sequence[float]) -> tuple[list[Vector], Vector]:
    rows = _checked(losses)
    end = _reference(reference, rows.shape[1] if len(rows) else len(reference))
    return [tuple(row) for row in rows.tolist() if all(a < r for a, r in zip(row, end, strict=True))], end


def _reference(reference: Sequence[float], k: int) -> Vector:
    end = tuple(float(r) for r in reference)
    if len(end) != k or not all(map(math.isfinite, end)):
        raise ValueError(f"the reference point must be {k} finite numbers")
    return end


def _checked(losses: np.ndarray | Sequence[Sequence[float]]) -> np.ndarray:
    rows = np.asarray(losses, dtype=float)
    if rows.ndim != 2:
        rows = rows.reshape(len(rows), 1)
    if not np.isfinite(rows).all():
        raise ValueError("losses must be finite")
    return rows + 0.0  # -0.0 is 0.0
