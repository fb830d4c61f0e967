"""A first range for a parameter, from its name and its default: a starting point for a person to change."""

from __future__ import annotations

import math
import re
from typing import Any

_LOG = re.compile(r"(?i)(^|_)(lr|rate|alpha|decay|wd|l1|l2|reg|lambda|eps|epsilon|c|gamma|sigma)($|_)")
_SHARE = re.compile(r"(?i)drop|momentum|beta|ratio|frac|prob|smoothing|rho|subsample|(?<!weight_)decay$")
_FIXED = re.compile(r"(?i)epochs?$|(^|_)(iters?|iterations?|max_steps|seed|random_state|workers|verbose|folds)$")
_POWER = re.compile(r"(?i)batch|hidden|width|units|channels|filters|embed|(^|_)dim($|_)")
_KNOWN: dict[str, list[Any]] = {
    "optimizer": ["adam", "sgd"],
    "opt": ["adam", "sgd"],
    "activation": ["relu", "tanh"],
}
# Name -> entry, if the script has no default.
_USUAL: tuple[tuple[str, Any], ...] = (
    (r"(?i)(^|_)(lr|learning_rate)($|_)", {"float": [0.0001, 0.1], "log": True}),
    (r"(?i)weight_decay|(^|_)(l1|l2)($|_)", {"float": [1e-06, 0.01], "log": True}),
    (r"(?i)dropout", {"float": [0, 0.5]}),
    (r"(?i)momentum", {"float": [0.5, 0.99]}),
    (r"(?i)batch", {"power": 2, "int": [4, 8]}),
    (r"(?i)hidden|width|units|channels|filters|dim", {"int": [16, 256], "log": True}),
    (r"(?i)layers|depth|degree", {"int": [1, 5]}),
    (r"(?i)trees|estimators", {"int": [10, 300], "log": True}),
    (r"(?i)(^|_)c$", {"float": [0.01, 100], "log": True}),
    (r"(?i)epochs?$|iter", 10),
    (r"(?i)seed|random_state", 1),
    (r"(?i)folds?$", 5),
)


def propose(name: str, default: Any, type_: type | None, choices: list[Any] | None) -> tuple[Any, str]:
    """(the entry under `space`, why). `default` None: not known."""
    if choices and (default is None or isinstance(default, str)):
        return {"choice": list(dict.fromkeys([*([default] if default else []), *choices]))}, "what the script knows"
    if choices and default in choices:  # numbers: the command line refuses all others
        return {"choice": choices}, "what the script knows"
    if default is None:
        return _without_default(name, type_)
    said = (
        f"{default!r} in the script" if len(repr(default)) <= 20 and repr(default).isprintable() else "from the script"
    )
    if isinstance(default, bool):
        return {"choice": [True, False]}, said
    if isinstance(default, str):
        known = _KNOWN.get(name.lower())
        if known:
            return {"choice": list(dict.fromkeys([default, *known]))}, said
        return default, "a constant; to tune it: {choice: [...]}"
    if _FIXED.search(name):
        return default, "a constant"
    if type_ is int and default == int(default):
        default = int(default)
    if isinstance(default, int) and type_ is not float:
        return _whole(name, default), said
    return _real(name, float(default)), said


def _without_default(name: str, type_: type | None) -> tuple[Any, str]:
    if name.lower() in _KNOWN:
        return {"choice": _KNOWN[name.lower()]}, "a guess: check it"
    for pattern, entry in _USUAL:
        if re.search(pattern, name):
            return entry, "a guess: check it"
    if type_ is int:
        return {"int": [1, 10]}, "a guess: check it"
    if type_ is bool:
        return {"choice": [True, False]}, "a guess: check it"
    return {"float": [0, 1]}, "CHECK: the script gives no hint of its range"


def _whole(name: str, default: int) -> Any:
    if abs(default) >= 2**40:
        return default
    if default < 0:
        return {"int": [2 * default, 0]}
    if default < 8:
        return {"int": [0 if default == 0 else 1, max(2, 2 * default)]}
    exponent = round(math.log2(default))
    if _POWER.search(name) and 2**exponent == default:
        return {"power": 2, "int": [max(0, exponent - 2), exponent + 2]}
    return {"int": [default // 4, default * 4], "log": True}


def _real(name: str, default: float) -> Any:
    if _SHARE.search(name) and 0 <= default <= 1:
        return {"float": [0.5, 0.99]} if default >= 0.5 else {"float": [0, 0.5]}
    if default == 0:
        return {"float": [1e-06, 0.01], "log": True} if _LOG.search(name) else {"float": [0, 1]}
    if not 1e-200 < abs(default) < 1e200:
        return default
    if default > 0 and (default <= 0.05 or _LOG.search(name)):
        return {"float": [_round(default / 10), _round(default * 10)], "log": True}
    return {"float": sorted([_round(default / 2), _round(default * 2)])}


def _round(value: float) -> float:
    """To two digits."""
    return float(f"{value:.2g}")
