"""Standard output and error for a program that outlives them: it needs to know why something cannot be written.

A reader that has gone (`| head`) wants no more. A full disk behind the output is a different matter: a display
loses lines, and what was to be delivered is an error that names the stream. Nothing is left to Python's own flush at
exit, which would print a traceback and change the exit code.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
from typing import Any, TextIO

_TITLES = {"stdout": "standard output", "stderr": "standard error"}


class OutputError(OSError):
    """Standard output takes no more: a full disk, a quota, a limit. `filename` is what it is called."""


def gone(error: BaseException) -> bool:
    """Whether an error in writing says that nobody reads any more (a stream that was closed counts, too)."""
    return isinstance(error, BrokenPipeError | ConnectionResetError | ValueError)


class _Raw(io.FileIO):
    """A descriptor to write to.

    `lenient`: what cannot be written is dropped, unless the reader has gone; `problem` is why. `muted`: all is dropped.
    """

    def __init__(self, fd: int, title: str, *, lenient: bool) -> None:
        super().__init__(fd, "wb", closefd=False)
        self.title, self.lenient, self.muted = title, lenient, False
        self.problem: OSError | None = None

    def write(self, data: Any, /) -> int:
        length = memoryview(data).nbytes
        while not self.muted:
            try:
                count = super().write(data)
            except OSError as error:
                if gone(error):
                    raise BrokenPipeError(self.title) from None  # without errno: click would end the program on it
                if not self.lenient:
                    raise OutputError(error.errno, error.strerror, self.title) from None
                self.problem = error
                break
            if count is not None:
                return count
            # Another process made the pipe non-blocking; its reader is slow, not gone.
            poller = select.poll()
            poller.register(self.fileno(), select.POLLOUT)
            poller.poll()
        return length


def install() -> None:
    """Puts such streams in the place of sys.stdout and sys.stderr. Characters that they cannot encode are escaped."""
    for name in _TITLES:
        old: TextIO | None = getattr(sys, name)
        if old is None:  # closed by the caller (`>&-`)
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
            continue
        try:
            raw = _Raw(old.fileno(), _TITLES[name], lenient=name == "stderr")
        except (OSError, ValueError):  # not a real file
            continue
        errors = "backslashreplace" if old.errors in (None, "strict", "surrogateescape") else old.errors
        lines = bool(old.line_buffering)
        setattr(sys, name, io.TextIOWrapper(io.BufferedWriter(raw), old.encoding, errors, line_buffering=lines))


def be_lenient(stream: TextIO) -> None:
    """The stream only shows what a study does: a lost line must not stop it."""
    if (raw := _raw(stream)) is not None:
        raw.lenient = True


def problem(stream: TextIO) -> OSError | None:
    """Why a lenient stream lost something."""
    raw = _raw(stream)
    return None if raw is None else raw.problem


def settle(stream: TextIO) -> None:
    """Writes what is left, or drops it: nothing is left to be flushed at exit."""
    try:
        stream.flush()
    except (OSError, ValueError):
        if (raw := _raw(stream)) is not None:
            raw.muted = True
            with contextlib.suppress(OSError, ValueError):
                stream.flush()


def _raw(stream: TextIO) -> _Raw | None:
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw if isinstance(raw, _Raw) else None
