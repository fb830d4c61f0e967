"""Rows of two trials are compared as far as both have got."""

from __future__ import annotations

import math

import pytest

from hpo_engine.probe.values import alike
from hpo_engine.study.objective import Row

A, B, C = Row(1, {"loss": 0.5, "acc": 0.1}), Row(2, {"loss": 0.4, "acc": 0.2}), Row(2, {"loss": 0.4})


@pytest.mark.parametrize(
    ("rows", "others", "same"),
    [
        ([A, B], [A, B], True),
        ([A, B], [A], True),
        ([A, B], [A, C], True),  # it was ended before it had reported all of the row
        ([A, B, B], [A, Row(2, {"loss": 0.6})], True),
        ([A, B], [], None),
        ([A], [Row(1, {"loss": 0.6, "acc": 0.1})], False),
        ([A], [Row(2, dict(A.values))], False),
        ([A], [Row(1, {"other": 0.5})], False),
        ([Row(1, {"loss": math.nan})], [Row(1, {"loss": math.nan})], True),
        ([Row(1, {"loss": 1.0, "time": 3.0})], [Row(1, {"loss": 1.0, "time": 4.0})], True),
    ],
)
def test_rows_are_the_same_as_far_as_both_have_got(rows: list[Row], others: list[Row], same: bool | None) -> None:
    assert alike(rows, others, lambda metric: metric == "time") is same
