"""The scrambled Sobol sequence: held against scipy's, evenness, random access, and what it costs to import."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import qmc

from hpo_engine.maths import quasirandom
from hpo_engine.maths.quasirandom import TABLED, ScrambledSobol


@pytest.mark.parametrize("d", [1, 2, 6, TABLED])
def test_without_scrambling_points_are_those_of_scipy(d: int) -> None:
    sequence = ScrambledSobol(d, 0, scramble=False)
    reference = qmc.Sobol(d, scramble=False, bits=32).random(512)
    np.testing.assert_array_equal([sequence.point(i) for i in range(512)], reference)


@pytest.mark.parametrize("d", [1, 5, 40, TABLED + 30])
def test_first_points_hit_every_stratum_of_every_axis_once(d: int) -> None:
    for k in (3, 6, 8):
        for axis in _points(d, 2**k).T:
            assert sorted((axis * 2**k).astype(int)) == list(range(2**k))


@pytest.mark.parametrize(("d", "n"), [(2, 16), (4, 256), (8, 32), (20, 32)])
def test_points_are_as_even_as_those_of_scipy_and_more_so_than_chance(d: int, n: int) -> None:
    ours = np.mean([qmc.discrepancy(_points(d, n, seed)) for seed in range(8)])
    scipys = np.mean([qmc.discrepancy(qmc.Sobol(d, seed=seed).random(n)) for seed in range(8)])
    chance = np.mean([qmc.discrepancy(np.random.default_rng(seed).random((n, d))) for seed in range(8)])
    assert ours < 1.1 * scipys and ours < 0.9 * chance


def test_any_order_of_asking_gives_the_same_points() -> None:
    straight = _points(3, 200)
    jumping = ScrambledSobol(3, 7)
    for i in (199, 0, 64, 63, 130, 130, 5, 198):
        np.testing.assert_array_equal(jumping.point(i), straight[i])


def test_seeds_give_different_points_and_none_starts_in_the_corner() -> None:
    firsts = [tuple(ScrambledSobol(3, seed).point(0)) for seed in range(50)]
    assert len(set(firsts)) == 50 and np.abs(np.mean(firsts) - 0.5) < 0.15


@pytest.mark.parametrize("i", [0, 10**6, 2**32 - 1])
def test_a_point_far_out_is_inside(i: int) -> None:
    point = ScrambledSobol(TABLED + 1, 7).point(i)
    assert point.shape == (TABLED + 1,) and ((point >= 0) & (point < 1)).all()


def test_beyond_the_table_no_two_axes_are_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quasirandom, "TABLED", 3)
    wide = _points(40, 64)
    assert len({tuple(axis) for axis in wide.T}) == 40
    np.testing.assert_array_equal(ScrambledSobol(40, 7).point(63), wide[63])


def test_no_dimensions_give_empty_points() -> None:
    assert ScrambledSobol(0, 7).point(5).shape == (0,)


def test_scipy_is_not_needed() -> None:
    code = "import sys; from hpo_engine.maths.quasirandom import ScrambledSobol as S; S(5, 1).point(3); sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def _points(d: int, n: int, seed: int = 7) -> np.ndarray:  # (n, d)
    sequence = ScrambledSobol(d, seed)
    return np.array([sequence.point(i) for i in range(n)])
