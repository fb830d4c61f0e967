"""Hydra's structured configs: dataclasses that a script puts into the ConfigStore, as trees of values."""

from __future__ import annotations

import ast
from typing import Any

from hpo_engine.studyfile.starter.modules import Modules
from hpo_engine.studyfile.starter.signatures import dotted
from hpo_engine.studyfile.starter.syntax import assigned, keywords_of, literal, name_of

_MOST_DEPTH = 6
_MISSING = "???"


def stored(modules: Modules) -> dict[str, dict[str, Any]]:
    """What `cs.store(group="optimizer", name="adam", node=Adam)` stores, as "optimizer/adam" -> values."""
    found: dict[str, dict[str, Any]] = {}
    for path in modules.imported():
        for node in modules.nodes(path):
            if isinstance(node, ast.Call) and name_of(node.func) == "store":
                keywords = dict(zip(("name", "node", "group"), node.args, strict=False))
                keywords |= keywords_of(node)
                name, group = literal(keywords.get("name")), literal(keywords.get("group"))
                value = keywords.get("node")
                if isinstance(name, str) and value is not None:
                    key = f"{group}/{name}" if isinstance(group, str) else name
                    found[key] = tree_of(modules, path, value)
    return found


def tree_of(modules: Modules, path: str, node: ast.expr, depth: int = 0) -> dict[str, Any]:
    """The values of a dataclass, of a call that makes one, or of a dictionary."""
    values = literal(node)
    if isinstance(values, dict):
        return values
    overrides = {}
    if isinstance(node, ast.Call):
        overrides = {name: known for name, v in keywords_of(node).items() if (known := literal(v)) is not None}
        node = node.func
    name = dotted(node)
    found = modules.where(path, name) if name and depth < _MOST_DEPTH else None
    return {**_fields(modules, *found, depth), **overrides} if found else {}


def _fields(modules: Modules, path: str, definition: ast.ClassDef, depth: int) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for base in definition.bases:
        tree |= tree_of(modules, path, base, depth + 1)
    for node in definition.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            tree[node.target.id] = _field(modules, path, node, depth)
    return tree


def _field(modules: Modules, path: str, node: ast.AnnAssign, depth: int) -> Any:
    """The default of `lr: float = 0.1`, `field(default_factory=Adam)`, `optimizer: Adam = Adam()` or `lr: float`."""
    value = node.value
    if isinstance(value, ast.Call) and name_of(value.func) == "field":
        keywords = keywords_of(value)
        value = keywords.get("default") or keywords.get("default_factory")
    if isinstance(value, ast.Lambda):
        value = value.body
    if isinstance(value, ast.Name):  # a defaults list, which stands above the class
        tree = modules.tree(path)
        value = dict(assigned(tree.body if tree else ())).get(value.id, value)
    if value is None:
        return tree_of(modules, path, node.annotation, depth + 1) or _MISSING
    if name_of(value) == "MISSING":
        return _MISSING
    known = literal(value)
    return tree_of(modules, path, value, depth + 1) or None if known is None else known
