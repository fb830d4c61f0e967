"""What a class or a dataclass takes when it is made: names, defaults, annotations, and what its docstring says."""

from __future__ import annotations

import ast
import re

from hpo_engine.studyfile.starter.annotations import arguments, field_default, literals_of, own_fields, type_of
from hpo_engine.studyfile.starter.interface import Parameter
from hpo_engine.studyfile.starter.modules import Modules
from hpo_engine.studyfile.starter.syntax import literal, name_of

_NUMBER = r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?"
_INTERVAL = re.compile(
    rf"(?:in|range|between|from)?\s*[\[(]\s*({_NUMBER})\s*(?:,|-|–|to|\.\.\.?)\s*({_NUMBER})\s*[\])]"
    rf"|between ({_NUMBER}) and ({_NUMBER})|from ({_NUMBER}) to ({_NUMBER})"
)
_MOST_BASES = 5


def init_of(modules: Modules, path: str, definition: ast.ClassDef) -> tuple[Parameter, ...]:
    """What `__init__` of a class takes, with what its project's base classes take by way of **kwargs."""
    found: dict[str, Parameter] = {}
    for _ in range(_MOST_BASES):
        own = next((n for n in definition.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
        if own is not None:
            docs = f"{ast.get_docstring(definition) or ''}\n{ast.get_docstring(own) or ''}"
            for argument, default in arguments(own.args):
                parameter = _parameter(argument.arg, argument.annotation, default, argument.lineno, docs, path)
                found.setdefault(parameter.name, parameter)
        elif _is_dataclass(definition):
            docs = ast.get_docstring(definition) or ""
            for field, annotation, default, line in own_fields(definition):
                found.setdefault(field, _parameter(field, annotation, field_default(default), line, docs, path))
        if own is not None and own.args.kwarg is None:
            break
        bases = (modules.where(path, name) for base in definition.bases if (name := dotted(base)))
        base = next((base for base in bases if base is not None), None)
        if base is None:
            break
        path, definition = base
    return tuple(found.values())


def _parameter(
    name: str, annotation: ast.expr | None, default: ast.expr | None, line: int, docs: str, path: str
) -> Parameter:
    low, high = _interval(name, docs)
    return Parameter(
        name,
        literal(default),
        type_of(annotation),
        literals_of(annotation),
        low,
        high,
        required=default is None,
        line=line,
        file=path,
    )


def _interval(name: str, docs: str) -> tuple[float | None, float | None]:
    """The bounds in the line of a docstring that is about a parameter: `dropout: ..., in [0, 0.5]`."""
    line = re.search(rf"(?m)^\s*(?::param )?(?:\w+ )?`*{re.escape(name)}`*\s*(?:\([^)\n]*\))?\s*:(.*)$", docs)
    found = _INTERVAL.search(line[1]) if line else None
    if found is None:
        return None, None
    low, high = (float(text) for text in found.groups() if text is not None)
    return (low, high) if low < high else (None, None)


def dotted(node: ast.expr) -> str | None:
    """`models.Net` of an expression of names; None if it is another one."""
    if isinstance(node, ast.Name):
        return node.id
    inner = dotted(node.value) if isinstance(node, ast.Attribute) else None
    return f"{inner}.{node.attr}" if inner and isinstance(node, ast.Attribute) else None


def _is_dataclass(definition: ast.ClassDef) -> bool:
    names = (name_of(d.func) if isinstance(d, ast.Call) else name_of(d) for d in definition.decorator_list)
    return any(name in ("dataclass", "define", "frozen", "attrs") for name in names)
