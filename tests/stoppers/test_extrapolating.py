"""What convex and curve promise: no convex curve is ended that would have won; units do not matter; probabilities fit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine.maths.extrapolation import extrapolated
from hpo_engine.stoppers.convex import overestimate
from hpo_engine.stoppers.curve import probability
from hpo_engine.stoppers.reported import Curve
from tests.support.examples import some

falls = st.lists(st.floats(0, 10), min_size=3, max_size=30)


def of(losses: list[float], step: float = 1.0) -> Curve:
    lowest = np.minimum.accumulate(losses)
    return Curve(
        [(i + 1) * step for i in range(len(losses))], [(v,) for v in lowest.tolist()], [(v,) for v in losses], []
    )


@given(falls, st.integers(2, 29), st.sampled_from([0.25, 1.0, 500.0]))
def test_a_convex_curve_never_ends_below_its_overestimate(drops: list[float], known: int, step: float) -> None:
    losses = (100 - np.cumsum(sorted(drops, reverse=True))).tolist()
    known = min(known, len(losses) - 1)
    bound = overestimate(of(losses[:known], step), len(losses) * step)
    assert bound is None or bound[0] <= min(losses) + 1e-6


@pytest.mark.parametrize(
    ("losses", "bound"),
    [
        ([5.0, 4.0, 3.0, 2.0], 0.0),  # one a step
        ([8.0, 4.0, 2.0, 1.0], -1.0),  # from 2 to 1 in the second half
        ([5.0, 4.0, 3.0, 3.0, 3.0, 3.0], 2.2),  # nothing in the second half: 2 in five steps
        ([3.0, 4.0, 5.0, 6.0], 3.0),  # it only rises: its best
        ([3.0, 3.0, 3.0, 3.0], None),
        ([math.inf, 3.0], None),
    ],
)
def test_overestimates_by_hand(losses: list[float], bound: float | None) -> None:
    found = overestimate(of(losses), len(losses) + 2)
    assert found is None if bound is None else found is not None and found[0] == pytest.approx(bound)


@settings(max_examples=some(30), deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0.01, 1.0, 500.0]), st.sampled_from([1e-6, 1.0, 1e6]))
def test_units_of_steps_and_losses_do_not_matter(seed: int, step: float, unit: float) -> None:
    rng = np.random.default_rng(seed)
    y = 1 / np.arange(1, 9) + rng.normal(0, 0.02, 8)
    t = np.arange(1.0, 9.0)
    plain = extrapolated(t, y, 20.0).below(0.1)
    assert extrapolated(t * step + 3 * step, y * unit + unit, 23.0 * step).below(1.1 * unit) == pytest.approx(
        plain, abs=1e-6
    )


def test_probabilities_fit_the_frequencies_of_curves_from_the_families() -> None:
    """Of 1,500 curves with noise, the share that ends lower is within 4 standard errors (odds below 1 in 10,000) of the
    mean probability, in the low and in the high half and where a trial would end, give or take 0.05 for the prior."""
    rng, found = np.random.default_rng(3), []
    u = np.arange(1, 31)
    for _ in range(1500):
        shape = u ** -rng.uniform(0.3, 1.5) if rng.random() < 0.5 else np.exp(-(u - 1) / rng.uniform(3, 20))
        y = rng.normal() + rng.uniform(0.5, 2) * shape + rng.normal(0, 0.03, 30)
        target = y[9] + rng.normal(0, 0.2)
        found.append((extrapolated(u[:10].astype(float), y[:10], 30.0).below(target), y[-1] < target))
    for low, high in ((0.0, 0.05), (0.0, 0.5), (0.5, 1.01)):
        inside = [(p, true) for p, true in found if low <= p < high]
        p, true = (np.array(column, dtype=float) for column in zip(*inside, strict=True))
        assert abs(p.mean() - true.mean()) < 0.05 + 4 * 0.5 / math.sqrt(len(p))


def test_ugly_curves_have_a_probability() -> None:
    ugly = ([1.0] * 5, [0.0] * 5, [1e300, 1e299, 1e298, 0.0], [1e-300, 0.0, 1e-300], [5.0, -5.0] * 40)
    for losses in ugly:
        n = len(losses)
        for last in (n + 1.0, n * 1e6):
            chance = probability(of(losses), range(n), last, [(0.5,)])
            assert 0 <= chance <= 1


def test_two_objectives_are_better_where_no_result_is_as_good_in_both() -> None:
    falling, flat = [1 / i for i in range(1, 13)], [1.0] * 12
    curve = Curve(list(range(1, 13)), [], list(zip(falling, flat, strict=True)), [])
    assert probability(curve, range(12), 30, [(0.5, 2.0)]) > 0.9, "better in the second, whatever the first does"
    assert probability(curve, range(12), 30, [(-5.0, 0.5)]) < 0.05
    one_of_two = probability(curve, range(12), 30, [(-5.0, 2.0), (5.0, 0.5)])
    assert one_of_two > 0.9, "the one is worse in the second, the other in the first"
