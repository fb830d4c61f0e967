"""A trial's output as the shim keeps it: the head in one file, past its share the newest part in two that alternate.

`output.log` alone when nothing was dropped; when the run has ended it always holds everything that was kept.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

NAME = "output.log"
TAILS = ("output.tail.0", "output.tail.1")
_END = 1 << 16  # bytes in which a run tells why it failed


def parts(folder: str) -> list[str]:
    """The files of the log that exist, oldest first."""
    tails = []
    for name in TAILS:
        with contextlib.suppress(OSError):  # they go when the run ends
            tails.append((os.stat(f"{folder}/{name}").st_mtime_ns, f"{folder}/{name}"))
    head = f"{folder}/{NAME}"
    return ([head] if os.path.exists(head) else []) + [path for _, path in sorted(tails)]


def tail(folder: str, size: int = _END) -> bytes:
    """The last `size` bytes of the output (none where there is none)."""
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
    return data


def lines(folder: str, size: int = _END) -> list[str]:
    """The last lines of the output, as a terminal would show them."""
    from hpo_engine.contract.outputlog.screen import rendered

    data = tail(folder, size)
    shown = rendered(data)
    return shown[1:] if len(data) == size and len(shown) > 1 else shown  # the first one is likely a part of a line


def why(folder: str, *, killed: bool = False) -> str:
    """Why the run failed, as far as its output says: the error, or `its output ends: ...`, or nothing.

    Args:
        killed: the run was ended by a signal, which strikes wherever it is.
    """
    text, is_error = _cause(folder, killed)
    return text if is_error or not text else f"its output ends: {text}"


def error(folder: str) -> str:
    """The error that the output ends with ("": none)."""
    text, is_error = _cause(folder, False)
    return text if is_error else ""


def _cause(folder: str, killed: bool) -> tuple[str, bool]:
    from hpo_engine.contract.outputlog.cause import cause

    return cause(lines(folder), killed=killed)


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
