"""Rows in JSON, and rows that nobody has read yet: like the ones that they are read to."""

from __future__ import annotations

import copy
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo_engine.errors import JournalError
from hpo_engine.study.objective import Row
from hpo_engine.study.rows import Unread, from_json, has_metric, joined, metric_names, to_json

NAMES = st.sampled_from(["loss", "],[", '"],["', "],[1,{", '\\"],[\\', "]],[[", "é"]) | st.text(max_size=5)
ROWS = st.lists(
    st.builds(Row, st.integers(0, 9) | st.floats(), st.dictionaries(NAMES, st.floats(), max_size=3)), min_size=1,
    max_size=4,
).map(tuple)  # fmt: skip


def unread(rows: tuple[Row, ...]) -> Unread:
    return Unread((json.dumps(to_json(rows), separators=(",", ":"), ensure_ascii=False),))


@given(ROWS, ROWS)
def test_unread_rows_are_what_they_are_read_to(first: tuple[Row, ...], second: tuple[Row, ...]) -> None:
    both = (*first, *second)
    for rows in (joined(unread(first), unread(second)), joined(first, unread(second)), joined(unread(first), second)):
        assert repr(rows[-1]) == repr(both[-1])  # NaN equals itself
        assert bool(rows) and len(rows) == len(both)
        assert repr(rows) == repr(both) and repr(rows[1:]) == repr(both[1:]) and repr(list(rows)) == repr(list(both))


@given(ROWS)
def test_last_row_is_told_without_the_others_whatever_the_names(rows: tuple[Row, ...]) -> None:
    told = unread(rows)
    assert repr(told[-1]) == repr(rows[-1])
    assert repr(told[-1]) == repr(told.read()[-1])


def test_unread_rows_equal_others_and_can_be_copied() -> None:
    rows = (Row(1, {"loss": 0.5}), Row(2, {"loss": math.inf}))
    assert unread(rows) == rows and rows == unread(rows) and unread(rows) == unread(rows)
    assert unread(rows) != rows[:1] and unread(rows) != ()
    assert copy.deepcopy(unread(rows)) == rows


def test_nothing_joined_to_nothing_is_nothing() -> None:
    rows = (Row(1, {"loss": 0.5}),)
    assert joined((), ()) == () and joined((), rows) == rows and joined(rows, ()) == rows


@pytest.mark.parametrize("text", ["[[]]", "[[1,{]]", "[[1]]", "[[1,3]]", '[[1,{"loss":null}],[2]]', '[[1,{"a":[]}]]'])
def test_rows_that_cannot_be_read_are_refused_when_somebody_looks(text: str) -> None:
    rows = Unread((text,))
    assert rows, "nobody has looked yet"
    if text != '[[1,{"a":[]}]]':  # values are taken as they are
        with pytest.raises(JournalError, match="rows in the event log"):
            rows[-1]
        with pytest.raises(JournalError, match="restore it from a backup"):
            list(rows)


def test_json_of_rows_comes_back() -> None:
    rows = (Row(1, {"loss": math.nan, "size": -math.inf}), Row(2.5, {}))
    assert repr(from_json(json.loads(json.dumps(to_json(rows), allow_nan=False)))) == repr(rows)


def test_names_at_the_ends_are_known_without_a_look_at_the_rows() -> None:
    first, last = (Row(1, {"loss": 1.0, 'a "quoted\\" é': math.nan}), Row(2, {"x": 2.0})), (Row(3, {"nan": 1.0}),)
    rows = joined(unread(first), unread(last))
    assert metric_names(rows) == {"loss", 'a "quoted\\" é', "nan"} and rows._read is None  # type: ignore[attr-defined]
    assert metric_names(first) == {"loss", 'a "quoted\\" é', "x"}
    assert metric_names(unread(last)) == {"nan"}


@given(ROWS, NAMES)
def test_whether_a_metric_occurs_shows_without_parsing(rows: tuple[Row, ...], name: str) -> None:
    for ascii_only in (True, False):
        lazy = Unread((json.dumps(to_json(rows), separators=(",", ":"), ensure_ascii=ascii_only),))
        assert has_metric(lazy, name) == any(name in row.values for row in rows) == has_metric(rows, name)
        assert lazy._read is None
        lazy.read()
        assert has_metric(lazy, name) == has_metric(rows, name)
