"""Metrics in what a script prints: as its lines say them (`printedlines`), or by patterns of the study file's.

A line is a row; lines that follow one another, have the same step and other metrics, are one. Of a progress bar, which
overwrites its line, the last state counts; of a bar over epochs each epoch does. What the log's limit has dropped is
not read, nor the lines that it has cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from hpo_engine.contract.outputlog.logfiles import NAME
from hpo_engine.contract.outputlog.newest import Newest
from hpo_engine.contract.sources.files import MAX_LINE, GrowingFile
from hpo_engine.contract.sources.interface import TrialFiles
from hpo_engine.contract.sources.numbers import counted_by
from hpo_engine.contract.sources.patterns import Patterns
from hpo_engine.contract.sources.printedlines import Line, LineReader
from hpo_engine.contract.sources.printedlines import names as names
from hpo_engine.contract.sources.printedtables import PrintedTable
from hpo_engine.plugins.card import Card, Option
from hpo_engine.study.objective import Row

_STATES = re.compile(rb"[\r\x08]+")
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)")
_MOST = 16_384  # bytes of a line that are looked at, with its colours
_OVER_EPOCHS = re.compile(r"^\s*epochs?:?\s+\d{1,3}%\||epoch/s|s/epoch", re.IGNORECASE)
_DONE = re.compile(r"\|\s{0,9}(\d{1,15})/\d{1,15} \[")  # of a progress bar
_DROPPED = re.compile(rb"\n\[\.\.\. \d+ bytes dropped \.\.\.\]\n")  # see `outputlog.capture`
_LEAST_HEAD = 1 << 11  # bytes that a log has before the newest part of it is kept apart
_CHUNK = 256 << 10  # bytes of that part that one look reads
_MOST_NAMES = 1000


class Printed(GrowingFile):
    """The output of the script, standard output and standard error alike."""

    card = Card(
        "metrics that the script prints, as in `epoch 3: loss=0.31`",
        options={
            "pattern": Option(
                "regular expressions instead of the usual forms; each named group is a metric, `step` is the step",
                str,
                (),
                many=True,
            )
        },
    )

    def __init__(self, trial: TrialFiles, *, pattern: Sequence[str] = ()) -> None:
        self._named = trial.named
        self._patterns = Patterns(pattern, trial.named) if pattern else None
        self._reader = LineReader(trial.named)
        self._newest = Newest(trial.paths.attempt(trial.attempt))
        super().__init__(trial, NAME, trial.paths.attempt(trial.attempt), "the output")
        self.title = "metrics in the output"

    def begin(self) -> None:
        self._made = _RowMaker(self._named)
        self._table = PrintedTable(self._reader.name)

    def look(self) -> bool:
        if not self._newest.begun:
            if super().look():
                return True
            if self._offset < _LEAST_HEAD:
                return False
        data, lost = self._newest.fresh(_CHUNK)
        if lost:
            self._tail = b""
            data = data.partition(b"\n")[2]
        if data:
            self._take(data)
        return bool(data)

    def rows_of(self, lines: Iterable[bytes]) -> list[Row]:
        rows: list[Row] = []
        for raw in lines:
            states = _states(raw)
            if not states:
                continue
            last = _text(states[-1])
            if _OVER_EPOCHS.search(last) and self._patterns is None:
                self._each_epoch(states, rows)
                self._made.bar = -1
            else:
                self._made.add(self._line(last), rows)
        return rows

    def parse(self, data: bytes) -> Sequence[Row]:
        return [*super().parse(_without_cut_lines(data)), *self._made.rest()]

    def steps(self) -> str:
        return "steps are those that its lines name" if self._made.counted else counted_by("")

    def _take(self, data: bytes) -> None:
        super()._take(data)
        over, overwritten, now = self._tail.rpartition(b"\r")
        if overwritten and (states := _states(over)):
            if _OVER_EPOCHS.search(_text(states[-1])) and self._patterns is None:
                self._each_epoch(states, self._rows)
            self._tail = states[-1] + b"\r" + now  # what is overwritten needs no memory

    def _line(self, text: str) -> Line:
        if self._patterns is not None:
            return self._patterns.read(text)
        return self._table.read(text) or self._reader.read(text)

    def _each_epoch(self, states: Iterable[bytes], rows: list[Row]) -> None:
        """A progress bar over epochs: what it shows when it has gone on is a row."""
        for text in map(_text, states):
            done = int(found[1]) if (found := _DONE.search(text)) is not None else 0
            if done > self._made.bar and (line := self._reader.read(text)).values:
                self._made.bar = done
                if done:
                    self._made.add(Line(line.values, done), rows)


class _RowMaker:
    """Makes rows of lines, which have a step or not.

    A line without a step has that of the last line that said one; if none did, a metric that comes again begins the
    next step. What stands before the first of the study's metrics (a script's settings) does not count steps.
    """

    def __init__(self, named: frozenset[str]) -> None:
        self._named = named
        self._said: float | None = None  # the step of the last line that says one for those after it
        self._last: float | None = None  # the step of the last row
        self._names: set[str] = set()  # the metrics of that step
        self._early: dict[str, float] = {}
        self.bar = -1  # how far the progress bar over epochs is
        self.counted = False  # whether a line has said which step it is

    def add(self, line: Line, rows: list[Row]) -> None:
        """Adds what a line says to the rows, of which the last may get more metrics."""
        if line.step is not None and line.lasts:
            self._said = line.step
        self.counted |= line.step is not None
        if not line.values:
            return
        at = self._said if line.step is None else line.step
        if at is None and self._last is None and self._is_early(line.values):
            self._early.update(line.values)
            return
        values = {**self._early, **line.values}
        self._early = {}
        counting = set(values) & self._named if self._named else set(values)
        if at is None:
            again = self._last is None or not self._names.isdisjoint(counting)
            at = (self._last or 0) + again
        if at != self._last or len(self._names) > _MOST_NAMES:
            self._names = set()
        self._last = at
        self._names |= counting
        if rows and rows[-1].step == at and rows[-1].values.keys().isdisjoint(values):
            rows[-1] = Row(at, {**rows[-1].values, **values})
        elif not (line.step is not None and rows and rows[-1].step == at and rows[-1].values == values):  # said twice
            rows.append(Row(at, values))

    def rest(self) -> list[Row]:
        """What came before the first of the study's metrics, if none came."""
        return [Row(1, self._early)] if self._early else []

    def _is_early(self, values: Mapping[str, float]) -> bool:
        return bool(self._named) and self._named.isdisjoint(values) and self._early.keys().isdisjoint(values)


def _without_cut_lines(data: bytes) -> bytes:
    """The log without the lines before and after what its limit has dropped, which it has cut as well."""
    parts = _DROPPED.split(data)
    whole = [part[: part.rfind(b"\n") + 1] for part in parts[:-1]] + parts[-1:]
    return whole[0] + b"".join([part.partition(b"\n")[2] for part in whole[1:]])


def _states(raw: bytes) -> list[bytes]:
    """What a line held, one after the other: a progress bar overwrites it."""
    if len(raw) > MAX_LINE and b"\r" not in raw:
        return []
    return [state for state in _STATES.split(raw) if state.strip()]


def _text(state: bytes) -> str:
    return _ESCAPES.sub("", state[:_MOST].decode(errors="replace"))
