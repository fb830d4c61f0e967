"""Objectives: which values of a trial's rows count."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo_engine.study.objective import Objective, Row, pick_values

# -- one objective -----------------------------------------------------------------------------------------------------


def rows(*values: float | None) -> list[Row]:
    return [Row(i, {"other": 5.0} if v is None else {"loss": v}) for i, v in enumerate(values)]


@pytest.mark.parametrize(
    ("goal", "over", "values", "picked"),
    [
        ("minimize", "best", (3.0, 1.0, 2.0), 1.0),
        ("maximize", "best", (1.0, 3.0, 2.0), 3.0),
        ("minimize", "last", (1.0, 3.0, 2.0), 2.0),
        ("maximize", "last", (1.0, 3.0, 2.0), 2.0),
        ("minimize", "best", (math.nan, -math.inf, 2.0), 2.0),
        ("maximize", "best", (math.nan, math.inf, 2.0), 2.0),
        ("minimize", "last", (1.0, math.nan, None), None),
        ("maximize", "last", (1.0, math.nan, 2.0, None), 2.0),
        ("minimize", "last", (1.0, math.inf, None), None),
        ("minimize", "best", (math.nan, math.inf), None),
        ("minimize", "best", (None, None), None),
        ("maximize", "last", (), None),
        ("maximize", "best", (0.0, -1.0), 0.0),
    ],
)
def test_pick_is_the_best_or_last_finite_value(
    goal: str, over: str, values: tuple[float | None, ...], picked: float | None
) -> None:
    assert Objective("loss", goal, over).pick(rows(*values)) == picked


@given(st.floats(allow_nan=False), st.floats(allow_nan=False), st.sampled_from(["minimize", "maximize"]))
def test_smaller_loss_is_the_better_value_and_goes_back_to_it(a: float, b: float, goal: str) -> None:
    objective = Objective("loss", goal)
    assert objective.value(objective.loss(a)) == a
    better = a < b if goal == "minimize" else a > b
    assert (objective.loss(a) < objective.loss(b)) == better


@given(st.lists(st.floats(), max_size=6), st.sampled_from(["minimize", "maximize"]))
def test_no_row_has_a_smaller_loss_than_the_pick(values: list[float], goal: str) -> None:
    objective = Objective("loss", goal)
    picked = objective.pick(rows(*values))
    finite = [objective.loss(v) for v in values if math.isfinite(v)]
    assert (None if picked is None else objective.loss(picked)) == (min(finite) if finite else None)


# -- several -----------------------------------------------------------------------------------------------------------

LAST = (Objective("loss", over="last"), Objective("size", over="last"))
BEST = (Objective("loss"), Objective("size", over="last"))


def reports(*values: dict[str, float]) -> list[Row]:
    return [Row(i, v) for i, v in enumerate(values)]


def test_one_objective_of_a_list_is_picked_as_ever() -> None:
    assert pick_values(rows(3.0, 1.0, 2.0), [Objective("loss")]) == (1.0,)
    assert pick_values(rows(None), [Objective("loss")]) is None


def test_values_are_those_of_the_last_row() -> None:
    trial = reports({"loss": 1.0, "size": 5.0}, {"loss": 2.0, "size": 3.0})
    assert pick_values(trial, LAST) == (2.0, 3.0)
    assert pick_values(trial, (LAST[1], Objective("loss", "maximize", "last"))) == (3.0, 2.0)


def test_one_objective_may_choose_the_row_and_the_others_come_from_it() -> None:
    trial = reports({"loss": 3.0, "size": 1.0}, {"loss": 1.0, "size": 5.0}, {"loss": 2.0, "size": 3.0})
    assert pick_values(trial, BEST) == (1.0, 5.0)
    assert pick_values(trial, (LAST[1], Objective("loss", "maximize"))) == (1.0, 3.0)
    again = reports({"loss": 1.0, "size": 5.0}, {"loss": 1.0, "size": 3.0})
    assert pick_values(again, BEST) == (1.0, 5.0)  # the first of equals


def test_a_metric_that_is_told_once_counts_in_all_rows() -> None:
    first = reports({"loss": 3.0, "size": 7.0}, {"loss": 1.0}, {"loss": 2.0})
    last = reports({"loss": 3.0}, {"loss": 1.0}, {"loss": 2.0}, {"size": 7.0})
    for trial in (first, last):
        assert pick_values(trial, LAST) == (2.0, 7.0)
        assert pick_values(trial, BEST) == (1.0, 7.0)


def test_a_row_that_is_not_finite_does_not_count() -> None:
    trial = reports({"loss": 3.0, "size": 1.0}, {"loss": math.nan, "size": 0.5}, {"loss": 1.0, "size": math.inf})
    assert pick_values(trial, BEST) == (3.0, 1.0)
    assert pick_values(trial, LAST) is None
    assert pick_values([*trial, Row(3, {"loss": 2.0})], LAST) is None, "the size is what was told of it last"
    assert pick_values([*trial, Row(3, {"size": 2.0})], LAST) == (1.0, 2.0)
    assert pick_values([*trial, Row(3, {"time": 2.0})], LAST) is None


def test_without_a_row_of_finite_values_there_are_none() -> None:
    assert pick_values([], LAST) is None
    assert pick_values(reports({"loss": 1.0}), LAST) is None
    assert pick_values(reports({"loss": 1.0, "size": math.nan}), LAST) is None
    assert pick_values(reports({"loss": 1.0, "size": math.nan}, {"loss": math.inf, "size": 1.0}), LAST) is None


@given(st.lists(st.fixed_dictionaries({"loss": st.floats(), "size": st.floats()}), max_size=6), st.booleans())
def test_values_always_stood_together_in_one_row(values: list[dict[str, float]], best: bool) -> None:
    picked = pick_values(reports(*values), BEST if best else LAST)
    whole = [(v["loss"], v["size"]) for v in values if math.isfinite(v["loss"]) and math.isfinite(v["size"])]
    if not best:
        last = (values[-1]["loss"], values[-1]["size"]) if values else ()
        assert picked == (last if last in whole[-1:] else None)
        return
    assert picked in whole if whole else picked is None
    if picked is not None:
        assert picked[0] == min(loss for loss, _ in whole)
