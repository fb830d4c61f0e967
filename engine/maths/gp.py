"""Exact Gaussian process regression over points of [0, 1]^d with ordered, categorical and inactive (NaN) coordinates.

Notation: n points seen, m points asked about, d coordinates, c embedded columns, g groups of columns that share a
lengthscale. `values` are to be minimised, of scale about 1. All logarithms are natural. Loads scipy: import this room
only where a model is wanted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import optimize
from scipy.linalg import lapack

_JITTERS = (0.0, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2)  # added to the diagonal, relative to the outputscale, until it factors
_SQRT5 = math.sqrt(5.0)


@dataclass(frozen=True)
class Kinds:
    """What each coordinate is. `levels`: 0 where ordered, else how many unordered values share [0, 1] in equal parts.
    `optional`: whether it may be NaN, which means inactive."""

    levels: np.ndarray  # (d,) whole numbers
    optional: np.ndarray  # (d,) bool

    @classmethod
    def ordered(cls, d: int) -> Kinds:
        return cls(np.zeros(d, dtype=np.int64), np.zeros(d, dtype=bool))


class Embedding:
    """Points as vectors whose Euclidean distances are the kernel's: any radial kernel of them is positive definite.

    An ordered coordinate is its own column. An optional one lies at the centre while inactive, with a second column
    that is off by 1/2: the distance to an active value is one that the shared lengthscale learns. A categorical one
    is one-hot over sqrt(2), so that all its values (inactive is one more) are 1 apart whatever their order; values
    not in `points` share a column. With many coordinates (`tied`), all ordered ones share a lengthscale.

    Source: Hutter and Osborne, A Kernel for Hierarchical Parameter Spaces (2013): the embedding of inactive values.
    """

    def __init__(self, kinds: Kinds, points: np.ndarray, tied: bool = False) -> None:  # (n, d)
        self.ordered = np.flatnonzero(kinds.levels == 0)
        self._optional = np.flatnonzero((kinds.levels == 0) & kinds.optional)
        self._named: list[int] = np.flatnonzero(kinds.levels > 0).tolist()
        self._levels = kinds.levels
        self._known = [np.unique(self._level(points, j)) for j in self._named]
        groups = [np.arange(len(self.ordered)), np.searchsorted(self.ordered, self._optional)]
        if tied:
            groups = [np.zeros_like(part) for part in groups]
        first = int(groups[0].max(initial=-1)) + 1
        named = [np.full(len(known) + 1, first + (0 if tied else i)) for i, known in enumerate(self._known)]
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
        for j, known in zip(self._named, self._known, strict=True):
            level = self._level(points, j)
            place = np.searchsorted(known, level)
            seen = place < len(known)
            seen[seen] = known[place[seen]] == level[seen]
            out[rows, start + np.where(seen, place, len(known))] = math.sqrt(0.5)
            start += len(known) + 1
        return out

    def _level(self, points: np.ndarray, j: int) -> np.ndarray:
        levels = int(self._levels[j])
        column = points[:, j]
        return np.where(np.isnan(column), levels, np.minimum(np.nan_to_num(column) * levels, levels - 1)).astype(int)


@dataclass(frozen=True)
class Priors:
    """Normal priors on the logarithms of the parameters, as (mean, standard deviation); bounds as (low, high).

    The lengthscales' mean grows with half of log d, which keeps the correlation of two random points as it is.

    Source: Hvarfner, Hellsten, Nardi, Vanilla Bayesian Optimization Performs Great in High Dimensions (2024).
    """

    length: tuple[float, float] = (math.log(0.5), 1.0)
    output: tuple[float, float] = (0.0, 1.0)
    noise: tuple[float, float] = (math.log(1e-4), 2.5)
    length_bounds: tuple[float, float] = (math.log(5e-3), math.log(1e3))
    output_bounds: tuple[float, float] = (math.log(1e-3), math.log(1e3))
    noise_bounds: tuple[float, float] = (math.log(1e-6), math.log(1.0))

    def table(self, groups: int, d: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Means (g + 2,), standard deviations (g + 2,) and bounds (g + 2, 2) of all parameters."""
        mean = np.array([self.length[0] + 0.5 * math.log(max(d, 1))] * groups + [self.output[0], self.noise[0]])
        spread = np.array([self.length[1]] * groups + [self.output[1], self.noise[1]])
        bounds = np.array([self.length_bounds] * groups + [self.output_bounds, self.noise_bounds])
        return mean, spread, bounds


def objective(
    theta: np.ndarray,  # (g + 2,): log lengthscales, log outputscale, log noise variance
    columns: np.ndarray,  # (n, c)
    groups: np.ndarray,  # (c,)
    values: np.ndarray,  # (n,)
    mean: np.ndarray,
    spread: np.ndarray,
) -> tuple[float, np.ndarray]:
    """Negative log of marginal likelihood times prior, constants left out, and its gradient (g + 2,).

    The mean is the generalised least squares one: as it minimises, its own derivative is zero. Huge where the
    matrix does not factor.

    Source: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), eq. 2.30, 5.9.
    """
    n, size = len(values), len(theta) - 2
    output, noise = math.exp(theta[size]), math.exp(theta[size + 1])
    scaled = columns * np.exp(-theta[:size])[groups]
    shape, slope = _matern(_squares(scaled, scaled))
    covariance = output * shape
    covariance[np.diag_indices(n)] += noise
    lower, failed = lapack.dpotrf(covariance, lower=1)
    if failed:
        return 1e20, np.zeros_like(theta)
    half, _ = lapack.dpotri(lower, lower=1)
    inverse = np.tril(half)
    inverse += np.tril(half, -1).T
    rows = inverse.sum(axis=1)
    residual = values - (rows @ values) / rows.sum()
    weights = inverse @ residual
    off = (theta - mean) / spread
    loss = 0.5 * residual @ weights + np.log(np.diagonal(lower)).sum() + 0.5 * off @ off
    pull = np.outer(weights, weights) - inverse  # dL/dK = pull / 2
    gradient = np.empty_like(theta)
    gradient[size] = -0.5 * output * np.vdot(pull, shape)
    gradient[size + 1] = -0.5 * noise * np.trace(pull)
    pull *= slope
    per_column = (pull.sum(axis=1) @ (scaled * scaled)) - np.einsum("ij,ij->j", scaled, pull @ scaled)
    gradient[:size] = -2.0 * output * np.bincount(groups, weights=per_column, minlength=size)
    return float(loss), gradient + off / spread


class Posterior:
    """The process given `values` at `points`, for fixed parameters."""

    def __init__(self, embedding: Embedding, theta: np.ndarray, points: np.ndarray, values: np.ndarray) -> None:
        self.embedding, self.theta = embedding, theta
        self.points, self.values = points, values
        size = embedding.size
        self._output, self._noise = math.exp(theta[size]), math.exp(theta[size + 1])
        self._inverse_lengths = np.exp(-theta[:size])[embedding.groups]
        self._scaled = embedding(points) * self._inverse_lengths  # (n, c)
        self._root, self._inverse_root = self._factors()
        ones = self._inverse_root @ np.ones(len(values))
        self.mean = float(ones @ (self._inverse_root @ values) / (ones @ ones)) if len(values) else 0.0
        self._weights = self._inverse_root.T @ (self._inverse_root @ (values - self.mean))

    @property
    def noise(self) -> float:
        """The variance of a repeated measurement."""
        return self._noise

    def predict(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # (m, d) -> (m,), (m,)
        """Mean and variance of the noiseless function."""
        cross = self._cross(points)[1]
        mean = self.mean + cross @ self._weights
        held = cross @ self._inverse_root.T
        return mean, np.maximum(self._output - np.einsum("ij,ij->i", held, held), 1e-12 * self._output)

    def joint(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # (m, d) -> (m,), (m, m)
        """Mean and covariance of the noiseless function at several points."""
        scaled, cross = self._cross(points)
        held = cross @ self._inverse_root.T
        prior = self._output * _matern(_squares(scaled, scaled))[0]
        return self.mean + cross @ self._weights, prior - held @ held.T

    def slopes(
        self, points: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:  # (m,), (m,), (m, d), (m, d)
        """Mean and variance, and how they change with the ordered coordinates; 0 for the others and inactive ones."""
        scaled = self.embedding(points) * self._inverse_lengths
        shape, slope = _matern(_squares(scaled, self._scaled))
        cross = self._output * shape
        held = cross @ self._inverse_root.T
        mean = self.mean + cross @ self._weights
        variance = self._output - np.einsum("ij,ij->i", held, held)
        k = len(self.embedding.ordered)
        here, there, scale = scaled[:, :k], self._scaled[:, :k], self._inverse_lengths[:k]
        pull = -2.0 * self._output * slope  # (m, n): d cross / d distance^2, twice
        up, down = pull * self._weights, pull * (held @ self._inverse_root)
        gradients = []
        for part in (up, -2.0 * down):
            wide = np.zeros(points.shape)
            wide[:, self.embedding.ordered] = (part.sum(axis=1)[:, None] * here - part @ there) * scale
            gradients.append(np.where(np.isnan(points), 0.0, wide))
        return mean, np.maximum(variance, 1e-12 * self._output), gradients[0], gradients[1]

    def given(self, points: np.ndarray, values: np.ndarray) -> Posterior:
        """The posterior with more values, the parameters kept."""
        return Posterior(
            self.embedding, self.theta, np.concatenate([self.points, points]), np.concatenate([self.values, values])
        )

    def _cross(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scaled = self.embedding(points) * self._inverse_lengths
        return scaled, self._output * _matern(_squares(scaled, self._scaled))[0]

    def _factors(self) -> tuple[np.ndarray, np.ndarray]:
        """The lower Cholesky root of the covariance of the values, and its inverse."""
        n = len(self._scaled)
        if not n:
            return np.empty((0, 0)), np.empty((0, 0))
        covariance = self._output * _matern(_squares(self._scaled, self._scaled))[0]
        for jitter in _JITTERS:
            shaken = covariance + (self._noise + jitter * self._output) * np.eye(n)
            lower, failed = lapack.dpotrf(shaken, lower=1, clean=1)
            if not failed:
                return lower, lapack.dtrtri(lower, lower=1)[0]
        raise FloatingPointError("the covariance matrix has no Cholesky root")


def fit(
    embedding: Embedding, points: np.ndarray, values: np.ndarray, priors: Priors, starts: list[np.ndarray] | None = None
) -> np.ndarray:
    """The most probable parameters (g + 2,): log lengthscales, log outputscale, log noise variance.

    Args:
        points, values: (n, d), (n,), n >= 1, finite values of scale about 1.
        starts: where to begin (default: at the prior's mean, and there with much noise); the best end wins.
    """
    mean, spread, bounds = priors.table(embedding.size, points.shape[1])
    columns = embedding(points)
    ends = []
    for start in starts or [mean, np.append(mean[:-1], math.log(0.1))]:
        end = optimize.minimize(
            objective,
            np.clip(start, bounds[:, 0], bounds[:, 1]),
            args=(columns, embedding.groups, values, mean, spread),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": 60, "ftol": 1e-6, "gtol": 1e-3},
        )
        ends.append((float(end.fun), np.clip(end.x, bounds[:, 0], bounds[:, 1])))
    best: np.ndarray = min(ends, key=lambda end: end[0])[1]
    return best


def _squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:  # (m, c), (n, c) -> (m, n)
    """Squared distances."""
    out: np.ndarray = a @ (-2.0 * b.T)
    out += np.einsum("ij,ij->i", a, a)[:, None]
    out += np.einsum("ij,ij->i", b, b)
    np.maximum(out, 0.0, out=out)
    return out


def _matern(squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Matern 5/2 of squared distances, and minus its derivative by them."""
    far = np.sqrt(5.0 * squares)
    fade = np.exp(-far)
    slope = far + 1.0
    shape = squares * (5.0 / 3.0)
    shape += slope
    shape *= fade
    slope *= fade
    slope *= 5.0 / 6.0
    return shape, slope
