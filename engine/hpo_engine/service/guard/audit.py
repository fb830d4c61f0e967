"""The audit log: who did what, when, from where, and how it ended. JSON lines, bounded, without secrets."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from hpo_engine.system.files import put_in_place
from hpo_engine.system.writing import write_all

_LOG = logging.getLogger(__name__)
_MOST = 8 << 20  # bytes; then it is renamed to .1, in place of an older one
_PATH = 300  # characters of a path
_OPEN = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


class Audit:
    """May be used from several threads. A full disk stops the log, with one warning, and not the service."""

    def __init__(self, path: str, clock: Callable[[], float] = time.time, most: int = _MOST) -> None:
        self._path, self._clock, self._most = path, clock, most
        self._lock = threading.Lock()
        self._failed = False

    def record(self, user: str, how: str, address: str, method: str, path: str, status: int) -> None:
        """Args:
        user: "" if nobody knows; path: without the query, in which secrets may be.
        """
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._clock()))
        entry = {
            "at": at, "user": user, "how": how, "address": address, "method": method[:20], "path": path[:_PATH],
            "status": status,
        }  # fmt: skip
        try:
            with self._lock:
                self._append(json.dumps(entry).encode() + b"\n")
            self._failed = False
        except OSError as error:
            if not self._failed:
                _LOG.warning("%s: %s; calls are not recorded", self._path, error.strerror)
            self._failed = True

    def _append(self, line: bytes) -> None:
        size = self._written(line, self._most)
        if size > self._most:
            put_in_place(self._path, f"{self._path}.1")
            self._written(line, size)

    def _written(self, line: bytes, most: int) -> int:
        """Appends the line unless the log would have more than `most` bytes then. Returns how many it would have."""
        fd = os.open(self._path, _OPEN, 0o600)
        try:
            before = os.fstat(fd).st_size
            if before + len(line) <= most:
                try:
                    write_all(fd, line)
                except OSError:
                    os.ftruncate(fd, before)  # a torn line would spoil the next one, too
                    raise
            return before + len(line)
        finally:
            os.close(fd)


def entries(path: str) -> Iterator[dict[str, Any]]:
    """What the log holds, the oldest first. A line that is torn is left out. Raises OSError."""
    for each in (f"{path}.1", path):
        if not os.path.exists(each):
            continue
        with open(each, encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    yield json.loads(line)
                except ValueError:
                    continue
