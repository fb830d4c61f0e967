"""Writing to descriptors. Standard library only: shims and launchers import this."""

from __future__ import annotations

import os

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC  # never through a planted link


def open_new(path: str) -> int:
    """A descriptor of a new file at `path`, whatever stood there before."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    return os.open(path, _NEW_FILE, 0o644)


def write_all(fd: int, data: bytes) -> None:
    """Writes all bytes, however many the system takes at a time. Raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]
