"""Domination, ranks, volumes and choices, held against their definitions and against each other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine.maths import pareto

FEW = st.sampled_from([-1.0, -0.0, 0.0, 0.5, 1.0, 2.0])  # few values, so that many are equal
ANY = st.floats(-10, 10, allow_subnormal=False)


@st.composite
def sets(draw: st.DrawFn, most: int = 9, dims: tuple[int, ...] = (1, 2, 3, 4, 5)) -> np.ndarray:
    k = draw(st.sampled_from(dims))
    values = draw(st.sampled_from([FEW, ANY]))
    rows = draw(st.lists(st.lists(values, min_size=k, max_size=k), min_size=1, max_size=most))
    return np.array(rows).reshape(-1, k)


def dominates(a: np.ndarray, b: np.ndarray) -> bool:
    return bool((a <= b).all() and (a < b).any())


def ranks_by_definition(losses: np.ndarray) -> list[int]:
    out = [-1] * len(losses)
    for rank in range(len(losses)):
        left = [i for i in range(len(losses)) if out[i] < 0]
        for i in left:
            if not any(dominates(losses[j], losses[i]) for j in left):
                out[i] = rank
    return out


def union(losses: np.ndarray, reference: Sequence[float]) -> float:
    """Inclusion and exclusion: the sum over all subsets of the box that the members share, with alternating sign."""
    total = 0.0
    for size in range(1, len(losses) + 1):
        for members in itertools.combinations(losses, size):
            sides = np.maximum(0.0, np.array(reference) - np.max(members, axis=0))
            total += (-1) ** (size + 1) * float(np.prod(sides))
    return total


# -- ranks -------------------------------------------------------------------------------------------------------------


@given(sets(12))
def test_ranks_are_those_of_the_definition(losses: np.ndarray) -> None:
    assert pareto.ranks(losses).tolist() == ranks_by_definition(losses)


@given(sets(12), st.randoms(use_true_random=False))
def test_ranks_go_with_their_rows(losses: np.ndarray, random: object) -> None:
    order = list(range(len(losses)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert pareto.ranks(losses[order]).tolist() == pareto.ranks(losses)[order].tolist()


def test_ranks_of_no_rows_are_none() -> None:
    assert pareto.ranks(np.empty((0, 3))).tolist() == []


def test_ranks_of_many_rows_are_the_same_with_a_coordinate_that_repeats_another() -> None:
    losses = np.random.default_rng(1).integers(0, 40, (2000, 2)).astype(float)
    thrice = np.column_stack([losses, losses[:, 0]])  # goes another way, and must say the same
    assert pareto.ranks(losses).tolist() == pareto.ranks(thrice).tolist()


# -- volumes -----------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(sets(7))
def test_hypervolume_is_that_of_the_union_of_boxes(losses: np.ndarray) -> None:
    reference = [1.5] * losses.shape[1]
    assert pareto.hypervolume(losses, reference) == pytest.approx(union(losses, reference), rel=1e-9, abs=1e-6)


@settings(deadline=None)
@given(sets(9), st.randoms(use_true_random=False))
def test_hypervolume_does_not_depend_on_the_order_of_rows_or_coordinates(losses: np.ndarray, random: object) -> None:
    n, k = losses.shape
    rows, columns = list(range(n)), list(range(k))
    random.shuffle(rows)  # type: ignore[attr-defined]
    random.shuffle(columns)  # type: ignore[attr-defined]
    reference = [1.0, 1.25, 1.5, 1.75, 2.0][:k]
    before = pareto.hypervolume(losses, reference)
    assert pareto.hypervolume(losses[rows][:, columns], [reference[c] for c in columns]) == pytest.approx(
        before, rel=1e-9
    )


@settings(deadline=None)
@given(sets(9))
def test_hypervolume_grows_with_rows_and_with_the_reference(losses: np.ndarray) -> None:
    k = losses.shape[1]
    one, two = [1.0] * k, [1.25] * k
    volumes = [pareto.hypervolume(losses[:i], one) for i in range(1, len(losses) + 1)]
    assert all(a <= b + 1e-9 * abs(b) for a, b in itertools.pairwise(volumes))
    assert pareto.hypervolume(losses, two) >= volumes[-1] * (1 - 1e-9)


@settings(deadline=None)
@given(sets(8))
def test_dominated_and_repeated_rows_add_nothing(losses: np.ndarray) -> None:
    reference = [2.5] * losses.shape[1]
    front = losses[pareto.ranks(losses) == 0]
    once = pareto.hypervolume(front, reference)
    assert pareto.hypervolume(losses, reference) == pytest.approx(once, rel=1e-9)
    assert pareto.hypervolume(np.concatenate([front, front]), reference) == pytest.approx(once, rel=1e-9)


@settings(deadline=None)
@given(sets(7))
def test_a_contribution_is_what_the_row_s_absence_costs(losses: np.ndarray) -> None:
    reference = [2.5] * losses.shape[1]
    whole = pareto.hypervolume(losses, reference)
    rows = [tuple(row) for row in losses.tolist()]
    for i, row in enumerate(rows):
        share = pareto.gain(row, rows[:i] + rows[i + 1 :], tuple(reference))
        without = pareto.hypervolume(np.delete(losses, i, axis=0), reference)
        assert share == pytest.approx(whole - without, rel=1e-6, abs=1e-6 * max(1.0, whole))


def test_hypervolume_of_known_sets() -> None:
    assert pareto.hypervolume([], (1.0, 1.0)) == 0.0
    assert pareto.hypervolume([[0.25]], (1.0,)) == 0.75
    assert pareto.hypervolume([[0.0, 0.0]], (2.0, 3.0)) == 6.0
    assert pareto.hypervolume([[0.0, 1.0], [1.0, 0.0]], (2.0, 2.0)) == 3.0
    assert pareto.hypervolume([[0.0, 2.0]], (2.0, 2.0)) == 0.0  # on the edge of the reference
    assert pareto.hypervolume([[0.0, 9.0], [1.0, 1.0]], (2.0, 2.0)) == 1.0
    corner = [[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]
    assert pareto.hypervolume(corner, (2.0, 2.0, 2.0)) == 4.0


@pytest.mark.parametrize("k", [2, 3, 4, 5])
def test_hypervolume_of_a_front_agrees_with_a_sample_of_the_box(k: int) -> None:
    rng = np.random.default_rng(k)
    front = rng.dirichlet(np.ones(k), 60)
    samples = rng.random((40_000, k))
    inside = np.zeros(len(samples), dtype=bool)
    for row in front:
        inside |= (row <= samples).all(axis=1)
    share = float(inside.mean())
    # five standard deviations of the sample's share: one false alarm in a million
    assert abs(pareto.hypervolume(front, [1.0] * k) - share) <= 5 * math.sqrt(share * (1 - share) / len(samples))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        pareto.ranks(np.array([[0.0, bad]]))
    with pytest.raises(ValueError, match="finite"):
        pareto.hypervolume([[0.0, bad]], (1.0, 1.0))
    with pytest.raises(ValueError, match="finite"):
        pareto.hypervolume([[0.0, 0.0]], (1.0, bad))
    with pytest.raises(ValueError, match="2 finite"):
        pareto.hypervolume([[0.0, 0.0]], (1.0,))


# -- choices -----------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(sets(8, (1, 2)))
def test_greedy_takes_the_row_that_adds_most_each_time(losses: np.ndarray) -> None:
    reference = [2.5] * losses.shape[1]
    order = pareto.greedy(losses, reference)
    assert sorted(order) == list(range(len(losses)))
    for i in range(len(order)):
        volumes = [pareto.hypervolume(losses[[*order[:i], j]], reference) for j in order[i:]]
        assert volumes[0] >= max(volumes) - 1e-9 * max(1.0, max(volumes))


@pytest.mark.parametrize("k", [3, 4])
def test_greedy_by_shares_gets_nearly_as_much_volume_as_the_exact_choice(k: int) -> None:
    front = np.random.default_rng(k).dirichlet(np.ones(k), 40)
    reference = tuple([1.1] * k)
    chosen: list[tuple[float, ...]] = []
    for _ in range(8):
        chosen.append(max(map(tuple, front.tolist()), key=lambda p: pareto.gain(p, chosen, reference)))
    exact = pareto.hypervolume(chosen, reference)
    assert pareto.hypervolume(front[pareto.greedy(front, reference)[:8]], reference) > 0.98 * exact


@settings(deadline=None)
@given(sets(12))
def test_scores_keep_ranks_apart_and_every_row_in_its_own(losses: np.ndarray) -> None:
    scores = pareto.scores(losses)
    assert np.floor(scores).astype(int).tolist() == pareto.ranks(losses).tolist()
    for rank in set(np.floor(scores)):
        inside = scores[np.floor(scores) == rank]
        assert len(set(inside)) == len(inside)


@given(sets(12, (2, 3)), st.sampled_from([0.25, 8.0]), st.sampled_from([-4.0, 16.0]))
def test_scores_do_not_depend_on_units(losses: np.ndarray, factor: float, shift: float) -> None:
    losses = np.round(losses * 16) / 16  # so that scaling and shifting are exact
    assert pareto.scores(losses).tolist() == pareto.scores(losses * [factor] + 0.0).tolist()
    moved = losses + shift
    assert np.floor(pareto.scores(moved)).tolist() == np.floor(pareto.scores(losses)).tolist()


def test_scores_of_huge_values_are_finite_and_ordered() -> None:
    losses = np.array([[1e308, -1e308], [-1e308, 1e308], [1e308, 1e308], [0.0, 0.0]])
    scores = pareto.scores(losses)
    assert scores[2] == 1.0 and sorted(scores[[0, 1, 3]]) == [0.0, 1 / 3, 2 / 3]
    assert scores[3] == 0.0  # the middle one dominates most of the box


def test_rows_of_ranks_that_are_far_behind_stay_equal() -> None:
    losses = np.array([[i + j, i - j] for i in range(3) for j in range(4)], dtype=float)
    assert len(set(pareto.scores(losses))) == 12
    assert len(set(pareto.scores(losses, exact=4))) == 4 + 1 + 1
