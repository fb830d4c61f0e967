"""Small questions to the syntax tree of a Python script, which several readers ask."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Iterator
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


def imported(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """The full names of the modules that are imported, but for those beside the file: `torch.nn`, not `.models`."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module


def imports(nodes: Iterable[ast.AST], *packages: str) -> bool:
    """Whether one of the packages, or something in it, is imported."""
    return any(name.partition(".")[0] in packages for name in imported(nodes))


def keywords_of(call: ast.Call) -> dict[str, ast.expr]:
    return {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}


class Constants:
    """The values of expressions of literals, of the constants that a script assigns once, and of simple arithmetic."""

    _OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
        ast.Add: operator.add,
        ast.Sub: operator.sub,
        ast.Mult: operator.mul,
        ast.Div: operator.truediv,
        ast.FloorDiv: operator.floordiv,
    }

    def __init__(self, nodes: Iterable[ast.AST]) -> None:
        self._assigned: dict[str, list[ast.expr]] = {}
        for name, value in assigned(nodes):
            self._assigned.setdefault(name, []).append(value)

    def value(self, node: ast.expr | None, depth: int = 0) -> Any:
        """None: not known."""
        if node is None or depth > 8:
            return None
        if isinstance(node, ast.Name):
            values = self._assigned.get(node.id, [])
            return self.value(values[0], depth + 1) if len(values) == 1 else None
        if isinstance(node, ast.BinOp):
            return self._computed(node, depth)
        if isinstance(node, ast.Call) and name_of(node.func) in ("list", "tuple", "sorted") and len(node.args) == 1:
            return self.value(node.args[0], depth + 1)
        if isinstance(node, ast.Call) and name_of(node.func) == "keys" and isinstance(node.func, ast.Attribute):
            node = node.func.value
        if isinstance(node, ast.Name | ast.Dict):
            known = self._assigned.get(node.id, []) if isinstance(node, ast.Name) else [node]
            return [literal(key) for key in known[0].keys] if known and isinstance(known[0], ast.Dict) else None
        return literal(node)

    def _computed(self, node: ast.BinOp, depth: int) -> Any:
        left, right = self.value(node.left, depth + 1), self.value(node.right, depth + 1)
        if not all(isinstance(v, (int, float)) and abs(v) < 1e12 for v in (left, right)):
            return None
        if isinstance(node.op, ast.Pow):
            return left**right if 0 < left <= 10 and abs(right) <= 30 else None
        try:
            return self._OPERATORS[type(node.op)](left, right)
        except (KeyError, ArithmeticError):
            return None
