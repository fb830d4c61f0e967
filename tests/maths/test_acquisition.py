"""Expected improvement against mpmath, its slopes against differences, and the search for its top."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from hpo_engine.maths.acquisition import Box, LogImprovement, log_improvement, maximise
from hpo_engine.maths.dedup import untaken
from hpo_engine.maths.embedding import Embedding, Kinds
from hpo_engine.maths.gp import Posterior


@pytest.mark.parametrize(
    "z", [-1e150, -1e8, -1.1e6, -9e5, -1e4, -51, -49.9, -38, -8, -1.0001, -1, -0.5, 0, 1e-300, 3, 40, 1e8]
)
def test_log_improvement_far_out_in_both_tails(z: float) -> None:
    with mpmath.workdps(400 if z < -100 else 60):
        t = mpmath.mpf(z)
        if z < -1e4:  # the tail's series: phi(z) / z^2 (1 - 3 / z^2 ...)
            true = -t * t / 2 - mpmath.log(mpmath.sqrt(2 * mpmath.pi)) - 2 * mpmath.log(-t) + mpmath.log1p(-3 / t**2)
        else:
            density = mpmath.exp(-t * t / 2) / mpmath.sqrt(2 * mpmath.pi)
            true = mpmath.log(density + t * mpmath.erfc(-t / mpmath.sqrt(2)) / 2)
    assert log_improvement(np.array([z]))[0] == pytest.approx(float(true), rel=1e-10, abs=1e-12)


def model(rng: np.random.Generator, d: int = 3, n: int = 15) -> Posterior:
    points = rng.random((n, d))
    return Posterior(
        Embedding(Kinds.ordered(d), points), np.log([0.3] * d + [1.0, 1e-4, 1.5]), points, rng.normal(size=n)
    )


@pytest.mark.parametrize("best", [-6.0, -1.0, 2.0])
@pytest.mark.parametrize("failures", [False, True])
def test_slopes_of_log_improvement_are_those_of_differences(best: float, failures: bool) -> None:
    rng = np.random.default_rng(0)
    posterior = model(rng)
    success = None
    if failures:
        success = Posterior(posterior.embedding, posterior.theta, posterior.points, (np.arange(15) % 2).astype(float))
    value = LogImprovement(posterior, best, success)
    at = rng.random((8, 3))
    scores, slopes = value.slopes(at)
    assert scores == pytest.approx(value(at))
    for j in range(3):
        step = np.eye(3)[j] * 1e-6
        assert slopes[:, j] == pytest.approx((value(at + step) - value(at - step)) / 2e-6, rel=1e-3, abs=1e-3)


def box(cells: list[int], named: list[bool]) -> Box:
    centres = [(np.arange(c) + 0.5) / c if c else np.empty(0) for c in cells]

    def tidy(points: np.ndarray) -> np.ndarray:
        out = np.clip(points, 0.0, 1.0)
        for j, c in enumerate(cells):
            if c:
                out[:, j] = (np.minimum((out[:, j] * c).astype(int), c - 1) + 0.5) / c
        return out

    return Box(tidy, np.array(cells), np.array(named), centres)


def test_search_finds_the_top_of_a_smooth_acquisition() -> None:
    rng = np.random.default_rng(1)
    posterior = model(rng, 2)
    value = LogImprovement(posterior, float(posterior.values.min()))
    found = maximise(value, box([0, 0], [False, False]), posterior.points[:3], posterior.points, rng)
    assert found is not None
    fine = np.stack(np.meshgrid(*[np.linspace(0, 1, 201)] * 2), axis=-1).reshape(-1, 2)
    assert value(found[None])[0] > value(fine).max() - 1e-3


def test_search_over_discrete_coordinates_finds_the_best_of_all() -> None:
    rng = np.random.default_rng(2)
    cells, kinds = [4, 5, 12], Kinds(np.array([0, 5, 0]), np.zeros(3, dtype=bool))
    space = box(cells, [False, True, False])
    points = space.tidy(rng.random((12, 3)))
    posterior = Posterior(
        Embedding(kinds, points), np.log([0.5, 1.0, 0.5, 1.0, 1e-4, 1.5]), points, rng.normal(size=12)
    )
    value = LogImprovement(posterior, float(posterior.values.min()))
    every = np.stack(np.meshgrid(*space.centres, indexing="ij"), axis=-1).reshape(-1, 3)
    free = untaken(every, points)
    assert len(free) == 240 - len(np.unique(points, axis=0))
    found = maximise(value, space, points[:3], points, rng, wide=64, near=64)
    assert found is not None
    assert value(found[None])[0] == pytest.approx(value(free).max())


def test_taken_points_are_never_found_and_nothing_is_left_of_a_full_space() -> None:
    rng = np.random.default_rng(3)
    space = box([3, 2], [True, False])
    every = np.stack(np.meshgrid(*space.centres, indexing="ij"), axis=-1).reshape(-1, 2)
    posterior = Posterior(
        Embedding(Kinds(np.array([3, 0]), np.zeros(2, dtype=bool)), every), np.zeros(5), every[:1], np.zeros(1)
    )
    value = LogImprovement(posterior, 0.0)
    found = maximise(value, space, every[:1], every[:5], rng)
    assert found is not None and np.array_equal(found, every[5])
    assert maximise(value, space, every[:1], every, rng) is None


def test_untaken_tells_inactive_from_any_value() -> None:
    points = np.array([[np.nan, 0.5], [0.0, 0.5], [0.3, 0.5]])
    assert np.array_equal(untaken(points, points[:1]), points[1:], equal_nan=True)
    assert np.array_equal(untaken(points, points[1:]), points[:1], equal_nan=True)


def test_only_what_is_allowed_is_found() -> None:
    rng = np.random.default_rng(4)
    posterior = model(rng, 2)
    value = LogImprovement(posterior, float(posterior.values.min()))
    free = box([0, 0], [False, False])
    best = maximise(value, free, posterior.points[:3], posterior.points, np.random.default_rng(0))
    assert best is not None

    def away(points: np.ndarray) -> np.ndarray:
        far: np.ndarray = np.abs(points - best).max(axis=1) > 0.2
        return far

    fenced = Box(free.tidy, free.cells, free.categorical, free.centres, away)
    found = maximise(value, fenced, posterior.points[:3], posterior.points, np.random.default_rng(0))
    assert found is not None and away(found[None]).all()
    strict = Box(free.tidy, free.cells, free.categorical, free.centres, lambda points: points[:, 0] < 0.002)
    found = maximise(value, strict, posterior.points[:3], posterior.points, rng)
    assert found is None or found[0] < 0.002
