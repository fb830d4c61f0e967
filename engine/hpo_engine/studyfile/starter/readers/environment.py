"""Scripts that take numbers from environment variables."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

from hpo_engine.studyfile.starter.interface import Collector, Parameter, Reading, Script
from hpo_engine.studyfile.starter.syntax import literal, name_of, owner_of

_NOT_THE_USERS = re.compile(
    r"(CUDA|SLURM|HF|WANDB|MLFLOW|NCCL|OMP|MKL|MASTER|LOCAL|TORCH|TF|XLA|JAX|KAGGLE|HPO|DLI|PBS|LSB|OMPI|PL|PYTHON)_"
    r"|(PATH|HOME|USER|RANK|WORLD_SIZE|HOST|HOSTNAME|PORT|SUBID|TMPDIR|SEED|DEBUG)$"
)
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def read(script: Script) -> Reading | None:
    """float(os.environ.get("LR", "0.1")), int(os.getenv("WIDTH", 64)), float(os.environ["LR"])"""
    found, casts = Collector(), _casts(script)
    for node in script.nodes:
        key, default = _read_of(node)
        if isinstance(key, str) and not _NOT_THE_USERS.match(key) and re.fullmatch(r"[A-Za-z_]\w*", key):
            value, type_ = number_of(default), casts.get(id(node))
            if type_ in (int, float) or isinstance(value, (int, float)):
                line, required = getattr(node, "lineno", 0), isinstance(node, ast.Subscript)
                found.add(Parameter(key.lower(), value, type_, required=required, variable=key, line=line))
    return Reading("environment variables", found.parameters()) if found else None


def _read_of(node: ast.AST) -> tuple[object, object]:
    """(variable, default)"""
    if isinstance(node, ast.Call) and node.args:
        default = literal(node.args[1]) if len(node.args) > 1 else None
        if name_of(node.func) == "getenv" or (name_of(node.func) == "get" and owner_of(node.func) == "environ"):
            return literal(node.args[0]), default
    if isinstance(node, ast.Subscript) and name_of(node.value) == "environ" and isinstance(node.ctx, ast.Load):
        return literal(node.slice), None
    return None, None


def _casts(script: Script) -> Mapping[int, type]:
    """What a node is converted to at once, by id: float(...), int(...)."""
    types: dict[str, type] = {"int": int, "float": float}
    return {
        id(argument): types[node.func.id]
        for node in script.nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in types
        for argument in node.args[:1]
    }


def number_of(value: object) -> object:
    """The number that a text is; anything else as it is."""
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        return value
    return int(value) if re.fullmatch(r"[-+]?\d{1,18}", value) else float(value)
