"""A trial's output as a terminal would leave it: a progress bar is one line, in its last state.

Interprets what programs use to redraw lines: carriage return, backspace, moves of the cursor, erasing. Colours are
dropped; every other control sequence stays in the text, for whoever prints it to make harmless.
"""

from __future__ import annotations

import codecs
import os
import re
import unicodedata
from collections.abc import Iterable

MOST_OPEN = 100
"""Lines that can still be redrawn: no terminal is much higher."""
MAX_COLUMN = 4096
"""Beyond it the cursor is not moved to the right: what a sequence asks for must not cost memory."""

_TOKEN = re.compile(
    r"(?P<csi>\x1b\[(?P<args>[0-9;:<=>?]*)[ -/]*(?P<final>[@-~]))"
    r"|(?P<charset>\x1b[()][0-9A-Za-z])"
    r"|(?P<control>[\n\r\b])"
    r"|(?P<text>[^\x1b\n\r\b]+|\x1b)"
)
_REDRAWS = re.compile(r"[\x1b\r\b]")
_TORN = re.compile(r"\x1b(?:\[[0-9;:<=>? -/]{0,40}|[()])?\Z")  # a sequence whose end is still to come
_DROPPED = "mhl"  # colours; modes such as a hidden cursor


class Screen:
    """Takes output in as it comes and gives lines out once nothing can redraw them any more.

    A line can be redrawn as long as the cursor is at most as far below it as the output has ever moved up.

    Args:
        reach: take it that the output moves up by so many lines, whether it has done so yet or not.
    """

    def __init__(self, reach: int = 0) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._torn = ""
        # A line is its text until it is redrawn, then a cell for each column; "": second half of a wide character.
        self._rows: list[str | list[str]] = [""]
        self._row = self._column = 0
        self._reach = reach  # the most lines that the cursor was moved up at once
        self._frames = _OwnFrames()

    def feed(self, data: bytes, *, last: bool = False) -> None:
        """Takes in more of the output; `last`: there will be no more."""
        text = self._torn + self._decode(data, last)
        self._torn = ""
        if not last and (torn := _TORN.search(text)):
            self._torn, text = torn.group(), text[: torn.start()]
        if not _REDRAWS.search(text) and self._row == len(self._rows) - 1:
            first, *lines = text.split("\n")  # most output is this
            self._put(first)
            if lines:
                self._rows += [*lines[:-1], ""]
                self._row, self._column = len(self._rows) - 1, 0
                self._put(lines[-1])
            return
        for token in _TOKEN.finditer(text):
            if token["text"]:
                self._put(token["text"])
            elif token["control"]:
                self._control(token["control"])
            elif token["csi"]:
                self._sequence(token["csi"], token["args"], token["final"])

    def settled(self) -> list[str]:
        """Lines that are done, each once."""
        count = max(0, min(self._row, len(self._rows) - 1 - self._reach), len(self._rows) - MOST_OPEN)
        done = [_text(row) for row in self._rows[:count]]
        del self._rows[:count]
        self._row = max(0, self._row - count)
        return self._frames.left_out(done)

    def open(self) -> list[str]:
        """The lines after those, as they are now (none where nothing is on them)."""
        lines = [_text(row) for row in self._rows]
        return self._frames.copy().left_out(lines[:-1] if not lines[-1] else lines)

    def _put(self, text: str) -> None:
        if not text:
            return
        row, cells = self._cells_here(), _cells(text)
        if self._column < len(row):
            if row[self._column] == "":  # the second half of a wide character: the first goes, too
                row[self._column - 1] = " "
            end = self._column + len(cells)
            if end < len(row) and row[end] == "":
                row[end] = " "
            row[self._column : end] = cells
        else:
            row += [" "] * (self._column - len(row)) + cells
        self._column += len(cells)

    def _cells_here(self) -> list[str]:
        row = self._rows[self._row]
        if isinstance(row, str):
            row = self._rows[self._row] = _cells(row)
        return row

    def _control(self, char: str) -> None:
        if char == "\n":
            self._move(1)
            self._column = 0
        elif char == "\r":
            self._column = 0
        else:
            self._column = max(0, self._column - 1)

    def _move(self, rows: int) -> None:
        self._row = max(0, self._row + rows)
        while self._row >= len(self._rows):
            self._rows.append("")

    def _sequence(self, whole: str, args: str, final: str) -> None:
        if final in _DROPPED:
            return
        if not re.fullmatch(r"(\d{0,4}(;\d{0,4})*)", args):
            self._put(whole)
            return
        first = args.split(";")[0]
        count = max(1, int(first or 1))
        if final in "AF":
            self._reach = max(self._reach, min(count, MOST_OPEN))
            self._move(-count)
        elif final in "BE":
            self._move(min(count, MOST_OPEN))
        elif final == "C":
            self._column = min(self._column + count, MAX_COLUMN)
        elif final == "D":
            self._column = max(0, self._column - count)
        elif final == "G":
            self._column = min(count - 1, MAX_COLUMN)
        elif final in "KJ":
            self._erase(final, first or "0")
        else:
            self._put(whole)
        if final in "EF":
            self._column = 0

    def _erase(self, final: str, how: str) -> None:
        """K: in the line, J: and all lines below (0) or above (1) it, or both (2)."""
        row = self._cells_here()
        if how in ("0", "2", "3"):
            del row[self._column :]
            if final == "J":
                del self._rows[self._row + 1 :]
        if how in ("1", "2"):
            row[: self._column] = [" "] * min(self._column, len(row))


def _cells(text: str) -> list[str]:
    if text.isascii():
        return list(text)
    cells: list[str] = []
    for char in text:
        if char.isascii():
            cells.append(char)
        elif unicodedata.combining(char) and cells:
            cells[-1] += char
        else:
            cells += [char, ""] if unicodedata.east_asian_width(char) in "WF" else [char]
    return cells


def _text(row: str | list[str]) -> str:
    return row if isinstance(row, str) else "".join(row).rstrip(" ")  # blanks that have overwritten something


def rendered(data: bytes) -> list[str]:
    """All lines of `data`, as a terminal would leave them."""
    screen = Screen()
    screen.feed(data, last=True)
    return [*screen.settled(), *screen.open()]


class _OwnFrames:
    """A stack that a script prints of itself ends in the launcher that it was forked from, which no cold one shows."""

    _FOLDER = re.escape(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    _FRAME = re.compile(rf'(?P<margin>.*?)  File "{_FOLDER}/executors/\w+\.py", line \d+,? in ')

    def __init__(self, below: str | None = None) -> None:
        self._below = below  # how the text of a frame begins that was left out just now

    def copy(self) -> _OwnFrames:
        return _OwnFrames(self._below)

    def left_out(self, lines: Iterable[str]) -> list[str]:
        """The other lines."""
        out = []
        for line in lines:
            if self._below is not None and line.startswith(self._below):
                continue
            found = self._FRAME.match(line) if "/executors/" in line else None
            self._below = f"{found['margin']}    " if found else None
            if not found:
                out.append(line)
        return out
