"""Small questions to the syntax tree of a Python script, which several readers ask."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Any


def name_of(node: ast.AST | None) -> str | None:
    """`lr` of lr and of args.lr."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else None


def owner_of(node: ast.AST | None) -> str | None:
    """`args` of args.lr."""
    return name_of(node.value) if isinstance(node, ast.Attribute) else None


def literal(node: ast.AST | None) -> Any:
    """The value of a literal expression; None if it is none."""
    try:
        return None if node is None else ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def assigned(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, ast.expr]]:
    """(variable, expression) of each assignment to a plain name."""
    for node in nodes:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.NamedExpr)) and isinstance(value, ast.expr):
            for target in targets:
                if isinstance(target, ast.Name):
                    yield target.id, value


def dict_literals(nodes: Iterable[ast.AST]) -> dict[str, ast.Dict]:
    return {name: value for name, value in assigned(nodes) if isinstance(value, ast.Dict)}


def mentions(node: ast.AST, text: str) -> bool:
    """Whether a text in the node contains `text`."""
    return any(isinstance(n, ast.Constant) and isinstance(n.value, str) and text in n.value for n in ast.walk(node))


def imports(nodes: Iterable[ast.AST], *packages: str) -> bool:
    """Whether one of the packages, or something in it, is imported."""
    for node in nodes:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if any(name.partition(".")[0] in packages for name in names):
            return True
    return False
