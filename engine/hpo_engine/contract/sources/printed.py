"""Metrics in what a script prints: `name=value` and `name: value`.

A line is one row. Of a progress bar, which overwrites its line, the last state counts. What the log's limit has dropped
is not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from hpo_engine.contract.outputlog.logfiles import NAME
from hpo_engine.contract.sources.files import MAX_LINE, GrowingFile
from hpo_engine.contract.sources.interface import TrialFiles
from hpo_engine.contract.sources.numbers import STEPS, metric, number, printable, step
from hpo_engine.plugins.card import Card
from hpo_engine.study.objective import Row

_MOST = 4096  # characters of a line that are searched
_NUMBER = r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|nan|inf(?:inity)?)"
_NAME = r"(?<![\w./-])([A-Za-z_][\w./-]{0,99})['\"]?"
_PAIR = re.compile(rf"{_NAME}\s{{0,4}}[=:]\s{{0,9}}({_NUMBER})(?![\w.]|[:/-]\d)", re.IGNORECASE)  # no times and dates
_COUNTED = re.compile(r"^\[(\d{1,15})\]|\b(epoch|step|iter(?:ation)?|round)s?\W{0,3}(\d{1,15})(?=\D|$)", re.IGNORECASE)
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


class Printed(GrowingFile):
    """The output of the script, standard output and standard error alike."""

    card = Card("metrics that the script prints, as in `epoch 3: loss=0.31`")

    def __init__(self, trial: TrialFiles) -> None:
        super().__init__(trial, NAME, trial.paths.attempt(trial.attempt), "the output")
        self.title = "metrics in the output"
        self._named = trial.named

    def begin(self) -> None:
        self._step: float = 0
        self._counted: float | None = None  # by a line without metrics, such as "Epoch 3/10"

    def rows_of(self, lines: Iterable[bytes]) -> Iterator[Row]:
        for raw in lines:
            line = _last_state(raw) if len(raw) <= MAX_LINE else ""
            values = {
                printable(name): value for name, text in _PAIR.findall(line) if (value := _number(text)) is not None
            }
            at = self._step_of(line, values)
            if values:
                at = self._counted if at is None else at
                self._step = self._step + 1 if at is None else at
                yield Row(self._step, values)
            elif at is not None:
                self._counted = at

    def _step_of(self, line: str, values: dict[str, float]) -> float | None:
        """The step that the line has, which is none of its metrics then."""
        lower = {name.lower(): name for name in values}
        for key in (*STEPS, "iter", "round"):
            if (name := lower.get(key)) is not None and name not in self._named:
                return step(values.pop(name))
        found = _COUNTED.search(line)
        return None if found is None or found[2] in self._named else int(found[1] or found[3])


def names(line: str) -> list[str]:
    """The names that have a number in a line."""
    return [name for name, _ in _PAIR.findall(line[:_MOST])]


def _last_state(raw: bytes) -> str:
    states = [state for state in raw.split(b"\r") if state.strip()]
    return _ESCAPES.sub("", states[-1].decode(errors="replace"))[:_MOST] if states else ""


def _number(text: str) -> float | None:
    try:
        return metric(number(text))
    except (ValueError, OverflowError):
        return None
