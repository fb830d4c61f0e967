"""The forest's shares of variance, and the divergences of PED-ANOVA, against functions whose shares are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hpo_engine.maths import anova, pedanova
from hpo_engine.maths.forest import Bins, Forest, Tree, grown


def bins_of(d: int, b: int = 32) -> Bins:
    return Bins(np.full((d, b), 1 / b), np.ones(d, dtype=bool))


def random_tree(rng: np.random.Generator, bins: Bins) -> Tree:
    d, b = bins.weights.shape
    codes = rng.integers(0, b, (60, d))
    return grown(codes, rng.standard_normal(60), bins, rng, trees=1).trees[0]


def test_shares_of_a_tree_are_those_of_the_function_that_it_is() -> None:
    """Against the definition, on all cells of a small space: unequal bins, one coordinate without order."""
    rng = np.random.default_rng(1)
    weights = rng.random((3, 4)) + 0.1
    weights[1, 3] = 0.0  # a coordinate with three bins
    weights /= weights.sum(axis=1, keepdims=True)
    bins = Bins(weights, np.array([True, True, False]))
    codes = np.column_stack([rng.integers(0, 4, 60), rng.integers(0, 3, 60), rng.integers(0, 4, 60)])
    tree = grown(codes, rng.standard_normal(60), bins, rng, trees=1).trees[0]
    f = np.zeros((4, 4, 4))
    for value, box in zip(tree.values, tree.boxes, strict=True):
        cells = np.ix_(*[np.flatnonzero(row) for row in box])
        assert not f[cells].any()  # leaves do not overlap
        f[cells] = value
    measure = np.einsum("a,b,c->abc", *weights)
    mean = float((measure * f).sum())
    variance = float((measure * (f - mean) ** 2).sum())
    own = [
        weights[j] @ (np.einsum(f"abc,{rest}->{'abc'[j]}", f, *[weights[k] for k in range(3) if k != j]) - mean) ** 2
        for j, rest in enumerate(("b,c", "a,c", "a,b"))
    ]
    both = np.einsum("abc,b->ac", f, weights[1]) - mean
    joint = weights[0] @ both**2 @ weights[2]
    found = anova.shares(Forest((tree,), math.nan), bins, [(0, 2)])
    assert found.main[0] == pytest.approx(np.array(own) / variance)
    assert found.pairs[0, 0] == pytest.approx((joint - own[0] - own[2]) / variance)


@pytest.mark.parametrize("n, error", [(100, 0.1), (1000, 0.05)])
def test_shares_of_a_sum(n: int, error: float) -> None:
    """4a + 2b + c: variances in the ratio 16 : 4 : 1, no interaction; two coordinates that do not matter."""
    rng = np.random.default_rng(0)
    x, bins = rng.random((n, 5)), bins_of(5)
    forest = grown((x * 32).astype(int), x @ [4.0, 2.0, 1.0, 0.0, 0.0], bins, rng, trees=12)
    found = anova.shares(forest, bins, [(0, 1)])
    assert found.main.mean(axis=0) == pytest.approx(np.array([16, 4, 1, 0, 0]) / 21, abs=error)
    assert found.pairs.mean() < error
    assert forest.explained > 0.85


@pytest.mark.parametrize("offset, size", [(-1e8, 1.0), (0.0, 1e-200), (0.0, 1e300)])
def test_shares_do_not_depend_on_an_offset_or_a_unit(offset: float, size: float) -> None:
    rng = np.random.default_rng(0)
    x, bins = rng.random((100, 2)), bins_of(2)
    codes, losses = (x * 32).astype(int), x @ [4.0, 2.0]
    one, other = (grown(codes, y, bins, np.random.default_rng(1), trees=4) for y in (losses, offset + size * losses))
    assert anova.shares(other, bins, []).main == pytest.approx(anova.shares(one, bins, []).main, abs=0.02)
    expected = (offset + size * anova.marginals(one, bins, 0, 1)) / size
    assert anova.marginals(other, bins, 0, 1) / size == pytest.approx(expected, abs=0.1)


def test_shares_of_ishigami() -> None:
    """sin x0 + 7 sin^2 x1 + 0.1 x2^4 sin x0 on [-pi, pi]^3: 0.314, 0.442, 0 and 0.244 for the pair (0, 2)."""
    rng = np.random.default_rng(0)
    x, bins = rng.random((1000, 3)), bins_of(3)
    z = (2 * x - 1) * np.pi
    y = np.sin(z[:, 0]) + 7 * np.sin(z[:, 1]) ** 2 + 0.1 * z[:, 2] ** 4 * np.sin(z[:, 0])
    forest = grown((x * 32).astype(int), y, bins, rng, trees=12)
    found = anova.shares(forest, bins, [(0, 2), (0, 1)])
    assert found.main.mean(axis=0) == pytest.approx([0.314, 0.442, 0.0], abs=0.12)
    assert found.pairs.mean(axis=0) == pytest.approx([0.244, 0.0], abs=0.05)


def test_a_coordinate_that_does_not_apply_has_no_share_there_and_its_parent_has_that_of_applying() -> None:
    """y = 1 if the parent is below half, else the child: by the parent 3/7 of the variance, by the child and by both
    together 2/7 each (E y = 3/4, Var y = 1/16 + 1/24)."""
    rng = np.random.default_rng(0)
    x, bins = rng.random((800, 2)), bins_of(2)
    y = np.where(x[:, 0] < 0.5, 1.0, x[:, 1])
    codes = (x * 32).astype(int)
    codes[x[:, 0] < 0.5, 1] = -1
    found = anova.shares(grown(codes, y, bins, rng, trees=12), bins, [(0, 1)])
    parent, child = found.main.mean(axis=0)
    assert (parent, child, found.pairs.mean()) == pytest.approx((0.6, 0.2, 0.2), abs=0.05)


def test_constant_losses_have_no_shares() -> None:
    rng, bins = np.random.default_rng(0), bins_of(2)
    forest = grown(rng.integers(0, 32, (30, 2)), np.full(30, 3.0), bins, rng, trees=4)
    assert anova.main_shares(forest, bins).shape == (0, 2)
    assert math.isnan(forest.explained)


def test_noise_is_not_explained() -> None:
    rng, bins = np.random.default_rng(0), bins_of(3)
    forest = grown(rng.integers(0, 32, (200, 3)), rng.standard_normal(200), bins, rng, trees=12)
    assert forest.explained < 0.1


@pytest.mark.parametrize("ordered", [True, False])
def test_densities_are_positive_and_add_up_to_one(ordered: bool) -> None:
    rng = np.random.default_rng(0)
    counts = np.vstack([rng.integers(0, 5, (6, 9)), np.zeros((1, 9), dtype=int), np.eye(9, dtype=int)[:1]])
    found = pedanova.density(counts.astype(float), ordered)
    assert found.sum(axis=1) == pytest.approx(1.0)
    assert (found > 0).all()


@pytest.mark.parametrize("ordered", [True, False])
def test_divergence_approaches_that_of_the_distributions(ordered: bool) -> None:
    """Four values, of which the best points have one half of the time: (3 (1/6)^2 + (1/2)^2) 4 - 1 = 1/3."""
    counts, top = np.array([[2500.0] * 4]), np.array([[500.0, 500.0 / 3, 500.0 / 3, 500.0 / 3]])
    found = pedanova.importances(counts, top, ordered, (np.ones(1), np.ones(1)))
    assert found[0] == pytest.approx(1 / 3, abs=0.06)
