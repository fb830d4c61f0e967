"""Rows made of what a script writes under names: a column each, or a key each."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from hpo_engine.contract.sources.numbers import NUMBERS, STEPS, metric, number, printable, step
from hpo_engine.plugins.card import Option
from hpo_engine.study.objective import Row

STEP_NAMES = (*STEPS, "iter", "global_step", "num_updates", "round")
STEP = Option(f"the name of the step; default: {', '.join(STEP_NAMES[:-1])} or {STEP_NAMES[-1]}", str, "")
DEEPEST = 8  # levels of objects in objects
_LONGEST = 400  # characters of a number; see `numbers`


class StepNames:
    """Makes rows, and counts those that have no step: such a row takes the step after the row before it, the first 1.

    Args:
        step: the name of the step; "": one of the usual ones that is not `named`, a metric of the study.
    """

    def __init__(self, step: str, named: Collection[str]) -> None:
        self._names = (step,) if step else tuple(name for name in STEP_NAMES if name not in named)
        self.begin()

    def begin(self) -> None:
        self._before: float = 0
        self.name = ""
        """What the step of the last row was called; "": it had none."""

    def row(self, found: Mapping[str, float]) -> Row | None:
        """None: there is no metric in it."""
        at, key = None, None
        lower = {name.lower(): name for name in found}
        for name in self._names:
            key = name if name in found else lower.get(name)
            if key is not None and (at := step(found[key])) is not None:
                found = {name: value for name, value in found.items() if name != key}
                break
        if not found:
            return None
        self._before, self.name = (self._before + 1, "") if at is None else (at, key or "")
        return Row(self._before, {printable(name): metric(value) for name, value in found.items()})


def flat(found: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of an object, and those of objects in it: {"val": {"loss": 1}} is {"val.loss": 1}.

    A number in a string counts, as some loggers write all of them.
    """
    return dict(_numbers(found, "", DEEPEST))


def _numbers(found: Mapping[str, Any], prefix: str, levels: int) -> Iterator[tuple[str, float]]:
    for name, value in found.items():
        if type(value) in NUMBERS:
            yield prefix + name, value
        elif type(value) is str and (text := number_of(value)) is not None:
            yield prefix + name, text
        elif type(value) is dict and levels:
            yield from _numbers(value, f"{prefix}{name}.", levels - 1)


def number_of(text: str) -> float | None:
    """None: empty, or no number."""
    try:
        return number(text) if text and len(text) <= _LONGEST else None
    except (ValueError, OverflowError):
        return None
