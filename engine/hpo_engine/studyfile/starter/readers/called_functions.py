"""Scripts whose options follow from the arguments of a function: fire, tyro, jsonargparse's CLI."""

from __future__ import annotations

import ast
from dataclasses import replace

from hpo_engine.studyfile.starter.annotations import Annotations, arguments
from hpo_engine.studyfile.starter.interface import Collector, Parameter, Reading, Script
from hpo_engine.studyfile.starter.readers.options import command_word
from hpo_engine.studyfile.starter.syntax import imports, name_of, owner_of

_CALLS = {"Fire": "fire", "cli": "tyro", "CLI": "jsonargparse", "auto_cli": "jsonargparse"}


def read(script: Script) -> Reading | None:
    functions = {node.name: node for node in script.nodes if isinstance(node, ast.FunctionDef)}
    annotations = Annotations(script)
    for node in script.nodes:
        manner = _CALLS.get(name_of(node.func) or "") if isinstance(node, ast.Call) else None
        if not isinstance(node, ast.Call) or manner is None or not imports(script.nodes, manner):
            continue
        if owner_of(node.func) not in (manner, None):
            continue
        target = name_of(node.args[0]) if node.args else None
        word: tuple[str, ...] = ()
        if not node.args and manner == "fire":  # Fire() takes any function of the script by its name
            public = [name for name in functions if not name.startswith("_")]
            target = command_word(public) if public else None
            word = (target,) if target else ()
        found = _parameters(manner, target, functions, annotations)
        if found:
            return Reading(manner, found, words=word, form="{params:-}" if manner == "tyro" else "{params}")
    return None


def _parameters(
    manner: str, target: str | None, functions: dict[str, ast.FunctionDef], annotations: Annotations
) -> tuple[Parameter, ...]:
    found = Collector()
    if target in functions:
        for arg, default in arguments(functions[target].args):
            parameter = annotations.described(Parameter(arg.arg, line=arg.lineno), arg.annotation, default)
            found.add(_placed(manner, parameter))
    elif target in annotations.classes and manner == "tyro":
        _add_fields(annotations.classes[target], "", annotations, found)
    return found.parameters()


def _add_fields(definition: ast.ClassDef, prefix: str, annotations: Annotations, found: Collector) -> None:
    """tyro writes fields of inner dataclasses as --optimizer.lr."""
    for name, annotation, default, line in annotations.fields(definition):
        inner = annotations.classes.get(name_of(annotation) or "")
        if inner is not None and inner is not definition and prefix.count(".") < 4:
            _add_fields(inner, f"{prefix}{name}.", annotations, found)
        else:
            parameter = annotations.described(Parameter(f"{prefix}{name}", line=line), annotation, default)
            found.add(_placed("tyro", parameter))


def _placed(manner: str, parameter: Parameter) -> Parameter:
    name = parameter.name
    if manner == "jsonargparse" and parameter.required:
        return replace(parameter, word=f"{{{name}}}", positional=True)
    option = f"--{name.replace('_', '-')}" if manner == "tyro" else f"--{name}"
    *outer, last = option.removeprefix("--").split(".")
    off = {"tyro": f"--{'.'.join([*outer, f'no-{last}'])}", "fire": f"--no{name}"}
    word = f"{{{name}?{option}:{off[manner]}}}" if parameter.type is bool and manner in off else ""
    return replace(parameter, option=option, word=word)
