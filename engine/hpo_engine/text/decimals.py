"""Decimals as people write them: takes the dust of floating point off a number that is a short decimal but for it.

Knows nothing of parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable

_DIGITS = 12  # a number with more is none that somebody wrote
_EPSILON = 2.0**-52
_MOST_EXACT = 64  # exponents up to here are worked out exactly


def cleaner(low: float, high: float) -> Callable[[float], float]:
    """Numbers computed by sums in a range (low + u * (high - low)) -> the short decimal they are meant to be.

    Others stay as they are. Decimals are counted from the range's larger end, as the dust is: 5e-17 is 0 in [-1, 1].
    """
    size = max(abs(low), abs(high))
    places = _DIGITS - (math.floor(math.log10(size)) + 1 if size else 0)
    if abs(places) > 290:
        return float
    scale, dust = 10.0**places, 4 * _EPSILON * size
    slack = 1.01 * dust * scale + 1e-3

    def clean(value: float) -> float:
        scaled = value * scale
        if abs(scaled - round(scaled)) > slack:  # nearly always: rounding takes longer
            return value
        rounded = round(value, places)
        return rounded if abs(rounded - value) <= dust else value

    return clean


def cleaner_of_logs(low: float, high: float) -> Callable[[float], float]:
    """As `cleaner`, for positive numbers computed by exponentials: 0.0010000000000000002 is 0.001."""
    dust = _EPSILON * (4 + 2 * max(abs(math.log(low)), abs(math.log(high))))
    slack = 1.01 * dust * 10**_DIGITS + 1e-3

    def clean(value: float) -> float:
        if not 1e-290 < value < 1e290:
            return value
        scaled = value * 10.0 ** (_DIGITS - 1 - math.floor(math.log10(value)))
        if abs(scaled - round(scaled)) > slack:
            return value
        rounded = float(f"{value:.{_DIGITS}g}")
        return rounded if abs(rounded - value) <= dust * value else value

    return clean


def raised(base: float, exponent: float) -> float:
    """base ** exponent, rounded once where the exponent is whole: 0.1 ** 3 is 0.001. Whole numbers stay whole."""
    value: float = base**exponent
    if isinstance(value, int) or not 0 < value < math.inf:
        return value
    if exponent != int(exponent) or abs(exponent) > _MOST_EXACT:
        return cleaner_of_logs(value, value)(value)
    from fractions import Fraction

    return float(Fraction(repr(base)) ** int(exponent))
