"""Rules between parameters: what they mean, what is wrong with one and where, and that no text does harm."""

from __future__ import annotations

import math
import re
import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hpo_engine.errors import SpecError
from hpo_engine.space.constraints import read_rule
from hpo_engine.space.params import Choice, Constant, Float, Int
from hpo_engine.space.words import MAX_TEXT
from tests.support.examples import some

PARAMS = (
    Int("a", 1, 10),
    Int("b", 1, 10),
    Float("x", -1, 1),
    Choice("opt", ("adam", "sgd", None)),
    Choice("mixed", (1, "one", True)),
    Choice("shape", ([64, 32], [8])),
    Choice("fast", (True, False)),
    Constant("k", 3),
    Constant("max", 7),
    Float("odd name-1", 0, 1),
    Float("net.lr", 0, 1),
)
VALUES: dict[str, Any] = {
    "a": 3, "b": 4, "x": -0.5, "opt": "adam", "mixed": 1, "shape": [64, 32], "fast": True, "k": 3, "max": 7,
    "odd name-1": 0.25, "net.lr": 0.5,
}  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "a <= b", "a < b", "b > a", "b >= 4", "a != b", "a == 3.0", "1 < a < b < 5", "3 <= a <= 3",
        "a + b * 2 == 11", "(a + b) * 2 == 14", "a - b - 1 == -2", "2 ** a ** 2 == 512", "-a ** 2 == -9",
        "2 ** -1 == x + 1", "b // a == 1", "b % a == 1", "b / 8 == 0.5", "-7 // 2 == -a - 1", "+a == 3", "--a == 3",
        "min(a, b) == 3", "max(a, b, 9) == 9", "max == 7", "abs(x) == .5", "log2(b) == 2", "sqrt(b) == 2",
        "log(a) > 1.09 and log(a) < 1.1", "a == 1 or b == 4", "not a == 4", "not (a == 4 or b == 5)", "fast",
        "fast and not false", "a == 1 or a == 3 and b == 4", "opt == 'adam'", 'opt != "sgd"', "opt in ['adam', null]",
        "opt not in ['sgd', \"it's\"]", "opt < 'b'", "mixed == 1", "mixed != true", "shape == [64, 32]",
        "shape in [[8], [64, 32.0]]", "a in [1, 2, k]", "`odd name-1` < 1", "net.lr == 5e-1", "(a <= b) == true",
        " a\n<=\tb ", "k in [3]", "a in shape or true",
    ],
)  # fmt: skip
def test_rule_that_is_fulfilled(text: str) -> None:
    assert read_rule(text, PARAMS).holds(VALUES)


@pytest.mark.parametrize(
    "text",
    [
        "a > b", "a == b", "1 < a < 3", "fast == 1", "mixed == true", "opt == null", "opt in []", "not fast",
        "a / (b - 4) > 0", "a // 0 == 1", "a % 0 == 1", "0 ** -a == 1", "sqrt(x) > 0", "log(0 * a) < 0", "x ** 0.5 > 0",
        "mixed < 'z'", "a in shape", "9 ** 9 ** 9 > a", "9 ** 9 ** 9 < a", "1e308 * 10 ** b - 1e308 * 10 ** b < a",
        "2.0 ** 99999 > a", "a == 3 and mixed",
    ],
)  # fmt: skip
def test_rule_that_is_not_fulfilled_or_cannot_be_worked_out(text: str) -> None:
    assert not read_rule(text, PARAMS).holds(VALUES)


def test_rule_on_a_parameter_that_does_not_apply_says_nothing() -> None:
    rule = read_rule("a > b or x > 0", PARAMS)
    assert not rule.holds(VALUES)
    assert rule.holds({name: value for name, value in VALUES.items() if name != "x"})
    assert rule.names == {"a", "b", "x"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "column 1: a parameter, a number or a text is expected, not the end"),
        ("a <=", "column 5: a parameter, a number or a text is expected, not the end"),
        ("a <= <", "column 6: a parameter, a number or a text is expected, not <"),
        ("a b", "column 3: an operator or the end is expected, not b"),
        ("(a < b", 'column 7: ")" is expected, not the end'),
        ("a < b)", "column 6: an operator or the end is expected, not )"),
        ("a in [1 2]", 'column 9: "," is expected, not 2'),
        ("a not 3", 'column 7: "in" is expected, not 3'),
        ("aa < b", "column 1: there is no parameter aa; did you mean"),
        ("a < hidden", "column 5: there is no parameter hidden; known: "),
        ("a < absolute_zero", "known: a, b"),
        ("flase == fast", 'column 1: there is no parameter flase; did you mean "false"?'),
        ("`odd name` < 1", 'column 1: there is no parameter odd name; did you mean "odd name-1"?'),
        ("a = b", 'column 3: = is not valid here; write "=="'),
        ("a < b && b < 3", 'column 7: && is not valid here; write "and"'),
        ("a ^ 2 < b", 'column 3: ^ is not valid here; write "**"'),
        ("!fast", 'column 1: ! is not valid here; write "not"'),
        ("a < 'b", "column 5: a quote that is not closed"),
        ("`a < b", "column 1: a backtick that is not closed"),
        ("a < $b", "column 5: $ is not valid here"),
        ("opt < a", "column 5: < compares numbers or texts, not null or text with a number"),
        ("fast >= 1", "column 6: >= compares numbers or texts, not true or false with a number"),
        ("opt + 1 > a", "column 1: + needs a number, and this is null or text"),
        ("a * 'b' > 1", "column 5: * needs a number, and this is text"),
        ("-opt > 1", "column 2: - needs a number"),
        ("abs(opt) > 1", "column 5: abs needs a number"),
        ("a", "column 1: a rule needs true or false, and this is a number"),
        ("a and fast", "column 1: and needs true or false, and this is a number"),
        ("fast or a + 1", "column 9: or needs true or false, and this is a number"),
        ("not a", "column 5: not needs true or false"),
        ("a in 3", "column 6: in needs a list, and this is a number"),
        ("1 < 2", "column 1: a rule must name at least one parameter"),
        ("min(a) < 2", "column 1: min() takes at least two numbers, not 1"),
        ("abs(a, b) < 2", "column 1: abs() takes one number, not 2"),
        ("sin(a) < 2", "column 1: there is no parameter sin; did you mean"),
        ("a < 1e999", "column 5: 1e999 is too large for a number"),
        ("a < " + "9" * 61, "column 5: a number has at most 60 digits"),
        ("(" * 60 + "a", "column 42: nested more than 40 deep"),
        ("not " * 60 + "fast", "nested more than 40 deep"),
        ("2 ** " * 60 + "a > 1", "nested more than 40 deep"),
        ("-" * 60 + "a > 1", "nested more than 40 deep"),
        ("a < " + "1 + " * 300 + "1", f"a rule has at most {MAX_TEXT} characters"),
        ("a.__class__ < 1", "column 1: there is no parameter a.__class__"),
        ("a[0] < 1", "column 2: an operator or the end is expected, not ["),
        ("a < \u202eb", "column 5: \\u202e is not valid here"),
    ],
)
def test_what_is_wrong_is_told_with_its_column(text: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        read_rule(text, PARAMS)
    assert words in str(caught.value) and "\n" not in str(caught.value)


TOKENS = [*VALUES, "`a`", "and", "or", "not", "in", "true", "null", "<", "<=", "==", "!=", "+", "-", "*", "/", "//", "%", "**",
          "(", ")", "[", "]", ",", "1", "2.5", "1e9", "'adam'", "min", "max(", "abs(", "log(", "sqrt(", "=", "&&", "`", "'"]  # fmt: skip


@pytest.mark.parametrize("examples", [80, pytest.param(240, marks=pytest.mark.slow)])
def test_no_text_crashes_it(examples: int) -> None:
    @settings(max_examples=some(examples), deadline=None)
    @given(st.one_of(st.text(max_size=80), st.lists(st.sampled_from(TOKENS), max_size=25).map(" ".join)))
    @example("\ud800")
    @example("a" * 5000)
    @example("٣ < a")
    def holds(text: str) -> None:
        begin = time.process_time()
        try:
            rule = read_rule(text, PARAMS)
        except SpecError as error:
            (problem,) = error.problems
            assert re.match(r"column [0-9]+: ", problem.text)
        else:
            assert isinstance(rule.holds(VALUES), bool)
        assert time.process_time() - begin < 60

    holds()


def expressions() -> st.SearchStrategy[tuple[str, float]]:
    """Texts of numbers with their values, worked out beside the reader."""
    leaves = st.one_of(
        st.integers(0, 99).map(lambda n: (str(n), float(n))),
        st.sampled_from(["a", "b", "x"]).map(lambda name: (name, float(VALUES[name]))),
    )

    def join(parts: st.SearchStrategy[tuple[str, float]]) -> st.SearchStrategy[tuple[str, float]]:
        def build(sign: str, left: tuple[str, float], right: tuple[str, float]) -> tuple[str, float]:
            value = {"+": left[1] + right[1], "-": left[1] - right[1], "*": left[1] * right[1]}[sign]
            return f"({left[0]}) {sign} ({right[0]})", value

        return st.builds(build, st.sampled_from("+-*"), parts, parts)

    return st.recursive(leaves, join, max_leaves=8)


@settings(max_examples=some(80), deadline=None)
@given(expressions(), expressions())
def test_numbers_compare_as_they_should(left: tuple[str, float], right: tuple[str, float]) -> None:
    if math.isclose(left[1], right[1], rel_tol=1e-9, abs_tol=1e-9):
        return  # whole and real numbers round otherwise
    rule = read_rule(f"{left[0]} < {right[0]} or a == 99", PARAMS)
    assert rule.holds(VALUES) is (left[1] < right[1])
