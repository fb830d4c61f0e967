"""Keys of a configuration find the part of the program that they belong to, with values of the types that it wants."""

from __future__ import annotations

import dataclasses
import enum
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from hpo_trainees.keys import Section, merged, missing, parameters_of, route
from hpo_trainees.values import ConfigError, Text, coerced


class Size(enum.Enum):
    SMALL = "s"
    LARGE = "l"


@dataclasses.dataclass
class Head:
    width: int = 8
    act: str = "relu"


CONF = {"a": {"b": 1}}


class Model:
    def __init__(self, lr: float, hidden: int = 64, batch_size: int = 32, conf: dict[str, Any] = CONF) -> None:
        pass


class Data:
    def __init__(self, root: str = ".", batch_size: int = 32, workers=0) -> None:  # type: ignore[no-untyped-def]
        pass


class Wider(Model):
    def __init__(self, depth: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)


class Open:
    def __init__(self, depth: int = 2, **kwargs: Any) -> None:
        pass


SECTIONS = [
    Section.of("model", Model),
    Section.of("data", Data),
    Section("trainer", {}, gone={"gpus": "write devices"}),
    Section.of("stop", Head, plain=False, switch=True),
]


def test_keys_with_a_prefix_plain_names_and_objects_mean_the_same() -> None:
    wanted = {"model": {"lr": 0.1, "batch_size": 8}, "data": {"root": "/d"}}
    assert route({"model.lr": 0.1, "model.batch_size": 8, "data.root": "/d"}, SECTIONS) == wanted
    assert route({"lr": 0.1, "model": {"batch_size": 8}, "root": "/d"}, SECTIONS) == wanted


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"batch_size": 8}, "a parameter of Model and of Data: write model.batch_size or data.batch_size"),
        ({"batch_sise": 8}, "did you mean model.batch_size or data.batch_size?"),
        ({"model.hiden": 8}, "did you mean model.hidden?"),
        ({"data.lr": 8}, 'unknown key "data.lr": did you mean model.lr?'),
        ({"xyzzy": 8}, "known are model.lr, model.hidden"),
        ({"lr": 0.1, "model.lr": 0.2}, '"lr" and "model.lr" are the same parameter'),
        ({"hidden": 0.5}, "model.hidden must be a whole number, not 0.5"),
        ({"model": 3}, '"model" must be an object'),
        ({"trainer.gpus": 1}, "no such argument any more; write devices"),
        ({"stop": 3}, '"stop" must be true, false, or an object'),
    ],
)
def test_a_wrong_key_is_refused_with_one_line_that_says_what_to_write(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        route(settings, SECTIONS)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_linked_parameter_follows_its_source() -> None:
    assert route({"batch_size": 8}, SECTIONS, links={"data.batch_size": "model.batch_size"}) == {
        "data": {"batch_size": 8}
    }


def test_an_alias_counts_only_if_no_part_has_the_name() -> None:
    assert route({"rate": 1, "root": "/d"}, SECTIONS, aliases={"rate": "model.lr", "root": "model.hidden"}) == {
        "model": {"lr": 1},
        "data": {"root": "/d"},
    }


def test_kwargs_are_the_parameters_of_the_base_and_end_where_they_end() -> None:
    assert (
        list(parameters_of(Wider)[0]) == ["depth", "lr", "hidden", "batch_size", "conf"] and not parameters_of(Wider)[1]
    )
    sections = [Section.of("model", Open)]
    assert route({"model.extra": [1]}, sections) == {"model": {"extra": [1]}}
    with pytest.raises(ConfigError, match=r"takes \*\*kwargs: model.extra would be passed on"):
        route({"extra": 1}, sections)


def test_nested_keys_change_one_value_of_an_object() -> None:
    assert route({"model.conf.a.c": 2}, SECTIONS) == {"model": {"conf": {"a": {"b": 1, "c": 2}}}}
    assert route({"conf.a.b": 2, "conf.d": 3}, SECTIONS) == {"model": {"conf": {"a": {"b": 2}, "d": 3}}}


def test_a_switch_is_on_off_or_has_options() -> None:
    assert route({"stop": True}, SECTIONS) == {"stop": {}}
    assert route({"stop.width": 2.0}, SECTIONS) == {"stop": {"width": 2}}
    layers = [route(one, SECTIONS) for one in ({"stop.width": 2}, {"stop": False})]
    assert merged(*layers) == {} and merged(*layers, route({"stop": True}, SECTIONS)) == {"stop": {}}


def test_later_layers_win_key_by_key() -> None:
    assert merged({"model": {"lr": 1, "conf": {"a": 1, "b": 1}}}, {"model": {"lr": 2, "conf": {"b": 2}}}) == {
        "model": {"lr": 2, "conf": {"a": 1, "b": 2}}
    }


def test_parameters_without_default_or_value_are_missing() -> None:
    assert missing(SECTIONS[0], {}) == ["model.lr"] and missing(SECTIONS[0], {"lr": 1}) == []


@pytest.mark.parametrize(
    "value, annotation, wanted",
    [
        (32.0, int, 32), ("32", int, 32), (1e3, int, 1000), (True, bool, True), (0, bool, False), ("true", bool, True),
        (1, float, 1.0), ("1e-3", float, 0.001), ("3", str, "3"), (None, int | None, None), (32.0, int | None, 32),
        (32.0, int | float, 32.0), (Text("3"), str | int, 3), (Text("null"), float | None, None), (Text("x"), str | int, "x"),
        ("sgd", Literal["adam", "sgd"], "sgd"), (2.0, Literal[1, 2], 2), (Text("16"), Literal[16, "bf16"], 16),
        ("LARGE", Size, Size.LARGE), ("s", Size, Size.SMALL), ([1.0, 2], list[int], [1, 2]), ([1, 2], tuple[int, ...], (1, 2)),
        ([1, 0.5], tuple[int, float], (1, 0.5)), (Text("[1, 2]"), list[int], [1, 2]), ({"a": 1.0}, dict[str, int], {"a": 1}),
        ({"width": 4.0}, Head, Head(4)), (Text('{"width": 4}'), Head | None, Head(4)), ("/d", Path, Path("/d")),
        ("collections.Counter", type, Counter), ("relu", Callable[..., Any], "relu"),
        ([1], Any, [1]), (Text("[1]"), Any, [1]),
    ],
)  # fmt: skip
def test_a_value_becomes_what_the_annotation_wants(value: Any, annotation: Any, wanted: Any) -> None:
    made = coerced("x", value, annotation)
    assert made == wanted and type(made) is type(wanted)


@pytest.mark.parametrize(
    "value, annotation, text",
    [
        (0.5, int, "a whole number, not 0.5"), (True, int, "a whole number, not true"), ("abc", float, 'a number, not "abc"'),
        ("rmsprop", Literal["adam", "sgd"], 'one of adam, sgd, not "rmsprop"'), ("m", Size, "one of SMALL, LARGE"),
        (None, int, "a whole number, not null"), ([1, 2], tuple[int], "a list of 1"), (3, list[int], "a list, not 3"),
        (2, bool, "true or false, not 2"), (3, str, "a text, not 3"), ("x", int | None, "a whole number or null"),
        ({"depth": 1}, Head, "an object with width, act"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_meant_is_refused(value: Any, annotation: Any, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        coerced("model.x", value, annotation)
    assert str(caught.value).startswith("model.x must be ") and text in str(caught.value)


@pytest.mark.parametrize(
    "value, default, wanted",
    [
        (8.0, 4, 8),
        (0.5, 0, 0.5),
        ([1, 2], (3,), (1, 2)),
        (1, 0.5, 1.0),
        (1, True, True),
        (Text("8"), None, 8),
        ("8", None, "8"),
    ],
)
def test_without_annotation_the_default_tells(value: Any, default: Any, wanted: Any) -> None:
    made = coerced("x", value, None, default, typed=False)
    assert made == wanted and type(made) is type(wanted)
