"""scikit-optimize's Gaussian process as the model of `bayesian` (`surrogate: skopt`): WMLA's kind of search.

A model is fitted anew for each proposal: tenths of a second at 30 trials, seconds at 200. For users who want that
library's proposals; a WMLA request gets our own model, with the same InitPoints, CubeSize and Noiseless, so that its
results do not depend on what is installed.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from hpo_engine.errors import Problem, SpecError
from hpo_engine.maths.transforms import reined
from hpo_engine.searchers import trial_rng
from hpo_engine.searchers.observations import Observations
from hpo_engine.space.axes import Cells, axis_of
from hpo_engine.space.params import Choice
from hpo_engine.study.spec import StudySpec

_MOST = 300  # results that the model holds: the best and the latest
_MOST_LOSS = 1e100
_NOISELESS = 1e-10  # the variance that keeps the matrix positive definite


class Skopt:
    """Fits skopt's GP (Matern 5/2, one length scale per dimension); proposes the point of largest expected improvement.

    Pending trials count as having the lowest loss so far (skopt's "cl_min"), failed ones as having the highest.

    Args:
        cube_size: points that each proposal is chosen from (WMLA's CubeSize; skopt's n_points).
        noiseless: whether equal parameters give equal losses; else the noise is fitted (skopt's noise="gaussian").
    """

    def __init__(self, spec: StudySpec, *, cube_size: int | None = None, noiseless: bool | None = None) -> None:
        self._spec, self._space = spec, spec.space
        self._cube_size = cube_size or 10_000
        self._noise: float | str = _NOISELESS if noiseless else "gaussian"
        self._axes = [(param, axis_of(param)) for param in spec.space.dimensions]
        _package()

    def point(self, observed: Observations, trial_id: int) -> np.ndarray:  # (d,)
        """The point to try as trial `trial_id`, as `SearchSpace.encode` gives it; needs one result."""
        skopt = _package()
        rng = np.random.RandomState(int(trial_rng(self._spec, trial_id).integers(1 << 32)))
        points, losses = self._training_data(observed)
        dimensions = [self._dimension(k) for k in range(len(self._axes))]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of fits that end at a bound, of points that were tried before
            model = skopt.utils.cook_estimator(
                "GP",
                space=skopt.utils.normalize_dimensions(dimensions),
                random_state=rng.randint(1 << 30),
                noise=self._noise,
            )
            optimizer = skopt.Optimizer(
                dimensions,
                base_estimator=model,
                n_initial_points=0,
                acq_func="EI",
                acq_optimizer="auto",
                acq_optimizer_kwargs={"n_points": self._cube_size, "n_jobs": 1},
                random_state=rng.randint(1 << 30),
            )
            optimizer.tell([self._inside(point) for point in points], losses.tolist())
            asked = optimizer.ask()
        out: np.ndarray = self._space.tidy(np.array([self._outside(asked)]))[0]
        return out

    def _training_data(self, observed: Observations) -> tuple[np.ndarray, np.ndarray]:
        """Points (n, d) and losses (n,) of results, failed and pending trials."""
        seen, losses = observed.seen
        losses = np.clip(reined(losses), -_MOST_LOSS, _MOST_LOSS)
        kept = np.arange(len(losses))
        if len(kept) > _MOST:
            best = np.argsort(losses, kind="stable")[: _MOST // 2]
            kept = np.union1d(best, kept[-(_MOST - len(best)) :])
        failed, pending = observed.failed[-_MOST // 3 :], observed.pending[-_MOST // 3 :]
        points = np.concatenate([seen[kept], failed, pending])
        worst, lowest = losses.max(), losses.min()
        values = np.concatenate([losses[kept], np.full(len(failed), worst), np.full(len(pending), lowest)])
        return points, values

    # -- to and from skopt's space ------------------------------------------------------------------------------------

    def _dimension(self, k: int) -> Any:
        """One parameter as skopt has it: categories, whole numbers (places of values), or [0, 1]."""
        param, axis = self._axes[k]
        make = _package().space
        if _indexed(axis) and isinstance(param, Choice) and not param.ordered:
            return make.Categorical(list(range(axis.size or 1)))
        return make.Integer(0, axis.size - 1) if _indexed(axis) and axis.size else make.Real(0.0, 1.0)

    def _inside(self, point: np.ndarray) -> list[Any]:
        """A point in skopt's space; a parameter that does not apply gets its centre, or its first category."""
        out: list[Any] = []
        for u, (param, axis) in zip(point.tolist(), self._axes, strict=True):
            if not _indexed(axis):
                out.append(0.5 if u != u else min(max(u, 0.0), 1.0))
            elif u != u:
                out.append(0 if isinstance(param, Choice) else (axis.size or 1) // 2)
            else:
                out.append(min(int(u * (axis.size or 1)), (axis.size or 1) - 1))
        return out

    def _outside(self, asked: list[Any]) -> list[float]:
        return [
            (int(v) + 0.5) / (axis.size or 1) if _indexed(axis) else float(v)
            for v, (_, axis) in zip(asked, self._axes, strict=True)
        ]


def _indexed(axis: Any) -> bool:
    """Whether an axis has indexed values: at least two, in cells of equal width, and fewer than 2^31."""
    if not isinstance(axis, Cells) or not 2 <= axis.size < 1 << 31:
        return False
    return bool(abs(axis.encode(axis.value(0)) - 0.5 / axis.size) < 1e-12)


def _package() -> Any:
    """The package skopt. Raises SpecError if it is missing."""
    try:
        import skopt
        import skopt.utils
    except ImportError as error:
        text = "skopt needs the package scikit-optimize; run: pip install 'hpo-engine[skopt]'"
        raise SpecError([Problem("options.surrogate", text)]) from error
    return skopt
