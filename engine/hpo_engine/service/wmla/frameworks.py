"""The frameworks that `--exec-start` may name, as far as this environment has them."""

from __future__ import annotations

import functools
import importlib.metadata
from typing import Any

_FRAMEWORKS = {
    "PyTorch": "torch", "tensorflow": "tensorflow", "Keras": "keras", "XGboost": "xgboost", "LightGBM": "lightgbm",
    "scikit-learn": "scikit-learn",
}  # fmt: skip
"""Name for --exec-start -> the package that scripts import."""


@functools.cache
def frameworks() -> list[dict[str, Any]]:
    """What --exec-start may name: the frameworks of this environment, and Python for any script."""
    found = []
    for name, package in _FRAMEWORKS.items():
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
        found.append(_framework(name, f"{name} {version}", version))
    return [*found, _framework("Python", "any script; the name given with --exec-start has no effect", "")]


def _framework(name: str, description: str, version: str) -> dict[str, Any]:
    example = f"--exec-start {name} --model-dir model --model-main train.py"
    return {
        "name": name,
        "description": description,
        "desc": [description, "Example:", example],
        "frameworkVersion": version,
    }
