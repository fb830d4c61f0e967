"""Scripts that take options with typer."""

from __future__ import annotations

import ast
from dataclasses import replace

from hpo_engine.studyfile.starter.annotations import Annotations, annotated, arguments, calls
from hpo_engine.studyfile.starter.interface import Collector, Parameter, Reading, Script
from hpo_engine.studyfile.starter.readers.options import command_word, form_of
from hpo_engine.studyfile.starter.syntax import imports, keywords_of, literal, name_of


def read(script: Script) -> Reading | None:
    if not imports(script.nodes, "typer"):
        return None
    function, word = _command(script)
    if function is None:
        return None
    annotations, found = Annotations(script), Collector()
    for arg, default in arguments(function.args):
        found.add(_parameter(arg, default, annotations))
    parameters = found.parameters()
    return Reading("typer", parameters, words=(word,) if word else (), form=form_of(parameters)) if parameters else None


def _command(script: Script) -> tuple[ast.FunctionDef | None, str]:
    """(the function of the command that trains, its word, "" if it is the only one)."""
    functions = {node.name: node for node in script.nodes if isinstance(node, ast.FunctionDef)}
    for node in script.nodes:
        if isinstance(node, ast.Call) and name_of(node.func) == "run" and len(node.args) == 1:
            function = functions.get(name_of(node.args[0]) or "")
            if function is not None:
                return function, ""
    commands: dict[str, ast.FunctionDef] = {}
    callback = False
    for function in functions.values():
        for decorator in function.decorator_list:
            if isinstance(decorator, ast.Call) and name_of(decorator.func) == "command":
                named = literal(next(iter(decorator.args), None) or keywords_of(decorator).get("name"))
                word = named if isinstance(named, str) else function.name.lower().replace("_", "-")
                commands[word] = function
            callback = callback or isinstance(decorator, ast.Call) and name_of(decorator.func) == "callback"
    if not commands:
        return None, ""
    word = command_word(list(commands))
    return commands[word], word if len(commands) > 1 or callback else ""


def _parameter(arg: ast.arg, default: ast.expr | None, annotations: Annotations) -> Parameter:
    """`lr: float = 0.1`, `lr: float = Option(0.1, "--lr", min=0)`, `lr: Annotated[float, Option("--lr")] = 0.1`"""
    _, besides = annotated(arg.annotation)
    given = next(calls([*besides, *([default] if default else [])], "Option", "Argument"), None)
    if given is default and given is not None:
        first = next(iter(given.args), None) or keywords_of(given).get("default")
        default = None if isinstance(first, ast.Constant) and first.value is ... else first
    parameter = annotations.described(Parameter(arg.arg, line=arg.lineno), arg.annotation, default)
    keywords = keywords_of(given) if given else {}
    low, high = (annotations.constants.value(keywords.get(end)) for end in ("min", "max"))
    parameter = replace(parameter, low=low, high=high)
    if (name_of(given.func) == "Argument") if given else default is None:
        return replace(parameter, word=f"{{{arg.arg}}}", positional=True)
    flags = [
        text for a in (given.args if given else []) if isinstance(text := literal(a), str) and text.startswith("-")
    ]
    option = next((flag for flag in flags if flag.startswith("--")), "") or f"--{arg.arg.replace('_', '-')}"
    if parameter.type is bool:
        on, _, off = option.partition("/")
        off = off or ("" if flags else f"--no-{on.removeprefix('--')}")
        word = f"{{{arg.arg}?{on}{f':{off}' if off else ''}}}"
        return replace(parameter, option=on, word=word, default=bool(parameter.default))
    return replace(parameter, option=option)
