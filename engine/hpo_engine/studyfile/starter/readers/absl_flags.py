"""Scripts that define flags with absl, or with TensorFlow's old `tf.app.flags`."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from hpo_engine.studyfile.starter.interface import Collector, Parameter, Reading, Script
from hpo_engine.studyfile.starter.syntax import Constants, keywords_of, literal, name_of

_TYPES: dict[str, type] = {
    "DEFINE_float": float,
    "DEFINE_integer": int,
    "DEFINE_bool": bool,
    "DEFINE_boolean": bool,
    "DEFINE_string": str,
    "DEFINE_enum": str,
}


def read(script: Script) -> Reading | None:
    constants, found, needed = Constants(script.nodes), Collector(), _required(script.nodes)
    for node in script.nodes:
        if isinstance(node, ast.Call) and name_of(node.func) in _TYPES and isinstance(_name(node), str):
            found.add(_flag(node, constants, needed))
    return Reading("absl", found.parameters(), form="{params}") if found else None


def _name(node: ast.Call) -> object:
    return literal(next(iter(node.args), None) or keywords_of(node).get("name"))


def _flag(node: ast.Call, constants: Constants, needed: set[str]) -> Parameter:
    """flags.DEFINE_float("lr", 0.1, "the learning rate", lower_bound=0)"""
    name, keywords = str(_name(node)), keywords_of(node)
    default = constants.value(node.args[1] if len(node.args) > 1 else keywords.get("default"))
    type_ = _TYPES[name_of(node.func) or ""]
    values = None
    if name_of(node.func) == "DEFINE_enum":
        values = constants.value(node.args[2] if len(node.args) > 2 else keywords.get("enum_values"))
    low, high = (constants.value(keywords.get(end)) for end in ("lower_bound", "upper_bound"))
    return Parameter(
        name,
        bool(default) if type_ is bool else default,
        type_,
        tuple(values) if isinstance(values, (list, tuple)) else (),
        low,
        high,
        required=default is None and (name in needed or literal(keywords.get("required")) is True),
        option=f"--{name}",
        word=f"{{{name}?--{name}:--no{name}}}" if type_ is bool else "",
        line=node.lineno,
    )


def _required(nodes: Iterable[ast.AST]) -> set[str]:
    """flags.mark_flag_as_required("data")"""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Call) and name_of(node.func) in ("mark_flag_as_required", "mark_flags_as_required"):
            value = literal(next(iter(node.args), None))
            names |= {value} if isinstance(value, str) else set(value or ())
    return names
