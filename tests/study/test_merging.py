"""Rows of attempts that go on, in each way in which a script may count and write them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo_engine.study.merging import Past, began_anew
from hpo_engine.study.objective import Row
from hpo_engine.study.rows import continued

JUDGED = frozenset({"loss"})
WAYS = ("goes on", "goes on, writes all again", "goes on, writes all again with times", "counts from 1", "begins anew")


def curve(first: int, last: int, every: int = 1, run: int = 0) -> list[Row]:
    """A loss that falls, as training from the beginning reports it; `run`: of another seed, at another time of day."""
    return [Row(n * every, {"loss": 1 + (2 + run / 50) / n, "time": 100 * run + n}) for n in range(first, last + 1)]


def written(way: str, had: int, most: int, every: int) -> list[Row]:
    """What is in the file of an attempt that goes on from `had` epochs to `most`."""
    own = curve(had + 1, most, every)
    match way:
        case "goes on":
            return own
        case "goes on, writes all again":
            return curve(1, most, every)
        case "goes on, writes all again with times":
            return [Row(row.step, {**row.values, "time": 7.0}) for row in curve(1, most, every)]
        case "counts from 1":
            return [Row(n * every, row.values) for n, row in enumerate(own, 1)]
    return curve(1, most, every, run=1)


def merged(past: Past, rows: Sequence[Row]) -> list[tuple[float, float]]:
    return [(row.step, row.values["loss"]) for row in continued(past.before, past.added(rows, ended=True).rows)]


AMOUNTS = st.tuples(st.integers(1, 30), st.integers(1, 60), st.sampled_from([1, 5, 100]))


@given(AMOUNTS, st.sampled_from(WAYS))
def test_rows_are_those_of_one_training(amounts: tuple[int, int, int], way: str) -> None:
    had, more, every = amounts
    most = had + more
    base, rows = curve(1, had, every), written(way, had, most, every)
    past = Past(base, base, most / had, JUDGED)
    truth = curve(1, most, every, run=way == "begins anew")
    assert merged(past, rows) == [(row.step, row.values["loss"]) for row in truth]
    assert began_anew(base, past.added(rows, ended=True).rows) is (way == "begins anew")
    for n in range(len(rows) + 1):  # while it runs
        found = past.added(rows[:n], ended=False)
        if found.certain:
            whole = past.added(rows, ended=True)
            assert (found.anew, found.rows) == (whole.anew and n > 0, whole.rows[: len(found.rows)])
    if way.startswith("goes on"):
        assert all(past.added(rows[:n], ended=False).certain for n in range(len(rows) + 1)), "rules may judge it"


@pytest.mark.parametrize(("had", "most"), [(1, 3), (3, 9), (9, 27), (1, 2), (5, 6)])
def test_script_that_ends_early_by_its_own_rule_is_known_by_its_values(had: int, most: int) -> None:
    base = curve(1, had)
    past = Past(base, base, most / had, JUDGED)
    again = curve(1, most, run=1)
    assert past.added(again, ended=True).anew
    if had > 2:
        assert past.added(again[: had + 1], ended=True).anew, "its first loss is like the first one"
        counted = [Row(n, row.values) for n, row in enumerate(curve(had + 1, had + 2), 1)]
        assert [row.step for row in past.added(counted, ended=True).rows][:1] == [had + 1]


def test_steps_are_counted_on_from_an_attempt_that_was_interrupted() -> None:
    base, before = curve(1, 3), curve(1, 5)
    past = Past(base, before, 3.0, JUDGED)
    counted = [Row(n, row.values) for n, row in enumerate(curve(6, 9), 1)]
    assert [row.step for row in past.added(counted, ended=True).rows] == [6, 7, 8, 9]
    assert [row.step for row in past.added(curve(5, 9), ended=True).rows] == [5, 6, 7, 8, 9]


def test_without_a_past_all_rows_are_new() -> None:
    assert Past().added(curve(1, 3), ended=True) == (tuple(curve(1, 3)), False, True)


def test_amount_that_is_unknown_leaves_the_values() -> None:
    past = Past(curve(1, 4), curve(1, 4), None, JUDGED)
    assert past.added(curve(1, 6, run=1), ended=True).anew
    counted = [Row(n, row.values) for n, row in enumerate(curve(5, 6), 1)]
    assert [row.step for row in past.added(counted, ended=True).rows] == [5, 6]
