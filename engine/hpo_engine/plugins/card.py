"""How a plugin's class describes itself: what it is for, its options with their ranges, its source.

The class holds a `Card`. Options are checked against it and the documentation is printed from it, so the two cannot
disagree. (Cards are not pydantic models: `hpo-engine algorithms` prints them, and it must not wait for that import.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hpo_engine.errors import Problem, SpecError, nearest
from hpo_engine.space.params import json_text

_MOST_WHOLE = 1 << 1023  # what becomes a float


@dataclass(frozen=True)
class Option:
    """One option: `kind` is int, float, bool or text; `default` None means that the searcher decides.

    `least`, `most`: bounds, included unless `above` (then the value must be above `least`). `words`: the texts allowed.
    `formerly`: another name that the study file may use. `off`: the study file may say off, which is None here.
    `many`: one value or a list of them, which is a tuple here.
    """

    about: str
    kind: type
    default: Any = None
    least: float | None = None
    most: float | None = None
    above: bool = False
    words: tuple[str, ...] = ()
    formerly: str = ""
    off: bool = False
    many: bool = False

    def take(self, value: Any) -> Any:
        """The value in the option's type. Raises ValueError: "must be ..., not ..."."""
        if self.many:
            return tuple(map(replace(self, many=False).take, value if isinstance(value, (list, tuple)) else [value]))
        if value is None and self.default is None:
            return None
        if self.off and (value is None or value is False or (isinstance(value, str) and value.lower() == "off")):
            return None
        taken = value
        if self.kind is float and isinstance(value, int) and not isinstance(value, bool):
            taken = float(value) if abs(value) < _MOST_WHOLE else value
        right = isinstance(taken, self.kind) and (self.kind is bool or not isinstance(taken, bool))
        if not right or not self._inside(taken):
            raise ValueError(f"must be {self.range}, not {self._shown(value)}")
        return taken

    @property
    def range(self) -> str:
        """What is allowed, in words: "a whole number from 1 to 9"."""
        if self.kind is bool:
            return "true or false"
        if self.words:
            return " or ".join(self.words)
        if self.kind is str:
            return "text" + ", or a list of texts" * self.many
        noun = "a whole number" if self.kind is int else "a number"
        low = "" if self.least is None else f" {'above' if self.above else 'from'} {self.least:g}"
        high = "" if self.most is None else f" {'to' if low and not self.above else 'up to'} {self.most:g}"
        end = ", or off" * self.off + ", or a list of numbers" * self.many
        return noun + low + high + (" on" if low and not high and not self.above else "") + end

    def _shown(self, value: Any) -> str:
        """The value in a message, with advice if it is a number in quotes."""
        try:
            number = float(value) if isinstance(value, str) and self.kind in (int, float) else math.nan
        except ValueError:
            number = math.nan
        return json_text(value) if math.isnan(number) else f"the text {json_text(value)}; remove the quotes"

    def _inside(self, value: Any) -> bool:
        if self.words:
            return value in self.words
        if self.kind not in (int, float):
            return True
        if value != value or abs(value) == math.inf or (self.most is not None and value > self.most):
            return False
        return self.least is None or value > self.least or (value == self.least and not self.above)


@dataclass(frozen=True)
class Card:
    """`summary`: one line. `suits`: when to use it. `cost`: of one `ask`, by the history's length. `source`: paper.

    `extra`: the extra of pyproject.toml that it needs, if any. `open`: what more options there are, for its class to
    check.
    """

    summary: str
    suits: str = ""
    cost: str = ""
    source: str = ""
    options: Mapping[str, Option] = field(default_factory=dict)
    extra: str = ""
    open: str = ""

    def has(self, option: str) -> bool:
        """Whether it is the present or the former name of an option."""
        return option in self.options or any(option == known.formerly for known in self.options.values())

    def take(
        self, name: str, options: Mapping[str, Any], path: str = "options", common: Sequence[str] = ("seed",)
    ) -> dict[str, Any]:
        """The options of what is called `name`, each in its type. Raises SpecError with every one that is wrong.

        Args:
            path: the field that they are in. common: options that are taken elsewhere.
        """
        taken, problems = {}, []
        names = {option.formerly: name for name, option in self.options.items()}
        for given, value in options.items():
            place, key = f"{path}.{given}", names.get(given, given)
            if key != given and key in options:
                problems.append(Problem(place, f"is another name of {key}, which is given, too"))
                continue
            if key not in self.options and self.open:
                taken[key] = value
                continue
            if key not in self.options:
                hint = nearest(key, [*self.options, *common])
                problems.append(Problem(place, f"is not an option of {name}{hint}"))
                continue
            try:
                taken[key] = self.options[key].take(value)
            except ValueError as error:
                problems.append(Problem(place, str(error)))
        if problems:
            raise SpecError(problems)
        return taken


NO_CARD = Card(summary="")
"""Of a plugin that describes nothing."""

SEED = Option("the same seed makes the same proposals; if it is not given, one is drawn and kept", int, least=0)
"""The option that every algorithm has; the study keeps it, not the searcher."""
