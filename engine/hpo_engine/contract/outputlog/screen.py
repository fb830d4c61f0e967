"""A trial's output as a terminal would leave it: a progress bar is one line, in its last state.

Interprets what programs use to redraw lines: carriage return, backspace, moves of the cursor, erasing. Colours are
dropped; every other control sequence stays in the text, for whoever prints it to make harmless. Time and memory are
linear in the size of the output, whatever sequences it consists of.
"""

from __future__ import annotations

import codecs
import os
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

MOST_OPEN = 100
"""Lines that can still be redrawn, the height of the terminal: hardly any is higher."""
MAX_COLUMN = 4096
"""The last column: the cursor is not moved beyond it, and text that is redrawn goes on in the next row."""
_BLANKS_PER_BYTE, _BLANKS = 32, 1 << 16
"""Blanks that moves of the cursor may put before text, for each byte of the output and in any case."""
_MOST_COMBINED = 8  # characters in one column

_TOKEN = re.compile(
    r"(?P<csi>\x1b\[(?P<args>[0-9;:<=>?]*)[ -/]*(?P<final>[@-~]))"
    r"|(?P<charset>\x1b[()][0-9A-Za-z])"
    r"|(?P<control>[\n\r\b])"
    r"|(?P<text>[^\x1b\n\r\b]+|\x1b)"
)
_REDRAWS = re.compile(r"[\x1b\r\b]")
_TORN = re.compile(r"\x1b(?:\[[0-9;:<=>? -/]{0,40}|[()])?\Z")  # a sequence whose end is still to come
_DROPPED = "mhl"  # colours; modes such as a hidden cursor


class _Wrapped(list[str]):
    """A row whose line goes on in the next row."""


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
        self._top = 0  # the first of the MOST_OPEN rows that the cursor can be moved to
        self._blank = (-1, 0)  # a row, and how many columns at its beginning are known to be blank
        self._blanks_left = _BLANKS
        self._reach = reach  # the most lines that the cursor was moved up at once
        self._frames = _OwnFrames()

    def feed(self, data: bytes, *, last: bool = False) -> None:
        """Takes in more of the output; `last`: there will be no more."""
        text = self._torn + self._decode(data, last)
        self._torn = ""
        self._blanks_left += _BLANKS_PER_BYTE * len(data)
        if not last and (torn := _TORN.search(text)):
            self._torn, text = torn.group(), text[: torn.start()]
        if not _REDRAWS.search(text) and self._row == len(self._rows) - 1:
            first, *lines = text.split("\n")  # most output is this
            self._put(first)
            if lines:
                self._rows += [*lines[:-1], ""]
                self._row, self._column = len(self._rows) - 1, 0
                self._scroll()
                self._put(lines[-1])
            return
        for token in _TOKEN.finditer(text):
            kind = token.lastgroup
            if kind == "text":
                self._put(token.group())
            elif kind == "control":
                self._control(token.group())
            elif kind == "csi":
                self._sequence(token.group(), token["args"], token["final"])

    def settled(self) -> list[str]:
        """Lines that are done, each once."""
        count = max(0, min(self._row, len(self._rows) - 1 - self._reach), len(self._rows) - MOST_OPEN)
        while count and isinstance(self._rows[count - 1], _Wrapped):
            count -= 1
        done = _lines(self._rows[:count])
        del self._rows[:count]
        self._row, self._top = max(0, self._row - count), max(0, self._top - count)
        self._blank = (-1, 0)
        return self._frames.left_out(done)

    def open(self) -> list[str]:
        """The lines after those, as they are now (none where nothing is on them)."""
        lines = _lines(self._rows)
        return self._frames.copy().left_out(lines[:-1] if lines and not lines[-1] else lines)

    def _put(self, text: str) -> None:
        cells, at = _cells(text), 0
        while at < len(cells):
            room = MAX_COLUMN + 1 - self._column
            if room <= 0:
                self._wrap()
                continue
            end = at + room
            if end < len(cells) and cells[end] == "":
                end += 1  # not between the halves of a wide character
            self._put_cells(cells[at:end])
            at = end

    def _put_cells(self, cells: list[str]) -> None:
        """Puts them into the row at the cursor."""
        row = self._cells_here()
        if self._blank[0] == self._row and self._column < self._blank[1]:
            self._blank = (self._row, self._column)
        if self._column < len(row):
            if row[self._column] == "":  # the second half of a wide character: the first goes, too
                row[self._column - 1] = " "
            end = self._column + len(cells)
            if end < len(row) and row[end] == "":
                row[end] = " "
            row[self._column : end] = cells
        else:
            blanks = min(self._column - len(row), self._blanks_left)
            self._blanks_left -= blanks
            self._column = len(row) + blanks
            row += [" "] * blanks
            row += cells
        self._column += len(cells)

    def _wrap(self) -> None:
        """Goes on in the next row, in the same line."""
        self._rows[self._row] = _Wrapped(self._cells_here())
        self._move(1)
        self._column = 0

    def _cells_here(self) -> list[str]:
        self._move(0)
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
        """Moves the cursor to a row, which is made if it is not there."""
        self._row = max(self._top, self._row + rows)
        missing = self._row + 1 - len(self._rows)
        if missing > 0:
            self._rows += [""] * missing
            self._scroll()

    def _scroll(self) -> None:
        """Rows that the cursor can no longer reach become text, which takes less memory."""
        top = max(self._top, len(self._rows) - MOST_OPEN)
        for i in range(self._top, top):
            row = self._rows[i]
            if not isinstance(row, str | _Wrapped):
                self._rows[i] = _text(row)
        self._top = top

    def _move_to(self, row: int) -> None:
        """Moves the cursor within the rows that are there on the terminal, which are made once something is put."""
        self._row = min(max(self._top, row), self._top + MOST_OPEN - 1)

    def _sequence(self, whole: str, args: str, final: str) -> None:
        if final in _DROPPED:
            return
        numbers = _numbers(args)
        if numbers is None:
            self._put(whole)
            return
        first, second = numbers
        count = first or 1
        if final in "AF":
            self._reach = max(self._reach, min(count, MOST_OPEN))
            self._move_to(self._row - count)
        elif final in "BE":
            self._move_to(self._row + count)
        elif final in "Hfd":
            self._reach = MOST_OPEN
            self._move_to(self._top + count - 1)
            if final != "d":
                self._column = min((second or 1) - 1, MAX_COLUMN)
        elif final == "C":
            self._column = min(self._column + count, MAX_COLUMN)
        elif final == "D":
            self._column = max(0, self._column - count)
        elif final in "G`":
            self._column = min(count - 1, MAX_COLUMN)
        elif final == "K":
            self._erase_in_row(first)
        elif final == "J":
            self._erase(first)
        else:
            self._put(whole)
        if final in "EF":
            self._column = 0

    def _erase(self, how: int) -> None:
        """All below the cursor (0) or above (1) it, or both (2). Not what has scrolled out of the terminal (3)."""
        if how == 2:
            self._reach = MOST_OPEN
            self._blank = (-1, 0)
            del self._rows[self._top :]
        elif how == 0:
            self._erase_in_row(0)
            del self._rows[self._row + 1 :]
            self._blank = (-1, 0)
        elif how == 1:
            self._reach = MOST_OPEN
            self._erase_in_row(1)
            self._rows[self._top : self._row] = [""] * (self._row - self._top)

    def _erase_in_row(self, how: int) -> None:
        """What is in the row after the cursor (0) or up to it (1), or both (2)."""
        if self._row >= len(self._rows):
            return
        row = self._cells_here()
        if isinstance(row, _Wrapped):
            row = self._rows[self._row] = list(row)
        if how == 2 or (how == 1 and self._column + 1 >= len(row)):
            row.clear()
        elif how == 0:
            del row[self._column :]
        elif how == 1:
            end = self._column + (2 if row[self._column + 1] == "" else 1)
            known = self._blank[1] if self._blank[0] == self._row else 0
            row[known:end] = [" "] * (end - known)
            self._blank = (self._row, max(known, end))
            return
        if self._blank[0] == self._row:
            self._blank = (-1, 0)


@lru_cache(maxsize=1024)
def _numbers(args: str) -> tuple[int, int] | None:
    """The first two numbers of a sequence (0: not given); None if they are none that a cursor is moved by."""
    if len(args) > 40 or not re.fullmatch(r"\d{0,4}(;\d{0,4})*", args):
        return None
    first, second, *_ = [*args.split(";"), ""]
    return int(first or 0), int(second or 0)


def _cells(text: str) -> list[str]:
    if text.isascii():
        return list(text)
    cells: list[str] = []
    for char in text:
        if char.isascii():
            cells.append(char)
        elif unicodedata.combining(char) and cells:
            if len(cells[-1]) < _MOST_COMBINED:
                cells[-1] += char
        else:
            cells += [char, ""] if unicodedata.east_asian_width(char) in "WF" else [char]
    return cells


def _text(row: str | list[str]) -> str:
    return row if isinstance(row, str) else "".join(row).rstrip(" ")  # blanks that have overwritten something


def _lines(rows: Iterable[str | list[str]]) -> list[str]:
    lines: list[str] = []
    wrapped: list[str] = []
    for row in rows:
        if isinstance(row, _Wrapped):
            wrapped.append("".join(row))
            continue
        lines.append("".join([*wrapped, _text(row)]))
        wrapped = []
    return [*lines, "".join(wrapped)] if wrapped else lines


def rendered(data: bytes) -> list[str]:
    """All lines of `data`, as a terminal would leave them."""
    screen = Screen()
    screen.feed(data, last=True)
    return [*screen.settled(), *screen.open()]


class _OwnFrames:
    """A stack that a script prints of itself ends in the launcher that it was forked from, which no cold one shows."""

    _FOLDER = re.escape(os.path.abspath(__file__).rsplit(os.sep, 3)[0])
    _FRAME = re.compile(rf'(?P<margin>.*?)  File "{_FOLDER}/executors/\w+/\w+\.py", line \d+,? in ')

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
