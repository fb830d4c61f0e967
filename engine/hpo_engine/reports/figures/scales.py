"""Parameters as axes of a figure: places in [0, 1] as they are searched, and the values to write beside them.

A logarithmic parameter is logarithmic here, and the values of a discrete one have equal shares. Knows no Plotly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from hpo_engine.reports.figures.words import bare, words
from hpo_engine.space.axes import Axis, Cells
from hpo_engine.space.searchspace import Choice, Float, Int, SearchSpace
from hpo_engine.text.tables import cut, number, safe_text, value

_FEW = 12  # values of a discrete axis whose points are spread about their value
_SPREAD = 0.55  # of the share of a value


def ticks(
    space: SearchSpace, name: str, most: int = 6, width: int = 14, *, markup: bool = True
) -> tuple[list[float], list[str]]:
    """Places in [0, 1], and the value at each, cut to `width` columns. `markup`: whether the reader of the text knows
    markup, so that it must be escaped."""
    param, axis = space[name], space.axis(name)
    values: Sequence[Any]
    if isinstance(param, Choice):
        values = _some(param.choices, most * 2)
    elif isinstance(axis, Cells) and axis.size <= most:
        values = [axis.value(k) for k in range(axis.size)]
    else:
        assert isinstance(param, Float | Int)
        values = _round_values(param, axis, most)
    return [axis.encode(one) for one in values], [_text(one, width, markup) for one in values]


def spread(space: SearchSpace, name: str, places: np.ndarray) -> np.ndarray:  # (n,) -> (n,)
    """The places with those of a discrete parameter of few values spread about them, so that all points are seen; the
    same places are always spread alike."""
    axis = space.axis(name)
    if not isinstance(axis, Cells) or axis.size > _FEW:
        return places
    golden = (np.arange(len(places)) * 0.6180339887498949) % 1.0 - 0.5
    found: np.ndarray = places + golden * _SPREAD / axis.size
    return found


def _text(one: Any, width: int, markup: bool) -> str:
    plain = isinstance(one, (int, float)) and not isinstance(one, bool)
    if plain and abs(one) < 1e15:
        return number(float(f"{one:.4g}"))
    return words(value(one), width) if markup else bare(cut(safe_text(value(one)), width))


def _some(values: Sequence[Any], most: int) -> Sequence[Any]:
    """At most that many of the values, the first and the last among them."""
    if len(values) <= most:
        return values
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]


def _round_values(param: Float | Int, axis: Axis, most: int) -> Sequence[Any]:
    """Round numbers of the range, or its ends if there is only one."""
    low, high = sorted((axis.decode(0.0), axis.decode(1.0)))
    found = _decades(low, high, most) if param.log or param.power is not None else _steps(low, high, most)
    found = [one for one in found if low <= one <= high]
    if isinstance(param, Int):
        found = [round(one) for one in found if float(one).is_integer()]
    if isinstance(axis, Cells):
        found = list(dict.fromkeys(axis.tidy(one) for one in found))
    return found if len(found) > 1 else [low, high]


def _steps(low: float, high: float, most: int) -> list[float]:
    if not math.isfinite(high - low) or high <= low:
        return []
    raw = (high - low) / max(most - 1, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * nice for nice in (1, 2, 2.5, 5, 10) if power * nice >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [float(f"{k * step:.12g}") for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _decades(low: float, high: float, most: int) -> list[float]:
    span = math.log10(high) - math.log10(low)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    if span < 2:
        digits = (1, 2, 5) if span > 0.8 else (1, 1.5, 2, 3, 4, 5, 6, 8)
        return [d * 10.0**k for k in range(first, last + 1) for d in digits]
    every = max(1, math.ceil((last - first) / most))
    return [10.0**k for k in range(first, last + 1, every)]
