"""The value of a measurement at a point, and the search for the most valuable point.

Notation: m query points, d coordinates. Values are minimised; an acquisition is maximised.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import special

from hpo_engine.maths.dedup import untaken
from hpo_engine.maths.gp import Posterior

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)
_FAR = -1e6  # below it the tail's first term is exact


def log_improvement(z: np.ndarray) -> np.ndarray:  # (m,) -> (m,)
    """log(phi(z) + z Phi(z)): the log of the expected improvement in units of the standard deviation, for any z.

    Source: Ament et al., Unexpected Improvements to Expected Improvement (2023), eq. 9.
    """
    z = np.asarray(z, dtype=float)
    near = np.maximum(z, -1.0)
    density = np.exp(-0.5 * near * near - _LOG_SQRT_2PI)
    out: np.ndarray = np.log(density + near * special.ndtr(near))
    low = z < -1.0
    if low.any():
        t = np.clip(z[low], _FAR, -1.0)
        # phi(t) (1 - |t| Phi(t)/phi(t)), Phi/phi by the scaled complementary error function
        ratio = math.sqrt(math.pi / 2.0) * special.erfcx(-t / math.sqrt(2.0)) * -t
        # for large |t| the difference is 1/t^2 - 3/t^4 + 15/t^6: the subtraction would lose it
        inverse = 1.0 / (t * t)
        series = inverse * (1.0 - 3.0 * inverse * (1.0 - 5.0 * inverse * (1.0 - 7.0 * inverse)))
        rest = np.where(t < -50.0, series, 1.0 - ratio)
        far = z[low]
        out[low] = -0.5 * far * far - _LOG_SQRT_2PI + np.where(far < _FAR, -2.0 * np.log(-far), np.log(rest))
    return out


def log_success(success: Posterior, points: np.ndarray) -> np.ndarray:  # (m, d) -> (m,)
    """log of the probability that a measurement succeeds; `success` models 1 for success and 0 for failure."""
    probability, uncertainty = success.predict(points)
    out: np.ndarray = special.log_ndtr((probability - 0.5) / np.sqrt(uncertainty + success.noise))
    return out


class Acquisition(Protocol):
    """A function to maximise: its values, or its values with their gradients in the ordered coordinates."""

    def __call__(self, points: np.ndarray) -> np.ndarray: ...  # (m, d) -> (m,)
    def slopes(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...  # (m, d) -> (m,), (m, d)


@dataclass(frozen=True)
class LogImprovement:
    """log of the expected improvement on `best`, plus the log of the probability that a measurement succeeds."""

    posterior: Posterior
    best: float
    success: Posterior | None = None  # of 1 where trials succeeded, 0 where they failed

    def __call__(self, points: np.ndarray) -> np.ndarray:  # (m, d) -> (m,)
        mean, variance = self.posterior.predict(points)
        deviation = np.sqrt(variance)
        out: np.ndarray = log_improvement((self.best - mean) / deviation) + np.log(deviation)
        if self.success is not None:
            out += log_success(self.success, points)
        return out

    def slopes(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # (m, d) -> (m,), (m, d)
        """The values, and their gradients in the ordered coordinates."""
        mean, variance, up, wider = self.posterior.slopes(points)
        deviation = np.sqrt(variance)
        z = (self.best - mean) / deviation
        log_h = log_improvement(z)
        wider = wider / (2.0 * deviation)[:, None]
        ratio = np.exp(special.log_ndtr(z) - log_h)  # Phi / h, the derivative of log h
        gradient = (-up - z[:, None] * wider) * (ratio / deviation)[:, None] + wider / deviation[:, None]
        out = log_h + np.log(deviation)
        if self.success is not None:
            probability, uncertainty, rise, blur = self.success.slopes(points)
            width = np.sqrt(uncertainty + self.success.noise)
            t = (probability - 0.5) / width
            log_success = special.log_ndtr(t)
            steep = np.exp(-0.5 * t * t - _LOG_SQRT_2PI - log_success) / width  # d log Phi / d probability
            out = out + log_success
            gradient = gradient + steep[:, None] * (rise - (t / (2.0 * width))[:, None] * blur)
        return out, gradient


@dataclass(frozen=True)
class LowerBound:
    """How low the values may be: minus (mean - `width` standard deviations)."""

    posterior: Posterior
    width: float

    def __call__(self, points: np.ndarray) -> np.ndarray:  # (m, d) -> (m,)
        mean, variance = self.posterior.predict(points)
        out: np.ndarray = self.width * np.sqrt(variance) - mean
        return out

    def slopes(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # (m, d) -> (m,), (m, d)
        """The values, and their gradients in the ordered coordinates."""
        mean, variance, up, wider = self.posterior.slopes(points)
        deviation = np.sqrt(variance)
        return self.width * deviation - mean, (0.5 * self.width / deviation)[:, None] * wider - up


@dataclass(frozen=True)
class Box:
    """The points that can be proposed. `tidy` maps points to such points (centres of cells, NaN if inactive).

    `cells`: the number of values of a coordinate, 0 if continuous. `categorical`: its values have no order.
    `centres`: the positions of a discrete coordinate's values, ascending; empty if continuous or too many to list.
    `allowed`: which tidy points the constraints allow; None: all.
    """

    tidy: Callable[[np.ndarray], np.ndarray]
    cells: np.ndarray  # (d,)
    categorical: np.ndarray  # (d,) bool
    centres: Sequence[np.ndarray]
    allowed: Callable[[np.ndarray], np.ndarray] | None = None

    @property
    def d(self) -> int:
        return len(self.cells)

    def usable(self, points: np.ndarray, taken: np.ndarray) -> np.ndarray:  # (m, d), (t, d) -> (at most m, d)
        """The points that are neither taken nor forbidden."""
        fresh = untaken(points, taken)
        return fresh if self.allowed is None else fresh[self.allowed(fresh)]


def maximise(
    value: Acquisition,
    box: Box,
    anchors: np.ndarray,  # (k, d): good points, the best first
    taken: np.ndarray,  # (t, d)
    rng: np.random.Generator,
    *,
    wide: int = 512,
    near: int = 256,
    starts: int = 4,
) -> np.ndarray | None:  # (d,)
    """The best point found that is not taken; None if every candidate is."""
    points = box.usable(box.tidy(candidates(box, anchors, rng, wide, near)), taken)
    for _ in range(0 if len(points) else _TRIES):
        points = box.usable(box.tidy(rng.random((wide, box.d))), taken)
        if len(points):
            break
    else:
        if not len(points):
            return None
    scores = value(points)
    order = np.argsort(-scores, kind="stable")
    best: np.ndarray = points[order[0]]
    score = scores[order[0]]
    tops = points[_spread(points, order, starts)]
    for _ in range(2):
        tops = box.tidy(_climbed(value, box, tops))
        tops = _neighbours(value, box, tops)
        if not ((box.cells > 0) & (box.cells <= _FEW)).any():
            break
    fresh = box.usable(tops, taken)
    if len(fresh):
        ends = value(fresh)
        if ends.max() > score:
            best = fresh[int(np.argmax(ends))]
    return best


_TRIES = 8  # further rounds of candidates if none can be proposed
_CLIMBED = 200  # coordinates above which a local search costs more than it gains
_FEW = 32  # a discrete coordinate with more values is moved as if it were continuous


def candidates(box: Box, anchors: np.ndarray, rng: np.random.Generator, wide: int, near: int) -> np.ndarray:
    """Uniform points, and points that differ from an anchor in some coordinates, by steps of many sizes."""
    everywhere = rng.random((wide, box.d))
    if not len(anchors) or not near:
        return everywhere
    which = np.minimum((len(anchors) * rng.random(near) ** 2).astype(int), len(anchors) - 1)
    centres = np.nan_to_num(anchors[which], nan=0.5)
    # one, a few or all coordinates move: few matter at a time in wide spaces
    share = np.exp(rng.uniform(math.log(1.0 / max(box.d, 1)), 0.0, near))
    moves = rng.random((near, box.d)) < share[:, None]
    moves[np.arange(near), rng.integers(box.d, size=near)] = True
    sizes = np.exp(rng.uniform(math.log(1e-3), math.log(0.5), near))
    stepped = centres + sizes[:, None] * rng.normal(size=centres.shape)
    stepped = np.abs(stepped)
    stepped = 1.0 - np.abs(1.0 - stepped)  # reflected at the faces
    drawn = rng.random(centres.shape)
    jump = box.categorical | ((box.cells > 0) & (rng.random(centres.shape) < 0.3))
    local = np.where(moves, np.where(jump, drawn, np.clip(stepped, 0.0, 1.0)), centres)
    return np.concatenate([everywhere, local])


def _spread(points: np.ndarray, order: np.ndarray, count: int) -> np.ndarray:
    """Indices of the best points, no two of them close to each other."""
    filled = np.nan_to_num(points, nan=-1.0)
    kept: list[int] = []
    for place in order[: 30 * count]:
        if all(np.abs(filled[place] - filled[other]).max() > 0.05 for other in kept):
            kept.append(int(place))
            if len(kept) == count:
                break
    return np.array(kept or [int(order[0])])


def _climbed(value: Acquisition, box: Box, points: np.ndarray, turns: int = 30) -> np.ndarray:
    """Moves each point uphill in its free coordinates within [0, 1]: BFGS with projected steps, all points at once.

    Source: Nocedal and Wright, Numerical Optimization (2006), eq. 6.17; Bertsekas (1982): the coordinates at a bound.
    """
    free = ~np.isnan(points) & ~box.categorical & ((box.cells == 0) | (box.cells > _FEW))  # (s, d)
    if not free.any() or box.d > _CLIMBED:
        return points
    current: np.ndarray = points.copy()
    score, slope = value.slopes(current)
    slope = np.where(free, slope, 0.0)
    s, d = current.shape
    inverse = np.zeros((s, d, d))  # of minus the Hessian, about
    inverse[:, range(d), range(d)] = (0.1 / np.maximum(np.abs(slope).max(axis=1), 1e-300))[:, None]
    fresh, step, live = np.ones(s, dtype=bool), np.ones(s), np.ones(s, dtype=bool)
    for _ in range(turns):
        held = ((current <= 0.0) & (slope < 0.0)) | ((current >= 1.0) & (slope > 0.0)) | ~free
        projected = np.where(held, 0.0, slope)
        direction = np.where(held, 0.0, np.einsum("sij,sj->si", inverse, projected))
        bad = np.einsum("si,si->s", direction, projected) <= 0.0
        direction[bad] = projected[bad] * (0.1 / np.maximum(np.abs(projected[bad]).max(axis=1), 1e-300))[:, None]
        direction *= np.minimum(1.0, 0.3 / np.maximum(np.abs(direction).max(axis=1), 1e-300))[:, None]
        moved_to = np.where(free, np.clip(current + step[:, None] * direction, 0.0, 1.0), current)
        live &= np.nan_to_num(np.abs(moved_to - current)).max(axis=1) > 1e-7
        if not live.any():
            break
        moved_score, moved_slope = value.slopes(moved_to)
        moved_slope = np.where(free, moved_slope, 0.0)
        moved = np.where(free, moved_to - current, 0.0)
        took = live & (moved_score >= score + 1e-4 * np.einsum("si,si->s", moved, projected)) & np.isfinite(moved_score)
        bend = slope - moved_slope
        along = np.einsum("si,si->s", moved, bend)
        for i in np.flatnonzero(took & (along > 1e-12)):
            if fresh[i]:
                inverse[i] *= along[i] / (bend[i] @ bend[i]) / inverse[i, 0, 0]
                fresh[i] = False
            turned = inverse[i] @ bend[i] / along[i]
            cross = np.outer(turned, moved[i])
            inverse[i] += (1.0 + bend[i] @ turned) / along[i] * np.outer(moved[i], moved[i]) - cross - cross.T
        gain = np.where(took, moved_score - score, np.inf)
        current[took], score[took], slope[took] = moved_to[took], moved_score[took], moved_slope[took]
        step = np.where(took, 1.0, step * 0.3)
        live &= (gain > 1e-6) & (step > 1e-4)
        if not live.any():
            break
    return current


def _neighbours(value: Acquisition, box: Box, points: np.ndarray) -> np.ndarray:
    """Changes the best single discrete coordinate of each point, as long as that improves its value."""
    out: np.ndarray = points.copy()
    if not (box.cells > 0).any():
        return out
    for i in range(len(out)):
        score = float(value(out[i : i + 1])[0])
        for _ in range(4):
            around = box.tidy(_moves(box, out[i]))
            if not len(around):
                break
            scores = value(around)
            top = int(np.argmax(scores))
            if not scores[top] > score + 1e-9:
                break
            out[i], score = around[top], float(scores[top])
    return out


def _moves(box: Box, point: np.ndarray, most: int = 512) -> np.ndarray:
    """The point with one discrete coordinate at another value: at all of few values, at the adjacent ones of many."""
    rows: list[np.ndarray] = []
    for j in np.flatnonzero((box.cells > 1) & ~np.isnan(point)).tolist():
        centres = box.centres[j]
        if not len(centres):
            continue
        current = int(np.argmin(np.abs(centres - point[j])))
        others = np.delete(centres, current)
        if not box.categorical[j] and len(others) > 8:
            others = centres[[k for k in (current - 2, current - 1, current + 1, current + 2) if 0 <= k < len(centres)]]
        block = np.repeat(np.nan_to_num(point, nan=0.5)[None], len(others), axis=0)
        block[:, j] = others
        rows.append(block)
        if sum(map(len, rows)) >= most:
            break
    return np.concatenate(rows) if rows else np.empty((0, box.d))
