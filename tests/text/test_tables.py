"""What people see: formats of values, safe text, tables that fit."""

from __future__ import annotations

import math
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine.text import tables
from tests.support.examples import some

anything = st.text(st.characters(exclude_categories=()))


@settings(max_examples=some(120))
@given(anything)
def test_safe_text_leaves_nothing_that_a_terminal_acts_on(text: str) -> None:
    shown = tables.safe_text(text)
    for char in shown:
        assert unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp")
        assert unicodedata.category(char) != "Cf" or char in "\u200c\u200d"
    shown.encode()
    assert tables.safe_text(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünïcode 漢字 👩‍🔬", "plain ünïcode 漢字 👩‍🔬"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("two\nlines\tand", "two lines and"),
        ("\x9b2J\x07\x00", "\\x9b2J\\x07\\x00"),
        ("a\u202egpj.exe\u2066", "a\\u202egpj.exe\\u2066"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("\u2028", " "),
        ("\xa0", "\xa0"),
    ],
)
def test_safe_text_shows(text: str, shown: str) -> None:
    assert tables.safe_text(text) == shown


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (0.1 + 0.2, "0.3"), (1e-05, "1e-5"), (12.0, "12"), (-0.0, "0"), (0, "0"), (123456, "123456"),
        (0.123456789, "0.123457"), (1234567.0, "1234567"), (1234567.89, "1.23457e6"), (-2.5e-7, "-2.5e-7"),
        (1e300, "1e300"), (math.nan, "nan"), (math.inf, "inf"), (-math.inf, "-inf"), (2**70, str(2**70)),
        (2**53 + 1, "9007199254740993"), (-(10**15), "-1000000000000000"), (1e15, "1e15"), (10**400, "1e400"), (-(10**400), "-1e400"), (1e-320, "9.99989e-321"),
    ],
)  # fmt: skip
def test_number_shows_six_digits(x: float, text: str) -> None:
    assert tables.number(x) == text


@given(st.one_of(st.floats(allow_nan=False), st.integers()))
def test_number_is_right_to_six_digits_and_short(x: float) -> None:
    text = tables.number(x)
    assert len(text) <= 16 or text == str(x)
    if abs(x) < 1e300:
        assert float(text) == pytest.approx(float(x), rel=5e-6, abs=1e-323)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""), (0, "0.0 s"), (-5, "0.0 s"), (3.21, "3.2 s"), (59.9, "59.9 s"), (59.96, "1m 00s"), (64, "1m 04s"),
        (3599.4, "59m 59s"), (3599.6, "1h 00m"), (7800, "2h 10m"), (47 * 3600, "47h 00m"), (76 * 3600, "3d 04h"),
        (math.inf, "?"), (math.nan, "?"),
    ],
)  # fmt: skip
def test_duration_shows(seconds: float | None, text: str) -> None:
    assert tables.duration(seconds) == text


def test_value_shows_json_but_strings_bare() -> None:
    assert [tables.value(v) for v in ("a b", True, None, [1, "x"], {"a": 1}, 0.5, 3)] == [
        "a b", "true", "null", '[1, "x"]', '{"a": 1}', "0.5", "3",
    ]  # fmt: skip


def test_assignments_quote_what_would_be_misread_and_fit() -> None:
    params = {"lr": 1e-05, "opt": "adam", "note": "two words", "empty": "", "evil\x1b": "\n"}
    assert tables.assignments(params) == 'lr=1e-5 opt=adam note="two words" empty="" evil\\x1b=" "'
    assert tables.assignments(params, 12) == "lr=1e-5 opt…"
    assert tables.assignments({}, 10) == ""


@settings(max_examples=some(80))
@given(st.text(), st.integers(0, 30))
def test_cut_fits_and_keeps_what_fits(text: str, width: int) -> None:
    shown = tables.cut(text, width)
    assert tables.columns(shown) <= width
    if tables.columns(text) <= width:
        assert shown == text
    elif width:
        assert shown.endswith("…")
        assert text.startswith(shown[:-1])


@pytest.mark.parametrize(
    ("name", "width", "shown"),
    [
        ("optimizer.init_args.lr", 22, "optimizer.init_args.lr"), ("optimizer.init_args.lr", 21, "…init_args.lr"),
        ("optimizer.init_args.lr", 13, "…init_args.lr"), ("optimizer.init_args.lr", 12, "…lr"),
        ("optimizer.init_args.lr", 2, "…r"), ("optimizer.init_args.lr", 1, "…"), ("optimizer.init_args.lr", 0, ""),
        ("a/b.c/learning_rate", 14, "…learning_rate"), ("a/b.c/learning_rate", 8, "…ng_rate"), ("learning_rate", 8, "learnin…"),
        ("model.漢字.lr", 9, "…漢字.lr"), ("trailing.dots...", 6, "….."),
    ],
)  # fmt: skip
def test_long_names_lose_their_beginning_at_a_dot_or_slash(name: str, width: int, shown: str) -> None:
    assert tables.cut_name(name, width) == shown


@settings(max_examples=some(80))
@given(st.text("ab./漢_", max_size=20), st.integers(0, 20))
def test_cut_name_fits(name: str, width: int) -> None:
    assert tables.columns(tables.cut_name(name, width)) <= width


def test_names_in_narrow_tables_and_assignments_keep_their_ends() -> None:
    rows = [[1, "x" * 40]]
    assert tables.table(["id", "trainer.optimizer.lr"], rows, width=20).split("\n")[0] == "id  …optimizer.lr"
    params = {"trainer.optimizer.lr": 0.1, "momentum": 0.9}
    assert tables.assignments(params, 40) == "trainer.optimizer.lr=0.1 momentum=0.9"
    assert tables.assignments(params, 32) == "…optimizer.lr=0.1 momentum=0.9"


def test_table_aligns_wide_characters_too() -> None:
    text = tables.table(["name", "loss"], [["漢字", 0.5], ["abc", 10], [None, math.nan]], align="lr")
    assert text.splitlines() == ["name  loss", "漢字   0.5", "abc     10", "       nan"]


def test_table_without_rows_is_its_header() -> None:
    assert tables.table(["a", "b"], []) == "a  b"


def test_table_cell_cannot_break_its_line() -> None:
    text = tables.table(["a"], [["x\ny\x1b[2J"]])
    assert text.splitlines() == ["a", "x y\\x1b[2J"]


cells = st.one_of(st.text(max_size=40), st.floats(), st.none(), st.lists(st.integers(), max_size=3))


@settings(max_examples=some(80))
@given(st.lists(st.lists(cells, min_size=4, max_size=4), max_size=6), st.integers(1, 60))
def test_table_never_exceeds_the_width(rows: list[list[object]], width: int) -> None:
    lines = tables.table(["trial", "state", "loss", "parameters"], rows, align="rlr", width=width).split("\n")
    assert len(lines) == len(rows) + 1
    assert all(tables.columns(line) <= width for line in lines)


def test_table_takes_room_from_the_widest_column() -> None:
    rows = [[1, "completed", "x" * 100]]
    assert (
        tables.table(["id", "state", "parameters"], rows, width=40).splitlines()[1]
        == "1   completed  " + "x" * 24 + "…"
    )


def test_nothing_heavy_is_imported() -> None:
    code = "import sys, hpo_engine.text.tables; print({'rich', 'numpy', 'click', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
