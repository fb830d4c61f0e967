"""How much better than the best result the best point of a space may be, by a Gaussian process. Loads scipy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hpo_engine.maths.acquisition import LowerBound, maximise
from hpo_engine.maths.embedding import Embedding
from hpo_engine.maths.gp import Posterior, Priors, fit
from hpo_engine.maths.transforms import tamed
from hpo_engine.space.searchspace import SearchSpace
from hpo_engine.study.geometry import box_of, kinds_of

_DELTA = 0.1  # the probability that the bounds of GP-UCB do not hold
_NARROWED = 5.0  # beta is divided by it, as in the paper (and in the experiments of Srinivas et al.)
_MOST = 150  # results in the model; of more, the better half of so many are the best ones
_TIED = 40  # dimensions from which on all share one lengthscale


class RegretModel:
    """The model of one space; `seed` is that of the search for the lowest bound."""

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._space, self._seed = space, seed
        self._kinds, self._box = kinds_of(space), box_of(space)

    def bound(self, params: Sequence[Mapping[str, Any]], losses: Sequence[float]) -> float:
        """An upper bound of the regret of the best result, in the unit of the losses; infinite if there is none.

        Source: Makarova et al. 2022, eq. 2: the least upper bound of the results less the least lower bound anywhere.
        """
        points, found = np.array([self._space.encode(p) for p in params]), np.array(losses, dtype=float)
        values, unit = tamed(found), _unit(found)
        if not unit < math.inf:
            return math.inf
        kept = _kept(found)
        points, values = points[kept], values[kept]
        embedding = Embedding(self._kinds, points, tied=points.shape[1] > _TIED)
        posterior = Posterior(embedding, fit(embedding, points, values, Priors(), turns=30), points, values)
        width = math.sqrt(_beta(points.shape[1], len(found)))
        upper = float((posterior.predict(points)[0] + width * np.sqrt(posterior.predict(points)[1])).min())
        if upper > np.median(values):  # it cannot tell the best from the others
            return math.inf
        return max(0.0, upper - self._lowest(posterior, width, len(found))) * unit

    def _lowest(self, posterior: Posterior, width: float, count: int) -> float:
        """The least lower bound in the space."""
        value = LowerBound(posterior, width)
        at_results = value(posterior.points)
        anchors = posterior.points[np.argsort(-at_results, kind="stable")[:5]]
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(self._seed, spawn_key=(count,))))
        nothing = np.empty((0, posterior.points.shape[1]))
        best = maximise(value, self._box, anchors, nothing, rng, wide=1024, near=512, starts=8)
        elsewhere = -math.inf if best is None else float(value(best[None])[0])
        return -max(float(at_results.max()), elsewhere)


def _beta(d: int, t: int) -> float:
    """Source: Srinivas et al., Gaussian Process Optimization in the Bandit Setting (2010), theorem 1, with d in place
    of the size of the space."""
    return 2.0 * math.log(d * t * t * math.pi * math.pi / (6.0 * _DELTA)) / _NARROWED


def _unit(losses: np.ndarray) -> float:
    """What 1 of the model's values is in losses, which holds for those below the median; infinite if that has no
    scale."""
    values, middle = tamed(losses), np.argsort(losses, kind="stable")[(len(losses) - 1) // 2]
    best = int(np.argmin(losses))
    rise = values[middle] - values[best]
    return float((losses[middle] - losses[best]) / rise) if rise > 0.0 else math.inf


def _kept(losses: np.ndarray) -> np.ndarray:
    """Indices of at most `_MOST` results: the best ones, and some of the others."""
    order = np.argsort(losses, kind="stable")
    if len(order) <= _MOST:
        return np.arange(len(order))
    half = _MOST // 2
    others = np.linspace(half, len(order) - 1, _MOST - half).astype(int)
    return np.sort(np.concatenate([order[:half], order[others]]))
