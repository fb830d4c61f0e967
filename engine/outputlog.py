"""A trial's output as the shim keeps it: the head in one file, past its share the newest part in two that alternate.

`output.log` alone when nothing was dropped; when the run has ended it always holds everything that was kept.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

NAME = "output.log"
TAILS = ("output.tail.0", "output.tail.1")


def parts(folder: str) -> list[str]:
    """The files of the log that exist, oldest first."""
    tails = []
    for name in TAILS:
        with contextlib.suppress(OSError):  # they go when the run ends
            tails.append((os.stat(f"{folder}/{name}").st_mtime_ns, f"{folder}/{name}"))
    head = f"{folder}/{NAME}"
    return ([head] if os.path.exists(head) else []) + [path for _, path in sorted(tails)]


def tail(folder: str, size: int = 4096) -> str:
    """The last `size` bytes of the output as text ("" where there is none)."""
    data = b""
    for path in reversed(parts(folder)):
        try:
            with open(path, "rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - (size - len(data))))
                data = file.read(size - len(data)) + data
        except OSError:
            continue
        if len(data) >= size:
            break
    return data.decode("utf-8", "replace")


def last_line(folder: str) -> str:
    """The last line of the output that is not blank: of a Python traceback, the error itself."""
    lines = [line.strip() for line in tail(folder).replace("\r", "\n").split("\n")]
    return next((line for line in reversed(lines) if line), "")


class Follower:
    """Reads a log that grows, each byte once; what was dropped between two looks is missing here, too."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._at: dict[int, int] = {}

    def fresh(self) -> Iterator[bytes]:
        """What is new since the last call, oldest first."""
        for path in parts(self._folder):
            try:
                with open(path, "rb") as file:
                    key = os.fstat(file.fileno()).st_ino
                    at = self._at.get(key, 0)
                    # A tail that is smaller than what was read of it has been begun anew.
                    file.seek(at if at <= os.fstat(file.fileno()).st_size else 0)
                    while data := file.read(1 << 16):
                        yield data
                    self._at[key] = file.tell()
            except OSError:
                continue
