"""Tables that scripts print row by row under a header that begins with the step: fastai's, skorch's, scikit-learn's."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from hpo_engine.contract.sources.numbers import step
from hpo_engine.contract.sources.printedlines import COUNTS, Line, as_number, plain

_GAP = re.compile(r"\s{2,}|\t|\s*[|│┃]\s*")
_NAME = re.compile(r"[^\W\d][\w /.@()%-]{0,60}")
_MOST = 100  # columns


class PrintedTable:
    """Args:
    name: makes a metric's name of what the header says.
    """

    def __init__(self, name: Callable[[str], str]) -> None:
        self._name = name
        self._header: Sequence[str] = ()

    def read(self, text: str) -> Line | None:
        """The row that a line is, an empty one for a header; None: it has nothing to do with a table."""
        cells = [cell for cell in _GAP.split(text.strip(" \t|│┃")) if cell]
        if len(cells) >= 2 and cells[0].lower() in COUNTS and all(map(_NAME.fullmatch, cells)):
            self._header = [self._name(cell) for cell in cells[:_MOST]]
            return Line()
        if not self._header:
            return None
        cells = cells if len(cells) == len(self._header) else text.split()
        if len(cells) != len(self._header) or (at := step(cells[0])) is None:
            return None
        pairs = zip(self._header[1:], cells[1:], strict=True)
        values = {name: value for name, cell in pairs if ":" not in cell and (value := as_number(cell)) is not None}
        return Line({name: value for name, value in values.items() if plain(name) not in COUNTS}, at)
