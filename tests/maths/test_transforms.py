"""Losses for a model: whatever a few of them are, the good half keeps its order and its spread."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from hpo_engine.maths import pareto
from hpo_engine.maths.transforms import reined, standardized, tamed
from hpo_engine.searchers.tpe import split
from tests.support.examples import some

LARGEST = sys.float_info.max
any_finite = st.floats(allow_nan=False, allow_infinity=False)
ordinary = st.lists(st.floats(-100, 100).map(lambda x: round(x, 6)), min_size=8, max_size=40)
enormous = st.sampled_from([1e100, 1e150, 1e200, 3e250, 1e300, LARGEST])


def before(losses: np.ndarray, knee: float = 1.0) -> np.ndarray:
    """What the losses were to the model before enormous ones were set apart."""
    exponent = int(np.frexp(np.abs(losses).max(initial=0.0))[1])
    scaled = np.ldexp(losses, -exponent - 1)
    scaled = scaled - np.median(scaled)
    good = -scaled[scaled < 0]
    deviation = np.sqrt(np.mean(good * good)) if len(good) else scaled.std()
    z = scaled / deviation if deviation > 0 else np.zeros(len(losses))
    z = np.where(z > 0, knee * np.log1p(np.where(z > 0, z, 0.0) / knee), z)
    return np.zeros(len(z)) if z.std() == 0 else (z - z.mean()) / z.std()


@settings(max_examples=some(60), deadline=None)
@example([0, 0, -2], 1e6, 1)  # all others are the same
@given(
    st.lists(st.integers(-(10**6), 10**6) | st.integers(-50, 50), min_size=1, max_size=60),
    st.sampled_from([1.0, 1e-6, 1e-3, 1e6, 3e-12]),
    st.sampled_from([0, 1, 10**6]),
)
def test_ordinary_losses_are_what_they_were(values: list[int], unit: float, shift: float) -> None:
    losses = np.array(values) * unit + shift
    assert reined(losses) is losses
    np.testing.assert_allclose(tamed(losses), before(losses), rtol=0, atol=1e-12)


@settings(max_examples=some(50), deadline=None)
@given(st.lists(any_finite | enormous | st.sampled_from([0.0, 1e-300, 5e-324, -1e300, -LARGEST, 1.0]), max_size=40))
def test_any_losses_are_finite_numbers_in_the_same_order(values: list[float]) -> None:
    losses = np.array(values, dtype=float)
    for out in (tamed(losses), standardized(losses), reined(losses)):
        assert np.isfinite(out).all() and len(out) == len(losses)
        order = np.argsort(losses, kind="stable")
        assert (np.diff(out[order] / 2) >= -1e-12).all()
    assert not len(losses) or np.abs(tamed(losses)).max() < 80


@settings(max_examples=some(60), deadline=None)
@given(ordinary, st.lists(enormous, min_size=1, max_size=30), st.randoms())
def test_enormous_losses_leave_the_others_as_they_are(values: list[float], more: list[float], random: object) -> None:
    assume(len(set(values)) >= 3 and len(more) <= 4 * len(values))
    alone = tamed(np.array(values))
    together = tamed(np.array(values + more))
    assert np.array_equal(together[: len(values)], alone)
    assert (together[len(values) :] > alone.max()).all() and together.max() <= alone.max() + 2


@pytest.mark.parametrize("value", [1e12, 1e50, 1e100, 1e200, LARGEST])
@pytest.mark.parametrize("count", [1, 5, 11])
def test_the_good_half_keeps_its_spread(value: float, count: int) -> None:
    losses = np.random.default_rng(0).normal(size=20)
    many = np.concatenate([losses, value * np.linspace(0.5, 1, count)])
    assert np.array_equal(tamed(many)[:20], tamed(losses))


@pytest.mark.parametrize(
    "losses",
    [
        [-1e300, *np.linspace(1, 2, 9)],
        [-LARGEST, LARGEST, *np.linspace(1, 2, 12)],
        [-1e300, -2e300, *np.linspace(1, 2, 20)],
        [1e-300, 2e-300, 3e-300, 4e-300, 1.0, 2.0],
        [*np.linspace(1, 2, 4), *[1e200] * 6],
        [*np.linspace(1, 2, 4), 1e50, 1e100, 1e150, 1e200, 1e250],
        [*(np.linspace(1, 2, 9) * 1e-200), 1.0],
        [*np.linspace(-1e305, -1e304, 9), LARGEST],
    ],
)  # fmt: skip
def test_losses_of_all_sizes_are_told_apart(losses: list[float]) -> None:
    out = tamed(np.array(losses))
    ranked = np.sort(np.unique(out))
    assert len(ranked) == len(set(losses))
    ordinary = out[(np.abs(losses) >= 1e-299) & (np.abs(losses) < 3)] if max(np.abs(losses)) > 1e3 else out[:4]
    assert not len(ordinary) or np.ptp(ordinary) > 1
    assert np.array_equal(np.argsort(out, kind="stable"), np.argsort(losses, kind="stable"))


def test_losses_that_are_all_equal_but_one() -> None:
    assert tamed(np.full(9, 7.0)).tolist() == [0.0] * 9 and tamed(np.full(9, LARGEST)).tolist() == [0.0] * 9
    for one in (1e200, LARGEST, 8.0):
        out = tamed(np.array([*[7.0] * 8, one]))
        assert len(set(out[:8])) == 1 and 1 < out[8] - out[0] < 4
    for one in (-1e200, -LARGEST, 6.0):
        out = tamed(np.array([*[7.0] * 8, one]))
        assert len(set(out[:8])) == 1 and -4 < out[8] - out[0] < -1


def test_steady_growth_is_not_a_jump() -> None:
    losses = 10.0 ** np.arange(-26, 5)
    assert reined(losses) is losses
    assert np.array_equal(tamed(losses), before(losses))


def test_dust_is_no_scale() -> None:
    for losses in ([0.0, 1e-17, 2e-17, 5e-17, 0.5, 1.0], [-0.9, 0.0, 1e-17, 3e-17, 5e-17, 6e-17]):
        assert np.array_equal(reined(np.array(losses)), losses)


def test_shifts_and_units_change_nothing() -> None:
    losses = np.concatenate([np.random.default_rng(1).integers(-50, 50, 18) / 4, [2.0**600, 2.0**700]])
    for changed in (losses * 1024, losses / 2**80, losses * 2.0**300, losses / 2.0**400):
        np.testing.assert_allclose(tamed(changed), tamed(losses), rtol=0, atol=1e-9)
    np.testing.assert_allclose(tamed(losses + 1024)[:18], tamed(losses)[:18], rtol=0, atol=1e-9)


@pytest.mark.parametrize("outlier", [-1e300, 1e200])
def test_weights_of_good_trials_know_more_than_the_outlier(outlier: float) -> None:
    losses = np.concatenate([[outlier], np.linspace(0, 1, 40)])
    share, weight = split(losses, 0.2, 25)
    assert share.sum() == pytest.approx(9) and np.isfinite(weight).all()
    assert len({round(w, 6) for w in weight[share > 0]}) >= 7
    _, few = split(np.array([1.0, 2.0, 3.0, *[1e200] * 9]), 0.25, 25)
    assert few[0] > few[1] > few[2] > 0


def test_fronts_with_an_enormous_value_are_ordered_by_what_they_add() -> None:
    x = np.linspace(0, 1, 9)
    losses = np.column_stack([x, (1 - x) ** 2])
    with_one = np.vstack([losses, [-1.0, 1e200]])
    assert (
        pareto.scores(with_one)[:9].argsort().tolist()
        == pareto.scores(np.vstack([losses, [-1.0, 2.0]]))[:9].argsort().tolist()
    )
