"""Values in a script's own files: they arrive, all else stays, and what cannot be is refused in one line."""

from __future__ import annotations

import ast
import configparser
import json
import re
from typing import Any

import pytest
import tomlkit
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine.contract.scriptfiles import EditError, edited
from tests.support.examples import some

YAML = """\
# of the project
defaults:
    - model: mlp   # first
    - _self_

optimizer:        # how it learns
    lr: 1e-3      # rate
    betas: [0.9, 0.999]
    name: "adam"
    schedule: ~
layers:
    - width: 3
    - width: 4
"a.b": 1
path: "${hydra:runtime.cwd}/x"
shared: &s {x: 1}
use: *s
"""


def lines_changed(before: str, after: str) -> list[tuple[str, str]]:
    old, new = before.splitlines(), after.splitlines()
    assert len(old) == len(new)
    return [(a, b) for a, b in zip(old, new, strict=True) if a != b]


def test_yaml_keeps_comments_order_and_layout() -> None:
    after = edited("conf.yaml", YAML, {"optimizer.lr": 1e-05, "layers.1.width": 99, "a.b": 7})
    assert lines_changed(YAML, after) == [
        ("    lr: 1e-3      # rate", "    lr: 1.0e-05      # rate"),
        ("    - width: 4", "    - width: 99"),
        ('"a.b": 1', '"a.b": 7'),
    ]


@pytest.mark.parametrize("value", [1e-05, 1e22, 0.5, 3, True, None, "on", "1e-3", "yes", "", [1, [2.5]], {"a": "no"}])
def test_yaml_values_are_read_by_yaml_1_1_as_they_were_meant(value: Any) -> None:
    """PyYAML takes `1e-05` for a text and `on` for true."""
    after = edited("c.yml", YAML, {"optimizer.schedule": value, "+optimizer.more": value, "+new key": value})
    read = yaml.safe_load(after)
    assert (read["optimizer"]["schedule"], read["optimizer"]["more"], read["new key"]) == (value, value, value)
    assert len(after.splitlines()) == len(YAML.splitlines()) + 2


def test_yaml_anchors_texts_in_lines_and_flow_mappings() -> None:
    text = "a: &x 1\nb: *x\nc: |\n  one\n  two\nd: {e: 1}\nf: {}\n"
    after = edited("c.yaml", text, {"a": 2, "c": "three", "d.e": 4, "+d.g": 5, "+f.h": 6})
    assert yaml.safe_load(after) == {"a": 2, "b": 2, "c": "three", "d": {"e": 4, "g": 5}, "f": {"h": 6}}


def test_a_key_that_is_not_there_is_added_only_if_asked_for() -> None:
    with pytest.raises(EditError, match=re.escape('has no optimizer.lrr; did you mean "optimizer.lr"?')):
        edited("c.yaml", YAML, {"optimizer.lrr": 1})
    after = edited("c.yaml", YAML, {"+optimizer.decay": 0.1})
    assert yaml.safe_load(after)["optimizer"]["decay"] == 0.1
    assert "# rate" in after


def test_toml() -> None:
    text = "[train] # all\nlr = 0.1 # rate\nsizes = [1, 2]\n\n[[stage]]\nwidth = 1\n"
    after = edited("c.toml", text, {"train.lr": 1e-05, "train.sizes": [3], "stage.0.width": 4})
    assert after == text.replace("0.1", "1e-05").replace("[1, 2]", "[3]").replace("width = 1", "width = 4")
    assert tomlkit.parse(after)["train"]["lr"] == 1e-05


def test_ini() -> None:
    text = "; top\n[train]\nlr : 0.1\n# more\nsize=2\n\n[other]\nflag\n"
    after = edited("run.cfg", text, {"train.lr": 0.5, "+other.name": "x y"})
    read = configparser.ConfigParser(allow_no_value=True)
    read.read_string(after)
    assert (read["train"]["lr"], read["train"]["size"], read["other"]["name"]) == ("0.5", "2", "x y")
    assert after.startswith("; top\n[train]\nlr : 0.5\n# more\nsize=2\n")


def test_json_keeps_its_indentation() -> None:
    text = '{\n    "a": {"b": 1},\n    "é": 2\n}\n'
    assert edited("c.json", text, {"a.b": 3}) == '{\n    "a": {\n        "b": 3\n    },\n    "é": 2\n}\n'
    assert edited("c.json", '{"a": 1}', {"a": None}) == '{"a": null}'


PYTHON = '''\
"""é"""
import os
LR = 1e-3  # é: rate
SIZES: tuple = (32,
    64)  # widths
class Config:
    width: int = 32
    options = {"lr": 0.1, "betas": (0.9, 0.99)}
SETTINGS = dict(depth=1, name="é")
MADE = os.getcwd()
if __name__ == "__main__":
    LR = LR * 2
'''


def test_python_constants_classes_and_dictionaries() -> None:
    values = {"LR": 0.5, "SIZES": [1, 2], "Config.width": 64, "Config.options.lr": 1e-7, "SETTINGS.name": "a\"\n'b"}
    names: dict[str, Any] = {}
    after = edited("train.py", PYTHON, values)
    exec(compile(after, "train.py", "exec"), names | {"__name__": "train"}, names)
    assert (names["LR"], names["SIZES"], names["Config"].width) == (0.5, [1, 2], 64)
    assert names["Config"].options == {"lr": 1e-7, "betas": (0.9, 0.99)}
    assert names["SETTINGS"] == {"depth": 1, "name": "a\"\n'b"}
    assert "# é: rate" in after and "# widths" in after and "if __name__" in after


@pytest.mark.parametrize(
    ("path", "text", "values", "said"),
    [
        ("a.py", "A = 1\nA = 2\n", {"A": 3}, "sets A 2 times; one is needed"),
        (
            "a.py",
            "A = B = 1\nA: int\n",
            {"C": 3},
            "has no assignment of a plain value to C at its top level; known: A, B",
        ),
        ("a.py", "A = f()\n", {"A": 3}, "has no assignment of a plain value to A"),
        ("a.py", "A = (", {"A": 3}, "is no Python"),
        ("a.yaml", "a: [", {"a": 1}, "is no YAML"),
        ("a.yaml", "---\na: 1\n---\nb: 2\n", {"a": 1}, "is no YAML: expected a single document"),
        ("a.yaml", "", {"a": 1}, "is empty"),
        ("a.yaml", "a: &x [*x]", {"a.0.0": 1}, "is no YAML"),
        ("a.yaml", YAML, {"layers.7.width": 1}, "has only 2 items where layers.7.width leads to number 7"),
        ("a.yaml", YAML, {"optimizer": 1}, "has several values at optimizer"),
        ("a.yaml", YAML, {"optimizer.lr.x": 1}, "has a single value where optimizer.lr.x asks for x"),
        ("a.json", "{", {"a": 1}, "is no JSON"),
        ("a.json", "3", {"a": 1}, "has a single value"),
        *(
            (path, text, {"a": {"b": 3}, "a.b": 1}, "is to get two values in one place")
            for path, text in [
                ("a.json", '{"a": {"b": 2}}'),
                ("a.yaml", "a: {b: 2}"),
                ("a.toml", "[a]\nb = 2"),
                ("a.py", "a = {'b': 2}"),
            ]
        ),
        ("a.yaml", "a: &x {c: 1}\nb: *x\n", {"a.c": 1, "b.c": 2}, "is to get two values in one place (by an alias"),
        ("a.toml", "a =", {"a": 1}, "is no TOML"),
        ("a.ini", "x", {"a": 1}, "is no INI file"),
        ("a.ini", "[a]\nlr=1\n", {"a.lt": 1}, 'has no a.lt; did you mean "a.lr"?'),
        ("a.ini", "[a]\nlr=1\n", {"a.lr": "1\n[b]"}, "cannot hold a text of several lines"),
        ("a.txt", "", {"a": 1}, "cannot set values in a.txt; known are .cfg"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(path: str, text: str, values: dict[str, Any], said: str) -> None:
    with pytest.raises(EditError) as raised:
        edited(path, text, values)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_without_values_the_text_stays_even_if_nobody_can_read_it() -> None:
    assert edited("c.yaml", "a: [", {}) == "a: ["


SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(SCALARS | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3), max_leaves=4)


@given(VALUES)
@settings(max_examples=some(200))
def test_any_value_arrives_in_yaml_json_and_python(value: Any) -> None:
    printable = not isinstance(value, str) or value.isprintable()
    if printable and not isinstance(value, list):
        assert yaml.safe_load(edited("c.yaml", "a: 1\n", {"a": value}))["a"] == value
    assert json.loads(edited("c.json", '{"a": 1}', {"a": value}))["a"] == value
    tree = ast.parse(edited("c.py", "A = 1\n", {"A": value}))
    assert isinstance(tree.body[0], ast.Assign) and ast.literal_eval(tree.body[0].value) == value


@given(
    st.sampled_from(["c.yaml", "c.json", "c.toml", "c.ini", "c.py"]), st.text(max_size=60), st.text(max_size=12), VALUES
)
@settings(max_examples=some(500))
def test_any_file_is_edited_or_refused_in_one_line(path: str, text: str, key: str, value: Any) -> None:
    try:
        edited(path, text, {key: value})
    except EditError as error:
        assert str(error) and "\n" not in str(error)
