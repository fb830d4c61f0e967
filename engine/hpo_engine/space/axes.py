"""Axes: the mapping between [0, 1] and one parameter's values, exact for discrete values.

Knows only the parameter's own fields; which parameters apply is decided by the space.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from hpo_engine.space.params import Choice, Constant, Int, Param, alike, as_whole, json_text, key, plain
from hpo_engine.text.decimals import cleaner, cleaner_of_logs, raised

if TYPE_CHECKING:
    import numpy as np


_MOST_POWERS = 10_000  # cached by an axis, as they are expensive
_FINE = 1 << 50  # values of an axis; beyond it, floats in [0, 1] cannot distinguish them
_UNIT = 1 << 53  # floats below 1 are whole multiples of its inverse, except for the smallest
_COARSE, _HALVINGS = 1 << 30, 64


class Axis:
    """`size`: the number of values (None: continuous). `decode` and `encode` are monotone; `at` is a grid value."""

    size: int | None

    def decode(self, u: float) -> Any:
        raise NotImplementedError

    def encode(self, value: Any) -> float:
        raise NotImplementedError

    def problem(self, value: Any) -> str | None:
        raise NotImplementedError

    def at(self, k: int, levels: int) -> Any:
        raise NotImplementedError

    def grid_size(self, levels: int) -> int:
        return levels if self.size is None else self.size

    def grid_places(self, accepted: frozenset[Any], levels: int) -> set[int]:
        """The places on the grid whose values have one of these keys."""
        raise NotImplementedError

    def tidy(self, value: Any) -> Any:
        """The canonical form of a valid `value`: the type and the digits that decode would return."""
        return value

    def snap(self, u: np.ndarray) -> np.ndarray:  # (n,) -> (n,)
        """encode(decode(u)) of many places at once, to within rounding; entries in [0, 1], none NaN."""
        return u


class _Line(Axis):
    """A continuous axis; `to` and `back` convert to the scale on which it is uniform, and from it.

    Args:
        clean: removes the rounding errors of `back` from a value.
    """

    size = None

    def __init__(
        self,
        ends: tuple[float, float],
        to: Callable[[float], float],
        back: Callable[[float], float],
        clean: Callable[[float], float],
    ) -> None:
        self._ends, self._to, self._back, self._clean = ends, to, back, clean
        self._low, self._high = min(ends), max(ends)
        self._from, self._span = to(ends[0]), to(ends[1]) - to(ends[0])

    def decode(self, u: float) -> float:
        if u <= 0:
            return self._ends[0]
        if u >= 1:
            return self._ends[1]
        if u != u:
            raise ValueError("NaN for a parameter that applies")
        value = self._clean(self._back(self._from + u * self._span))
        return self._low if value < self._low else self._high if value > self._high else value

    def encode(self, value: Any) -> float:
        return min(max((self._to(self.tidy(value)) - self._from) / self._span, 0.0), 1.0)

    def problem(self, value: Any) -> str | None:
        return _number_problem(value, self._low, self._high)

    def at(self, k: int, levels: int) -> float:
        return self.decode(k / (levels - 1) if levels > 1 else 0.5)

    def grid_places(self, accepted: frozenset[Any], levels: int) -> set[int]:
        guesses = {round(self.encode(value) * (levels - 1)) for value, _ in accepted}
        return {k for k in guesses if key(self.at(k, levels)) in accepted}

    def tidy(self, value: Any) -> float:
        if not self._low < value < self._high:  # the ends stay as they were written
            return float(min(max(value, self._low), self._high))
        value = self._clean(float(value))
        return self._low if value < self._low else self._high if value > self._high else value


class Cells(Axis):
    """`size` values in order, each with an equal share of [0, 1]. If floats cannot distinguish all of them (`fine`),
    decode returns only some, and encode inverts it exactly for these."""

    size: int

    @property
    def fine(self) -> bool:
        """Whether there are too many values for arithmetic with floats."""
        return self.size > _FINE

    def value(self, k: int) -> Any:
        raise NotImplementedError

    def place(self, value: Any) -> int:
        """The place of the value, or of the one nearest to it."""
        raise NotImplementedError

    def decode(self, u: float) -> Any:
        if u <= 0:
            return self.value(0)
        if u >= 1:
            return self.value(self.size - 1)
        return self.value(int(u * _UNIT) * self.size // _UNIT if self.fine else int(u * self.size))

    def encode(self, value: Any) -> float:
        k = self.place(value)
        return -(-k * _UNIT // self.size) / _UNIT if self.fine else (k + 0.5) / self.size

    def at(self, k: int, levels: int) -> Any:
        return self.value(k)

    def grid_places(self, accepted: frozenset[Any], levels: int) -> set[int]:
        return {self.place(value) for value, _ in accepted}

    def cell(self, u: np.ndarray) -> np.ndarray:  # (n,) -> (n,), whole numbers
        """The places of the values at u; not for `fine` ones."""
        import numpy as np

        return np.minimum((u * self.size).astype(np.int64), self.size - 1)

    def snap(self, u: np.ndarray) -> np.ndarray:
        return u if self.fine else (self.cell(u) + 0.5) / self.size


class _Choices(Cells):
    def __init__(self, choices: Sequence[Any]) -> None:
        self._choices = choices
        self._places = {key(v): k for k, v in enumerate(choices)}
        self._alike: dict[Any, int] | None = None
        self._nested = any(isinstance(v, (list, dict)) for v in choices)
        self.size = len(choices)

    def value(self, k: int) -> Any:
        return plain(self._choices[k]) if self._nested else self._choices[k]

    def place(self, value: Any) -> int:
        found = self._place(value)
        if found is None:
            raise ValueError(self.problem(value))
        return found

    def _place(self, value: Any) -> int | None:
        """The place of the choice equal to the value, if need be as a number: 1.0 is 1, true is not."""
        try:
            found = self._places.get(key(value))
            if found is None and isinstance(value, (int, float, list, dict)) and not isinstance(value, bool):
                if self._alike is None:
                    self._alike = {alike(v): k for k, v in reversed(list(enumerate(self._choices)))}
                found = self._alike.get(alike(value))
        except (TypeError, ValueError, OverflowError):
            return None
        return found

    def problem(self, value: Any) -> str | None:
        if self._place(value) is not None:
            return None
        some = ", ".join(json_text(v) for v in self._choices[:5]) + (", ..." if len(self._choices) > 5 else "")
        return f"{json_text(value)} is not one of the choices: {some}"

    def tidy(self, value: Any) -> Any:
        found = self._place(value)
        return value if found is None else self.value(found)

    def grid_places(self, accepted: frozenset[Any], levels: int) -> set[int]:
        return {self._places[key] for key in accepted}


class _Fixed(_Choices):
    """A constant: an axis with one value, which is not a dimension."""

    def __init__(self, value: Any) -> None:
        super().__init__((value,))


class Steps(Cells):
    """The numbers start + k * step, computed exactly as (a + k * s) / scale; whole numbers if scale is None."""

    def __init__(self, low: float, high: float, step: float, power: float | None, whole: bool) -> None:
        self._a, self._s, top, self._scale = _exact(low, high, step, whole)
        self._start, self._step, self._power = low, step, power
        self._powers: dict[int, float] = {}
        self.size = max((top - self._a) // self._s, 0) + 1
        self._low, self._high = sorted((self.value(0), self.value(self.size - 1)))

    @property
    def too_fine(self) -> bool:
        """Whether adjacent values are equal floats (the step is below their resolution)."""
        last = self.size - 1
        return last > 0 and (self.value(0) == self.value(1) or self.value(last - 1) == self.value(last))

    @property
    def end(self) -> Any:
        """The last number of the grid (for powers: the last exponent), which may be below the end of the range."""
        return self._grid(self.size - 1)

    def _grid(self, k: int) -> Any:
        at = self._a + k * self._s
        return at if self._scale is None else at / self._scale

    def value(self, k: int) -> Any:
        if self._power is None:
            return self._grid(k)
        found = self._powers.get(k)
        if found is None:
            if len(self._powers) >= _MOST_POWERS:
                self._powers.clear()
            found = self._powers[k] = raised(self._power, self._grid(k))
        return found

    def place(self, value: Any) -> int:
        value = min(max(value, self._low), self._high)
        if self._scale is None and (whole := as_whole(value)) is not None:
            value = whole  # 5.0 is 5
        u = value if self._power is None else math.log(value) / math.log(self._power)
        if self._scale is None:
            offset = u - self._a
            guess = (2 * offset + self._s) // (2 * self._s) if isinstance(offset, int) else round(offset / self._s)
        else:
            offset = u - self._start
            guess = round(offset / self._step if math.isfinite(offset) else u / self._step - self._start / self._step)
        near = [min(max(guess + d, 0), self.size - 1) for d in (0, -1, 1)]
        return min(near, key=lambda k: abs(self.value(k) - value))

    def problem(self, value: Any) -> str | None:
        if self._scale is None and as_whole(value) is None:
            return f"{json_text(value)} is not a whole number"
        wrong = _number_problem(value, self._low, self._high)
        if wrong:
            return wrong
        nearest_value = self.value(self.place(value))
        tolerance = 0.0 if self._scale is None else abs(nearest_value if self._power else self._step) * 1e-9
        if abs(nearest_value - value) <= tolerance:
            return None
        return f"{value} is not on the grid; the nearest value is {nearest_value}"

    def tidy(self, value: Any) -> Any:
        return self.value(self.place(value))


class _LogSteps(Steps):
    """Steps whose cells are as wide as their logarithms: from half a step below a value to half a step above it."""

    def __init__(self, low: float, high: float, step: float, whole: bool) -> None:
        super().__init__(low, high, step, None, whole)
        # Half a step below the lowest value may not be positive: its cell ends at half the value at most.
        self._from = math.log(max(self._low - step / 2, self._low / 2))
        self._span = math.log(self._high + step / 2) - self._from

    def decode(self, u: float) -> Any:
        if u <= 0 or u >= 1:
            return super().decode(u)
        k = round((math.exp(self._from + u * self._span) - self._start) / self._step)
        return self.value(0 if k < 0 else self.size - 1 if k >= self.size else k)

    def encode(self, value: Any) -> float:
        middle = self.value(self.place(value))
        below = self._from if middle == self._low else math.log(middle - self._step / 2)
        u = min(max(((below + math.log(middle + self._step / 2)) / 2 - self._from) / self._span, 0.0), 1.0)
        return u if self.size <= _COARSE or self.decode(u) == middle else self._found(middle, u)

    def _found(self, value: Any, near: float) -> float:
        """The place that decodes to a value whose cell is too narrow to be computed; `near` if there is none."""
        low, high = 0.0, 1.0
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            there = self.decode(middle)
            if there == value:
                return middle
            low, high = (middle, high) if there < value else (low, middle)
        return near

    def cell(self, u: np.ndarray) -> np.ndarray:
        import numpy as np

        return self._cells(u).astype(np.int64)

    def _cells(self, u: np.ndarray) -> np.ndarray:
        """As `cell`, but as floats, so that places can be of any size."""
        import numpy as np

        places = np.rint((np.exp(self._from + u * self._span) - self._start) / self._step)
        inside = np.where(u <= 0, 0.0, np.where(u >= 1, float(self.size - 1), places))
        return np.clip(inside, 0.0, float(self.size - 1))

    def snap(self, u: np.ndarray) -> np.ndarray:
        import numpy as np

        places = self._cells(u)
        middle = self._start + places * self._step
        below = np.where(places == 0, self._from, np.log(np.maximum(middle - self._step / 2, self._low / 2)))
        return np.clip(((below + np.log(middle + self._step / 2)) / 2 - self._from) / self._span, 0.0, 1.0)


def axis_of(param: Param) -> Axis:
    if isinstance(param, Constant):
        return _Fixed(param.value)
    if isinstance(param, Choice):
        return _Choices(param.choices)
    low, high, step, power = param.low, param.high, param.step, param.power
    whole = isinstance(param, Int)
    if whole or step is not None or low == high:
        # A single value needs some step; any will do.
        step = step if step is not None else 1 if whole else max(abs(low), 1.0)
        if param.log and low != high:
            return _LogSteps(low, high, step, whole)
        return Steps(low, high, step, power, whole)
    if power is not None:
        base = float(power)
        log_base = math.log(base)
        ends = raised(base, low), raised(base, high)
        return _Line(ends, lambda v: math.log(v) / log_base, lambda u: base**u, cleaner_of_logs(*ends))
    if param.log:
        return _Line((low, high), math.log, math.exp, cleaner_of_logs(low, high))
    clean = cleaner(low, high)
    if math.isinf(high - low):
        return _Line((low, high), lambda v: v / 2, lambda u: u * 2, clean)
    return _Line((low, high), float, float, clean)


def _exact(low: float, high: float, step: float, whole: bool) -> tuple[int, int, int, int | None]:
    """Low, step and high as whole numbers over a common scale: 0.1 + 2 * 0.1 is 0.3, and 0.3 is not above 0.3."""
    if whole:
        return int(low), int(step), int(high), None
    from fractions import Fraction

    parts = [Fraction(repr(v)) for v in (low, step, high)]
    scale = math.lcm(*(f.denominator for f in parts))
    a, s, top = (f.numerator * (scale // f.denominator) for f in parts)
    return a, s, top, scale


def _number_problem(value: Any, low: float, high: float) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return f"{json_text(value)} is not a number"
    return None if low <= value <= high else f"{value} is outside {low} ... {high}"
