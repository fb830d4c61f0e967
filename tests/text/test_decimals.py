"""Decimals are what people wrote: in rules, on grids, in points, and whole numbers of any size."""

from __future__ import annotations

import json
import math
import operator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine.errors import SpecError
from hpo_engine.space.constraints import read_rule
from hpo_engine.space.params import Choice, Constant, Float, Int, Param
from hpo_engine.space.partial import point_problems
from hpo_engine.space.searchspace import SearchSpace
from hpo_engine.study.geometry import Layout
from hpo_engine.studyfile.native import parse
from hpo_engine.text.decimals import cleaner, cleaner_of_logs, raised
from tests.support.examples import some

# -- rules -----------------------------------------------------------------------------------------------------------

TENTHS = tuple(Float(name, 0, 1, step=0.1) for name in "abc")


def fulfilling(rule: str, *params: Param) -> list[tuple[Any, ...]]:
    space = SearchSpace(params or TENTHS[:2], (rule,))
    return [tuple(p.values()) for p in space.grid() if space.allows(p)]


@pytest.mark.parametrize(
    ("rule", "count"),
    [
        ("b - a == 0.1", 10),
        ("a + b == 1", 11),
        ("a + 0.1 < b", 45),
        ("b - a > 0.1", 45),
        ("a + 0.1 <= b", 55),
        ("a % 0.1 == 0", 121),
        ("a % 0.2 == 0", 66),
        ("a // 0.1 == b * 10", 11),
        ("a * 3 == 0.9", 11),
        ("a * 0.1 == 0.03", 11),
        ("a / 3 == 0.1", 11),
        ("a / 3 * 3 == b", 11),
        ("a ** 2 == 0.09", 11),
        ("a ** -1 == 5", 11),
        ("sqrt(a * a) == b", 11),
        ("log(a) == log(b) and a > 0", 10),
        ("a in [0.1, 0.3]", 22),
        ("a not in [0.1, 0.3]", 99),
        ("a + 0.1 in [b]", 10),
        ("max(a, b) == 0.3", 7),
        ("0.1 < a + b <= 0.3", 7),
        ("-a == b - 0.3", 4),
        ("abs(a - b) == 0.7", 8),
        ("a - b == -0.3", 8),
        ("-0.3 // 0.1 == -a * 10", 11),
        ("(0.1 - a) % 0.2 == 0.1", 66),
        ("a != b + 0.1", 111),
        ("1e-20 * a < 1e-20 * b", 55),
        ("1e20 + a == 1e20 + b", 11),
        ("a * 1e300 == b * 1e300", 11),
    ],
)
def test_rules_compute_on_decimals_as_they_are_written(rule: str, count: int) -> None:
    assert len(fulfilling(rule)) == count


def test_three_decimals_that_add_up_to_one() -> None:
    assert len(fulfilling("a + b + c == 1", *TENTHS)) == 66
    assert len(fulfilling("a + b + c < 1", *TENTHS)) == 220 + 0
    assert len(fulfilling("a + b + c > 1", *TENTHS)) == 1331 - 66 - 220


@pytest.mark.parametrize(
    ("rule", "params", "count"),
    [
        ("a - b == 0.1", (Choice("a", (0.3, 0.4)), Choice("b", (0.2, 0.3))), 2),
        ("a + k == 0.3", (Choice("a", (0.1, 0.2)), Constant("k", 0.1)), 1),
        ("a + b == 1", (Choice("a", (0.3333333333333333, 0.5)), Choice("b", (0.6666666666666666, 0.5))), 2),
        ("a * 3 == 1", (Choice("a", (0.3333333333333333, 0.25)),), 1),
        ("a / b == 0.1", (Choice("a", (0.01, 1e-5)), Choice("b", (0.1, 1e-4))), 2),
        ("a % 1e-4 == 0", (Choice("a", (0.0003, 0.00035)),), 1),
        ("n * 0.1 == a", (Int("n", 0, 10), TENTHS[0]), 11),
        ("n // 10 == a * 10", (Int("n", 0, 109), TENTHS[0]), 110),
        ("log2(w) % 1 == 0", (Choice("w", (8, 12, 1024)),), 2),
        ("a < b", (Float("a", 1, 1.000000001, step=1e-10), Float("b", 1, 1.000000001, step=1e-10)), 55),
        ("x * 10 == 1", (Float("x", -3, 0, power=10, step=1),), 1),
        ("n == m", (Int("n", 2**60, 2**60 + 3), Int("m", 2**60, 2**60 + 3)), 4),
        ("n + 0.5 < m", (Int("n", 2**60, 2**60 + 3), Int("m", 2**60, 2**60 + 3)), 6),
        ("n / 2 == m / 2", (Int("n", 2**53, 2**53 + 3), Int("m", 2**53, 2**53 + 3)), 4),
        (f"n % 10 == {2**60 % 10}", (Int("n", 2**60, 2**60 + 19),), 2),
        (f"n in [{2**53 + 1}]", (Int("n", 2**53, 2**53 + 3),), 1),
    ],
)
def test_rules_on_choices_constants_and_whole_numbers(rule: str, params: tuple[Param, ...], count: int) -> None:
    assert len(fulfilling(rule, *params)) == count


@pytest.mark.parametrize(
    ("rule", "x", "y", "holds"),
    [
        ("x + y <= 0.3", 0.1, 0.2, True),
        ("x + y < 0.3", 0.1, 0.2, False),
        ("x + y > 0.3", 0.1, 0.2, False),
        ("x + y == 0.3", 0.1, 0.2, True),
        ("x + y - 0.3 == 0", 0.1, 0.2, True),
        ("x + y != 0.3", 0.1, 0.2, False),
        ("x == y", 0.30000000000000004, 0.3, True),
        ("x in [0.3]", 0.30000000000000004, 0.3, True),
        ("x % 0.1 == 0", 0.30000000000000004, 0.3, True),
        ("x % 0.1 == 0", 0.29999999999999993, 0.3, True),
        ("x // 0.1 == 3", 0.29999999999999993, 0.3, True),
        ("x - y == 0", 0.30000000000000004, 0.3, True),
        ("x < y", 1.0, 1.0 + 1e-8, True),
        ("x == y", 1e-10, 2e-10, False),
        ("x < y", 1e-300, 2e-300, True),
        ("sqrt(x) == 0.3", 0.09, 0, True),
        ("sqrt(x) < 0.3", 0.09, 0, False),
        ("log(x) / log(10) == -3", 0.001, 0, True),
        ("x < y", -0.1, 0.1, True),
        ("x >= 0", 0.0, 0, True),
        ("x > 0", 0.0, 0, False),
    ],
)
def test_what_is_drawn_from_a_range_is_compared_with_a_tolerance(rule: str, x: float, y: float, holds: bool) -> None:
    params = (Float("x", -1, 2), Float("y", -1, 2))
    assert read_rule(rule, params).holds({"x": float(x), "y": float(y)}) is holds


_COMPARE = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_COMPUTE = {"+": operator.add, "-": operator.sub, "*": operator.mul, "//": operator.floordiv, "%": operator.mod}


def sums() -> st.SearchStrategy[tuple[str, Any]]:
    """Texts with functions that give their exact values."""
    names = st.sampled_from("ab").map(lambda name: (name, lambda known: known[name]))
    decimals = st.integers(-30, 30).map(lambda n: (f"({n / 10})", lambda known: Fraction(n, 10)))

    def join(parts: Any) -> Any:
        def build(sign: str, left: Any, right: Any) -> tuple[str, Any]:
            return f"({left[0]} {sign} {right[0]})", lambda known: _COMPUTE[sign](left[1](known), right[1](known))

        return st.builds(build, st.sampled_from(list(_COMPUTE)), parts, parts)

    return st.recursive(names | decimals, join, max_leaves=6)


@settings(max_examples=some(80), deadline=None)
@given(sums(), st.sampled_from(list(_COMPARE)), sums(), st.integers(-10, 10), st.integers(-10, 10))
def test_rules_on_step_grids_agree_with_fractions(left: Any, sign: str, right: Any, a: int, b: int) -> None:
    params = (Float("a", -1, 1, step=0.1), Float("b", -1, 1, step=0.1))
    known = {"a": Fraction(a, 10), "b": Fraction(b, 10)}
    try:
        wanted = _COMPARE[sign](left[1](known), right[1](known))
    except ZeroDivisionError:
        wanted = False
    rule = read_rule(f"{left[0]} {sign} {right[0]} and a == a", params)
    assert rule.holds({"a": a / 10, "b": b / 10}) is wanted


def test_comparisons_agree_with_each_other() -> None:
    params = (Float("x", -10, 10), Float("y", -10, 10))
    rules = {sign: read_rule(f"x {sign} y", params) for sign in _COMPARE}
    for x, y in [(0.1 + 0.2, 0.3), (0.3, 0.1 + 0.2), (1.0, 1.0), (1.0, 2.0), (2.0, 1.0), (0.0, 1e-30), (-0.0, 0.0)]:
        holds = {sign: rule.holds({"x": x, "y": y}) for sign, rule in rules.items()}
        assert holds["<"] + holds["=="] + holds[">"] == 1
        assert holds["<="] == (holds["<"] or holds["=="]) and holds[">="] == (holds[">"] or holds["=="])
        assert holds["!="] is not holds["=="]


# -- grids -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("param", "levels", "values"),
    [
        (Float("x", 1e-4, 0.1, log=True), 4, [1e-4, 0.001, 0.01, 0.1]),
        (Float("x", 1e-5, 1, log=True), 6, [1e-5, 1e-4, 0.001, 0.01, 0.1, 1.0]),
        (Float("x", 3e-4, 0.3, log=True), 4, [3e-4, 0.003, 0.03, 0.3]),
        (Float("x", 0.01, 1, log=True), 3, [0.01, 0.1, 1.0]),
        (Float("x", -4, -1, power=10), 4, [1e-4, 0.001, 0.01, 0.1]),
        (Float("x", 0, 1), 11, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
        (Float("x", -0.3, 0.3), 7, [-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3]),
        (Float("x", 1, 5, power=0.1, step=1), 1, [0.1, 0.01, 0.001, 1e-4, 1e-5]),
        (Float("x", 1, 3, power=1.1, step=1), 1, [1.1, 1.21, 1.331]),
        (Float("x", -3, -1, power=10, step=1), 1, [0.001, 0.01, 0.1]),
        (Float("x", 0.1, 0.7, step=0.2), 1, [0.1, 0.3, 0.5, 0.7]),
        (Float("x", 0.001, 0.007, step=0.002, log=True), 1, [0.001, 0.003, 0.005, 0.007]),
    ],
)
def test_levels_are_short_decimals(param: Float, levels: int, values: list[float]) -> None:
    assert [p["x"] for p in SearchSpace((param,)).grid(levels)] == values


@settings(max_examples=some(120), deadline=None)
@given(st.integers(-12, 12), st.integers(1, 9), st.integers(1, 8), st.booleans())
def test_decades_are_exact_whatever_the_range(first: int, digit: int, decades: int, power: bool) -> None:
    wanted = [float(f"{digit}e{first + i}") for i in range(decades + 1)]
    param = Float("x", wanted[0], wanted[-1], log=True)
    if power and digit == 1:
        param = Float("x", first, first + decades, power=10)
    assert [p["x"] for p in SearchSpace((param,)).grid(decades + 1)] == wanted


@settings(max_examples=some(120), deadline=None)
@given(st.integers(-1000, 1000), st.integers(1, 200), st.integers(1, 20), st.integers(0, 6))
def test_linear_levels_are_the_decimals_of_the_grid(first: int, gap: int, count: int, places: int) -> None:
    wanted = [float(Fraction(first + i * gap, 10**places)) for i in range(count + 1)]
    grid = SearchSpace((Float("x", wanted[0], wanted[-1]),)).grid(count + 1)
    assert [p["x"] for p in grid] == wanted


@settings(max_examples=some(120), deadline=None)
@given(st.floats(1e-12, 1e12), st.floats(1.01, 1e6), st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_cleaning_keeps_order_bounds_and_values(low: float, ratio: float, us: list[float]) -> None:
    for param in (Float("x", low, low * ratio), Float("x", low, low * ratio, log=True)):
        axis = SearchSpace((param,)).axis("x")
        values = [axis.decode(u) for u in sorted(us)]
        assert values == sorted(values) and low <= values[0] and values[-1] <= low * ratio
        assert [axis.tidy(v) for v in values] == values  # once is enough


@settings(max_examples=some(120), deadline=None)
@given(st.floats(1e-100, 1e100))
def test_cleaning_changes_rounding_only(value: float) -> None:
    assert math.isclose(cleaner_of_logs(1e-100, 1e100)(value), value, rel_tol=1e-12)
    assert math.isclose(cleaner(0, value)(value / 3), value / 3, rel_tol=1e-14)
    assert cleaner_of_logs(1e-4, 1)(0.1234567890123) == 0.1234567890123


def test_a_value_that_a_search_comes_back_to_stays_as_it_was() -> None:
    space = SearchSpace((Float("lr", 1e-6, 1, log=True), Float("m", -1, 1), Float("p", -6, 0, power=10)))
    rng = np.random.default_rng(0)
    for digits in range(1, 7):
        for x in rng.uniform(0.1, 1, 50):
            value = float(f"{x:.{digits}g}")
            params = {"lr": value / 1000 if digits < 3 else value, "m": -value, "p": value}
            params["lr"] = float(f"{params['lr']:.6g}")
            assert space.decode(space.encode(params)) == params


@pytest.mark.parametrize(
    ("base", "exponent", "value"),
    [(0.1, 3.0, 0.001), (10.0, -5.0, 1e-5), (1.1, 12.0, 3.138428376721), (2, 10, 1024), (10.0, 23.0, 1e23),
     (0.5, 3.0, 0.125), (10.0, -0.5, 10.0**-0.5), (2.0, 1023.0, 2.0**1023), (10.0, 308.0, 1e308)],
)  # fmt: skip
def test_powers_are_rounded_once(base: float, exponent: float, value: float) -> None:
    assert raised(base, exponent) == value and type(raised(base, exponent)) is type(value)


# -- points ----------------------------------------------------------------------------------------------------------

POINTED = SearchSpace(
    (
        Int("n", 1, 9),
        Choice("width", (16, 32, 64)),
        Choice("rate", (0.1, 0.3)),
        Choice("layers", ([64, 32], [8])),
        Float("drop", 0, 0.5, step=0.1),
        Int("even", 0, 8, step=2, when={"width": 32.0}),
    )
)


def test_points_mean_the_values_of_the_space() -> None:
    given_ = {"n": 5.0, "width": 32.0, "rate": 0.1 + 0.2, "layers": [64.0, 32], "drop": 0.1 + 0.2, "even": 4.0}
    assert not point_problems(POINTED, [given_])
    tidy = POINTED.tidied(given_)
    assert tidy == {"n": 5, "width": 32, "rate": 0.3, "layers": [64, 32], "drop": 0.3, "even": 4}
    assert json.dumps(tidy) == '{"n": 5, "width": 32, "rate": 0.3, "layers": [64, 32], "drop": 0.3, "even": 4}'
    assert POINTED.problem_with(given_) is None and POINTED.encode(given_).tolist() == POINTED.encode(tidy).tolist()


@pytest.mark.parametrize(
    "wrong", [{"n": 5.5}, {"n": True}, {"width": True}, {"width": 33.0}, {"rate": 0.2}, {"n": "5"}]
)
def test_points_that_are_no_values_of_the_space(wrong: dict[str, Any]) -> None:
    assert point_problems(POINTED, [wrong])


def test_true_is_not_one_and_exact_choices_come_first() -> None:
    space = SearchSpace((Choice("x", (1, 1.0, True, "1")), Choice("y", (0, 1))))
    assert [json.dumps(space.tidied({"x": v})["x"]) for v in (1, 1.0, True, "1")] == ["1", "1.0", "true", '"1"']
    assert space.axis("y").problem(True) and space.axis("y").problem("1") and space.axis("y").problem(None)


def test_the_same_point_in_other_words_is_told() -> None:
    whole = SearchSpace((Int("n", 1, 9), Float("d", 0, 1, step=0.1)))
    (problem,) = point_problems(whole, [{"n": 5, "d": 0.3}, {"n": 5.0, "d": 0.1 + 0.2}])
    assert problem.text == "is the same as points[0]"


STUDY = """
command: "true"
objective: minimize loss
space:
  n: {int: [1, 9]}
  drop: {float: [0, 0.5], step: 0.1}
  deep: {int: [1, 2], when: {n: 5.0}}
"""


def test_points_and_experiments_of_a_file_are_stored_as_the_space_has_them(tmp_path: Any) -> None:
    pointed = parse(STUDY + "points: [{n: 5.0, drop: 0.30000000000000004}]", file="a.yaml", base_dir=str(tmp_path))
    assert json.dumps(pointed.points) == '[{"n": 5, "drop": 0.3}]'
    listed = parse(
        STUDY + "experiments: [{n: 5.0, drop: 0.30000000000000004, deep: 2.0}]", file="a.yaml", base_dir=str(tmp_path)
    )
    assert json.dumps(listed.experiments) == '[{"n": 5, "drop": 0.3, "deep": 2}]'
    with pytest.raises(SpecError, match="true is not a whole number"):
        parse(STUDY + "points: [{n: true}]", file="a.yaml", base_dir=str(tmp_path))


# -- large whole numbers ---------------------------------------------------------------------------------------------

BIG = 2**53


@settings(max_examples=some(80), deadline=None)
@given(
    st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1), st.floats(0, 1, exclude_max=True), st.booleans()
)
def test_whole_numbers_of_any_size_come_back_exactly(low: int, high: int, u: float, log: bool) -> None:
    if log:
        low, high = (min(max(abs(end), 1), 2**63 - 1) for end in (low, high))
    low, high = sorted((low, high))
    space = SearchSpace((Int("n", low, high, log=log),))
    params = space.decode([u])
    assert type(params["n"]) is int and space.problem_with(params) is None
    assert space.decode(space.encode(params)) == params
    assert space.tidied({"n": low}) == {"n": low} and space.tidied({"n": high}) == {"n": high}
    middle = (low + high) // 2
    assert space.tidied({"n": middle}) == {"n": middle}  # also where decode does not find it


def test_a_short_range_of_large_numbers_is_searched_in_full() -> None:
    for first in (BIG - 3, BIG + 1, 2**62 + 1, -(2**63)):
        space = SearchSpace((Int("n", first, first + 99),))
        assert {space.decode([(k + 0.5) / 100])["n"] for k in range(100)} == set(range(first, first + 100))
        assert [p["n"] for p in space.grid()] == list(range(first, first + 100))
        assert all(space.decode(space.encode({"n": n})) == {"n": n} for n in range(first, first + 100))


def test_arrays_hold_spaces_of_any_size() -> None:
    space = SearchSpace((Int("n", -(2**63), 2**63 - 1), Int("m", 1, 2**63 - 1, log=True), Int("k", 0, 9)))
    assert Layout.of(space).cells.tolist() == [0, 0, 10]
    rng = np.random.default_rng(0)
    points = rng.random((50, 3))
    again = np.array([space.encode(space.decode(point)) for point in points])
    np.testing.assert_allclose(space.tidy(points), again, rtol=0, atol=1e-12)
    when = SearchSpace((Int("n", 0, 2**63 - 1), Int("m", 0, 9, when={"n": [0, 2**63 - 1]})))
    assert np.isnan(when.tidy(np.array([[0.0, 0.5], [0.5, 0.5], [1.0, 0.5]]))[:, 1]).tolist() == [False, True, False]
