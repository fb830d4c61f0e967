"""Arithmetic of rules: decimals are exact, and what no decimal represents exactly is compared with a tolerance.

Whole numbers are `int`, other decimals of up to 15 digits are `Decimal`. The results of + - * // % and ** of these are
exact, and so is that of / if it has up to 50 digits. Everything else is a `float`: values drawn from a range, roots,
logarithms, 1/3. If a float takes part, numbers count as equal that differ by no more than 1e-9 of the larger one, in
every comparison; then their difference is 0, and a number that close to a multiple of b counts as one for // and %.

Knows nothing of rules. Operators raise ArithmeticError, TypeError or ValueError if there is no result.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from decimal import Decimal

TOLERANCE = 1e-9
NUMBERS: set[type] = {int, float}
"""The types of numbers here, with Decimal once it is loaded."""

_DIGITS = 15  # all that a float holds of any decimal
_MAX_BITS = 1024  # of a whole number that a power makes
_MOST_KNOWN = 10_000
_known: dict[float, Any] = {}


def exact(value: Any) -> Any:
    """The exact number that a float stands for; anything else is returned unchanged."""
    if type(value) is not float:
        return value
    found = _known.get(value)
    if found is None:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        found = _known[value] = _exact(value)
    return found


def _exact(value: float) -> Any:
    if not math.isfinite(value):
        return value
    if value.is_integer() and abs(value) < 1e15:
        return int(value)
    if _decimal is None:
        _load()
    found = _decimal(repr(value))
    return found if len(found.as_tuple().digits) <= _DIGITS else value


# Decimal arithmetic that raises if it cannot be exact: loading it takes milliseconds, so it happens on demand.
_decimal: Any = None
_inexact: Any = ()
_overflow: Any = ()
_add: Callable[[Any, Any], Any]
_subtract: Callable[[Any, Any], Any]
_multiply: Callable[[Any, Any], Any]
_divide: Callable[[Any, Any], Any]
_wide: Any


def _load() -> None:
    import decimal

    global _decimal, _inexact, _overflow, _add, _subtract, _multiply, _divide, _wide
    # Nothing beyond the range of floats is computed: Overflow is an ArithmeticError.
    wrong = [decimal.Inexact, decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow]
    _wide = decimal.Context(prec=1000, Emin=-999_999, Emax=308, traps=wrong)
    _add, _subtract, _multiply = _wide.add, _wide.subtract, _wide.multiply
    _divide = decimal.Context(prec=50, Emin=-999_999, Emax=308, traps=wrong).divide
    _decimal, _inexact, _overflow = decimal.Decimal, decimal.Inexact, decimal.Overflow
    NUMBERS.add(_decimal)


def _or_floats(operator: Callable[[Any, Any], Any], a: Any, b: Any, instead: Callable[[float, float], float]) -> Any:
    """The exact result for two exact numbers, or that of floats if it has too many digits."""
    try:
        return operator(a, b)
    except _overflow:
        raise
    except _inexact:
        return instead(float(a), float(b))


# -- comparisons -----------------------------------------------------------------------------------------------------


def same(a: Any, b: Any) -> bool:
    return bool(a == b) or ((type(a) is float or type(b) is float) and math.isclose(a, b, rel_tol=TOLERANCE))


def less(a: Any, b: Any) -> bool:
    if not a < b:
        return False
    return not ((type(a) is float or type(b) is float) and math.isclose(a, b, rel_tol=TOLERANCE))


def at_most(a: Any, b: Any) -> bool:
    return bool(a <= b) or ((type(a) is float or type(b) is float) and math.isclose(a, b, rel_tol=TOLERANCE))


# -- operators -------------------------------------------------------------------------------------------------------


def plus(a: Any, b: Any) -> Any:
    kind, other = type(a), type(b)
    if kind is float or other is float:
        a, b = float(a), float(b)
        out = a + b
        return 0.0 if abs(out) <= TOLERANCE * abs(a) and out - out == 0 else out
    return a + b if kind is int and other is int else _or_floats(_add, a, b, plus)


def minus(a: Any, b: Any) -> Any:
    kind, other = type(a), type(b)
    if kind is float or other is float:
        a, b = float(a), float(b)
        out = a - b
        return 0.0 if abs(out) <= TOLERANCE * abs(a) and out - out == 0 else out
    return a - b if kind is int and other is int else _or_floats(_subtract, a, b, minus)


def times(a: Any, b: Any) -> Any:
    kind, other = type(a), type(b)
    if kind is float or other is float:
        return float(a) * float(b)
    return a * b if kind is int and other is int else _or_floats(_multiply, a, b, times)


def divided(a: Any, b: Any) -> Any:
    kind, other = type(a), type(b)
    if kind is float or other is float:
        return float(a) / float(b)
    if kind is int and other is int and a % b == 0:
        return a // b
    if _decimal is None:
        _load()
    return _or_floats(_divide, a, b, divided)


def floor_divided(a: Any, b: Any) -> Any:
    return _divided_with_rest(a, b)[0]


def modulo(a: Any, b: Any) -> Any:
    """As in Python: the sign is that of `b`."""
    return _divided_with_rest(a, b)[1]


def _divided_with_rest(a: Any, b: Any) -> tuple[Any, Any]:
    kind, other = type(a), type(b)
    if kind is int and other is int:
        return a // b, a % b
    if kind is not float and other is not float:
        count, rest = _wide.divmod(a, b)  # towards zero
        if rest != 0 and (rest < 0) != (b < 0):
            count, rest = _subtract(count, 1), _add(rest, b)
        return count, rest
    a, b = float(a), float(b)
    nearest = float(round(a / b))
    if math.isclose(a, nearest * b, rel_tol=TOLERANCE):
        return nearest, 0.0
    count, rest = divmod(a, b)
    return count, rest


def negative(a: Any) -> Any:
    return -a if type(a) is int or type(a) is float else a.copy_negate()


def absolute(a: Any) -> Any:
    return abs(a) if type(a) is int or type(a) is float else a.copy_abs()


def power(base: Any, exponent: Any) -> Any:
    if type(base) is not float and type(exponent) is not float and exponent == int(exponent):
        exponent = int(exponent)
        if type(base) is not int:
            found = _decimal_power(base, exponent)
            if found is not None:
                return found
        elif exponent >= 0:
            return _whole_power(base, exponent)
        else:
            return divided(1, _whole_power(base, -exponent))
    value = float(base) ** float(exponent)
    if isinstance(value, complex):
        raise ValueError
    return value


def _whole_power(base: int, exponent: int) -> int:
    if base.bit_length() * exponent > _MAX_BITS:
        raise OverflowError
    return int(base**exponent)


def _decimal_power(base: Decimal, exponent: int) -> Any:
    """None if it has too many digits."""
    sign, digits, shift = base.as_tuple()
    if not isinstance(shift, int) or 4 * len(digits) * abs(exponent) > _MAX_BITS:
        return None
    whole = int("".join(map(str, digits))) * (-1 if sign else 1)
    found = _wide.scaleb(_decimal(whole ** abs(exponent)), shift * abs(exponent))
    return divided(1, found) if exponent < 0 else found
