"""The newest part of an output that has outgrown its head, read while it is written: each byte once, and where any are
missing."""

from __future__ import annotations

import os
from typing import NamedTuple

from hpo_engine.contract.outputlog.logfiles import TAILS

_MARK = 64  # bytes


class _File(NamedTuple):
    mtime_ns: int
    inode: int
    size: int
    path: str


class Newest:
    """Reads `output.tail.0` and `output.tail.1` in turn.

    Args:
        folder: of the attempt.
    """

    def __init__(self, folder: str) -> None:
        self._paths = [f"{folder}/{name}" for name in TAILS]
        self._inode = 0  # of the file that is being read
        self._at = 0
        self._mark = b""  # what stands before there, by which a file that was begun anew is recognised
        self._done: _File | None = None  # the one before, all of which was read
        self.begun = False
        """Whether the head is full; what is appended to that later was read here."""

    def fresh(self, most: int) -> tuple[bytes, bool]:
        """What came since the last call, at most so many bytes, and whether something before it was dropped unread.

        Never raises.
        """
        files = self._files()
        if not files:
            return b"", False
        current = next((file for file in files if file.inode == self._inode and file.size >= self._at), None)
        lost = current is None and (self.begun or len(files) > 1)
        self.begun = True
        later = [file for file in files if file is not current and file != self._done]
        later.sort(key=lambda file: (file.mtime_ns, -file.size))  # within one tick of the clock the full one is older
        for file in later if current is None else [current, *later]:
            at, mark = (self._at, self._mark) if file is current else (0, b"")
            try:
                now, data = _read(file, at - len(mark), len(mark) + most)
            except OSError:
                continue
            if not data.startswith(mark):
                self._inode = 0
                return self.fresh(most)
            if len(data) > len(mark):
                self._inode, self._at = file.inode, at - len(mark) + len(data)
                self._mark = data[-_MARK:]
                return data[len(mark) :], lost
            if later and file is current:  # it grows no more
                self._done = now
        return b"", lost

    def _files(self) -> list[_File]:
        files = []
        for path in self._paths:
            try:
                found = os.lstat(path)
            except OSError:
                break  # the second one is begun after the first
            files.append(_File(found.st_mtime_ns, found.st_ino, found.st_size, path))
        return files


def _read(file: _File, at: int, most: int) -> tuple[_File, bytes]:
    """The file as it is by now, and the bytes from `at` on."""
    fd = os.open(file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        now = os.fstat(fd)
        if now.st_ino != file.inode:
            raise FileNotFoundError(file.path)  # it was begun anew meanwhile
        return _File(now.st_mtime_ns, now.st_ino, now.st_size, file.path), os.pread(fd, most, at)
    finally:
        os.close(fd)
