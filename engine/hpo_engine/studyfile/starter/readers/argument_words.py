"""Scripts that take words of the command by their place: sys.argv[1]."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import Any

from hpo_engine.studyfile.starter.interface import Collector, Parameter, Reading, Script
from hpo_engine.studyfile.starter.syntax import Constants, literal, name_of

_TYPES: dict[str, type] = {"int": int, "float": float, "str": str}


def read(script: Script) -> Reading | None:
    """lr = float(sys.argv[1]); epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 10; _, lr, width = sys.argv"""
    constants, places = Constants(script.nodes), dict[int, Parameter]()
    for node in script.nodes:
        if not isinstance(node, ast.Assign) or len(node.targets) != 1:
            continue
        target = node.targets[0]
        if isinstance(target, ast.Name):
            _take_one(target.id, node, constants, places)
        elif isinstance(target, ast.Tuple):
            _take_all(target, node, places)
    if not places or sorted(places) != list(range(1, len(places) + 1)):
        return None
    found = Collector()
    for number in sorted(places):
        found.add(places[number])
    return Reading("sys.argv", found.parameters())


def _take_one(name: str, node: ast.Assign, constants: Constants, places: dict[int, Parameter]) -> None:
    value, default = node.value, None
    if isinstance(value, ast.IfExp):
        default, value = constants.value(value.orelse), value.body
    index = next((i for n in ast.walk(value) if (i := _index(n)) is not None), None)
    if index is not None:
        casts = [t for n in ast.walk(value) if isinstance(n, ast.Call) and (t := _TYPES.get(name_of(n.func) or ""))]
        found = Parameter(name, default, casts[0] if casts else str, line=node.lineno)
        places.setdefault(index, _word(replace(found, required=not isinstance(node.value, ast.IfExp))))


def _take_all(target: ast.Tuple, node: ast.Assign, places: dict[int, Parameter]) -> None:
    """script, lr, width = sys.argv; lr, width = map(float, sys.argv[1:])"""
    if not any(_is_argv(n) for n in ast.walk(node.value)):
        return
    first = next((n.slice for n in ast.walk(node.value) if isinstance(n, ast.Subscript) and _is_argv(n.value)), None)
    begin = literal(first.lower) if isinstance(first, ast.Slice) else 0
    casts = [t for n in ast.walk(node.value) if isinstance(n, ast.Name) and (t := _TYPES.get(n.id))]
    for number, name in enumerate(target.elts, begin if isinstance(begin, int) else 0):
        if number > 0 and isinstance(name, ast.Name):
            type_ = casts[0] if casts else str
            places.setdefault(number, _word(Parameter(name.id, None, type_, required=True, line=node.lineno)))


def _word(parameter: Parameter) -> Parameter:
    return replace(parameter, name=parameter.name.lower(), word=f"{{{parameter.name.lower()}}}", positional=True)


def _index(node: ast.AST) -> int | None:
    value: Any = literal(node.slice) if isinstance(node, ast.Subscript) and _is_argv(node.value) else None
    return value if isinstance(value, int) and value > 0 else None


def _is_argv(node: ast.AST) -> bool:
    return isinstance(node, (ast.Attribute, ast.Name)) and name_of(node) == "argv"
