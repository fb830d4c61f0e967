"""The plan of brackets: the paper's table, whole amounts for any eta and maximum, and budgets of every size."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine.searchers.brackets import Bracket, HyperbandPlan, cut_off, deepest, in_words, number_of_runs, spent_by
from tests.support.examples import some

PLANS = st.builds(
    lambda most, least, eta: HyperbandPlan(most, min(most, least), eta),
    st.integers(1, 2000),
    st.integers(1, 50),
    st.floats(1.1, 8) | st.sampled_from([1.5, 2.0, 2.5, 3.0, 4.0, math.e]),
)


def pairs(bracket: Bracket) -> list[tuple[int, int]]:
    return [(rung.size, rung.resource) for rung in bracket]


def test_the_table_of_the_paper() -> None:
    assert [pairs(bracket) for bracket in HyperbandPlan(81, eta=3).round()] == [
        [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
        [(34, 3), (11, 9), (3, 27), (1, 81)],
        [(15, 9), (5, 27), (1, 81)],
        [(8, 27), (2, 81)],
        [(5, 81)],
    ]


@pytest.mark.parametrize("eta", [2, 3, 4, 5, 7, 10, 1.5, 2.5, 1.1])
def test_powers_of_eta_are_met_in_spite_of_rounding(eta: float) -> None:
    assert math.floor(math.log(243) / math.log(3)) == 4, "this is what makes it hard"
    for k in range(1, 20):
        most = eta**k
        if most == int(most) and most < 1e11:
            assert deepest(int(most), 1, eta) == k
            assert deepest(int(most) - 1, 1, eta) == k - 1
        assert deepest(math.ceil(most), 1, eta) >= k


def test_no_rung_repeats_where_eta_is_close_to_1() -> None:
    plan = HyperbandPlan(10, eta=1.1)
    assert plan.amounts == tuple(range(1, 11))
    assert pairs(HyperbandPlan(10, eta=1.5).bracket(5)) == [(8, 1), (5, 2), (3, 3), (2, 4), (1, 7), (1, 10)]


def test_a_maximum_that_is_no_power_of_eta() -> None:
    assert HyperbandPlan(100, eta=3).amounts == (1, 4, 11, 33, 100)
    assert HyperbandPlan(50, 5, eta=3).amounts == (6, 17, 50)


def test_nothing_to_ration() -> None:
    assert [pairs(bracket) for bracket in HyperbandPlan(1).round()] == [[(1, 1)]]
    assert [pairs(bracket) for bracket in HyperbandPlan(10, 8).round()] == [[(1, 10)]]


@settings(deadline=None)
@given(PLANS)
def test_every_bracket_goes_up_to_the_most_with_ever_fewer(plan: HyperbandPlan) -> None:
    assert list(plan.amounts) == sorted(set(plan.amounts))
    for s in range(plan.deepest + 1):
        bracket = plan.bracket(s)
        sizes, amounts = [r.size for r in bracket], [r.resource for r in bracket]
        assert len(bracket) == s + 1 and tuple(amounts) == plan.amounts[-s - 1 :]
        assert sizes == sorted(sizes, reverse=True) and sizes[-1] >= 1
        assert sizes[0] == plan.size(s) >= plan.least_size(s)


@settings(deadline=None)
@given(PLANS, st.integers(0, 400), st.none() | st.integers(1, 30))
def test_a_budget_is_used_up_and_reaches_the_most(plan: HyperbandPlan, budget: int, configurations: int | None) -> None:
    last, rest, out = None, budget, []
    while bracket := plan.next(last, rest, configurations):
        out.append(bracket)
        rest -= number_of_runs(bracket)
        last = len(bracket) - 1
    assert rest == 0
    assert all(bracket[-1].resource == plan.amounts[-1] for bracket in out)
    assert configurations is None or all(bracket[0].size <= configurations for bracket in out)
    for bracket in out:
        s = len(bracket) - 1
        assert plan.least_size(s) <= bracket[0].size <= plan.size(s)


def test_a_budget_of_a_round_gives_the_round() -> None:
    for most, eta in ((81, 3.0), (100, 3.0), (27, 2.0), (16, 4.0), (40, 2.5)):
        plan, last, out = HyperbandPlan(most, eta=eta), None, []
        rest = sum(map(number_of_runs, plan.round()))
        while bracket := plan.next(last, rest):
            out.append(bracket)
            rest -= number_of_runs(bracket)
            last = len(bracket) - 1
        assert tuple(out) == plan.round()


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (3, [[(3, 81)]]),
        (4, [[(3, 27), (1, 81)]]),
        (20, [[(14, 9), (4, 27), (1, 81)], [(1, 81)]]),
        (30, [[(15, 9), (5, 27), (1, 81)], [(7, 27), (2, 81)]]),
        (60, [[(34, 3), (11, 9), (3, 27), (1, 81)], [(8, 27), (2, 81)], [(1, 81)]]),
        (100, [[(34, 3), (11, 9), (3, 27), (1, 81)], [(15, 9), (5, 27), (1, 81)], [(8, 27), (2, 81)]]),
    ],
)
def test_budgets_smaller_than_a_bracket(budget: int, expected: list[list[tuple[int, int]]]) -> None:
    out: list[Any] = []
    plan, last, rest = HyperbandPlan(81), None, budget
    while (bracket := plan.next(last, rest)) and len(out) < len(expected):
        out.append(pairs(bracket))
        rest -= number_of_runs(bracket)
        last = len(bracket) - 1
    assert out == expected


def test_brackets_cost_about_the_same() -> None:
    costs = [spent_by(bracket) for bracket in HyperbandPlan(243).round()]
    assert max(costs) < 1.35 * min(costs)


@pytest.mark.parametrize(("most", "least", "eta"), [(0, 1, 3), (5, 6, 3), (9, 0, 3), (9, 1, 1.0)])
def test_what_makes_no_plan(most: int, least: int, eta: float) -> None:
    with pytest.raises(ValueError, match="no plan"):
        HyperbandPlan(most, least, eta)


def test_what_a_budget_comes_to() -> None:
    plan = HyperbandPlan(81, eta=3)
    assert plan.planned(8) == {27: 6, 81: 2}
    whole = sum(map(number_of_runs, plan.round()))
    assert plan.planned(whole) == {1: 81, 3: 61, 9: 35, 27: 19, 81: 10}
    assert plan.planned(3 * whole).total() == 3 * whole
    assert plan.planned(0) == {}


@given(PLANS, st.integers(0, 400), st.none() | st.integers(1, 50))
@settings(max_examples=some(50))
def test_a_budget_is_planned_as_brackets_come_one_by_one(
    plan: HyperbandPlan, trials: int, configurations: int | None
) -> None:
    counts: dict[int, int] = {}
    rest, last = trials, None
    left = configurations
    while bracket := plan.next(last, rest, left):
        rest, last = rest - number_of_runs(bracket), len(bracket) - 1
        left = None if left is None else left - bracket[0].size
        for rung in bracket:
            counts[rung.resource] = counts.get(rung.resource, 0) + rung.size
    assert dict(plan.planned(trials, configurations)) == counts, "a limit of configurations"
    if configurations is None:
        return
    planned = plan.planned_whole(trials, configurations)
    if left != 0:
        assert dict(planned) == counts
    else:  # then those who were left behind go on
        assert planned.total() <= trials and planned[plan.amounts[-1]] <= (configurations or 0)
        assert all(planned[amount] >= runs for amount, runs in counts.items())
        assert planned.total() == trials or planned[plan.amounts[-1]] == configurations


def test_brackets_that_are_cut_off_cost_less() -> None:
    plan = HyperbandPlan(81, eta=3)
    assert cut_off(plan, 8) == {1: 8}
    assert cut_off(plan, 85) == {1: 81, 3: 4}
    whole = plan.planned(206)
    assert cut_off(plan, 206) == whole and cut_off(plan, 206 + 81) == {**whole, 1: 162}


def test_a_plan_in_words() -> None:
    assert in_words({27: 6, 81: 2}, "epochs") == "8 runs: 6 of 27, 2 of 81 epochs; 324 epochs in all"
    assert in_words({81: 1, 3: 0}, "steps") == "1 run of 81 steps; 81 steps in all"
    assert in_words({1: 2000, 3: 9}, "e", "about ") == "2,009 runs: about 2,000 of 1, 9 of 3 e; about 2,027 e in all"
