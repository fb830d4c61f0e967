"""What people write under `space` in place of a parameter of ours, and the advice for it: ranges as text, kinds and
fields as other tools spell them. Decides nothing about what is accepted but this: a text that can only be a range is no
constant.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hpo_engine.space.params import Float, Int, Param, json_text
from hpo_engine.text.quoting import shown
from hpo_engine.text.tables import number

_N = r"([-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)"
_BETWEEN = re.compile(rf"\s*{_N}\s*(\.\.+|…|-|–|:|~|to)\s*{_N}\s*$")
_CALLED = re.compile(rf"\s*([A-Za-z_][\w.]*)?\s*[\[(]\s*{_N}\s*[,;]\s*{_N}\s*(?:[,;][^\])]*)?[\])]\s*$")
_LISTED = re.compile(rf"\s*{_N}\s*[,;]\s*{_N}\s*$")
_SURE = ("..", "…", "to", "–")
_KINDS = {
    "float": "uniform quniform loguniform qloguniform log_uniform real double number suggest_float range",
    "int": "integer randint uniformint quniformint suggest_int",
    "choice": "choices categorical category values options enum one_of oneof suggest_categorical grid list",
    "constant": "const fixed value default",
}
_LOW = ("min", "low", "lower", "minimum", "from", "start", "lo", "minVal")
_HIGH = ("max", "high", "upper", "maximum", "to", "end", "stop", "hi", "maxVal")


def range_in_text(text: str) -> tuple[str, bool] | None:
    """(the range as the file should have it, whether the text can mean nothing else); None if it is not a range."""
    if len(text) > 100:
        return None
    if found := _BETWEEN.match(text):
        low, sign, high = found.groups()
        sure = sign.startswith(_SURE) or (sign == "-" and any(c in low + high for c in ".e"))
        right = _entry(low, high, "")
        return None if right is None else (right, sure)
    if found := _CALLED.match(text):
        name, low, high = found.groups()
        right = _entry(low, high, name or "")
        return None if right is None else (right, True)
    if found := _LISTED.match(text):
        right = _entry(found[1], found[2], "")
        return None if right is None else (right, False)
    return None


def range_in_list(values: list[Any]) -> str | None:
    """The range that a list of two rising numbers may stand for, as the file should have it."""
    if len(values) != 2 or any(isinstance(v, bool) or not isinstance(v, (int, float)) for v in values):
        return None
    return _entry(json_text(values[0]), json_text(values[1]))


def _entry(low: str, high: str, name: str = "") -> str | None:
    """`{float: [1e-3, 1e-1]}` with the numbers as written; None if they do not rise."""
    try:
        if not -math.inf < float(low) < float(high) < math.inf:
            return None
    except ValueError:  # cut, for it is hundreds of digits long
        return None
    whole = all(re.fullmatch(r"[-+]?[0-9]+", n) for n in (low, high)) and not re.search("(?i)float|real", name)
    log = ", log: true" if "log" in name.lower() and float(low) > 0 else ""
    return f"{{{'int' if whole else 'float'}: [{low}, {high}]{log}}}"


def unknown_kind(entry: Mapping[str, Any], kinds: Iterable[str], nearest: Callable[[str, Iterable[str]], str]) -> str:
    """How to write a parameter whose entry names none of our kinds; "" if there is no advice."""
    low, high = (next((entry[k] for k in names if k in entry), None) for names in (_LOW, _HIGH))
    words = " ".join(str(v) for k, v in entry.items() if k in ("type", "distribution", "scale", "dist"))
    words += " log" if entry.get("log") is True else ""
    if all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in (low, high)):
        right = _entry(json_text(low), json_text(high), words)
        return f"; write {right}" if right else ""
    for key in list(entry)[:5]:
        ours = next((ours for ours, others in _KINDS.items() if str(key).lower() in others.split()), None)
        if ours == "float" and isinstance(entry[key], list) and (right := range_in_list(entry[key])):
            low, high = map(json_text, entry[key])
            return f"; write {_entry(low, high, str(key) + 'float')}"
        if ours:
            return f'; did you mean "{ours}"?'
        if (hint := nearest(str(key), kinds)).startswith("; did you mean"):
            return hint
    return ""


def exponents_meant(param: Param) -> str | None:
    """How to write a whole-number power whose range holds values instead of exponents; None if it does not."""
    if not isinstance(param, Int) or not _sound(param.power, param.low, param.high) or param.high <= 63:
        return None
    assert param.power is not None
    text = f"with power, int holds the exponents of {param.power}"
    low, high = (_whole_log(v, param.power) for v in (param.low, param.high))
    if low is None or high is None:
        return text
    return f"{text}: for {param.low} ... {param.high} write {{power: {param.power}, int: [{low}, {high}]}}"


def doubtful_exponents(param: Param) -> str | None:
    """A note on a real power whose ends look like values: {power: 10, float: [1e-4, 1e-1]} is 1.0002 to 1.26."""
    if not isinstance(param, Float) or not _sound(param.power, param.low, param.high) or not 0 < param.low < 1:
        return None
    assert param.power is not None
    if param.power <= 1 or None in (
        low := _whole_log(param.low, param.power),
        high := _whole_log(param.high, param.power),
    ):
        return None
    ends = " to ".join(number(float(f"{param.power**u:.3g}")) for u in (param.low, param.high))
    meant = f"{{power: {number(param.power)}, float: [{low}, {high}]}}"
    return f"space.{shown(param.name)}: float holds the exponents of power: values are {ends}; perhaps meant: {meant}"


def _sound(*values: Any) -> bool:
    return all(isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) for v in values)


def _whole_log(value: float, base: float) -> int | None:
    if value <= 0 or base <= 1:
        return None
    exponent = round(math.log(value, base))
    return exponent if math.isclose(base**exponent, value, rel_tol=1e-12) else None
