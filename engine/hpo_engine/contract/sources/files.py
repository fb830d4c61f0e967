"""The two kinds of files that scripts report in: written anew as a whole, or growing line by line.

A format derives from one of them and only parses bytes; what is opened, when, and how much of it is decided here.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from hpo_engine.contract.sources.interface import MetricSource, Reading, TrialFiles
from hpo_engine.errors import ContractError
from hpo_engine.study.objective import Row
from hpo_engine.study.rows import same_row
from hpo_engine.system.files import MAX_BYTES, TICK_NS, gone, open_file, open_folder, safe_read

MAX_LINES = 100_000  # of a file; with MAX_BYTES this keeps the reading of any file under a second
MAX_LINE = 1 << 20  # bytes
_CHUNK = 256 << 10  # bytes of a growing file that one look reads
_MARK = 64  # bytes before the place where the last look ended, by which a file that was written anew is recognised


class _OneFile(MetricSource):
    """A source that reads one file.

    Args:
        name: its path below the folder.
        folder: RESULT_DIR unless given; `called`: what messages call it.
    """

    def __init__(self, trial: TrialFiles, name: str, folder: str = "", called: str = "RESULT_DIR") -> None:
        if not name or name.startswith("/") or ".." in name.split("/"):
            raise ValueError(f"the file must be a path below {called}, not {name!r}")
        self.title = f"{name} in {called}"
        self.files = () if folder else (name,)
        self._called, self._root = called, trial.paths.study.root
        self._path = f"{folder or trial.paths.result_dir}/{name}"
        self._folder, _, self._name = self._path.rpartition("/")
        self._seen: tuple[int, int, int] | None = None

    def _changed(self) -> bool:
        """Whether there is a file that may have changed since the last call: one stat."""
        try:
            found = os.lstat(self._path)
        except (OSError, ValueError):
            self._seen = None
            return False
        now = (found.st_ino, found.st_size, found.st_mtime_ns)
        if now == self._seen:
            return False
        # A file written a moment ago may change again without a new time stamp: look again next time.
        edge = time.time_ns() - TICK_NS
        self._seen = None if edge < now[2] <= edge + TICK_NS else now
        return True

    @contextmanager
    def _in_folder(self) -> Iterator[int]:
        try:
            fd = open_folder(self._root, self._folder)
        except OSError as error:
            raise gone(self._called, error) from None
        try:
            yield fd
        finally:
            os.close(fd)

    def _all(self) -> bytes:
        with self._in_folder() as folder:
            return safe_read(folder, self._name, called=self._called)

    def _reading(self, data: bytes, rows: Sequence[Row], strange: Mapping[str, str], lacking: str) -> Reading:
        problem = None if rows else f"{self._name} has no {lacking}"
        return Reading(tuple(rows), self._name, problem, strange=strange, digest=hashlib.sha256(data).hexdigest())


class WholeFile(_OneFile):
    """A file that the script writes as a whole, once or again and again. A format says how to `parse` it."""

    def parse(self, data: bytes) -> tuple[Sequence[Row], Mapping[str, str]]:
        """The rows, and what metrics that are not numbers are instead: {"loss": 'a string "0.3"'}.

        Raises:
            ContractError: why it cannot be read, in one line that begins with the file's name.
        """
        raise NotImplementedError

    def look(self) -> bool:
        if not self._changed():
            return False
        try:
            rows, _ = self.parse(self._all())
        except (ContractError, OSError, MemoryError):
            return False
        if rows:
            self.rows = rows
        return bool(rows)

    def final(self, *, cut: bool) -> Reading:
        data = self._all()
        return self._reading(data, *self.parse(data), "entries")


class GrowingFile(_OneFile):
    """A file to which the script appends lines. A format says which `rows_of` them there are.

    A file that is replaced, or written anew, is read from its beginning. Until it has more rows than before, or others,
    the earlier ones are shown.
    """

    rows_grow = False
    """Whether lines may add to the last row."""
    before = 0
    """Bytes at its beginning that are none of this attempt's reports: read, for they may have a header, but no rows."""

    _mark: bytes  # what stands before the place where the last look ended
    _tail: bytes  # of the last line, which is not whole yet
    _held: Sequence[Row]  # what is shown until the file, which is written anew, has more rows, or others

    def __init__(self, trial: TrialFiles, name: str, folder: str = "", called: str = "RESULT_DIR") -> None:
        super().__init__(trial, name, folder, called)
        self._restart(0)

    def begin(self) -> None:
        """A file begins: nothing of what was read before counts any more."""

    def begin_reports(self) -> None:
        """All rows up to here were there `before` the attempt, and none of them counts. Not called if none were."""

    def rows_of(self, lines: Iterable[bytes]) -> Iterable[Row]:
        """The rows that whole lines make, without their line ends. Called with the lines in order, some at a time;
        lines that are none (empty ones, another program's output) are passed over."""
        raise NotImplementedError

    def take(self, lines: Sequence[bytes]) -> None:
        """Adds the rows of whole lines to `_rows`. A format whose lines add to earlier rows overrides it."""
        self._rows += self.rows_of(lines)

    def parse(self, data: bytes) -> Sequence[Row]:
        """The rows of the whole file, once the trial has ended. Raises ContractError."""
        if (count := data.count(b"\n")) > MAX_LINES:
            raise too_many(self._name, "lines", count, MAX_LINES)
        self._restart(0)
        start = data.rfind(b"\n", 0, self.before) + 1
        if self.before:
            self.take(data[:start].split(b"\n"))
            self._rows.clear()
            self.begin_reports()
        self.take(data[start:].split(b"\n"))
        return self._rows

    def look(self) -> bool:
        if not self._changed():
            return False
        try:
            with self._in_folder() as folder:
                fd, found = open_file(folder, self._name, MAX_BYTES)
            try:
                data = self._more(fd, found)
            finally:
                os.close(fd)
        except (ContractError, OSError):
            return False
        self._offset += len(data)
        self._mark = (self._mark + data)[-_MARK:]
        if data and self._offset < found.st_size:
            self._seen = None  # there is more of it
        self._take(data)
        if self._held and self._overtaken(self._held):
            self._held = ()
            self.rows = self._rows
        return True

    def final(self, *, cut: bool) -> Reading:
        data = self._all()
        rows = self.parse(data[: data.rfind(b"\n") + 1] if cut else data)
        return self._reading(data, rows, {}, "metrics")

    def _restart(self, inode: int) -> None:
        self._inode, self._offset, self._lines = inode, 0, 0
        self._mark = self._tail = b""
        self._rows: list[Row] = []
        self._held = self.rows
        self.rows = self._held or self._rows
        self.begin()

    def _overtaken(self, held: Sequence[Row]) -> bool:
        """Whether the file is not just on its way to what it was before."""
        count = len(self._rows)
        return count >= len(held) or not all(map(self._may_become, self._rows, held))

    def _may_become(self, row: Row, held: Row) -> bool:
        values = {name: value for name, value in held.values.items() if name in row.values or not self.rows_grow}
        return same_row(row, Row(held.step, values))

    def _more(self, fd: int, found: os.stat_result) -> bytes:
        """What came since the last look; if the file is another one by now, what it begins with."""
        if found.st_ino == self._inode and found.st_size >= self._offset:
            data = os.pread(fd, len(self._mark) + self._chunk(), self._offset - len(self._mark))
            if data.startswith(self._mark):
                return data[len(self._mark) :]
        self._restart(found.st_ino)
        return os.pread(fd, self._chunk(), 0)

    def _chunk(self) -> int:
        """How many bytes are read at a time: never some of before and some of this attempt's."""
        return min(_CHUNK, self.before - self._offset) if self._offset < self.before else _CHUNK

    def _take(self, data: bytes) -> None:
        lines = (self._tail + data).split(b"\n")
        self._tail = lines.pop()[: MAX_LINE + 1]
        self._lines += len(lines)
        if self._lines <= MAX_LINES:
            self.take(lines)
        if self.before and self._offset <= self.before:
            self._rows.clear()
            self.begin_reports()


def too_many(name: str, what: str, count: int, limit: int) -> ContractError:
    return ContractError(f"{name} has too many {what} ({count:,}, at most {limit:,}): report less often")
