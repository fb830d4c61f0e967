"""Sobol search: even coverage, random access, and what it costs to import."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import qmc

from engine.maths import quasirandom
from engine.maths.quasirandom import ScrambledSobol
from engine.searchers.sobol import Sobol
from engine.space import Choice, Constant, Float, Int, SearchSpace
from tests.laws.searcher_laws import SPACES, opened, proposed, spec_of, told


@pytest.mark.parametrize("d", [1, 5, 40])
def test_first_points_hit_every_stratum_of_every_axis_once(d: int) -> None:
    for k in (3, 6, 8):
        for axis in _points(d, 2**k).T:
            assert sorted((axis * 2**k).astype(int)) == list(range(2**k))


def test_points_are_more_even_than_chance() -> None:
    sobol, chance = _points(4, 256), np.random.default_rng(1).random((256, 4))
    assert qmc.discrepancy(sobol) < qmc.discrepancy(chance) / 4


def test_points_are_those_of_scipy() -> None:
    reference = qmc.Sobol(6, scramble=True, bits=32, seed=np.random.default_rng(9)).random(256)
    np.testing.assert_array_equal(_points(6, 256, seed=9), reference)


def test_any_order_of_asking_gives_the_same_points() -> None:
    straight = _points(3, 200)
    jumping = ScrambledSobol(3, 7)
    for i in (199, 0, 64, 63, 130, 130, 5, 198):
        np.testing.assert_array_equal(jumping.point(i), straight[i])


def test_a_point_far_out_is_reached_at_once_and_inside() -> None:
    point = ScrambledSobol(3, 7).point(10**6)
    assert point.shape == (3,) and ((point >= 0) & (point < 1)).all()


def test_beyond_the_direction_numbers_the_rest_is_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quasirandom, "MAX_DIMENSIONS", 3)
    wide = _points(5, 128)
    np.testing.assert_array_equal(wide[:, :3], _points(3, 128))
    assert len(np.unique(wide[:, 3:])) == 256 and ((wide >= 0) & (wide < 1)).all()
    np.testing.assert_array_equal(ScrambledSobol(5, 7).point(127), wide[127])


def test_trials_cover_a_mixed_space_evenly() -> None:
    spec = spec_of(SearchSpace((Float("x", 0, 1), Choice("c", ("a", "b", "c", "d")), Int("n", 1, 8), Constant("k", 0))))
    got = [p.params for p in Sobol(spec).ask(opened(spec), 64)]
    assert all([p["c"] for p in got].count(c) == 16 for c in "abcd")
    assert all([p["n"] for p in got].count(n) == 8 for n in range(1, 9))
    assert sorted(int(p["x"] * 64) for p in got) == list(range(64))


def test_trial_i_is_point_i_however_it_is_asked_for() -> None:
    spec = spec_of(SPACES["conditional"])
    batch = Sobol(spec).ask(opened(spec), 70)
    history = proposed(opened(spec), batch[:66])
    assert told(Sobol(spec).ask(history, 4)) == told(batch[66:])


def test_space_of_constants_has_no_points_but_trials() -> None:
    spec = spec_of(SearchSpace((Constant("k", 0),)))
    assert [dict(p.params) for p in Sobol(spec).ask(opened(spec), 2)] == [{"k": 0}] * 2


def test_scipy_is_not_imported_before_a_point_is_wanted() -> None:
    code = (
        "import sys, engine.searchers.sobol, engine.searchers.random, engine.searchers.grid;"
        "sys.exit('scipy' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def _points(d: int, n: int, seed: int = 7) -> np.ndarray:  # (n, d)
    sequence = ScrambledSobol(d, seed)
    return np.array([sequence.point(i) for i in range(n)])
