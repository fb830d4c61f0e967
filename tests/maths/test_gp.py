"""The Gaussian process against differences, plain formulas and mpmath, also where matrices are nearly singular."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest

from hpo_engine.maths.embedding import Embedding, Kinds
from hpo_engine.maths.gp import Pairs, Posterior, Priors, fit, objective

MIXED = Kinds(np.array([0, 3, 0, 0]), np.array([False, False, True, False]))


def mixed_points(n: int, rng: np.random.Generator) -> np.ndarray:
    points = rng.random((n, 4))
    points[:, 1] = (rng.integers(3, size=n) + 0.5) / 3
    points[rng.random(n) < 0.4, 2] = np.nan
    return points


def matern(r: mpmath.mpf) -> mpmath.mpf:
    s = mpmath.sqrt(5) * r
    return (1 + s + s * s / 3) * mpmath.exp(-s)


def exact(points: np.ndarray, values: np.ndarray, at: np.ndarray, theta: np.ndarray) -> tuple[float, float]:
    """Mean and variance at one point, with 60 digits; ordered coordinates only."""
    with mpmath.workdps(60):
        lengths = [mpmath.exp(t) for t in theta[:-3]]
        output, noise = mpmath.exp(theta[-3]), mpmath.exp(theta[-2])
        share = 1 / (1 + mpmath.exp(-mpmath.mpf(theta[-1])))

        def k(a: np.ndarray, b: np.ndarray) -> mpmath.mpf:
            parts = [((mpmath.mpf(x) - mpmath.mpf(y)) / s) ** 2 for x, y, s in zip(a, b, lengths, strict=True)]
            alone = sum(matern(mpmath.sqrt(len(parts) * part)) for part in parts) / len(parts)
            return output * (share * matern(mpmath.sqrt(sum(parts))) + (1 - share) * alone)

        n = len(points)
        inverse = mpmath.matrix(n, n)
        for i in range(n):
            for j in range(n):
                inverse[i, j] = k(points[i], points[j]) + (noise if i == j else 0)
        inverse = inverse**-1
        ones, y = mpmath.ones(n, 1), mpmath.matrix([mpmath.mpf(v) for v in values])
        mean = (ones.T * inverse * y)[0] / (ones.T * inverse * ones)[0]
        cross = mpmath.matrix([k(p, at) for p in points])
        found = mean + (cross.T * inverse * (y - mean * ones))[0]
        return float(found), float(output - (cross.T * inverse * cross)[0])


@pytest.mark.by_default("[1-0.5", "[12-")
@pytest.mark.parametrize("noise", [1e-6, 1e-2])
@pytest.mark.parametrize("length", [0.02, 0.5, 20.0])
@pytest.mark.parametrize("n", [1, 2, 12])
def test_posterior_is_the_exact_one_with_long_and_short_lengthscales(n: int, length: float, noise: float) -> None:
    rng = np.random.default_rng(n)
    points, values = rng.random((n, 2)), rng.normal(size=n)
    points[-1] = points[0]  # a duplicate
    theta = np.log([length, 2 * length, 1.3, noise, 2.0])
    posterior = Posterior(Embedding(Kinds.ordered(2), points), theta, points, values)
    for at in (rng.random(2), points[0]):
        mean, variance = posterior.predict(at[None])
        true_mean, true_variance = exact(points, values, at, theta)
        scale = np.abs(values).max() / math.sqrt(noise)
        assert mean[0] == pytest.approx(true_mean, abs=1e-9 * scale * (1 + length) ** 2)
        assert variance[0] == pytest.approx(true_variance, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("shift", [-2.0, 0.0, 2.0])
def test_gradient_of_the_likelihood_is_that_of_differences(shift: float) -> None:
    rng = np.random.default_rng(5)
    points, values = mixed_points(25, rng), rng.normal(size=25)
    embedding = Embedding(MIXED, points)
    mean, spread, _ = Priors().table(embedding.size, 4)
    theta = mean + shift
    theta[-2] = math.log(1e-3)
    args = Pairs(embedding, points), values, mean, spread
    gradient = objective(theta, *args)[1]
    for i in range(len(theta)):
        step = np.zeros(len(theta))
        step[i] = 1e-5
        difference = (objective(theta + step, *args)[0] - objective(theta - step, *args)[0]) / 2e-5
        assert gradient[i] == pytest.approx(difference, rel=1e-4, abs=1e-4)


def test_slopes_of_the_prediction_are_those_of_differences() -> None:
    rng = np.random.default_rng(6)
    points, values = mixed_points(20, rng), rng.normal(size=20)
    posterior = Posterior(Embedding(MIXED, points), np.log([0.3, 0.5, 0.7, 0.9, 1.2, 1e-3, 1.5]), points, values)
    at = mixed_points(9, rng)
    mean, variance, rise, widening = posterior.slopes(at)
    expected = posterior.predict(at)
    assert mean == pytest.approx(expected[0]) and variance == pytest.approx(expected[1])
    assert not rise[:, 1].any() and not rise[np.isnan(at)].any()
    for j in (0, 2, 3):
        step = np.zeros(4)
        step[j] = 1e-6
        (up, wide), (down, narrow) = posterior.predict(at + step), posterior.predict(at - step)
        live = ~np.isnan(at[:, j])
        assert rise[live, j] == pytest.approx(((up - down) / 2e-6)[live], abs=1e-5)
        assert widening[live, j] == pytest.approx(((wide - narrow) / 2e-6)[live], abs=1e-5)


def test_names_of_categories_do_not_matter() -> None:
    rng = np.random.default_rng(7)
    points, values, at = mixed_points(20, rng), rng.normal(size=20), mixed_points(30, rng)
    turned, at_turned = points.copy(), at.copy()
    for array in (turned, at_turned):
        array[:, 1] = (np.array([2, 0, 1])[(array[:, 1] * 3).astype(int)] + 0.5) / 3
    answers = []
    for here, there in ((points, at), (turned, at_turned)):
        embedding = Embedding(MIXED, here)
        theta = fit(embedding, here, values, Priors())
        answers.append(np.array(Posterior(embedding, theta, here, values).predict(there)))
    assert answers[0] == pytest.approx(answers[1], abs=1e-6)


def test_inactive_values_are_alike_and_equally_far_from_mirrored_active_ones() -> None:
    kinds = Kinds(np.array([0, 4]), np.array([True, True]))
    nan = math.nan
    points = np.array([[nan, nan], [nan, nan], [0.2, nan], [0.8, nan], [nan, 0.125], [nan, 0.625]])
    columns = Embedding(kinds, points)(points)
    far = np.linalg.norm(columns[:, None] - columns[None], axis=2)
    assert far[0, 1] == 0.0 and far[0, 2] == pytest.approx(far[0, 3]) and far[0, 2] > 0.5
    assert far[2, 3] == pytest.approx(0.6) and far[0, 4] == far[0, 5] == far[4, 5] == pytest.approx(0.5)


def test_values_never_seen_are_as_far_as_any() -> None:
    kinds = Kinds(np.array([5]), np.array([False]))
    columns = Embedding(kinds, np.array([[0.1], [0.3]]))(np.array([[0.1], [0.3], [0.9]]))
    far = np.linalg.norm(columns[:, None] - columns[None], axis=2)
    assert far[0, 1] == far[0, 2] == far[1, 2] == pytest.approx(0.5)


def test_fit_tells_what_matters_and_how_much_noise_there_is() -> None:
    rng = np.random.default_rng(8)
    points = rng.random((60, 3))
    clean = np.sin(6 * points[:, 0])
    embedding = Embedding(Kinds.ordered(3), points)
    for deviation in (0.0, 0.3):
        values = clean + deviation * rng.normal(size=60)
        lengths = np.exp(fit(embedding, points, values, Priors()))
        assert lengths[0] < 0.5 * min(lengths[1], lengths[2])
        assert (0.04 < lengths[-2] < 0.2) if deviation else lengths[-2] < 1e-3


@pytest.mark.parametrize("values", [[0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 1e6], [0.0, 0.0, 1.0]])
@pytest.mark.parametrize("spread", [0.0, 1e-9, 1.0])
def test_fit_and_prediction_are_finite_for_copies_of_a_point_and_constant_values(
    values: list[float], spread: float
) -> None:
    points = 0.5 + spread * np.linspace(-0.5, 0.5, len(values))[:, None] * np.ones((1, 3))
    embedding = Embedding(Kinds.ordered(3), points)
    theta = fit(embedding, points, np.array(values), Priors())
    posterior = Posterior(embedding, theta, points, np.array(values))
    for part in (*posterior.predict(points), *posterior.joint(points), *posterior.slopes(points)):
        assert np.isfinite(part).all()


def test_joint_prediction_agrees_with_single_ones_and_is_positive_definite() -> None:
    rng = np.random.default_rng(9)
    points, values, at = mixed_points(15, rng), rng.normal(size=15), mixed_points(40, rng)
    posterior = Posterior(
        Embedding(MIXED, np.vstack([points, at])), np.log([0.3, 0.5, 0.7, 0.9, 1.2, 1e-3, 1.5]), points, values
    )
    mean, covariance = posterior.joint(at)
    assert mean == pytest.approx(posterior.predict(at)[0])
    assert np.diagonal(covariance) == pytest.approx(posterior.predict(at)[1], abs=1e-9)
    assert np.linalg.eigvalsh(covariance).min() > -1e-9


def test_values_that_the_model_expects_move_nothing_but_its_doubt() -> None:
    rng = np.random.default_rng(10)
    points, values, more = rng.random((15, 2)), rng.normal(size=15), rng.random((3, 2))
    posterior = Posterior(Embedding(Kinds.ordered(2), points), np.log([0.3, 0.5, 1.2, 1e-3, 1.5]), points, values)
    believed = posterior.given(more, posterior.predict(more)[0])
    at = rng.random((50, 2))
    assert (believed.predict(more)[1] < 0.5 * posterior.predict(more)[1] + 1e-3).all()
    assert (believed.predict(at)[1] <= posterior.predict(at)[1] + 1e-12).all()
