"""Parzen windows: densities that integrate to one, draws that follow them, exact where they are tiny."""

from __future__ import annotations

import itertools

import mpmath
import numpy as np
import pytest
from scipy import stats

from hpo_engine.maths.parzen import Parzen, _log_mass, _masses

CELLS = np.array([0, 4, 3, 400])
CATEGORICAL = np.array([False, False, True, False])
WIDTHS = np.array([0.15, 0.1, 0.4, 0.05])


def middles(size: int) -> np.ndarray:
    return (np.arange(size) + 0.5) / size


def mixture(n: int = 5, uniform: float = 1.0, blind: bool = False) -> Parzen:
    rng = np.random.default_rng(n)
    places = [rng.random(n), *(middles(k)[rng.integers(k, size=n)] for k in CELLS[1:])]
    centres = np.column_stack(places)
    if blind:
        centres[rng.random(centres.shape) < 0.4] = np.nan
    return Parzen(CELLS, CATEGORICAL, centres, WIDTHS, rng.random(n) + 0.1, uniform)


@pytest.mark.parametrize("blind", [False, True])
@pytest.mark.parametrize("n", [1, 5, 40])
def test_density_and_masses_come_to_one(n: int, blind: bool) -> None:
    grid = np.array(list(itertools.product(middles(80), middles(4), middles(3), middles(80))))
    density = np.exp(mixture(n, blind=blind).log_density(grid))
    assert density.mean() == pytest.approx(1.0, abs=3e-3)


def test_nothing_known_is_uniform() -> None:
    none = Parzen(CELLS, CATEGORICAL, np.empty((0, 4)), WIDTHS, np.empty(0), 1.0)
    assert np.array_equal(none.log_density(np.random.default_rng(0).random((5, 4))), np.zeros(5))
    assert stats.kstest(none.sample(np.random.default_rng(0), 500)[:, 0], "uniform").pvalue > 1e-4


def test_draws_follow_the_density() -> None:
    # 20,000 draws in 24 boxes each; chi-square with p > 1e-6: one false alarm in a million runs of a fixed seed.
    for blind in (False, True):
        model = mixture(6, blind=blind)
        drawn = model.sample(np.random.default_rng(4), 20_000)
        at = np.array(list(itertools.product(middles(100), middles(4), middles(3), middles(80))))
        density = np.exp(model.log_density(at)).reshape(100, 4, 3, 80).mean(axis=3)
        expected = density.reshape(2, 50, 4, 3).mean(axis=1).ravel()
        boxes = [np.minimum((drawn[:, j] * k).astype(int), k - 1) for j, k in ((0, 2), (1, 4), (2, 3))]
        seen = np.bincount(np.ravel_multi_index(boxes, (2, 4, 3)), minlength=24)
        assert stats.chisquare(seen, expected / expected.sum() * seen.sum()).pvalue > 1e-6


def test_many_narrow_cells_are_as_good_as_a_line() -> None:
    fine = middles(400)[:, None]
    for centre in fine[[0, 120, 399], 0]:
        args = (np.array([False]), np.array([[centre]]), np.array([0.05]), np.ones(1), 1e-9)
        as_line = Parzen(np.array([400]), *args).log_density(fine)
        row = _masses(400, 0.05)[:, int(centre * 400)]
        assert np.max(np.abs(np.exp(as_line) - np.exp(row))) < 0.02


@pytest.mark.parametrize("h", [1e-3, 0.05, 3.0])
@pytest.mark.parametrize("size", [1, 2, 7, 300])
def test_masses_of_each_window_come_to_one(size: int, h: float) -> None:
    masses = np.exp(_masses(size, h)) / size
    np.testing.assert_allclose(masses.sum(axis=0), 1.0, rtol=1e-9)
    z = (np.arange(size + 1) / size - 0.5 / size) / h  # the first window's
    expected = np.diff(stats.norm.cdf(z)) / (stats.norm.cdf(z[-1]) - stats.norm.cdf(z[0]))
    np.testing.assert_allclose(masses[:, 0], expected, rtol=1e-6, atol=1e-12)


def test_a_place_that_does_not_count_adds_nothing() -> None:
    model = mixture(7)
    x = np.array([[0.3, 0.125, np.nan, 0.4]])
    each = [model.log_density(np.array([[0.3, 0.125, c, 0.4]]))[0] for c in middles(3)]
    assert model.log_density(x)[0] == pytest.approx(np.log(np.mean(np.exp(each))), abs=1e-9)


@pytest.mark.parametrize(("a", "b"), [(-40, -39), (39, 40), (-0.5, 0.5), (-1e-9, 1e-9), (7, 7.01), (-38.4, 3), (0, 60)])
def test_masses_far_out_are_exact(a: float, b: float) -> None:
    with mpmath.workdps(60):
        exact = mpmath.log(mpmath.ncdf(b) - mpmath.ncdf(a)) if a < 0 else mpmath.log(mpmath.ncdf(-a) - mpmath.ncdf(-b))
    assert float(_log_mass(np.array(float(a)), np.array(float(b)))) == pytest.approx(float(exact), rel=1e-6)


def test_relabelled_categories_change_no_density() -> None:
    rng = np.random.default_rng(2)
    places, at, order = rng.integers(5, size=(6, 2)), rng.integers(5, size=(30, 2)), rng.permutation(5)
    cells, categorical, widths = np.array([5, 5]), np.array([True, True]), np.array([0.3, 0.6])
    weights = rng.random(6)
    densities = [
        Parzen(cells, categorical, middles(5)[f(places)], widths, weights, 1.0).log_density(middles(5)[f(at)])
        for f in (lambda k: k, lambda k: order[k])
    ]
    np.testing.assert_allclose(densities[0], densities[1], rtol=1e-12)
