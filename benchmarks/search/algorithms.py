"""The algorithms that can be run: the engine's by their names, other tools' by the names in `PEERS`.

"tpe:good_ratio=0.1,n_startup=8" is an algorithm with options. What was computed is known by a key: the problems'
version and, for the engine's algorithms, a digest of the code that they consist of; for peers their package's version.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import json
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.search.problems import VERSION
from benchmarks.search.runner import Factory, ours

ROOT = Path(__file__).parents[2]

# name: (package, module of benchmarks.search.peers, class, arguments)
PEERS: Mapping[str, tuple[str, str, str, Mapping[str, Any]]] = {
    "optuna-tpe": ("optuna", "of_optuna", "Optuna", {"sampler": "TPESampler"}),
    "optuna-tpe-joint": (
        "optuna", "of_optuna", "Optuna", {"sampler": "TPESampler", "multivariate": True, "group": True},
    ),
    "optuna-tpe-independent": ("optuna", "of_optuna", "Optuna", {"sampler": "TPESampler", "multivariate": False}),
    "optuna-gp": ("optuna", "of_optuna", "Optuna", {"sampler": "GPSampler"}),
    "optuna-cmaes": ("optuna", "of_optuna", "Optuna", {"sampler": "CmaEsSampler"}),
    "optuna-auto": ("optuna", "of_optuna", "Optuna", {"sampler": "AutoSampler"}),
    "hyperopt": ("hyperopt", "of_hyperopt", "Hyperopt", {}),
    "nevergrad": ("nevergrad", "of_nevergrad", "Nevergrad", {}),
    "skopt": ("scikit-optimize", "of_skopt", "Skopt", {}),
    "smac": ("smac", "of_smac", "Smac", {}),
    "ax": ("ax-platform", "of_ax", "Ax", {}),
    "hebo": ("HEBO", "of_hebo", "Hebo", {}),
}  # fmt: skip

_FILES = ("searchers", "maths", "space")


def parse(word: str) -> tuple[str, dict[str, Any]]:
    """The name and the options in a word such as tpe:a=1,b=x; optuna:GPSampler is a name."""
    name, _, rest = word.partition(":")
    options = {}
    for part in filter(None, rest.split(",")):
        option, equals, value = part.partition("=")
        if not equals and name == "optuna":
            name = f"{name}:{part}"
            continue
        if not equals:
            raise SystemExit(f"{word}: options are written name=value, not {part!r}")
        options[option.strip()] = _value(value)
    return name, options


def _value(text: str) -> Any:
    """A JSON value, or else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def factory(word: str) -> Factory:
    name, options = parse(word)
    if name not in PEERS:
        return ours(name, options)
    _, module, cls, arguments = PEERS[name]
    peer = getattr(importlib.import_module(f"benchmarks.search.peers.{module}"), cls)

    def make(problem: Any, seed: int, evaluations: int, workers: int) -> Any:
        return peer(problem, seed, evaluations, workers, **{**arguments, **options})

    return make


def version(word: str) -> str:
    """What to print: the package's version, or the digest of our code."""
    name, _ = parse(word)
    if name not in PEERS:
        return digest(name)
    try:
        return metadata.version(PEERS[name][0])
    except metadata.PackageNotFoundError:
        raise SystemExit(f"{name} needs the package {PEERS[name][0]}, which is not installed here") from None


def key(word: str) -> str:
    return f"problems {VERSION}, {version(word)}"


def digest(algorithm: str) -> str:
    """Of the code that an algorithm of ours consists of, comments and docstrings aside."""
    from hpo_engine.assembly import SEARCHERS

    where = SEARCHERS.own.get(algorithm.partition(":")[0])
    if where is None:
        raise SystemExit(f"no algorithm {algorithm!r}; there are {', '.join([*SEARCHERS, *PEERS])}")
    todo, seen = [_file(where.partition(":")[0])], set()
    todo += [_file("hpo_engine.space.searchspace"), _file("hpo_engine.searchers.filter")]
    while todo:
        path = todo.pop()
        if path is not None and path not in seen:
            seen.add(path)
            todo += [_file(name) for name in _named(path.read_text())]
    out = hashlib.sha256()
    for path in sorted(seen):
        out.update(f"{path.relative_to(ROOT)}\n{_bare(path.read_text())}\n".encode())
    return out.hexdigest()[:12]


def _named(text: str) -> set[str]:
    """The modules of the engine that a source text names, in imports or in strings."""
    names = set(re.findall(r"hpo_engine(?:\.\w+)+", text))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("hpo_engine"):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _file(module: str) -> Path | None:
    base = ROOT.joinpath("engine", *module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        inside = path.parts[len(ROOT.parts) + 2 : len(ROOT.parts) + 3]
        if path.exists() and inside and inside[0] in _FILES and path.name != "card.py":
            return path
    return None


def _is_card(part: ast.stmt) -> bool:
    return isinstance(part, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "card" for t in part.targets)


def _bare(text: str) -> str:
    """The code alone: without comments, docstrings, and what an algorithm says of itself."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
        if isinstance(node, ast.ClassDef):
            node.body = [part for part in node.body if not _is_card(part)] or [ast.Pass()]
    return ast.unparse(tree)
