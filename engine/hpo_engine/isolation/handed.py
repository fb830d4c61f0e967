"""A search space as plugins of WMLA's form get it, and the values that they propose in return.

A range with steps is handed over as the list of its values. A range with a power is handed over as that of the
exponents, as a request has it, and so is a logarithmic range of a native study file; what is proposed for it is the
exponent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from hpo_engine.errors import Problem, SpecError
from hpo_engine.space.axes import Axis, Cells, axis_of
from hpo_engine.space.params import Choice, Constant, Float, Int, json_text
from hpo_engine.space.searchspace import SearchSpace
from hpo_engine.studyfile.common import as_text
from hpo_engine.studyfile.wmla import search_params
from hpo_engine.text.quoting import shown

_MOST_VALUES = 100_000  # of a list that is handed over
_LISTS = {"DOUBLE": "discreteDbVal", "INT": "discreteIntVal"}


class Handed:
    """`entries`: the hyperParams, every field present; constants are not handed over.

    Raises:
        SpecError: the space has rules, which such a plugin cannot know, or more values than a list can hold.
    """

    def __init__(self, space: SearchSpace) -> None:
        if space.rules:
            text = "cannot be told to a plugin of WMLA's form; remove require, or choose another algorithm"
            raise SpecError([Problem("require", text)])
        self._space = space
        self._constants = {p.name: p.value for p in space.params if isinstance(p, Constant)}
        self.entries: list[dict[str, Any]] = []
        self._readers: dict[str, Callable[[Any], Any]] = {}
        for param, entry in zip(space.dimensions, search_params(space), strict=True):
            entry, read = _handed(param, entry)
            self.entries.append(entry)
            self._readers[param.name] = read

    def taken(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration that a plugin's proposal means; values of parameters that do not apply are dropped.

        Raises:
            ValueError: it is not a member of the space; the text says what is wrong with it.
        """
        if missing := [name for name in self._readers if name not in found and not self._conditional(name)]:
            raise ValueError(f"it has no value for {shown(missing[0])}")
        values = {name: self._readers[name](found[name]) for name in self._readers if name in found}
        extra = {name: value for name, value in found.items() if name not in self._readers}
        values.update({name: value for name, value in self._constants.items() if name not in extra})
        applying = self._applying({**values, **extra})
        if problem := self._space.problem_with(applying):
            raise ValueError(problem)
        return self._space.tidied(applying)

    def _conditional(self, name: str) -> bool:
        return any(param.name == name and param.when for param in self._space.dimensions)

    def _applying(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values without those of parameters that do not apply."""
        from hpo_engine.space.conditions import applies

        out = {name: value for name, value in values.items() if name not in self._space}
        for name, _, _, conditions in self._space.plan:  # parents first
            if name in values and (not conditions or applies(conditions, out)):
                out[name] = values[name]
        return {name: out[name] for name in (*self._space.names, *out) if name in out}


def _handed(param: Float | Int | Choice, entry: dict[str, Any]) -> tuple[dict[str, Any], Callable[[Any], Any]]:
    """The entry for a parameter, and what reads the value that is proposed for it."""
    if isinstance(param, Choice):
        return entry, _reader_of_choices(param)
    axis = axis_of(param)
    if param.step is not None:
        if not isinstance(axis, Cells) or axis.size > _MOST_VALUES:
            text = f"has more than {_MOST_VALUES:,} values, too many to list them for a plugin"
            raise SpecError([Problem(f"space.{shown(param.name)}.step", text)])
        values = [axis.value(k) for k in range(axis.size)]
        list_of = _LISTS[entry["dataType"]]
        ends = {"minDbVal": 0.0, "maxDbVal": 0.0, "minIntVal": 0, "maxIntVal": 0, "step": None, "power": None}
        return {**entry, **ends, "type": "Discrete", list_of: values}, _snapped(_number, axis)
    if param.power is not None:
        return entry, _snapped(_raiser(param.power, whole=isinstance(param, Int)), axis)
    if param.log and isinstance(param, Float):
        low, high = math.log10(param.low), math.log10(param.high)
        return {**entry, "minDbVal": low, "maxDbVal": high, "power": 10}, _snapped(_raiser(10, whole=False), axis)
    return entry, _snapped(_number, axis)


def _number(value: Any) -> Any:
    """A number that a plugin has left as text."""
    if isinstance(value, str):
        for kind in (int, float):
            try:
                return kind(value)
            except ValueError:
                continue
    return value


def _raiser(power: float, *, whole: bool) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        exponent = _number(value)
        if isinstance(exponent, bool) or not isinstance(exponent, (int, float)):
            return value
        try:
            if whole and exponent == int(exponent):
                return power ** int(exponent)
            return float(power**exponent)
        except (OverflowError, ValueError, ZeroDivisionError):
            return math.nan

    return read


def _snapped(inner: Callable[[Any], Any], axis: Axis) -> Callable[[Any], Any]:
    """Reads as `inner`; what is a valid value but for rounding becomes that one, as 0.1 + 0.2 becomes 0.3."""

    def read(value: Any) -> Any:
        found = inner(value)
        if isinstance(found, bool) or not isinstance(found, (int, float)) or not math.isfinite(found):
            return found
        near = axis.decode(axis.encode(found))
        return near if found != near and math.isclose(found, near, rel_tol=1e-9, abs_tol=1e-15) else found

    return read


def _reader_of_choices(param: Choice) -> Callable[[Any], Any]:
    """Reads one of the choices, which were handed over as text unless all are numbers."""
    texts = {_text(choice): choice for choice in param.choices}

    def read(value: Any) -> Any:
        if isinstance(value, str) and value in texts and value not in param.choices:
            return texts[value]
        return value

    return read


def _text(value: Any) -> str:
    found = as_text(value)
    return json_text(value) if found is None else found
