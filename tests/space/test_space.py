"""The search space: scaling and rounding laws, conditions, the lazy grid, and everything that a space refuses."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine.errors import SpecError
from hpo_engine.space.params import key
from hpo_engine.space.searchspace import Choice, Constant, Float, Int, Param, SearchSpace
from hpo_engine.testing.histories import SPACES
from tests.support.examples import some

# -- strategies ------------------------------------------------------------------------------------------------------

finite = st.floats(-1e6, 1e6, allow_nan=False)
positive = st.floats(1e-9, 1e6, allow_nan=False)
scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.0, 1.0, 2.5]) | st.text(max_size=3)
json_values = scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.text(max_size=2), scalars, max_size=2)


def _sorted2(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=2, max_size=2).map(sorted)


@st.composite
def floats_(draw: st.DrawFn, name: str) -> Float:
    how = draw(st.sampled_from(["plain", "log", "step", "log step", "power", "power step"]))
    low, high = draw(_sorted2(positive if "log" in how else st.floats(-6, 6) if "power" in how else finite))
    low, high = round(low, 9), round(high, 9)
    step = draw(st.sampled_from([0.1, 0.25, 0.3, 1.0, 7.5])) if "step" in how else None
    power = draw(st.sampled_from([2.0, 10.0, 0.5])) if "power" in how else None
    return Float(name, low, high, log="log" in how, step=step, power=power)


@st.composite
def ints(draw: st.DrawFn, name: str, most: int = 10**6) -> Int:
    how = draw(st.sampled_from(["plain", "log", "step", "log step", "power"]))
    if how == "power":
        low, high = draw(_sorted2(st.integers(0, 12)))
        return Int(name, low, high, step=draw(st.none() | st.integers(1, 3)), power=draw(st.sampled_from([2, 3, 10])))
    low, high = draw(_sorted2(st.integers(1 if "log" in how else -most, most)))
    return Int(name, low, high, log="log" in how, step=draw(st.integers(1, 50)) if "step" in how else None)


def choices(name: str, values: st.SearchStrategy[Any] = json_values) -> st.SearchStrategy[Choice]:
    some = st.lists(values, min_size=1, max_size=5, unique_by=lambda v: json.dumps(v, sort_keys=True))
    return st.builds(Choice, st.just(name), some.map(tuple), ordered=st.booleans())


def discrete(name: str) -> st.SearchStrategy[Param]:
    return ints(name, most=6) | choices(name, scalars) | st.builds(Constant, st.just(name), scalars)


@st.composite
def spaces(draw: st.DrawFn, small: bool = False, most: int = 5) -> SearchSpace:
    """Spaces in which some parameters depend on others, declared in any order; `small`: few values each."""
    params: list[Param] = []
    for i in range(draw(st.integers(1, most))):
        name = f"p{i}"
        param = draw(discrete(name) if small else discrete(name) | floats_(name) | ints(name))
        axes = [SearchSpace((replace(p, when=None),)) for p in params]
        parents = [a for a in axes if a.size is not None and a.size < 100]
        chosen = draw(st.lists(st.sampled_from(parents), max_size=2, unique_by=id)) if parents else []
        when = {
            a.names[0]: [p[a.names[0]] for p in draw(st.lists(st.sampled_from(a.grid()[:]), min_size=1, max_size=2))]
            for a in chosen
        }
        params.append(replace(param, when=when))
    return SearchSpace(tuple(draw(st.permutations(params))))


def points(space: SearchSpace) -> st.SearchStrategy[list[float]]:
    d = len(space.dimensions)
    return st.lists(st.floats(0, 1) | st.sampled_from([0.0, 0.5, 1.0]), min_size=d, max_size=d)


def alike(a: Any, b: Any, param: Param) -> bool:
    """Equal by type and value; for a continuous Float: to within rounding, as its scale measures it."""
    if isinstance(param, Float) and param.step is None:
        if param.log or param.power is not None:
            return math.isclose(a, b, rel_tol=1e-10)
        return math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-12 * (param.high - param.low))
    return bool(key(a) == key(b))


# -- laws of encode and decode ---------------------------------------------------------------------------------------


@settings(max_examples=some(60), deadline=None)
@given(st.data())
def test_decode_stays_inside_and_encode_comes_back(data: st.DataObject) -> None:
    space = data.draw(spaces())
    params = space.decode(data.draw(points(space)))
    assert space.problem_with(params) is None
    assert json.loads(json.dumps(params)) == params
    point = space.encode(params)
    again = space.decode(point)
    assert list(again) == list(params)
    assert all(alike(params[n], again[n], space[n]) for n in params)
    np.testing.assert_allclose(space.encode(again), point, rtol=0, atol=1e-9)
    for value, param in zip(point, space.dimensions, strict=True):
        assert math.isnan(value) == (param.name not in params)
        assert math.isnan(value) or 0 <= value <= 1


@settings(max_examples=some(60), deadline=None)
@given(st.data())
def test_every_discrete_value_has_its_cell_and_order_is_kept(data: st.DataObject) -> None:
    param = data.draw(ints("x", most=60) | choices("x"))
    space = SearchSpace((param,))
    (n,) = space.cells
    assert n is not None
    values = [space.grid()[k]["x"] for k in range(n)]
    centres = [float(space.encode({"x": v})[0]) for v in values]
    assert centres == sorted(centres) and len(set(centres)) == n
    assert [key(space.decode([c])["x"]) for c in centres] == [key(v) for v in values]
    if not getattr(param, "log", False):
        assert centres == pytest.approx([(k + 0.5) / n for k in range(n)])


@pytest.mark.parametrize(
    ("param", "low", "high"),
    [
        (Float("x", -1.3, 2.7), -1.3, 2.7),
        (Float("x", 1e-4, 0.1, log=True), 1e-4, 0.1),
        (Float("x", -3, 0, power=10), 1e-3, 1.0),
        (Float("x", 1, 3, power=0.5), 0.5, 0.125),
        (Float("x", -1.7e308, 1.7e308), -1.7e308, 1.7e308),
        (Float("x", 5e-324, 1e308, log=True), 5e-324, 1e308),
        (Int("x", 16, 256, log=True), 16, 256),
        (Int("x", 5, 9, power=2), 32, 512),
        (Int("x", -(2**63), 2**63 - 1), -(2**63), 2**63 - 1),
        (Int("x", 1, 2**63 - 1, log=True), 1, 2**63 - 1),
        (Float("x", 0, 0.5, step=0.05), 0.0, 0.5),
        (Float("x", 2, 2), 2.0, 2.0),
        (Float("x", 2, 2, log=True), 2.0, 2.0),
        (Int("x", 3, 5, step=10), 3, 3),
    ],
)
def test_both_ends_are_exact(param: Param, low: float, high: float) -> None:
    space = SearchSpace((param,))
    for u, value in ((0.0, low), (1.0, high), (-3.0, low), (7.0, high), (math.inf, high)):
        assert key(space.decode([u])["x"]) == key(value)
    assert space.problem_with({"x": low}) is None and space.problem_with({"x": high}) is None
    assert space.problem_with(space.decode([0.37])) is None


@pytest.mark.parametrize(
    ("param", "values"),
    [
        (Float("x", 0.1, 0.3, step=0.1), [0.1, 0.2, 0.3]),
        (Float("x", 0, 1, step=0.3), [0.0, 0.3, 0.6, 0.9]),
        (Float("x", -1, 1, step=0.7), [-1.0, -0.3, 0.4]),
        (Float("x", 0, 1e-3, step=2.5e-4), [0.0, 0.00025, 0.0005, 0.00075, 0.001]),
        (Float("x", 1e22, 3e22, step=1e22), [1e22, 2e22, 3e22]),
        (Float("x", -3, 0, step=1, power=10), [0.001, 0.01, 0.1, 1.0]),
        (Float("x", 1, 2, step=5), [1.0]),
        (Int("x", 6, 11, power=2), [64, 128, 256, 512, 1024, 2048]),
        (Int("x", 6, 11, power=2, step=2), [64, 256, 1024]),
        (Int("x", 0, 10, step=4), [0, 4, 8]),
        (Int("x", 1, 95, step=10, log=True), [1, 11, 21, 31, 41, 51, 61, 71, 81, 91]),
        (Choice("x", (1, 1.0, True, "1", None, [1], {"a": [2]})), [1, 1.0, True, "1", None, [1], {"a": [2]}]),
    ],
)
def test_a_discrete_axis_takes_these_values_and_no_dust(param: Param, values: list[Any]) -> None:
    grid = SearchSpace((param,)).grid()
    assert [key(p["x"]) for p in grid] == [key(v) for v in values]


def test_choice_values_of_two_draws_share_nothing() -> None:
    space = SearchSpace((Choice("layers", ([64, 64], [32])), Constant("c", {"a": [1]})))
    first = space.decode([0.0])
    first["layers"].append(0)
    first["c"]["a"].append(0)
    assert space.decode([0.0]) == {"layers": [64, 64], "c": {"a": [1]}}


def test_log_int_shares_follow_the_width_of_the_cells() -> None:
    draws = 20_000
    space = SearchSpace((Int("n", 1, 8, log=True),))
    seen = Counter(space.decode([u])["n"] for u in np.random.default_rng(5).random(draws))
    chi2 = 0.0
    for n in range(1, 9):
        share = math.log((n + 0.5) / (n - 0.5)) / math.log(8.5 / 0.5)
        chi2 += (seen[n] - draws * share) ** 2 / (draws * share)
    assert chi2 < 56  # 7 degrees of freedom: false alarm with odds 1e-9


def test_log_float_is_uniform_in_the_logarithm() -> None:
    space = SearchSpace((Float("x", 1e-4, 1.0, log=True),))
    rng = np.random.default_rng(6)
    decades = Counter(min(3, int(4 + math.log10(space.sample(rng)["x"]))) for _ in range(4000))
    # Each decade: 1000 expected, sigma 27.4; 6.5 sigma is a false alarm with odds 4 * 1e-10.
    assert all(abs(decades[k] - 1000) < 178 for k in range(4))


def test_sample_takes_one_number_for_each_dimension_whatever_applies() -> None:
    space = SearchSpace((Choice("a", (0, 1)), Float("b", 0, 1, when={"a": 1}), Constant("c", 0)))
    one, two = np.random.default_rng(1), np.random.default_rng(1)
    space.sample(one)
    two.random(2)
    assert one.random() == two.random()


@pytest.mark.parametrize("vector", [[0.5], [0.5, 0.5, 0.5], [0.5, math.nan]])
def test_decode_refuses_what_is_no_point(vector: list[float]) -> None:
    for param in (Float("b", 0, 1), Float("b", 1, 2, log=True), Int("b", 0, 5), Int("b", 1, 5, log=True)):
        with pytest.raises(ValueError):
            SearchSpace((Int("a", 0, 9), param)).decode(vector)


def test_encode_clips_numbers_and_refuses_unknown_choices() -> None:
    space = SearchSpace((Float("x", 0, 1), Int("n", 1, 4, log=True), Choice("c", ("a", "b"))))
    point = space.encode({"x": 10**400, "n": -5})
    assert point[0] == 1 and space.decode([1, point[1], 0])["n"] == 1 and math.isnan(point[2])
    with pytest.raises(ValueError, match='"z" is not one of the choices'):
        space.encode({"c": "z"})


# -- membership and conditions ---------------------------------------------------------------------------------------

NESTED = SearchSpace(
    (
        Choice("opt", ("adam", "sgd")),
        Float("momentum", 0.5, 0.99, when={"opt": "sgd"}),
        Choice("nesterov", (True, False), when={"opt": ["sgd"]}),
        Int("delay", 1, 3, when={"nesterov": True, "opt": ("sgd", "adam")}),
        Constant("epochs", 5),
    )
)


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"opt": "adam", "epochs": 5}, None),
        ({"opt": "sgd", "momentum": 0.5, "nesterov": False, "epochs": 5}, None),
        ({"opt": "sgd", "momentum": 0.5, "nesterov": True, "delay": 3, "epochs": 5}, None),
        ({"opt": "adam", "momentum": 0.5, "epochs": 5}, 'momentum is given, but applies only if opt is "sgd"'),
        ({"opt": "sgd", "nesterov": False, "epochs": 5}, "momentum is missing"),
        (
            {"opt": "sgd", "momentum": 0.5, "nesterov": False, "delay": 1, "epochs": 5},
            "delay is given, but applies only",
        ),
        ({"opt": "adam", "delay": 1, "epochs": 5}, "delay is given"),
        ({"opt": "sgdx", "epochs": 5}, 'opt: "sgdx" is not one of the choices: "adam", "sgd"'),
        ({"opt": "adam", "epochs": 6}, "epochs: 6 is not one of the choices: 5"),
        ({"opt": "adam", "epoch": 5}, 'epoch is not a parameter of the space; did you mean "epochs"?'),
        ({"opt": "sgd", "momentum": math.nan, "nesterov": False, "epochs": 5}, "momentum: nan is outside 0.5 ... 0.99"),
        ({"opt": "sgd", "momentum": "0.6", "nesterov": False, "epochs": 5}, 'momentum: "0.6" is not a number'),
        ({"opt": "sgd", "momentum": 0.6, "nesterov": 1, "epochs": 5}, "nesterov: 1 is not one of the choices"),
        (
            {"opt": "sgd", "momentum": 0.6, "nesterov": True, "delay": True, "epochs": 5},
            "delay: true is not a whole number",
        ),
        (
            {"opt": "sgd", "momentum": 0.6, "nesterov": True, "delay": 2.5, "epochs": 5},
            "delay: 2.5 is not a whole number",
        ),
        ({"opt": {1, 2}, "epochs": 5}, "opt: {1, 2} is not one of the choices"),
        (None, "parameters must map names to values, not null"),
    ],
)
def test_problem_with_says_what_is_wrong(params: Any, text: str | None) -> None:
    problem = NESTED.problem_with(params)
    assert (problem is None) == (text is None) == (NESTED.problem_with(params) is None)
    assert text is None or text in str(problem)


def test_off_grid_values_are_named_and_dust_is_forgiven() -> None:
    space = SearchSpace((Float("x", 0.1, 0.5, step=0.1), Int("n", 5, 9, power=2)))
    assert space.problem_with({"x": 0.1 + 2 * 0.1, "n": 64}) is None
    assert space.decode(space.encode({"x": 0.1 + 2 * 0.1, "n": 64})) == {"x": 0.3, "n": 64}
    assert space.problem_with({"x": 0.25, "n": 64}) == "x: 0.25 is not on the grid; the nearest value is 0.2"
    assert space.problem_with({"x": 0.2, "n": 65}) == "n: 65 is not on the grid; the nearest value is 64"


def test_a_whole_number_given_for_a_float_parent_meets_its_condition() -> None:
    space = SearchSpace((Float("x", 0, 2, step=0.5), Choice("c", ("a",), when={"x": 1})))
    assert space.problem_with({"x": 1, "c": "a"}) is None and space.problem_with({"x": 1.0, "c": "a"}) is None
    assert not math.isnan(space.encode({"x": 1, "c": "a"})[1])


def test_a_list_that_is_a_choice_is_one_value_of_a_condition() -> None:
    space = SearchSpace((Choice("layers", ([1, 2], [3], 1)), Constant("x", 0, when={"layers": [1, 2]})))
    assert space.decode([0.0]) == {"layers": [1, 2], "x": 0}
    assert space.decode([0.99]) == {"layers": 1}


def test_parents_may_stand_after_their_children_and_order_is_as_declared() -> None:
    space = SearchSpace((Int("c", 0, 9, when={"b": 1}), Choice("b", (0, 1), when={"a": "x"}), Choice("a", ("x", "y"))))
    assert list(space.decode([0.5, 0.9, 0.1]).items()) == [("c", 5), ("b", 1), ("a", "x")]
    assert space.decode([0.5, 0.9, 0.9]) == {"a": "y"}
    assert space.decode([0.5, 0.1, 0.1]) == {"b": 0, "a": "x"}


# -- the grid --------------------------------------------------------------------------------------------------------


@settings(max_examples=some(50), deadline=None)
@given(spaces(small=True, most=4))
def test_grid_is_the_set_of_all_configurations_each_once(space: SearchSpace) -> None:
    # By brute force: every combination of all cells of all axes, many of which coincide where conditions fail.
    axes = [
        [float(SearchSpace((p,)).encode(v)[0]) for v in SearchSpace((p,)).grid()]
        for p in (replace(p, when=None) for p in space.dimensions)
    ]
    expected = {json.dumps(space.decode(point)) for point in itertools.product(*axes)}
    grid = space.grid()
    got = [json.dumps(p) for p in grid]
    assert len(got) == len(grid) == grid.size == space.size == len(set(got))
    assert set(got) == expected


def test_grid_of_continuous_axes_has_levels_with_both_ends() -> None:
    grid = SearchSpace((Float("x", 0, 1), Float("y", 1, 100, log=True))).grid(3)
    assert [p["x"] for p in grid] == [0.0] * 3 + [0.5] * 3 + [1.0] * 3
    assert [p["y"] for p in grid][:3] == pytest.approx([1, 10, 100])
    assert SearchSpace((Float("x", 0, 1),)).grid(1)[:] == [{"x": 0.5}]


def test_grid_of_a_billion_and_of_far_more_points_is_lazy() -> None:
    grid = SearchSpace(tuple(Int(f"n{i}", 1, 1000) for i in range(3))).grid()
    assert len(grid) == 10**9
    assert grid[123_456_789] == {"n0": 124, "n1": 457, "n2": 790}
    assert grid[-1] == {"n0": 1000, "n1": 1000, "n2": 1000}
    with pytest.raises(IndexError):
        grid[10**9]
    wide = SearchSpace(tuple(Int(f"n{i}", 1, 10) for i in range(300))).grid()
    assert wide.size == 10**300 and set(wide[10**300 - 1].values()) == {10}


def test_grid_condition_on_one_value_of_a_huge_axis() -> None:
    space = SearchSpace((Int("n", 0, 10**9), Choice("c", ("a", "b"), when={"n": [7, 10**9]})))
    grid = space.grid()
    assert grid.size == 10**9 + 1 + 2
    assert [grid[k] for k in (6, 7, 8, 9)] == [{"n": 6}, {"n": 7, "c": "a"}, {"n": 7, "c": "b"}, {"n": 8}]
    assert grid[-1] == {"n": 10**9, "c": "b"}


def test_grid_too_entangled_to_count_is_refused() -> None:
    hubs = [Choice(f"h{i}", (0, 1)) for i in range(20)]
    leaves = [Constant(f"c{i}", 0, when={f"h{i}": 1, "last": 1}) for i in range(20)]
    space = SearchSpace((*hubs, *leaves, Choice("last", (0, 1))))
    with pytest.raises(SpecError, match="too entangled"):
        space.grid()
    assert space.size is None


# -- JSON ------------------------------------------------------------------------------------------------------------


@settings(max_examples=some(50), deadline=None)
@given(spaces())
def test_json_round_trip_is_exact(space: SearchSpace) -> None:
    text = json.dumps(space.to_json(), allow_nan=False)
    again = SearchSpace.from_json(json.loads(text))
    assert again == space and json.dumps(again.to_json()) == text


def test_json_form_is_plain_and_stable() -> None:
    space = SearchSpace(
        (
            Float("lr", np.float64(1e-4), 1, log=True),
            Int("n", np.int64(1), 8.0, power=2),  # type: ignore[arg-type]
            Choice("c", ((1, 2), np.int64(3), True), when={"n": (2, 4)}),
        )
    )
    assert space.to_json() == {
        "params": [
            {"type": "float", "name": "lr", "low": 0.0001, "high": 1.0, "log": True},
            {"type": "int", "name": "n", "low": 1, "high": 8, "power": 2},
            {"type": "choice", "name": "c", "choices": [[1, 2], 3, True], "when": {"n": [2, 4]}},
        ]
    }
    assert json.dumps(space.to_json()["params"][2]["choices"]) == "[[1, 2], 3, true]"


@pytest.mark.parametrize(
    ("entry", "text"),
    [({"type": "flot", "name": "x"}, 'did you mean "float"'), ({"type": "int", "name": "x", "lo": 1}, "lo")],
)
def test_json_of_another_kind_is_refused(entry: dict[str, Any], text: str) -> None:
    with pytest.raises(SpecError, match=text):
        SearchSpace.from_json({"params": [entry]})


# -- what a space refuses --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "path", "text"),
    [
        ([Int("x", 0, 1), Int("x", 0, 1)], "space.x", "duplicate name"),
        ([Int("\u00e9", 0, 1), Int("e\u0301", 0, 1)], "space.e\u0301", "in another Unicode form"),
        ([Int("", 0, 1)], "space[0]", "empty"),
        ([Int("  ", 0, 1)], "space.  ", "empty"),
        ([Int("x" * 201, 0, 1)], f"space.{'x' * 57}...", "201 characters"),
        ([Int("a\nb", 0, 1)], "space.a\\u000ab", "control characters"),
        ([Int("a\u202eb", 0, 1)], "space.a\\u202eb", "control characters"),
        ([Int("a\ud800", 0, 1)], "space.a\\ud800", "control characters"),
        ([Int(3, 0, 1)], "space[0]", "must be text"),  # type: ignore[arg-type]
        ([Float("x", 3, 1)], "space.x.low", "low 3.0 is above high 1.0"),
        ([Float("x", math.nan, 1)], "space.x.low", "finite number, not NaN"),
        ([Float("x", 0, math.inf)], "space.x.high", "finite number, not Infinity"),
        ([Float("x", 0, 10**400)], "space.x.high", "finite number"),
        ([Float("x", "0", 1)], "space.x.low", 'finite number, not "0"'),  # type: ignore[arg-type]
        ([Float("x", True, 2)], "space.x.low", "finite number, not true"),
        ([Float("x", 0, 1, log=True)], "space.x.low", "above 0 for a log scale, not 0.0"),
        ([Int("x", -1, 1, log=True)], "space.x.low", "above 0 for a log scale, not -1"),
        ([Float("x", 0, 1, log="yes")], "space.x.log", "true or false"),  # type: ignore[arg-type]
        ([Float("x", 0, 1, step=0)], "space.x.step", "above 0, not 0.0"),
        ([Int("x", 0, 1, step=-1)], "space.x.step", "above 0, not -1"),
        ([Float("x", 0, 1, step=1e-18)], "space.x.step", "too small"),
        ([Float("x", -1e308, 1e308, step=1)], "space.x.step", "too small"),
        ([Int("x", 0, 2**63)], "space.x.high", "64 bits"),
        ([Int("x", -(2**63) - 1, 0)], "space.x.low", "64 bits"),
        ([Int("x", 0.5, 2)], "space.x.low", "whole number, not 0.5"),  # type: ignore[arg-type]
        ([Int("x", 0, math.inf)], "space.x.high", "whole number"),  # type: ignore[arg-type]
        ([Int("x", 0, 4, step=0.5)], "space.x.step", "whole number"),  # type: ignore[arg-type]
        ([Float("x", 0, 1, power=0)], "space.x.power", "above 0 and not 1"),
        ([Float("x", 0, 1, power=1)], "space.x.power", "above 0 and not 1"),
        ([Float("x", 0, 400, power=10)], "space.x.power", "10.0 ** 400.0 is too large"),
        ([Float("x", -400, 0, power=10)], "space.x.power", "10.0 ** -400.0 is too small"),
        ([Float("x", 1, 2, power=10, log=True)], "space.x.log", "exclude each other"),
        ([Int("x", -1, 2, power=2)], "space.x.power", "2 ** -1 is not a whole number"),
        ([Int("x", 0, 2, power=-2)], "space.x.power", "at least 2"),
        ([Int("x", 0, 63, power=2)], "space.x.power", "64 bits"),
        ([Int("x", 0, 10**9, power=2)], "space.x.power", "64 bits"),
        ([Choice("x", ())], "space.x.choices", "is empty"),
        ([Choice("x", "adam")], "space.x.choices", 'a list, not "adam"'),  # type: ignore[arg-type]
        ([Choice("x", (1, 2, 1))], "space.x.choices", "1 is listed twice"),
        ([Choice("x", ([1], (1,)))], "space.x.choices", "[1] is listed twice"),
        ([Choice("x", (math.nan,))], "space.x.choices", "not a finite number"),
        ([Choice("x", (b"x",))], "space.x.choices", "not a JSON value"),
        ([Choice("x", ({1: 2},))], "space.x.choices", "key that is not text"),
        ([Constant("x", "\ud800")], "space.x.value", "not valid text"),
        ([Constant("x", {"a": {1}})], "space.x.value", "not a JSON value"),
        ([Int("x", 0, 1, when={"y": 1})], "space.x.when.y", "no such parameter"),
        ([Int("x", 0, 1, when={"x": 1})], "space.x.when.x", "its own condition"),
        ([Int("x", 0, 1, when=["y"])], "space.x.when", "must map"),  # type: ignore[arg-type]
        ([Choice("y", (1, 2)), Int("x", 0, 1, when={"y": 1.5})], "space.x.when.y", "1.5 is not one of the choices"),
        ([Choice("y", (1, 2)), Int("x", 0, 1, when={"y": True})], "space.x.when.y", "true is not one of the choices"),
        ([Choice("y", (1, 2)), Int("x", 0, 1, when={"y": [1, 3]})], "space.x.when.y", "3 is not one of the choices"),
        ([Choice("y", (1, 2)), Int("x", 0, 1, when={"y": []})], "space.x.when.y", "no values"),
        ([Int("y", 0, 9, step=2), Int("x", 0, 1, when={"y": 3})], "space.x.when.y", "not on the grid"),
        ([Constant("y", 1), Int("x", 0, 1, when={"y": 2})], "space.x.when.y", "2 is not one of the choices"),
        ([Int("x", 0, 1, when={"y": 1}), Int("y", 0, 1, when={"x": 1})], "space.x.when", "cyclic"),
        ([Int(f"x{i}", 0, 1) for i in range(10_001)], "space", "10001 parameters"),
    ],
    ids=str,
)
def test_a_wrong_space_is_refused_with_path_and_reason(params: list[Param], path: str, text: str) -> None:
    with pytest.raises(SpecError) as caught:
        SearchSpace(tuple(params))
    assert (path, True) in {(p.path, text in p.text) for p in caught.value.problems}, str(caught.value)
    assert all("\n" not in p.path + p.text for p in caught.value.problems)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        SearchSpace((Float("a", 2, 1), Choice("b", ()), Int("c", 0.5, 2**64, step=0), Constant("d", 0, when={"z": 1})))  # type: ignore[arg-type]
    paths = [p.path for p in caught.value.problems]
    assert paths == ["space.a.low", "space.b.choices", "space.c.low", "space.c.high", "space.c.step", "space.d.when.z"]


@pytest.mark.slow
def test_ten_thousand_parameters_and_odd_names_are_fine() -> None:
    space = SearchSpace(tuple(Float(f"x{i}", 0, 1) for i in range(10_000)))
    assert len(space.decode([0.5] * 10_000)) == 10_000
    odd = SearchSpace(
        tuple(Int(n, 0, 1) for n in ("__proto__", "../x", "a b", "é", "学习率", "x" * 200, "a.b", "$HOME"))
    )
    assert odd.problem_with(odd.decode([0.0] * 8)) is None


@settings(max_examples=some(80), deadline=None)
@given(st.text(max_size=220))
def test_any_text_is_a_good_name_or_refused(name: str) -> None:
    try:
        space = SearchSpace((Int(name, 0, 1),))
    except SpecError as error:
        assert "name" in str(error) and "\n" not in str(error)
    else:
        assert SearchSpace.from_json(json.loads(json.dumps(space.to_json()))).names == (name,)


def test_the_room_is_light() -> None:
    code = "import sys, hpo_engine.space.searchspace; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_tidy_is_encode_of_decode_for_many_points_at_once() -> None:
    for name, space in SPACES.items():
        points = np.random.default_rng(3).random((400, len(space.dimensions))) * 1.2 - 0.1
        points[:2] = [[0.0], [1.0]]
        tidied = space.tidy(points)
        for point, tidy in zip(points, tidied, strict=True):
            np.testing.assert_allclose(tidy, space.encode(space.decode(point)), atol=1e-9, err_msg=name)


# -- rules -----------------------------------------------------------------------------------------------------------

RULED = SearchSpace(
    (
        Int("a", 1, 20),
        Int("b", 1, 20, log=True),
        Choice("opt", ("adam", "sgd")),
        Float("m", 0, 1, when={"opt": "sgd"}),
        Constant("top", 12),
        Constant("low", 0.25, when={"opt": "sgd"}),
    ),
    ("b <= a", "m < 0.5 or a > 10", "a <= top", "opt != 'adam' or b > 1", "m >= low"),
)


def test_rules_decide_membership() -> None:
    good = {"a": 5, "b": 5, "opt": "sgd", "m": 0.25, "top": 12, "low": 0.25}
    assert RULED.problem_with(good) is None and RULED.misfit(good) is None
    for change, rule in (
        ({"b": 6}, "b <= a"),
        ({"m": 0.75}, "m < 0.5 or a > 10"),
        ({"a": 13}, "a <= top"),
        ({"m": 0.1}, "m >= low"),
    ):
        wrong = {**good, **change}
        assert RULED.problem_with(wrong) == f"require: {rule} does not hold" and RULED.misfit(wrong) is None
    assert RULED.problem_with({"a": 5, "b": 2, "opt": "adam", "top": 12}) is None, (
        "rules on what does not apply say nothing"
    )


def test_allowed_says_of_points_what_allows_says_of_configurations() -> None:
    points = np.random.default_rng(4).random((500, 4))
    points[::7, 3] = np.nan
    expected = [RULED.allows(RULED.decode(np.nan_to_num(p, nan=0.5))) for p in points]
    assert RULED.allowed(points).tolist() == expected and 20 < sum(expected) < 480
    assert SearchSpace(RULED.params).allowed(points).all()
    assert RULED.allowed(points[:0]).shape == (0,)


def test_samples_obey_the_rules_and_the_rest_knows_nothing_of_them() -> None:
    rng = np.random.default_rng(5)
    assert all(RULED.problem_with(RULED.sample(rng)) is None for _ in range(200))
    assert not RULED.allows(RULED.decode([0.0, 1.0, 0.0, 0.0]))
    assert SearchSpace((Int("a", 1, 3),), ("a > 2",)).size == 3


def test_rules_that_leave_nothing_end_a_sample_with_an_error() -> None:
    with pytest.raises(SpecError, match=r"require: no configuration in 100,000 draws satisfies a > 3"):
        SearchSpace((Int("a", 1, 3),), ("a > 3",)).sample(np.random.default_rng(0))


def test_rules_survive_json_and_wrong_ones_are_all_told() -> None:
    again = SearchSpace.from_json(json.loads(json.dumps(RULED.to_json())))
    assert again == RULED and again.require == RULED.require and again != SearchSpace(RULED.params)
    assert SearchSpace((Int("a", 1, 3),), "a < 3") == SearchSpace((Int("a", 1, 3),), ("a < 3",))  # type: ignore[arg-type]
    with pytest.raises(SpecError) as caught:
        SearchSpace((Int("a", 1, 3),), ("a <", "a < 3", "c > 1", 5))  # type: ignore[arg-type]
    assert [p.path for p in caught.value.problems] == ["require[0]", "require[2]", "require[3]"]
    with pytest.raises(SpecError, match="at most 100"):
        SearchSpace((Int("a", 1, 3),), ("a < 3",) * 101)


def test_rules_are_bounded_all_together() -> None:
    rule = " + ".join(["a"] * 240) + " > 0"
    SearchSpace((Int("a", 1, 9),), (rule,) * 4)
    with pytest.raises(SpecError, match="^require: the rules have 48,100 words and signs in all; at most 2,000 are"):
        SearchSpace((Int("a", 1, 9),), (rule,) * 100)
