"""The output of an attempt, capped: what `outputlog` reads, as the shim writes it. Standard library only."""

from __future__ import annotations

import os

from hpo_engine.system.faults import FULL
from hpo_engine.system.writing import open_new

_LOG_FILE = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


class Capture:
    """Keeps the first half of `limit` bytes and the newest quarter to half; made when the first byte comes."""

    def __init__(self, head: str, tails: list[str], limit: int) -> None:
        self._head, self._tails = head, tails
        self._head_room = limit // 2
        self._tail_size = max(1, limit // 4)
        self._fd = -1
        self._which = -1  # -1: the head, else the number of tails begun
        self._room = self._head_room
        self._dropped = 0
        self._in_tails = [0, 0]
        self.full = False  # some output was lost to a full disk

    def write(self, data: bytes) -> None:
        """Keeps what fits. A full disk, or a folder that is gone, must not stop the trial: that output is lost."""
        view = memoryview(data)
        while view:
            try:
                if self._fd < 0:
                    self._fd = os.open(self._head, _LOG_FILE, 0o644)
                if self._room <= 0:
                    self._next_tail()
            except OSError as error:
                self.full = self.full or error.errno in FULL
                return
            part = view[: self._room]
            try:
                os.write(self._fd, part)
            except OSError as error:
                self.full = self.full or error.errno in FULL
            self._room -= len(part)
            if self._which >= 0:
                self._in_tails[self._which % 2] += len(part)
            view = view[len(part) :]

    def _next_tail(self) -> None:
        fd = open_new(self._tails[(self._which + 1) % 2])
        os.close(self._fd)
        self._fd = fd
        self._which += 1
        self._dropped += self._in_tails[self._which % 2]
        self._in_tails[self._which % 2] = 0
        self._room = self._tail_size

    def finish(self) -> None:
        """One file in the end: head, a line that says what is missing, tail."""
        if self._fd < 0:
            return
        os.close(self._fd)
        if self._which < 0:
            return
        try:
            with open(self._head, "ab") as out:
                if self._dropped:
                    out.write(f"\n[... {self._dropped} bytes dropped ...]\n".encode())
                for which in ((self._which + 1) % 2, self._which % 2):
                    if self._in_tails[which]:
                        with open(self._tails[which], "rb") as part:
                            out.write(part.read())
            for path in self._tails[: self._which + 1]:
                os.unlink(path)
        except OSError:  # a full disk: the parts stay as they are
            pass
