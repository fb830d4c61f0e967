"""The parameters of a search space, each by itself: frozen values, their JSON form, and what may be wrong with one.

Knows nothing of other parameters of a space, nor of how values are scaled.
"""

from __future__ import annotations

import json
import math
import numbers
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar

from hpo_engine.errors import SpecError, nearest
from hpo_engine.text.quoting import shown

MAX_NAME = 200
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
_MAX_DEPTH = 32

When = Mapping[str, Any]


@dataclass(frozen=True)
class Float:
    """A real number from `low` to `high`, both included.

    `log`: uniform in the logarithm. `step`: only low + k * step. `power`: the value is power ** u, and low, high
    and step refer to u. `when`: applies only if each named parameter has the given value (or one of the values).
    """

    kind: ClassVar[str] = "float"
    name: str
    low: float
    high: float
    log: bool = False
    step: float | None = None
    power: float | None = None
    when: When | None = None

    def __post_init__(self) -> None:
        _tidy(self, _as_float)


@dataclass(frozen=True)
class Int:
    """A whole number from `low` to `high`, both included; the fields are those of Float."""

    kind: ClassVar[str] = "int"
    name: str
    low: int
    high: int
    log: bool = False
    step: int | None = None
    power: int | None = None
    when: When | None = None

    def __post_init__(self) -> None:
        _tidy(self, _as_int)


@dataclass(frozen=True)
class Choice:
    """One of a list of JSON values, distinguished by type and value (1, 1.0 and true differ). `ordered`: neighbours are
    similar."""

    kind: ClassVar[str] = "choice"
    name: str
    choices: tuple[Any, ...]
    ordered: bool = False
    when: When | None = None

    def __post_init__(self) -> None:
        if isinstance(self.choices, (list, tuple)):
            object.__setattr__(self, "choices", tuple(plain(v) for v in self.choices))
        _tidy(self)


@dataclass(frozen=True)
class Constant:
    """A fixed JSON value, passed to every trial (unless `when` excludes it)."""

    kind: ClassVar[str] = "constant"
    name: str
    value: Any
    when: When | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", plain(self.value))
        _tidy(self)


Param = Float | Int | Choice | Constant
_KINDS: dict[str, type[Float] | type[Int] | type[Choice] | type[Constant]] = {
    cls.kind: cls for cls in (Float, Int, Choice, Constant)
}


# -- what is wrong with one parameter ---------------------------------------------------------------------------------


def name_problem(name: Any) -> str | None:
    if not isinstance(name, str):
        return f"a name must be text, not {json_text(name)}"
    if not name.strip():
        return "the name is empty"
    if len(name) > MAX_NAME:
        return f"the name has {len(name)} characters; at most {MAX_NAME} are allowed"
    # Control, formatting (bidi overrides, zero width), half surrogates, line and paragraph separators.
    if any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in name):
        return "the name has control characters"
    return None


def field_problems(param: Param) -> Iterator[tuple[str, str]]:
    """(field, text) for each problem within one parameter, ignoring conditions."""
    if isinstance(param, Constant):
        wrong = json_problem(param.value)
        if wrong:
            yield "value", wrong
    elif isinstance(param, Choice):
        yield from _choice_problems(param)
    else:
        yield from _number_problems(param)


def _choice_problems(param: Choice) -> Iterator[tuple[str, str]]:
    if not isinstance(param.choices, tuple):
        yield "choices", f"must be a list, not {json_text(param.choices)}"
        return
    if not param.choices:
        yield "choices", "is empty; give at least one value"
    seen = set()
    for value in param.choices:
        wrong = json_problem(value)
        if wrong:
            yield "choices", wrong
        elif key(value) in seen:
            yield "choices", f"{json_text(value)} is listed twice"
        else:
            seen.add(key(value))
    if not isinstance(param.ordered, bool):
        yield "ordered", f"must be true or false, not {json_text(param.ordered)}"


def _number_problems(param: Float | Int) -> Iterator[tuple[str, str]]:
    number = "a whole number" if isinstance(param, Int) else "a finite number"
    good = True
    for name in ("low", "high", "step", "power"):
        value = getattr(param, name)
        if value is None and name in ("step", "power"):
            continue
        wrong = None if _sound_number(value, isinstance(param, Int)) else f"must be {number}, not {json_text(value)}"
        if wrong is None and isinstance(param, Int) and not _INT_MIN <= value <= _INT_MAX:
            wrong = "must fit in 64 bits (-2^63 ... 2^63 - 1)"
        if wrong is None and name == "step" and value <= 0:
            wrong = f"must be above 0, not {value}"
        if wrong:
            good = False
            yield name, wrong
    if not isinstance(param.log, bool):
        good = False
        yield "log", f"must be true or false, not {json_text(param.log)}"
    if good:
        yield from _range_problems(param)


def _range_problems(param: Float | Int) -> Iterator[tuple[str, str]]:
    """Problems between the fields, each of which is valid by itself."""
    if param.low > param.high:
        yield "low", f"low {param.low} is above high {param.high}"
    if param.power is not None:
        wrong = _power_problem(param, param.power)
        if wrong:
            yield "power", wrong
        if param.log:
            yield "log", "log and power exclude each other; power alone is a log scale"
    elif param.log and param.low <= 0:
        yield "low", f"must be above 0 for a log scale, not {param.low}"


def _power_problem(param: Float | Int, power: float) -> str | None:
    low, high = param.low, param.high
    if isinstance(param, Int):
        if power < 2:
            return f"must be at least 2 for an int, not {power}"
        if low < 0:
            return f"{power} ** {low} is not a whole number; use a float"
        return f"{power} ** {high} does not fit in 64 bits" if high > 63 or power**high > _INT_MAX else None
    if power <= 0 or power == 1:
        return f"must be above 0 and not 1, not {power}"
    for exponent in (low, high):
        try:
            value = power**exponent
        except OverflowError:
            value = math.inf
        if not 0 < value < math.inf:
            return f"{power} ** {exponent} is too {'large' if value else 'small'} for a number"
    return None


# -- plain values ----------------------------------------------------------------------------------------------------


def json_problem(value: Any, depth: int = 0) -> str | None:
    """Why a value cannot be written to config.json; None if it can."""
    if depth > _MAX_DEPTH:
        return "is nested too deep"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is not a finite number"
    if isinstance(value, str) and not _encodes(value):
        return f"{value!r} is not valid text"
    if isinstance(value, list):
        return next((p for v in value if (p := json_problem(v, depth + 1))), None)
    if isinstance(value, dict):
        if not all(isinstance(k, str) and _encodes(k) for k in value):
            return "has a key that is not text"
        return next((p for v in value.values() if (p := json_problem(v, depth + 1))), None)
    if value is None or isinstance(value, (bool, int, float, str)):
        return None
    return f"{json_text(value)} is not a JSON value (text, number, true, false, null, list or object)"


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _tidy(param: Param, number: Callable[[Any], Any] | None = None) -> None:
    """Normalises the fields of a new parameter (tuples to lists, 1 to 1.0 ...); invalid ones stay as they are."""
    if number:
        for name in ("low", "high", "step", "power"):
            object.__setattr__(param, name, number(getattr(param, name)))
    if isinstance(param.when, Mapping):
        object.__setattr__(param, "when", plain(param.when) or None)


def _as_float(value: Any) -> Any:
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    return value


def _as_int(value: Any) -> Any:
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    number = _as_float(value)
    return int(number) if isinstance(number, float) and number.is_integer() else value


def _sound_number(value: Any, whole: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return isinstance(value, int) if whole else math.isfinite(value)


def plain(value: Any, depth: int = 0) -> Any:
    """The value after a round trip through JSON: new lists and dicts, Python's own scalars; anything else stays."""
    if depth > _MAX_DEPTH + 1:
        return value
    if isinstance(value, (list, tuple)):
        return [plain(v, depth + 1) for v in value]
    if isinstance(value, Mapping):
        return {k: plain(v, depth + 1) for k, v in value.items()}
    if type(value) in (str, int, float, bool, type(None)):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    return float(value) if isinstance(value, numbers.Real) else value


def param_json(param: Param) -> dict[str, Any]:
    out: dict[str, Any] = {"type": param.kind}
    for f in fields(param):
        value = getattr(param, f.name)
        if f.default is MISSING or value is not f.default:
            out[f.name] = plain(value)
    return out


def param_from(entry: Mapping[str, Any]) -> Param:
    cls = _KINDS.get(entry.get("type", ""))
    if cls is None:
        raise SpecError(f"parameter of type {json_text(entry.get('type'))}{nearest(str(entry.get('type')), _KINDS)}")
    try:
        return cls(**{k: v for k, v in entry.items() if k != "type"})
    except TypeError as error:
        raise SpecError(f"parameter {json_text(entry.get('name'))}: {error}") from None


def json_text(value: Any) -> str:
    """A value for a message: as JSON, cut to a readable length."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = repr(value)
    return shown(text)


def as_whole(value: Any) -> int | None:
    """The int equal to a number: 5.0 is 5; None if there is none (true is not a number)."""
    if type(value) is int:
        return value
    return int(value) if isinstance(value, float) and value.is_integer() else None


def alike(value: Any) -> Any:
    """Equal for values that a person would call equal: as `key`, but 1 equals 1.0, and 0.1 + 0.2 equals 0.3."""
    return key(_rounded(value))


def _rounded(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_rounded(v) for v in value]
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if not isinstance(value, float) or not math.isfinite(value):
        return value
    short = value if value.is_integer() else float(f"{value:.12g}")
    return int(short) if short.is_integer() else short


def key(value: Any) -> Any:
    """Equal for values that are the same JSON value: 1, 1.0 and true differ, lists and objects compare by content."""
    if isinstance(value, (list, tuple, dict)):
        return json.dumps(value, sort_keys=True), list
    return value, type(value)
