"""Exact Gaussian process regression over points of [0, 1]^d with ordered, categorical and inactive (NaN) coordinates.

Notation: n observed points, m query points, d coordinates, c embedded columns, g groups of columns that share a
lengthscale. `values` are minimised, of scale about 1. All logarithms are natural. Loads scipy: import this room only
when a model is needed.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import numpy as np
from scipy import optimize
from scipy.linalg import lapack

from hpo_engine.maths.embedding import Embedding
from hpo_engine.system import threads

threads.keep_to_one(os.environ)  # scipy has brought a library of its own
_JITTERS = (0.0, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2)  # added to the diagonal, relative to the outputscale, until it factors


@dataclass(frozen=True)
class Priors:
    """Normal priors on the logarithms of the parameters, as (mean, standard deviation); bounds as (low, high).

    The lengthscales' mean grows with half of log d, which keeps the correlation of two random points as it is.

    Source: Hvarfner, Hellsten, Nardi, Vanilla Bayesian Optimization Performs Great in High Dimensions (2024).
    """

    length: tuple[float, float] = (math.log(0.2), 0.7)
    output: tuple[float, float] = (0.0, 1.0)
    noise: tuple[float, float] = (math.log(1e-3), 2.0)
    share: tuple[float, float] = (1.0, 1.0)
    length_bounds: tuple[float, float] = (math.log(5e-3), math.log(1e3))
    output_bounds: tuple[float, float] = (math.log(1e-3), math.log(1e3))
    noise_bounds: tuple[float, float] = (math.log(1e-6), math.log(1.0))
    share_bounds: tuple[float, float] = (-5.0, 5.0)

    def table(self, groups: int, d: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Means (g + 3,), standard deviations (g + 3,) and bounds (g + 3, 2) of all parameters."""
        length = self.length[0] + 0.5 * math.log(max(d, 1)), self.length[1]
        table = np.array([length] * groups + [self.output, self.noise, self.share])
        bounds = np.array([self.length_bounds] * groups + [self.output_bounds, self.noise_bounds, self.share_bounds])
        return table[:, 0], table[:, 1], bounds


class Pairs:
    """Squared distances of all pairs of points by group, computed once for a fit."""

    def __init__(self, embedding: Embedding, points: np.ndarray) -> None:  # (n, d)
        columns = embedding(points)
        self.n, self.additive = len(points), embedding.additive
        self.below = np.tril_indices(self.n, -1)
        self.squared = np.zeros((embedding.size, len(self.below[0])))  # (g, p), p = n (n - 1) / 2
        for column, group in zip(columns.T, embedding.groups.tolist(), strict=True):
            steps = column[self.below[0]] - column[self.below[1]]
            self.squared[group] += steps * steps


def objective(
    theta: np.ndarray,  # (g + 3,): log lengthscales, log outputscale, log noise variance, logit of the joint share
    pairs: Pairs,
    values: np.ndarray,  # (n,)
    mean: np.ndarray,
    spread: np.ndarray,
) -> tuple[float, np.ndarray]:
    """Negative log of marginal likelihood times prior, constants left out, and its gradient (g + 3,).

    The mean is the generalised least squares one: as it minimises, its own derivative is zero. 1e20 if the
    covariance matrix has no Cholesky root.

    Source: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), eq. 2.30, 5.9.
    """
    n, size = pairs.n, len(theta) - 3
    output, noise, share = math.exp(theta[size]), math.exp(theta[size + 1]), _share(theta[size + 2], pairs.additive)
    scaled = pairs.squared * np.exp(-2.0 * theta[:size])[:, None]  # (g, p)
    shape, slope = _matern(scaled.sum(axis=0))
    alone, slopes = _matern(scaled * size) if pairs.additive else (shape[None], np.zeros((1, 1)))
    lone = alone.mean(axis=0)
    mixed = share * shape + (1.0 - share) * lone
    covariance = np.zeros((n, n))
    covariance[pairs.below] = output * mixed
    covariance.flat[:: n + 1] = output + noise
    lower, failed = lapack.dpotrf(covariance, lower=1)
    if failed:
        return 1e20, np.zeros_like(theta)
    inverse, _ = lapack.dpotri(lower, lower=1)
    diagonal = inverse.flat[:: n + 1].copy()
    inverse = inverse + inverse.T
    inverse.flat[:: n + 1] = diagonal
    rows = inverse.sum(axis=1)
    residual = values - (rows @ values) / rows.sum()
    weights = inverse @ residual
    off = (theta - mean) / spread
    loss = 0.5 * residual @ weights + np.log(lower.flat[:: n + 1]).sum() + 0.5 * off @ off
    # dL/dK = (weights weights' - inverse) / 2, and each pair occurs in it twice
    pull = weights[pairs.below[0]] * weights[pairs.below[1]] - inverse[pairs.below]  # (p,)
    trace = weights @ weights - diagonal.sum()
    gradient = off / spread
    gradient[:size] -= 2.0 * output * (scaled @ (share * (pull * slope)))
    if pairs.additive:
        gradient[:size] -= 2.0 * output * (1.0 - share) * np.einsum("gp,gp,p->g", scaled, slopes, pull, optimize=False)
        gradient[size + 2] -= output * share * (1.0 - share) * (pull @ (shape - lone))
    gradient[size] -= output * (pull @ mixed + 0.5 * trace)
    gradient[size + 1] -= 0.5 * noise * trace
    return float(loss), gradient


class Posterior:
    """The posterior process given `values` at `points`, for fixed parameters."""

    def __init__(self, embedding: Embedding, theta: np.ndarray, points: np.ndarray, values: np.ndarray) -> None:
        self.embedding, self.theta = embedding, theta
        self.points, self.values = points, values
        size = embedding.size
        self._output, self._noise = math.exp(theta[size]), math.exp(theta[size + 1])
        self._share = _share(theta[size + 2], embedding.additive)
        self._inverse_lengths = np.exp(-theta[:size])[embedding.groups]
        self._scaled = embedding(points) * self._inverse_lengths  # (n, c)
        self._columns = [np.flatnonzero(embedding.groups == g) for g in range(size)] if embedding.additive else []
        self._inverse_root = self._factor()
        ones = self._inverse_root @ np.ones(len(values))
        self.mean = float(ones @ (self._inverse_root @ values) / (ones @ ones))
        self._weights = self._inverse_root.T @ (self._inverse_root @ (values - self.mean))

    @property
    def noise(self) -> float:
        """The variance of a repeated measurement."""
        return self._noise

    def predict(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # (m, d) -> (m,), (m,)
        """Mean and variance of the noiseless function."""
        cross = self._covariance(self._scaled_of(points), self._scaled)
        held = cross @ self._inverse_root.T
        variance = self._output - np.einsum("ij,ij->i", held, held)
        return self.mean + cross @ self._weights, np.maximum(variance, 1e-12 * self._output)

    def joint(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # (m, d) -> (m,), (m, m)
        """Mean and covariance of the noiseless function at several points."""
        scaled = self._scaled_of(points)
        cross = self._covariance(scaled, self._scaled)
        held = cross @ self._inverse_root.T
        return self.mean + cross @ self._weights, self._covariance(scaled, scaled) - held @ held.T

    def slopes(
        self, points: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:  # (m,), (m,), (m, d), (m, d)
        """Mean and variance, and their gradients in the ordered coordinates; 0 for categorical and inactive ones."""
        left, right = self._scaled_of(points), self._scaled
        ordered, size = self.embedding.ordered, len(self._columns)
        shape, slope = _matern(_squares(left, right))
        steps = np.ascontiguousarray(left.T[: len(ordered), :, None] - right.T[: len(ordered), None, :])  # (k, m, n)
        cross = self._share * shape
        bend = self._share * slope * steps
        if size:
            for g, columns_of_group in enumerate(self._columns):
                alone, slope = _matern(size * self._squares_of(left, right, columns_of_group, steps))
                cross += (1.0 - self._share) / size * alone
                if columns_of_group[0] < len(ordered):
                    bend[g] += (1.0 - self._share) * slope * steps[g]
        cross *= self._output
        held = cross @ self._inverse_root.T
        variance = self._output - np.einsum("ij,ij->i", held, held)
        # d cross / d x_k = -2 output bend_k / length_k
        scale = -2.0 * self._output * self._inverse_lengths[: len(ordered)]
        gradients = np.zeros((2, *points.shape))
        gradients[0][:, ordered] = np.einsum("kmn,n->mk", bend, self._weights) * scale
        gradients[1][:, ordered] = np.einsum("kmn,mn->mk", bend, held @ self._inverse_root) * (-2.0 * scale)
        gradients[:, np.isnan(points)] = 0.0
        mean = self.mean + cross @ self._weights
        return mean, np.maximum(variance, 1e-12 * self._output), gradients[0], gradients[1]

    def given(self, points: np.ndarray, values: np.ndarray) -> Posterior:
        """The posterior with more values and the same parameters."""
        return Posterior(
            self.embedding, self.theta, np.concatenate([self.points, points]), np.concatenate([self.values, values])
        )

    def _scaled_of(self, points: np.ndarray) -> np.ndarray:  # (m, d) -> (m, c)
        scaled: np.ndarray = self.embedding(points) * self._inverse_lengths
        return scaled

    def _covariance(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:  # (m, c), (n, c) -> (m, n)
        out: np.ndarray = _matern(_squares(left, right))[0]
        size = len(self._columns)
        if size:
            out *= self._share
            for columns_of_group in self._columns:
                out += (1.0 - self._share) / size * _matern(size * self._squares_of(left, right, columns_of_group))[0]
        out *= self._output
        return out

    @staticmethod
    def _squares_of(
        left: np.ndarray, right: np.ndarray, columns_of_group: np.ndarray, steps: np.ndarray | None = None
    ) -> np.ndarray:
        """Squared distances in the columns of one group."""
        if len(columns_of_group) > 1:
            return _squares(left[:, columns_of_group], right[:, columns_of_group])
        k = int(columns_of_group[0])
        gap: np.ndarray = left[:, k, None] - right[:, k] if steps is None else steps[k]
        squares: np.ndarray = gap * gap
        return squares

    def _factor(self) -> np.ndarray:  # (n, n)
        """The inverse of the lower Cholesky root of the values' covariance."""
        n = len(self._scaled)
        covariance = self._covariance(self._scaled, self._scaled)
        for jitter in _JITTERS:
            shaken = covariance + (self._noise + jitter * self._output) * np.eye(n)
            lower, failed = lapack.dpotrf(shaken, lower=1, clean=1)
            if not failed:
                root: np.ndarray = lapack.dtrtri(lower, lower=1)[0]
                return root
        raise FloatingPointError("the covariance matrix has no Cholesky root")


def fit(
    embedding: Embedding,
    points: np.ndarray,
    values: np.ndarray,
    priors: Priors,
    starts: list[np.ndarray] | None = None,
    turns: int = 40,
) -> np.ndarray:
    """The most probable parameters (g + 3,), as `objective` takes them.

    Args:
        points, values: (n, d), (n,), n >= 1, finite values of scale about 1.
        starts: starting points (default: the prior's mean, and the same with more noise); the best result is kept.
        turns: the largest number of steps from each.
    """
    mean, spread, bounds = priors.table(embedding.size, points.shape[1])
    pairs = Pairs(embedding, points)
    ends = []
    for start in starts or [mean, _noisy(mean)]:
        end = optimize.minimize(
            objective,
            np.clip(start, bounds[:, 0], bounds[:, 1]),
            args=(pairs, values, mean, spread),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": turns, "ftol": 1e-5, "gtol": 1e-2},
        )
        ends.append((float(end.fun), np.clip(end.x, bounds[:, 0], bounds[:, 1])))
    best: np.ndarray = min(ends, key=lambda end: end[0])[1]
    return best


def _noisy(theta: np.ndarray) -> np.ndarray:
    out: np.ndarray = theta.copy()
    out[-2] = math.log(0.1)
    return out


def _share(logit: float, additive: bool) -> float:
    """The part of the variance that is one joint function of all coordinates."""
    return 1.0 / (1.0 + math.exp(-logit)) if additive else 1.0


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
