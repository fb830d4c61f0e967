"""Scripts that take options with click."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from hpo_engine.studyfile.starter.interface import Collector, Parameter, Reading, Script
from hpo_engine.studyfile.starter.readers.options import command_word, form_of, option_name
from hpo_engine.studyfile.starter.syntax import Constants, imports, keywords_of, literal, name_of, owner_of

_TYPES: dict[str, type] = {
    "int": int, "INT": int, "IntRange": int, "float": float, "FLOAT": float, "FloatRange": float, "bool": bool,
    "BOOL": bool, "str": str, "STRING": str, "Path": str, "File": str, "Choice": str,
}  # fmt: skip


def read(script: Script) -> Reading | None:
    if not imports(script.nodes, "click", "rich_click", "asyncclick"):
        return None
    constants = Constants(script.nodes)
    function, word = _command(script)
    if function is None:
        return None
    found = Collector()
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and (parameter := _parameter(decorator, constants)) is not None:
            found.add(parameter)
    parameters = found.parameters()
    return Reading("click", parameters, words=(word,) if word else (), form=form_of(parameters)) if parameters else None


def _command(script: Script) -> tuple[ast.FunctionDef | None, str]:
    """(the function of the command that trains, its word, "" without a group)."""
    commands: dict[str, tuple[ast.FunctionDef, bool]] = {}
    for node in script.nodes:
        for decorator in node.decorator_list if isinstance(node, ast.FunctionDef) else ():
            call = decorator.func if isinstance(decorator, ast.Call) else decorator
            if isinstance(node, ast.FunctionDef) and name_of(call) == "command":
                named = literal(next(iter(decorator.args), None)) if isinstance(decorator, ast.Call) else None
                word = named if isinstance(named, str) else _word(node.name)
                commands[word] = node, owner_of(call) not in ("click", "rich_click", None)
    if not commands:
        return None, ""
    word = command_word(list(commands))
    function, of_group = commands[word]
    return function, word if of_group else ""


def _word(function: str) -> str:
    """click takes an ending such as _cmd away."""
    return re.sub(r"[_-](command|cmd|group|grp)$", "", function.lower().replace("_", "-"))


def _parameter(decorator: ast.Call, constants: Constants) -> Parameter | None:
    """@click.option("--lr", default=0.1, type=float), @click.argument("rate", type=float)"""
    names = [text for arg in decorator.args if isinstance(text := literal(arg), str)]
    if not names or name_of(decorator.func) not in ("option", "argument"):
        return None
    flags = [name for name in names if name.startswith("-")]
    named = [name for name in names if not name.startswith("-")]
    keywords = keywords_of(decorator)
    if name_of(decorator.func) == "argument":
        parameter = Parameter(named[0].lower() if named else "", word=f"{{{named[0].lower()}}}", positional=True)
        parameter = _valued(parameter, decorator, constants)
        return replace(parameter, required=parameter.default is None and literal(keywords.get("required")) is not False)
    option = next((flag for flag in flags if flag.startswith("--")), flags[0] if flags else "")
    if not option:
        return None
    on, _, off = option.partition("/")
    name = named[0] if named else option_name([on.strip()])
    if off or literal(keywords.get("is_flag")) is True:
        text = f"{on.strip()}:{off.strip()}" if off else on
        default = bool(constants.value(keywords.get("default")))
        word = f"{{{name}?{text}}}"
        return Parameter(name, default, bool, option=on.strip(), word=word, line=decorator.lineno)
    parameter = _valued(Parameter(name, option=option, line=decorator.lineno), decorator, constants)
    needed = literal(keywords.get("required")) is True or literal(keywords.get("prompt")) not in (None, False)
    return replace(parameter, required=needed and parameter.default is None)


def _valued(parameter: Parameter, decorator: ast.Call, constants: Constants) -> Parameter:
    keywords = keywords_of(decorator)
    default, kind = constants.value(keywords.get("default")), keywords.get("type")
    low, high = _bounds(kind, constants)
    type_ = _TYPES.get(name_of(kind.func if isinstance(kind, ast.Call) else kind) or "")
    return replace(
        parameter,
        default=default,
        type=type_ or (type(default) if type(default) in (int, float, bool, str) else None if kind else str),
        choices=tuple(_choices(kind, constants)),
        low=low,
        high=high,
        many=literal(keywords.get("multiple")) is True or literal(keywords.get("nargs")) not in (None, 1),
    )


def _choices(kind: ast.expr | None, constants: Constants) -> Iterator[Any]:
    if isinstance(kind, ast.Call) and name_of(kind.func) == "Choice":
        values = constants.value(next(iter(kind.args), None) or keywords_of(kind).get("choices"))
        yield from values if isinstance(values, (list, tuple, set)) else ()
    elif isinstance(kind, (ast.List, ast.Tuple)):
        yield from literal(kind) or ()


def _bounds(kind: ast.expr | None, constants: Constants) -> tuple[float | None, float | None]:
    """Of IntRange(1, 10) and FloatRange(min=0, max=1, max_open=True): an open end is kept away from a little."""
    if not isinstance(kind, ast.Call) or name_of(kind.func) not in ("IntRange", "FloatRange"):
        return None, None
    keywords = keywords_of(kind)
    args = [*kind.args, None, None]
    ends = [constants.value(keywords.get("min") or args[0]), constants.value(keywords.get("max") or args[1])]
    low, high = (end if isinstance(end, (int, float)) else None for end in ends)
    step = 1 if name_of(kind.func) == "IntRange" else 1e-06
    if low is not None and literal(keywords.get("min_open")) is True:
        low += step
    if high is not None and literal(keywords.get("max_open")) is True:
        high -= step
    return low, high
