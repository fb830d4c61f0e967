"""Charts made of characters: nothing wider than asked for, nothing drawn elsewhere than it is."""

from __future__ import annotations

import math
import re

import pytest

from hpo_engine.text.chart import Bar, Chart, Series, Style, bars, drawn
from hpo_engine.text.tables import columns

RISING = Chart("title", [Series("a", range(11), [i / 10 for i in range(11)], form="line")], "step", "loss")


def area(lines: list[str], edge: str) -> list[str]:
    return [line.split(edge, 1)[1] for line in lines if edge in line]


@pytest.mark.parametrize("width", [30, 80, 200])
@pytest.mark.parametrize("plain", [False, True])
def test_no_line_is_wider_than_the_terminal(width: int, plain: bool) -> None:
    series = [Series("n" * 50, [1, 2, 3], [1e-9, 5.0, -1e300]), Series("m" * 60, [2.0], [math.nan])]
    chart = Chart("t" * 20, series, "x" * 40, "y", ticks=[(1, "one"), (3, "three" * 9)])
    for line in drawn(chart, Style(width, 6, plain)):
        assert columns(line) <= width or line == f"{line[:width]}{line[width:]}" and set(line[width:]) <= set("nm")
        assert line.isascii() or not plain


def test_a_line_rises_from_the_lower_left_to_the_upper_right() -> None:
    rows = area(drawn(RISING, Style(40, 8, plain=True)), "|")
    marks = [(row, line.index("*")) for row, line in enumerate(rows) if "*" in line]
    assert [column for _, column in marks] == sorted((column for _, column in marks), reverse=True)
    assert marks[0][0] == 0 and marks[-1][0] == 7


def test_steps_stay_until_the_next_value() -> None:
    chart = Chart("", [Series("", [0, 5, 10], [3.0, 1.0, 1.0], form="steps")], y_range=(0.0, 4.0))
    rows = area(drawn(chart, Style(40, 8, plain=True)), "|")
    assert all(line.count("*") > 10 for line in (rows[1 if "*" in rows[1] else 2], rows[5 if "*" in rows[5] else 6]))


def test_braille_has_the_dot_where_it_belongs() -> None:
    chart = Chart("", [Series("", [0.0, 1.0], [0.0, 1.0], mark="")], x_range=(0, 1), y_range=(0, 1))
    rows = area(drawn(chart, Style(20, 3)), "│")
    assert rows[0][-1] == "⠈" and rows[-1][0] == "⡀"


def test_colours_only_if_asked_for() -> None:
    plain, coloured = (drawn(RISING, Style(40, 8, coloured=on)) for on in (False, True))
    assert "\x1b" not in "\n".join(plain)
    assert [re.sub(r"\x1b\[\d+m", "", line).rstrip() for line in coloured] == [line.rstrip() for line in plain]


def test_nothing_of_a_name_reaches_the_terminal_unescaped() -> None:
    text = "\n".join(drawn(Chart("a\x1b[2Jb", [Series("c\nd", [1], [1])], "\x07"), Style(60, 4)))
    assert "\x1b" not in text and "\x07" not in text


def test_a_logarithmic_axis_has_equal_steps_for_equal_ratios() -> None:
    chart = Chart("", [Series("", range(5), [1e-4, 1e-3, 1e-2, 1e-1, 1.0])], log=True)
    rows = [i for i, line in enumerate(area(drawn(chart, Style(60, 17, plain=True)), "|")) if "*" in line]
    assert len({b - a for a, b in zip(rows, rows[1:], strict=False)}) == 1


@pytest.mark.parametrize("plain", [False, True])
def test_bars_are_as_long_as_their_shares(plain: bool) -> None:
    found = bars(
        [Bar("lr", 0.8, "80%"), Bar("optimizer.weight_decay", 0.4, "40%"), Bar("x", 0.0, "0%", True)],
        Style(60, plain=plain),
    )
    lengths = [sum(c in "█#" for c in line) for line in found]
    assert lengths[1] == pytest.approx(lengths[0] / 2, abs=1) and lengths[2] == 0
    assert all(columns(line) <= 60 for line in found)
