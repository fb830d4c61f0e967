"""Partial configurations: what is wrong with one, and that every completion has it and is a member of the space."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine.errors import SpecError
from hpo_engine.space.partial import allowed_completion, complete, is_whole, point_problems, problems_of, refuse_empty
from hpo_engine.space.searchspace import Choice, Constant, Float, Int, SearchSpace
from hpo_engine.testing.histories import SPACES
from tests.support.examples import some

DEEP = SearchSpace(
    (
        Choice("opt", ("adam", "sgd", "none")),
        Choice("warm", (True, False), when={"opt": ["adam", "sgd"]}),
        Int("steps", 1, 9, when={"warm": True}),
        Float("momentum", 0, 1, when={"opt": "sgd"}),
        Choice("shape", ([8, 8], [4])),
        Int("extra", 1, 3, when={"shape": [8, 8]}),
        Constant("k", 3),
        Float("x", 0, 1, when={"k": 3}),
        Float("level", 0, 4, step=0.5),
        Int("deep", 1, 5, when={"level": [0.5, 4.0]}),
    )
)


@pytest.mark.parametrize("space", [*SPACES.values(), DEEP], ids=[*SPACES, "deep"])
def test_completions_hold_what_is_given_and_are_members(space: SearchSpace) -> None:
    rng = random.Random(3)
    for _ in range(300):
        whole = space.decode([rng.random() for _ in space.dimensions])
        given = {name: value for name, value in whole.items() if rng.random() < 0.4}
        wish = space.decode([rng.random() for _ in space.dimensions])
        assert problems_of(space, given) == []
        found = complete(space, given, wish, rng.random)
        assert space.problem_with(found) is None and all(found[name] == value for name, value in given.items())
        assert list(found) == [name for name in space.names if name in found]


def test_wish_is_followed_where_it_fits() -> None:
    wish = {"opt": "adam", "warm": True, "steps": 7, "shape": [4], "k": 3, "x": 0.5, "level": 2.0}
    never = iter(()).__next__  # nothing is drawn
    assert complete(DEEP, {}, wish, never) == wish
    assert complete(DEEP, {"steps": 2}, wish, never) == {**wish, "steps": 2}
    found = complete(DEEP, {"momentum": 0.25}, wish, random.Random(0).random)
    assert found == {**wish, "opt": "sgd", "momentum": 0.25}


def test_parents_of_what_is_given_get_values_that_let_it_apply() -> None:
    seen = set()
    for i in range(40):
        found = complete(DEEP, {"steps": 3, "deep": 2, "extra": 1}, {}, random.Random(i).random)
        assert DEEP.problem_with(found) is None
        seen.add((found["opt"], found["level"]))
    assert seen == {(o, lv) for o in ("adam", "sgd") for lv in (0.5, 4.0)}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"optt": 1}, 'optt: is not a parameter of the space; did you mean "opt"?'),
        ({"opt": "adm"}, 'opt: "adm" is not one of the choices'),
        ({"level": 0.3}, "level: 0.3 is not on the grid"),
        ({"steps": 12, "momentum": "x"}, "steps: 12 is outside 1 ... 9"),
        ({"momentum": 0.5, "opt": "adam"}, 'momentum: applies only if opt is "sgd", which does not apply here'),
        ({"steps": 5, "opt": "none"}, "steps: applies only if warm is true, which does not apply here"),
        ({"steps": 5, "warm": False}, "steps: applies only if warm is true, which does not apply here"),
        ({"k": 4}, "k: 4 is not one of the choices"),
    ],
)
def test_what_can_be_in_no_configuration_is_told(given: dict[str, Any], words: str) -> None:
    said = [f"{name}: {text}" for name, text in problems_of(DEEP, given)]
    assert said[0].startswith(words) and len(said) == len(given) - (len(given) == 2 and "applies" in words)


def test_parameters_that_exclude_each_other_are_told() -> None:
    space = SearchSpace((Choice("c", ("a", "b")), Int("x", 1, 2, when={"c": "a"}), Int("y", 1, 2, when={"c": "b"})))
    assert problems_of(space, {"x": 1, "y": 2}) == [("", "x, y never apply together")]


def test_whole_ones_are_known() -> None:
    assert is_whole(DEEP, {"opt": "none", "shape": [4], "x": 0.5, "level": 1.0})
    assert is_whole(DEEP, {"opt": "none", "shape": [4], "x": 0.5, "level": 1.0, "k": 3})
    assert not is_whole(DEEP, {"opt": "adam", "shape": [4], "level": 1.0})
    assert not is_whole(DEEP, {})


def test_completion_obeys_the_rules_or_there_is_none() -> None:
    space = SearchSpace((Int("a", 1, 9), Int("b", 1, 9)), ("b < a",))
    draw = random.Random(1).random
    assert all((allowed_completion(space, {"b": 8}, {"a": 3}, draw) or {})["a"] == 9 for _ in range(20))
    assert allowed_completion(space, {"b": 9}, {}, draw) is None
    taken = [{"a": 9, "b": 8}]
    assert allowed_completion(space, {"b": 8}, {}, draw, lambda p: p not in taken) is None


def test_points_are_told_apart_and_held_against_the_rules() -> None:
    space = SearchSpace((Int("a", 1, 9), Int("b", 1, 9)), ("b < a",))
    points = [{"a": 3, "b": 2}, {"a": 3}, {"a": 3}, {"a": 3, "b": 2}, {"a": 2, "b": 3}, {"c": 1}]
    said = [str(problem) for problem in point_problems(space, points)]
    assert said == [
        "points[3]: is the same as points[0]",
        "points[4]: no configuration with these values satisfies b < a",
        "points[5].c: is not a parameter of the space; known: a, b",
    ]


def test_after_a_hundred_problems_nobody_looks_for_more() -> None:
    space = SearchSpace((Int("a", 1, 9), Int("b", 1, 9)), ("b < a",))
    assert len(point_problems(space, [{"b": 9}] * 20_000)) == 100


@settings(max_examples=some(30), deadline=None)
@given(st.integers(1, 40))
def test_space_that_rules_empty_is_refused_and_no_other(top: int) -> None:
    refuse_empty(SearchSpace((Int("a", 1, 40), Int("b", 1, 40)), (f"a == {top} and b == {top}",)))  # one of 1,600
    with pytest.raises(SpecError, match="require: no configuration satisfies a"):
        refuse_empty(SearchSpace((Int("a", 1, top),), (f"a > {top}",)))


@pytest.mark.parametrize("tail", [" > 9999", " >= 0"])
def test_long_rules_cost_no_more_than_short_ones(tail: str) -> None:
    sums = [" + ".join(["a"] * 240) + tail] * 4
    space = SearchSpace((Int("a", 1, 40), Int("b", 1, 999)), (*sums, "b > 2000"))
    assert space.tries(10_000) < 1_100
    with pytest.raises(
        SpecError, match=r"require: none of 1,\d{3} random configurations satisfies a \+ a .* and 2 more$"
    ):
        refuse_empty(space)
