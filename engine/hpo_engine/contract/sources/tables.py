"""Files to which a script appends a row per report: CSV with a header, and JSON lines."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence

from hpo_engine.contract.paths import EMETRICS, RESULT
from hpo_engine.contract.sources.files import MAX_LINE, GrowingFile
from hpo_engine.contract.sources.found import FoundFile
from hpo_engine.contract.sources.interface import MetricSource, TrialFiles
from hpo_engine.contract.sources.named import STEP, StepNames, flat, number_of
from hpo_engine.contract.sources.numbers import BOM, counted_by
from hpo_engine.contract.sources.oneof import OneOfFound
from hpo_engine.plugins.card import Card, Option
from hpo_engine.study.objective import Row

_MOST_COLUMNS = 10_000
_NOT = frozenset((EMETRICS, RESULT, "trainer_state.json"))  # other sources read these
_DOCUMENT = re.compile(
    rb"(\xef\xbb\xbf)?\s*(\[\s*([\[{]|$)|\{\s*$)"
).match  # the first line of one that is no object a line
_CSV_FILES = ("**/metrics.csv", "**/*.csv", "**/*.tsv", "**/*.log", "**/*.txt")
_JSONL_FILES = ("**/metrics.jsonl", "**/*.jsonl", "**/*.ndjson", "**/*.json", "**/*.log", "**/*.txt")


class Csv(OneOfFound):
    """The file of the trial that is a table with a column for the study's metrics."""

    card = Card(
        "a table with a header to which the script appends, separated by commas, semicolons or tabs",
        options={
            "file": Option(
                "the file, or a pattern such as **/results.csv, in RESULT_DIR or LOG_DIR; default: any .csv, .tsv, "
                ".log or .txt that has a column for a metric of the study", str, "",
            ),
            "step": STEP,
        },
    )  # fmt: skip

    def __init__(self, trial: TrialFiles, *, file: str = "", step: str = "") -> None:
        super().__init__(trial, file, _CSV_FILES, "table (CSV)")
        self._step = step

    def reader(self, file: FoundFile) -> MetricSource:
        return CsvFile(self._trial, file, self._step, must_name=self._trial.named if self._choosy else frozenset())


class JsonLines(OneOfFound):
    """The file of the trial that has a JSON object with the study's metrics in each line."""

    card = Card(
        "a file with a JSON object a line to which the script appends; nested names are joined by dots",
        options={
            "file": Option(
                "the file, or a pattern such as logs/**/*.jsonl, in RESULT_DIR or LOG_DIR; default: any .jsonl, "
                ".ndjson, .json, .log or .txt with such lines that have a metric of the study", str, "",
            ),
            "step": STEP,
        },
    )  # fmt: skip

    def __init__(self, trial: TrialFiles, *, file: str = "", step: str = "") -> None:
        super().__init__(trial, file, _JSONL_FILES, "file with JSON lines", _NOT)
        self._step = step

    def reader(self, file: FoundFile) -> MetricSource:
        return JsonLinesFile(self._trial, file, self._step)


class _Rows(GrowingFile):
    """Rows with names. A row without a step takes the step after the row before it, the first takes 1."""

    def __init__(self, trial: TrialFiles, file: FoundFile, step: str = "") -> None:
        self._steps = StepNames(step, trial.named)
        self.before = file.before
        super().__init__(trial, file.name, file.top, file.called)

    def begin(self) -> None:
        self._steps.begin()

    def begin_reports(self) -> None:
        self._steps.begin()

    def steps(self) -> str:
        return counted_by(self._steps.name)


class JsonLinesFile(_Rows):
    """One JSON object a line, which may stand behind a prefix as logging writes it: `2026-11-27 | INFO | {...}`.

    A document of several lines is none: of `[`, `{"loss": 1},`, `{"loss": 2}`, `]` one line would count.
    """

    def begin(self) -> None:
        super().begin()
        self._document: bool | None = None  # None: nothing was read yet

    def rows_of(self, lines: Iterable[bytes]) -> Iterator[Row]:
        for line in lines:
            if self._document is None and line.strip():
                self._document = _DOCUMENT(line) is not None
            start = line.find(b"{")
            if self._document or start < 0 or len(line) > MAX_LINE or b'"' in line[:start]:
                continue
            try:
                found = json.loads(line[start:].decode(errors="replace"))
            except (ValueError, RecursionError):
                continue
            if type(found) is dict and (row := self._steps.row(flat(found))) is not None:
                yield row


class CsvFile(_Rows):
    """A table whose first line has the names; between commas, semicolons or tabs.

    Args:
        must_name: of a table without a column of any of these names only the first row is read.
    """

    def __init__(
        self, trial: TrialFiles, file: FoundFile, step: str = "", must_name: frozenset[str] = frozenset()
    ) -> None:
        self._must_name = must_name
        super().__init__(trial, file, step)

    def begin(self) -> None:
        super().begin()
        self.header: Sequence[str] = ()
        self._delimiter = ","
        self._foreign = False

    def rows_of(self, lines: Iterable[bytes]) -> Iterator[Row]:
        for found in self.records(lines):
            if (row := self._steps.row(found)) is not None:
                yield row
                self._foreign = bool(self._must_name) and self._must_name.isdisjoint(self.header)

    def records(self, lines: Iterable[bytes]) -> Iterator[dict[str, float]]:
        """The numbers of each line that has as many cells as the header, by their columns."""
        for line in lines:
            if self._foreign:
                return
            if not line.strip() or len(line) > MAX_LINE or line.startswith(b"#{"):  # Stable-Baselines' monitor files
                continue
            text = line.removeprefix(BOM).decode(errors="replace").rstrip("\r")
            if not self.header:
                self._delimiter = max(",;\t", key=text.count)
            cells = [cell.strip() for cell in self._cells(text)]
            if not self.header:
                self.header = cells[:_MOST_COLUMNS]
            elif len(cells) == len(self.header):
                pairs = zip(self.header, cells, strict=True)
                yield {name: value for name, cell in pairs if name and (value := number_of(cell)) is not None}

    def _cells(self, text: str) -> list[str]:
        try:
            return next(csv.reader([text], delimiter=self._delimiter), [])
        except csv.Error:
            return []
