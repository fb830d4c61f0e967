"""Files that grow by whole lines: CSV whose columns may become more, and JSON lines.

A reader sees whole lines at any time, whoever dies while one is written. Knows rows, which map names to plain values;
nothing of studies.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from typing import Any, Protocol

from hpo_engine.contract.binding import put
from hpo_engine.reports.objects import dump
from hpo_engine.system.writing import write_all

Line = Mapping[str, Any]
"""The cells of a row: column -> text, number, bool, None, or (as JSON) a list or an object."""


class Form(Protocol):
    """How rows become lines. `ending`: of the file's name."""

    ending: str

    def begin(self, data: bytes) -> bool:
        """Takes note of how the file begins; whether it can be one of this form."""

    def header(self) -> bytes:
        """What the file begins with, as far as the columns are known."""

    def widen(self, rows: Sequence[Line]) -> int:
        """Makes room for the rows' columns; returns how many are new."""

    def lines(self, rows: Iterable[Line]) -> bytes: ...


class CsvForm:
    """RFC 4180 with line feeds; the first columns are given, others follow in the order in which they appear."""

    ending = "csv"

    def __init__(self, columns: Sequence[str]) -> None:
        self._first = list(columns)
        self._columns = list(columns)

    def begin(self, data: bytes) -> bool:
        found = next(csv.reader(io.StringIO(data.decode(errors="replace"))), [])
        good = found[: len(self._first)] == self._first and len(set(found)) == len(found)
        self._columns = found if good else list(self._first)
        return good

    def header(self) -> bytes:
        return _csv([self._columns])

    def widen(self, rows: Sequence[Line]) -> int:
        new = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in self._columns]
        self._columns += new
        return len(new)

    def lines(self, rows: Iterable[Line]) -> bytes:
        return _csv([[_cell(row.get(name)) for name in self._columns] for row in rows])


class JsonLinesForm:
    """One strict JSON object per line; numbers that are not finite are null."""

    ending = "jsonl"

    def begin(self, data: bytes) -> bool:
        return data.startswith(b"{")

    def header(self) -> bytes:
        return b""

    def widen(self, rows: Sequence[Line]) -> int:
        return 0

    def lines(self, rows: Iterable[Line]) -> bytes:
        return "".join([f"{dump(dict(row))}\n" for row in rows]).encode()


class RowFile:
    """One such file, appended to by its path, so that it may be moved away or edited meanwhile.

    Methods raise OSError, and leave the file as it was.
    """

    def __init__(self, folder: str, name: str, form: Form) -> None:
        self.path = os.path.join(folder, f"{name}.{form.ending}")
        self._form = form
        self._size = -1  # in bytes, when this object last wrote to it; -1: it is not known

    @property
    def untouched(self) -> bool:
        """Whether nobody else has changed the file since this object last did."""
        try:
            return os.stat(self.path).st_size == self._size
        except OSError:
            return False

    def take_up(self) -> list[dict[str, str]]:
        """The rows that are there already, by text, after a last line that is not whole was cut off.

        A file of another form is begun anew.
        """
        try:
            with open(self.path, "r+b") as file:
                data = file.read()
                whole = data.rfind(b"\n") + 1
                if whole < len(data):
                    file.truncate(whole)
        except FileNotFoundError:
            data, whole = b"", 0
        if not whole or not self._form.begin(data[:whole]):
            self.replace([])
            return []
        self._size = whole
        return list(_read(data[:whole].decode(errors="replace"), self._form.ending))

    def append(self, rows: Sequence[Line]) -> None:
        """Adds rows at the end; the whole file is written anew if there are columns that it has not."""
        if not rows:
            return
        if new := self._form.widen(rows):
            with open(self.path, "rb") as file:
                _, *old = _records(file.read())
            self._put(b"".join([self._form.header(), *(line + b"," * new + b"\n" for line in old)]))
        self._add(self._form.lines(rows))

    def replace(self, rows: Sequence[Line]) -> None:
        """The file has these rows from now on; readers see it as it was, or as it is then."""
        self._form.widen(rows)
        data = self._form.header() + self._form.lines(rows)
        with suppress(OSError), open(self.path, "rb") as file:
            if file.read() == data:
                self._size = len(data)
                return
        self._put(data)

    def _put(self, data: bytes) -> None:
        folder, name = os.path.split(self.path)
        os.makedirs(folder, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            put(descriptor, name, data)
        finally:
            os.close(descriptor)
        self._size = len(data)

    def _add(self, data: bytes) -> None:
        with closing(open(self.path, "ab", buffering=0)) as file:
            before = os.fstat(file.fileno()).st_size
            try:
                write_all(file.fileno(), data)
            except OSError:
                os.ftruncate(file.fileno(), before)  # half a line must not stay
                raise
        self._size = before + len(data)


def _read(text: str, ending: str) -> Iterable[dict[str, str]]:
    """The rows of a file as text; what is no row is left out."""
    if ending == "csv":
        yield from csv.DictReader(io.StringIO(text))
        return
    for line in text.split("\n"):  # not splitlines: text may have line breaks of other kinds in it
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            yield {str(name): str(value) for name, value in found.items()}


def _records(data: bytes) -> list[bytes]:
    """The records of a CSV file, without the line feeds at their ends; quoted cells may have line feeds in them."""
    out, begun = list[bytes](), b""
    for line in data.removesuffix(b"\n").split(b"\n"):
        begun += line
        if begun.count(b'"') % 2:
            begun += b"\n"
        else:
            out.append(begun)
            begun = b""
    return [*out, begun] if begun else out


def _csv(rows: Iterable[Sequence[Any]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode("utf-8", errors="backslashreplace")


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (dict, list, tuple)):
        return dump(value)
    return "" if value is None else value
