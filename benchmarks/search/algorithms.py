"""The algorithms that can be run: the engine's by their names, other tools' by the names in `PEERS`.

"tpe:good_ratio=0.1,n_startup=8" is an algorithm with options. What was computed is known by a key: the problems'
version and, for the engine's algorithms, a stamp of what they propose; for peers their package's version.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from benchmarks.search.problems import VERSION
from benchmarks.search.runner import Factory, ours
from benchmarks.search.stamp import stamp

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
    """What to print: the package's version, or the stamp of our algorithm."""
    name, options = parse(word)
    if name not in PEERS:
        return _stamp(name, options)
    try:
        return metadata.version(PEERS[name][0])
    except metadata.PackageNotFoundError:
        raise SystemExit(f"{name} needs the package {PEERS[name][0]}, which is not installed here") from None


def key(word: str) -> str:
    return f"problems {VERSION}, {version(word)}"


def _stamp(name: str, options: Mapping[str, Any]) -> str:
    from hpo_engine.assembly import SEARCHERS

    if name.partition(":")[0] not in SEARCHERS.own:
        raise SystemExit(f"no algorithm {name!r}; there are {', '.join([*SEARCHERS, *PEERS])}")
    return stamp(name, json.dumps(options, sort_keys=True))
