"""What the annotation and the default of an argument or a field say: type, choices, bounds."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from hpo_engine.studyfile.starter.interface import Parameter, Script
from hpo_engine.studyfile.starter.syntax import Constants, keywords_of, literal, name_of

_TYPES: dict[str, type] = {
    "int": int,
    "float": float,
    "bool": bool,
    "str": str,
    "PositiveInt": int,
    "NonNegativeInt": int,
    "PositiveFloat": float,
    "NonNegativeFloat": float,
}
_SEVERAL = {"list", "List", "tuple", "Tuple", "Sequence", "Iterable", "set", "dict", "Dict", "Mapping"}


class Annotations:
    """Reads annotations of a script, whose enumerations and constants it knows."""

    def __init__(self, script: Script) -> None:
        self.constants = Constants(script.nodes)
        self.classes = {node.name: node for node in script.nodes if isinstance(node, ast.ClassDef)}

    def fields(self, definition: ast.ClassDef) -> Iterator[tuple[str, ast.expr, ast.expr | None, int]]:
        """(name, annotation, default or the call of field(), line) of a class with its bases in the script."""
        for base in definition.bases:
            if (known := self.classes.get(name_of(base) or "")) is not None and known is not definition:
                yield from self.fields(known)
        yield from own_fields(definition)

    def described(self, parameter: Parameter, annotation: ast.expr | None, default: ast.expr | None) -> Parameter:
        """The parameter with all that is said about it. Without a default it is required."""
        value = self.default(default)
        return replace(
            parameter,
            default=value,
            type=type_of(annotation) or (type(value) if type(value) in (int, float, bool, str) else None),
            choices=self.choices(annotation),
            required=default is None,
            many=_is_several(annotation) or isinstance(value, (list, tuple)),
        )

    def default(self, node: ast.expr | None) -> Any:
        """Of 0.1, of a constant's name, of Enum.member, and of field(default=0.1)."""
        node = field_default(node)
        if isinstance(node, ast.Attribute) and (members := self._members(name_of(node.value))):
            return members.get(node.attr)
        return self.constants.value(node)

    def choices(self, annotation: ast.expr | None) -> tuple[Any, ...]:
        """Of Literal["relu", "tanh"] and of an enumeration."""
        if values := literals_of(annotation):
            return values
        first = annotated(annotation)[0]
        for node in ast.walk(first) if first else ():
            if isinstance(node, ast.Name) and (members := self._members(node.id)):
                return tuple(members.values())
        return ()

    def _members(self, name: str | None) -> Mapping[str, Any]:
        definition = self.classes.get(name or "")
        if definition is None or not any("Enum" in (name_of(base) or "") for base in definition.bases):
            return {}
        pairs = ((node.targets[0], literal(node.value)) for node in definition.body if isinstance(node, ast.Assign))
        return {target.id: value for target, value in pairs if isinstance(target, ast.Name) and value is not None}


def arguments(args: ast.arguments) -> Iterator[tuple[ast.arg, ast.expr | None]]:
    """(argument, default) of a function, without self."""
    positional = [*args.posonlyargs, *args.args]
    defaults = [None] * (len(positional) - len(args.defaults)) + list(args.defaults)
    pairs = [*zip(positional, defaults, strict=True), *zip(args.kwonlyargs, args.kw_defaults, strict=True)]
    return ((arg, default) for arg, default in pairs if arg.arg not in ("self", "cls"))


def own_fields(definition: ast.ClassDef) -> Iterator[tuple[str, ast.expr, ast.expr | None, int]]:
    """(name, annotation, default or the call of field(), line) of a class, without those of its bases."""
    for node in definition.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, node.annotation, node.value, node.lineno


def field_default(node: ast.expr | None) -> ast.expr | None:
    """Of `= 0.1` and of `= field(default=0.1)`."""
    if isinstance(node, ast.Call) and name_of(node.func) in ("field", "Field"):
        return keywords_of(node).get("default") or next(iter(node.args), None)
    return node


def type_of(annotation: ast.expr | None) -> type | None:
    """Of `int`, `Optional[int]`, `int | None` and `Annotated[int, ...]`."""
    first = annotated(annotation)[0]
    names = [name for node in ast.walk(first) if (name := name_of(node)) in _TYPES] if first else []
    return _TYPES[names[0]] if len(set(names)) == 1 and names[0] is not None else None


def literals_of(annotation: ast.expr | None) -> tuple[Any, ...]:
    """Of Literal["relu", "tanh"]."""
    first = annotated(annotation)[0]
    for node in ast.walk(first) if first else ():
        if isinstance(node, ast.Subscript) and name_of(node.value) == "Literal":
            values = literal(node.slice)
            return tuple(values) if isinstance(values, tuple) else (values,)
    return ()


def annotated(annotation: ast.expr | None) -> tuple[ast.expr | None, list[ast.expr]]:
    """(the type, what is said besides) of Annotated[float, typer.Option(min=0)]."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):  # a type in quotes
        try:
            annotation = ast.parse(annotation.value, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None, []
    if isinstance(annotation, ast.Subscript) and name_of(annotation.value) == "Annotated":
        inner = annotation.slice
        if isinstance(inner, ast.Tuple) and inner.elts:
            return inner.elts[0], inner.elts[1:]
    return annotation, []


def calls(nodes: Iterable[ast.expr], *names: str) -> Iterator[ast.Call]:
    """The calls of functions with these names among expressions."""
    return (node for node in nodes if isinstance(node, ast.Call) and name_of(node.func) in names)


def _is_several(annotation: ast.expr | None) -> bool:
    first = annotated(annotation)[0]
    return any(name_of(node) in _SEVERAL for node in ast.walk(first)) if first else False
