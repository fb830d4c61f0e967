"""The expected gain of hypervolume against plain sampling of the models, and its slopes against differences."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from hpo_engine.maths import pareto
from hpo_engine.maths.ehvi import LogHypervolumeImprovement
from hpo_engine.maths.embedding import Embedding, Kinds
from hpo_engine.maths.gp import Posterior


def models(k: int, d: int = 3, n: int = 12) -> list[Posterior]:
    rng = np.random.default_rng(k)
    points = rng.random((n, d))
    theta = np.log([0.4] * d + [1.0, 1e-3, 1.5])
    return [Posterior(Embedding(Kinds.ordered(d), points), theta, points, rng.normal(size=n)) for _ in range(k)]


def value_of(posteriors: list[Posterior], shift: float = 0.0) -> LogHypervolumeImprovement:
    """Over the front of what the models expect, moved by `shift` (down: harder to improve on)."""
    seen = np.column_stack([p.predict(p.points)[0] for p in posteriors])
    front = seen[pareto.ranks(seen) == 0]
    return LogHypervolumeImprovement(posteriors, front + shift, seen.max(axis=0) + 0.2)


def sampled(value: LogHypervolumeImprovement, point: np.ndarray, draws: int) -> tuple[float, float]:
    """The mean gain of volume over draws of the models, and its standard error."""
    rng = np.random.default_rng(5)
    found = [p.predict(point[None]) for p in value.posteriors]
    vectors = [mean + np.sqrt(variance) * rng.normal(size=draws) for mean, variance in found]
    members = [tuple(row) for row in value.front.tolist()]
    reference = tuple(value.reference.tolist())
    gains = [pareto.gain(vector, members, reference) for vector in zip(*np.array(vectors).tolist(), strict=True)]
    return float(np.mean(gains)), float(np.std(gains) / np.sqrt(draws))


@pytest.mark.parametrize("shift", [0.0, -0.5])
def test_two_objectives_are_exact(shift: float) -> None:
    value = value_of(models(2), shift)
    at = np.random.default_rng(1).random((6, 3))
    for point, log in zip(at, value(at), strict=True):
        mean, error = sampled(value, point, 4_000)
        assert abs(np.exp(log) - mean) <= 5 * error + 1e-5, "five standard errors: one false alarm in a million"


def test_three_objectives_order_points_as_sampling_does() -> None:
    value = value_of(models(3))
    at = np.random.default_rng(2).random((10, 3))
    means = np.array([sampled(value, point, 1_500)[0] for point in at])
    # A mean over directions is a fixed multiple of the volume, so logs differ by a constant, but for sampling.
    likely = means > 0.1 * means.max()
    off = value(at[likely]) - np.log(means[likely])
    assert likely.sum() >= 4 and off.max() - off.min() < 0.7


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("shift", [0.0, -1.0, -30.0])
def test_values_are_finite_and_slopes_point_up(k: int, shift: float) -> None:
    value = value_of(models(k), shift)
    at = np.random.default_rng(3).random((5, 3)) * 0.9 + 0.05
    values, slopes = value.slopes(at)
    assert np.isfinite(values).all() and np.isfinite(slopes).all()
    assert values == pytest.approx(value(at))
    step = 1e-4 / np.maximum(np.abs(slopes).max(axis=1, keepdims=True), 1e-9)
    assert (value(at + step * slopes) >= values - 1e-9 * np.abs(values)).all()


def test_a_wall_of_failures_lowers_the_value() -> None:
    posteriors = models(2)
    one = posteriors[0]
    labels = (one.points[:, 0] > 0.5).astype(float)
    success = Posterior(one.embedding, one.theta, one.points, labels)
    plain = value_of(posteriors)
    guarded = LogHypervolumeImprovement(posteriors, plain.front, plain.reference, success)
    at = np.random.default_rng(4).random((20, 3))
    chance, doubt = success.predict(at)
    assert guarded(at) == pytest.approx(plain(at) + special.log_ndtr((chance - 0.5) / np.sqrt(doubt + success.noise)))
