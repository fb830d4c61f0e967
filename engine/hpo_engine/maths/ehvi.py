"""The expected gain of hypervolume, if each of k objectives has its own Gaussian process.

Notation: m query points, d coordinates, n points on the front, k objectives, all minimised. The models are independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import special

from hpo_engine.maths.acquisition import log_improvement, log_success
from hpo_engine.maths.gp import Posterior
from hpo_engine.maths.quasirandom import lattice

_SLOPE = 1e-5  # step of the finite differences
_DIRECTIONS, _DRAWS = 64, 32  # with three and more objectives: directions, and normal draws for each
_LEAST = 1e-300
_EDGE = 1e-6  # uniform numbers keep so far from 0 and 1, so that their normal quantiles are finite


@dataclass(frozen=True)
class LogHypervolumeImprovement:
    """log of the expected gain over the front below the reference, plus the log of the probability of success.

    Exact for two objectives; for more it is the mean over 64 directions and 32 draws of the models.

    Source: Emmerich, Yang, Deutz, Infill criteria for multiobjective Bayesian optimization (2020), section 4, for two
    objectives; Zhang and Golovin, Random hypervolume scalarizations, ICML 2020, lemma 5, for more.
    """

    posteriors: Sequence[Posterior]  # k
    front: np.ndarray  # (n, k): not dominated, below the reference
    reference: np.ndarray  # (k,)
    success: Posterior | None = None  # of 1 where trials succeeded, 0 where they failed

    def __call__(self, points: np.ndarray) -> np.ndarray:  # (m, d) -> (m,)
        predicted = [posterior.predict(points) for posterior in self.posteriors]
        means = np.column_stack([mean for mean, _ in predicted])
        deviations = np.sqrt(np.column_stack([variance for _, variance in predicted]))
        out: np.ndarray = self._exact(means, deviations) if len(predicted) == 2 else self._sampled(means, deviations)
        if self.success is not None:
            out = out + log_success(self.success, points)
        return out

    def slopes(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # (m, d) -> (m,), (m, d)
        """The values, and their gradients in the ordered coordinates, by forward differences."""
        m, d = points.shape
        steps = np.where(points > 0.5, -_SLOPE, _SLOPE)  # (m, d): never outside [0, 1]
        moved = np.repeat(points[:, None, :], d + 1, axis=1)  # (m, d + 1, d)
        for j in range(d):
            moved[:, j + 1, j] += steps[:, j]
        values = self(moved.reshape(-1, d)).reshape(m, d + 1)
        gradient = (values[:, 1:] - values[:, :1]) / steps
        return values[:, 0], np.nan_to_num(gradient, nan=0.0)

    def _exact(self, means: np.ndarray, deviations: np.ndarray) -> np.ndarray:
        """A strip lies between neighbours of the front in the first objective; its gain is a product of expectations.

        Over strip i, from a_i to a_(i+1) and below b_i, the expected gain is (psi1(a_(i+1)) - psi1(a_i)) psi2(b_i),
        where psi(a) is the expectation of max(0, a - y), the improvement on a.
        """
        corners = self.front[np.argsort(self.front[:, 0])]
        right = np.append(corners[:, 0], self.reference[0])  # a_1 ... a_(n+1)
        below = np.append(self.reference[1], corners[:, 1])  # b_0 ... b_n
        wide = _log_psi(right, means[:, :1], deviations[:, :1])  # (m, n + 1)
        high = _log_psi(below, means[:, 1:], deviations[:, 1:])
        strips = wide.copy()
        with np.errstate(divide="ignore"):
            strips[:, 1:] += np.log(-np.expm1(np.minimum(wide[:, :-1] - wide[:, 1:], 0.0)))
        out: np.ndarray = special.logsumexp(strips + high, axis=1)
        return out

    def _sampled(self, means: np.ndarray, deviations: np.ndarray) -> np.ndarray:
        directions, draws, powers = self._plan  # (w, k), (s, k), (w,): the best power of the front in each direction
        lengths = np.full((len(means), len(draws), len(directions)), np.inf)
        for j in range(means.shape[1]):
            gap = self.reference[j] - (means[:, j, None] + deviations[:, j, None] * draws[:, j])  # (m, s)
            lengths = np.minimum(lengths, gap[:, :, None] / directions[:, j])
        gains = np.maximum(np.maximum(lengths, 0.0) ** means.shape[1] - powers, 0.0).mean(axis=(1, 2))
        # If no draw gains anything, the distance of the best one, so that there is a gradient to follow.
        near = (lengths - powers ** (1.0 / means.shape[1])).max(axis=(1, 2))
        out: np.ndarray = np.where(gains > 0.0, np.log(np.maximum(gains, _LEAST)), -700.0 + np.minimum(near, 0.0))
        return out

    @cached_property
    def _plan(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        k = len(self.reference)
        directions = np.abs(special.ndtri(np.clip(lattice(_DIRECTIONS, k), _EDGE, 1.0 - _EDGE)))
        directions = np.maximum(directions / np.linalg.norm(directions, axis=1, keepdims=True), 1e-9)
        lengths = ((self.reference - self.front)[:, None, :] / directions).min(axis=2)  # (n, w)
        powers = lengths.max(axis=0, initial=0.0) ** k
        return directions, special.ndtri(np.clip(lattice(_DRAWS, k), _EDGE, 1.0 - _EDGE)), powers


def _log_psi(limits: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:  # (n,), (m, 1) -> (m, n)
    out: np.ndarray = log_improvement((limits - mean) / deviation) + np.log(deviation)
    return out
