"""Files to which a script appends a row per report: JSON lines, and CSV with a header."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from hpo_engine.contract.sources.files import MAX_LINE, GrowingFile
from hpo_engine.contract.sources.interface import TrialFiles
from hpo_engine.contract.sources.numbers import BOM, NUMBERS, STEPS, metric, number, printable, step
from hpo_engine.plugins.card import Card, Option
from hpo_engine.study.objective import Row

_MOST_COLUMNS = 10_000
_STEP = Option("the name of the step; default: step, steps, epoch or iteration", str, "")


class _Rows(GrowingFile):
    """Rows with names. A row without a step takes the step after the row before it, the first takes 1."""

    def __init__(self, trial: TrialFiles, file: str, step: str) -> None:
        super().__init__(trial, file)
        self._steps = (step,) if step else tuple(name for name in STEPS if name not in trial.named)

    def begin(self) -> None:
        self._before: float = 0

    def _row(self, found: Mapping[str, Any]) -> Row | None:
        at: float | None = None
        lower = {name.lower(): name for name in found}
        for name in self._steps:
            key = name if name in found else lower.get(name)
            if key is not None and (at := step(found[key])) is not None:
                found = {name: value for name, value in found.items() if name != key}
                break
        values = {printable(name): metric(value) for name, value in found.items() if type(value) in NUMBERS}
        if not values:
            return None
        self._before = self._before + 1 if at is None else at
        return Row(self._before, values)


class JsonLines(_Rows):
    """One JSON object a line."""

    card = Card(
        "a file with a JSON object a line, to which the script appends",
        options={"file": Option("the file, in RESULT_DIR", str, "metrics.jsonl"), "step": _STEP},
    )

    def __init__(self, trial: TrialFiles, *, file: str = "metrics.jsonl", step: str = "") -> None:
        super().__init__(trial, file, step)

    def rows_of(self, lines: Iterable[bytes]) -> Iterator[Row]:
        for line in lines:
            try:
                found = json.loads(line.decode(errors="replace")) if len(line) <= MAX_LINE else None
            except (ValueError, RecursionError):
                continue
            if type(found) is dict and (row := self._row(found)) is not None:
                yield row


class Csv(_Rows):
    """A table whose first line has the names; between commas, semicolons or tabs."""

    card = Card(
        "a CSV file with a header, to which the script appends",
        options={"file": Option("the file, in RESULT_DIR", str, "metrics.csv"), "step": _STEP},
    )

    def __init__(self, trial: TrialFiles, *, file: str = "metrics.csv", step: str = "") -> None:
        super().__init__(trial, file, step)

    def begin(self) -> None:
        super().begin()
        self._header: Sequence[str] = ()
        self._delimiter = ","

    def rows_of(self, lines: Iterable[bytes]) -> Iterator[Row]:
        for line in lines:
            if not line.strip() or len(line) > MAX_LINE:
                continue
            text = line.removeprefix(BOM).decode(errors="replace").rstrip("\r")
            if not self._header:
                self._delimiter = max(",;\t", key=text.count)
            cells = [cell.strip() for cell in self._cells(text)]
            if not self._header:
                self._header = cells[:_MOST_COLUMNS]
            elif len(cells) == len(self._header):
                numbers = {
                    name: value
                    for name, cell in zip(self._header, cells, strict=True)
                    if (value := _number(cell)) is not None
                }
                if (row := self._row(numbers)) is not None:
                    yield row

    def _cells(self, text: str) -> list[str]:
        try:
            return next(csv.reader([text], delimiter=self._delimiter), [])
        except csv.Error:
            return []


def _number(cell: str) -> float | None:
    """None: empty, or no number."""
    try:
        return number(cell) if cell and len(cell) <= 400 else None
    except (ValueError, OverflowError):
        return None
