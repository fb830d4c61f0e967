"""A first range for a parameter, from its name and its default: a starting point for a person to change.

A range contains the script's own default, and nothing outside of the bounds and choices that the script declares.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from hpo_engine.studyfile.starter.interface import Parameter
from hpo_engine.studyfile.starter.kinds import Kind, kind_of

GUESS = "a guess: check it"
_NO_HINT = "CHECK: the script gives no hint of its range"
_KNOWN: dict[str, list[Any]] = {
    "optimizer": ["adam", "sgd"],
    "opt": ["adam", "sgd"],
    "activation": ["relu", "tanh"],
}
_ZERO_AND_SMALL = [0, 1e-05, 0.0001, 0.001, 0.01]
# The entry if the script has no default.
_USUAL: dict[Kind, Any] = {
    Kind.RATE: {"float": [0.0001, 0.1], "log": True},
    Kind.DECAY: {"float": [1e-06, 0.01], "log": True},
    Kind.DROPOUT: {"float": [0, 0.5]},
    Kind.MOMENTUM: {"float": [0.5, 0.99]},
    Kind.GAMMA: {"float": [0.5, 0.99]},
    Kind.BATCH: {"power": 2, "int": [4, 8]},
    Kind.WIDTH: {"int": [16, 256], "log": True},
    Kind.DEPTH: {"int": [1, 5]},
    Kind.TREES: {"int": [10, 300], "log": True},
    Kind.CLIP: {"float": [0.1, 10], "log": True},
    Kind.PROBABILITY: {"float": [0, 1]},
    Kind.SAMPLED: {"float": [0.5, 1]},
    Kind.LENGTH: 10,
}
_USUAL_NAMES = (
    (r"(?i)(^|_)c$", {"float": [0.01, 100], "log": True}),
    (r"(?i)seed|random_state", 1),
    (r"(?i)folds?$", 5),
)


def propose(parameter: Parameter) -> tuple[Any, str]:
    """(the entry under `space`, why)."""
    if parameter.entry is not None:
        return parameter.entry, "as the script searches it"
    if parameter.choices and (chosen := _of_choices(parameter)) is not None:
        return chosen, "what the script knows"
    default, type_ = parameter.default, parameter.type
    if default is None:
        return _without_default(parameter)
    said = (
        f"{default!r} in the script" if len(repr(default)) <= 20 and repr(default).isprintable() else "from the script"
    )
    if isinstance(default, bool):
        return {"choice": [True, False]}, said
    if isinstance(default, str):
        known = _KNOWN.get(parameter.name.lower())
        if known:
            return {"choice": list(dict.fromkeys([default, *known]))}, said
        return default, "a constant; to tune it: {choice: [...]}"
    if isinstance(default, (list, tuple)):
        return {"constant": list(default)}, "a constant"
    kind = kind_of(parameter.name)
    if not kind.searched:
        return default, "a constant"
    if type_ is int and default == int(default):
        default = int(default)
    if isinstance(default, int) and type_ is not float:
        # 1 for C or a learning rate is a real number, unless the script says otherwise.
        real = None if type_ is int or kind is Kind.WARM_UP else _REAL.get(kind, _no_rule)(float(default))
        return _within(_whole(kind, default) if real is None else real, parameter), said
    return _within(_real(kind, float(default)), parameter), said


def _of_choices(parameter: Parameter) -> Any:
    choices, default = list(parameter.choices), parameter.default
    if default is None or isinstance(default, str):
        return {"choice": list(dict.fromkeys([*([default] if default else []), *choices]))}
    # Numbers: the command line refuses all others.
    return {"choice": choices} if default in choices else None


def _without_default(parameter: Parameter) -> tuple[Any, str]:
    name, kind = parameter.name, kind_of(parameter.name)
    if name.lower() in _KNOWN:
        return {"choice": _KNOWN[name.lower()]}, GUESS
    entry = next((entry for pattern, entry in _USUAL_NAMES if re.search(pattern, name)), _USUAL.get(kind))
    if parameter.type is bool:
        return {"choice": [True, False]}, GUESS
    if entry is None:
        entry = {"int": [1, 10]} if parameter.type is int else {"float": [0, 1]}
    why = GUESS if kind in _USUAL or parameter.type is int else _NO_HINT
    low, high = parameter.low, parameter.high
    if kind not in _USUAL and low is not None and high is not None:
        number = int if parameter.type is int else float
        return {number.__name__: [number(low), number(high)]}, "what the script accepts"
    return _within(entry, parameter), why


# -- whole numbers ---------------------------------------------------------------------------------------------------


def _whole(kind: Kind, default: int) -> Any:
    if abs(default) >= 2**40:
        return default
    if default < 0:
        return {"int": [2 * default, 0]}
    if kind is Kind.WARM_UP:
        return {"int": [0, max(10, 2 * default)]}
    if kind is Kind.KERNEL and default % 2:
        return {"choice": sorted({3, 5, 7, default})}
    if kind is Kind.LEAF and default < 8:
        return {"int": [min(default, 2), max(10, 2 * default)]} if default else {"int": [0, 10]}
    if default < 8:
        return {"int": [0 if default == 0 else 1, max(2, 2 * default)]}
    if kind is Kind.PATIENCE:
        return {"int": [default // 2, 2 * default]}
    exponent = round(math.log2(default))
    if kind in (Kind.BATCH, Kind.WIDTH, Kind.COUNT) and 2**exponent == default:
        return {"power": 2, "int": [max(0, exponent - 2), exponent + 2]}
    if kind is Kind.DEPTH:
        return {"int": [max(1, default // 2), 2 * default]}
    return {"int": [default // 4, default * 4], "log": True}


# -- real numbers ----------------------------------------------------------------------------------------------------


def _real(kind: Kind, default: float) -> Any:
    if (entry := _REAL.get(kind, _leaf if kind is Kind.LEAF else _no_rule)(default)) is not None:
        return entry
    if not (default == 0 or 1e-200 < abs(default) < 1e200):
        return default
    if default == 0:
        return {"float": [0, 1]}
    if 0 < default <= 0.05:
        return _around(default, 10)
    return {"float": sorted([_round(default / 2), _round(default * 2)])}


def _rate(default: float) -> Any:
    """Around the default, and not above 1 unless the default is; 0 stands for one that the script finds out."""
    entry = _around(default, 10) if _ordinary(default) else None
    if entry is not None and default < 1:
        entry["float"][1] = min(entry["float"][1], 1.0)
    return entry


def _decay(default: float) -> Any:
    if default == 0:
        return {"choice": _ZERO_AND_SMALL, "ordered": True}
    return _around(default, 10) if _ordinary(default) else None


def _share(default: float) -> Any:
    """Dropout and the like: from 0 to what still leaves something."""
    return {"float": [0, max(0.5, _up(default))]} if 0 <= default <= 1 else None


def _momentum(default: float) -> Any:
    """Nearly 1: what counts is how far it is from 1."""
    if not 0 <= default <= 1:
        return None
    if default < 0.5:
        return {"float": [0, 0.99]}
    return {"float": [0.5 if default < 0.99 else 0.9, max(0.99, 0.9999 if default > 0.99 else 0.99, default)]}


def _discount(default: float) -> Any:
    if 0 <= default <= 0.1:  # of a kernel, a tree or a schedule: its magnitude counts
        return _strength(default)
    return {"float": [0.9, max(0.999, default)]} if 0.95 <= default <= 1 else _momentum(default)


def _probability(default: float) -> Any:
    return {"float": [0, 1 if default > 0.25 else 0.5]} if 0 <= default <= 1 else None


def _sampled(default: float) -> Any:
    return {"float": [min(0.5, _round(default / 2)), 1]} if 0 < default <= 1 else None


def _strength(default: float) -> Any:
    if default == 0:
        return {"choice": [0, 0.001, 0.01, 0.1, 1], "ordered": True}
    return _around(default, 10) if _ordinary(default) else None


def _clip(default: float) -> Any:
    """0 switches it off in most scripts."""
    if default == 0:
        return {"choice": [0, 0.1, 1, 10], "ordered": True}
    return _around(default, 10 if default >= 0.5 else 4) if _ordinary(default) else None


def _leaf(default: float) -> Any:
    """Sums of weights, of which people try tens; shares of the samples keep the usual rule."""
    return _around(default, 10) if _ordinary(default) and default >= 0.5 else None


def _warm_up(default: float) -> Any:
    return {"float": [0, max(0.2, _round(2 * default))]} if 0 <= default <= 0.5 else None


def _no_rule(default: float) -> Any:
    return None


_REAL: dict[Kind, Callable[[float], Any]] = {
    Kind.RATE: _rate,
    Kind.DECAY: _decay,
    Kind.DROPOUT: _share,
    Kind.MOMENTUM: _momentum,
    Kind.GAMMA: _discount,
    Kind.PROBABILITY: _probability,
    Kind.SAMPLED: _sampled,
    Kind.STRENGTH: _strength,
    Kind.CLIP: _clip,
    Kind.WARM_UP: _warm_up,
}


def _around(default: float, factor: float) -> Any:
    return {"float": [_round(default / factor), _round(default * factor)], "log": True}


def _ordinary(value: float) -> bool:
    return 1e-200 < value < 1e200


def _round(value: float) -> float:
    """To two digits."""
    return float(f"{value:.2g}")


def _up(value: float) -> float:
    """Up to the next tenth, at most 1."""
    return min(1.0, math.ceil(value * 10) / 10)


# -- what the script accepts -----------------------------------------------------------------------------------------


def _within(entry: Any, parameter: Parameter) -> Any:
    """The entry, cut to the bounds that the script declares."""
    low, high = parameter.low, parameter.high
    if (low is None and high is None) or not isinstance(entry, dict):
        return entry
    if "choice" in entry:
        kept = [v for v in entry["choice"] if (low is None or v >= low) and (high is None or v <= high)]
        return {**entry, "choice": kept or entry["choice"]}
    kind = "int" if "int" in entry else "float"
    ends = [2**end for end in entry[kind]] if "power" in entry else list(entry[kind])
    cut = [ends[0] if low is None else max(ends[0], low), ends[1] if high is None else min(ends[1], high)]
    if cut == ends:
        return entry
    if kind == "int":
        cut = [math.ceil(cut[0]), math.floor(cut[1])]
    out = {kind: cut}
    return out | {"log": True} if (entry.get("log") or "power" in entry) and cut[0] > 0 else out
