"""Tables that scripts print row by row: under a header that begins with the step, as fastai's and scikit-learn's, or
under a header and a rule below it, as spaCy's, skorch's, Markdown's, and those of tabulate, prettytable and Rich.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from hpo_engine.contract.sources.numbers import step
from hpo_engine.contract.sources.printedlines import COUNTS, Line, as_number, plain

_BARS = "|│┃║"
_DASHES = "=─━═-"
_GAP = re.compile(rf"\s{{2,}}|\t|\s*[{_BARS}]\s*")
_NAME = re.compile(r"[^\W\d][\w /.@()%#-]{0,60}|#")
_RULE = re.compile(rf"[\s:+{_BARS}├┼┤┡╇┩╞╪╡┢╈┪╠╬╣╔╦╗┏┳┓┌┬┐└┴┘{_DASHES}]+")
_RUN = re.compile(rf"[{_DASHES}]+")
_CELL = re.compile(r"\S+(?: \S+)*")
_NUMBERED = "#"  # spaCy's count of steps, which is beside an epoch
_EPOCH = "e"  # spaCy's epoch
_MOST = 100  # columns


class PrintedTable:
    """Args:
    name: makes a metric's name of what the header says.
    """

    def __init__(self, name: Callable[[str], str]) -> None:
        self._name = name
        self._header: Sequence[str] = ()
        self._counts: int | None = 0  # the column of the steps
        self._runs: Sequence[tuple[int, int]] = ()  # where the columns are, by the rule
        self._above = ""

    def read(self, text: str) -> Line | None:
        """The row that a line is, an empty one for a header or a rule; None: it has nothing to do with a table."""
        above, self._above = self._above, text
        if (runs := _columns(text)) is not None:
            self._begin(above, runs)
            return Line()
        cells = [cell for cell in _GAP.split(text.strip(" \t" + _BARS)) if cell]
        if len(cells) >= 2 and cells[0].lower() in COUNTS and all(map(_NAME.fullmatch, cells)):
            self._header, self._counts, self._runs = [self._name(cell) for cell in cells[:_MOST]], 0, ()
            return Line()
        line = self._row(text, cells) if self._header else None
        if line is None and self._counts is None and text.strip():
            self._header = ()  # of a table without steps only what follows at once is a row
        return line

    def _begin(self, above: str, runs: Sequence[tuple[int, int]]) -> None:
        """Takes the line above a rule as the header if it is one."""
        cells = _cells(above, runs)
        if cells is None or sum(map(bool, cells)) < 2 or not all(_NAME.fullmatch(cell) for cell in cells if cell):
            return
        self._header, self._runs = [self._name(cell) for cell in cells], runs
        names = [plain(cell) for cell in cells]
        self._counts = next((names.index(name) for name in (_NUMBERED, *COUNTS) if name in names), None)

    def _row(self, text: str, cells: Sequence[str]) -> Line | None:
        if self._runs:
            cells = _cells(text, self._runs) or ()
        elif len(cells) != len(self._header):
            cells = text.split()
        if len(cells) != len(self._header):
            return None
        at = None
        if self._counts is None:
            if as_number(cells[0]) is None:
                return None
        elif (at := step(cells[self._counts])) is None:
            return None
        pairs = [(name, cell) for index, (name, cell) in enumerate(zip(self._header, cells, strict=True)) if name]
        values = {name: value for name, cell in pairs if ":" not in cell and (value := as_number(cell)) is not None}
        return Line({name: value for name, value in values.items() if not self._is_count(name)}, at)

    def _is_count(self, name: str) -> bool:
        return plain(name) in COUNTS or name == _NUMBERED or (_NUMBERED in self._header and plain(name) == _EPOCH)


def _columns(text: str) -> list[tuple[int, int]] | None:
    """Where a rule has its columns; None: the line is not a rule, or one of a single column."""
    text = text.rstrip()
    if not _RULE.fullmatch(text):
        return None
    runs = [found.span() for found in _RUN.finditer(text)]
    joined = " " not in text.strip() or any(bar in text for bar in _BARS + "+")
    if not 2 <= len(runs) <= _MOST or not (joined or all(end - start >= 2 for start, end in runs)):
        return None
    return runs


def _cells(text: str, runs: Sequence[tuple[int, int]]) -> list[str] | None:
    """The cells of a line in the columns of a rule, "" where it has none; None: they are not in these columns."""
    if any(bar in text for bar in _BARS):
        inner = text.strip()
        inner = inner[1:] if inner[0] in _BARS else inner
        inner = inner[:-1] if inner[-1:] and inner[-1] in _BARS else inner
        cells = [cell.strip(" \t*`") for cell in re.split(f"[{_BARS}]", inner)]
        return cells if len(cells) == len(runs) else None
    parts = [(found.start(), found.end(), found[0]) for found in _CELL.finditer(text)]
    if len(parts) == len(runs):
        return [part for *_, part in parts]
    placed = _placed(parts, runs) if len(parts) < len(runs) else None
    return placed or (words if len(words := text.split()) == len(runs) else None)


def _placed(parts: Sequence[tuple[int, int, str]], runs: Sequence[tuple[int, int]]) -> list[str] | None:
    """Each part in the one column below or above which it is; None: one is in no column, or in several."""
    cells = [""] * len(runs)
    for start, end, part in parts:
        over = [column for column, (low, high) in enumerate(runs) if start < high and low < end]
        if len(over) != 1 or cells[over[0]]:
            return None
        cells[over[0]] = part
    return cells
