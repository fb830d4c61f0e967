"""What the operators and functions of constraints do with values of any JSON type.

Each raises TypeError for values of the wrong type; numbers are those of `arithmetic`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from hpo_engine.space import arithmetic

NUMBER, TEXT, TRUTH, NULL, LIST = "a number", "text", "true or false", "null", "a list"
"""The types of values, as messages name them."""


def type_of(value: Any) -> str:
    if isinstance(value, bool):
        return TRUTH
    if type(value) in arithmetic.NUMBERS or isinstance(value, (int, float)):
        return NUMBER
    return NULL if value is None else TEXT if isinstance(value, str) else LIST


def number(value: Any) -> Any:
    if type(value) in arithmetic.NUMBERS:
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError
    return float(value) if isinstance(value, float) else int(value)  # numpy's, say


def truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def same(a: Any, b: Any) -> bool:
    """Equality of values: 1 equals 1.0, true does not equal 1."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if type(a) in arithmetic.NUMBERS and type(b) in arithmetic.NUMBERS:
        return arithmetic.same(a, b)
    return type_of(a) == type_of(b) and bool(a == b)


def among(a: Any, values: Any) -> bool:
    if not isinstance(values, list):
        raise TypeError
    return any(same(a, value) for value in values)


def less(a: Any, b: Any) -> bool:
    if isinstance(a, str) and isinstance(b, str):
        return a < b
    return arithmetic.less(number(a), number(b))


def at_most(a: Any, b: Any) -> bool:
    if isinstance(a, str) and isinstance(b, str):
        return a <= b
    return arithmetic.at_most(number(a), number(b))


ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": less,
    "<=": at_most,
    ">": lambda a, b: less(b, a),
    ">=": lambda a, b: at_most(b, a),
}
COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {**ORDER, "==": same, "!=": lambda a, b: not same(a, b)}
ARITHMETIC: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": arithmetic.plus,
    "-": arithmetic.minus,
    "*": arithmetic.times,
    "/": arithmetic.divided,
    "//": arithmetic.floor_divided,
    "%": arithmetic.modulo,
}
_MANY = 1000
FUNCTIONS: Mapping[str, tuple[int, int, Callable[..., Any]]] = {
    "min": (2, _MANY, min),
    "max": (2, _MANY, max),
    "abs": (1, 1, arithmetic.absolute),
    "log": (1, 1, math.log),
    "log2": (1, 1, math.log2),
    "sqrt": (1, 1, math.sqrt),
}
