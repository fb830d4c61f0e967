"""The spool: files and folders of requests that are being served. Whatever is left in it by a process that died goes
away when the next one starts. Names in it are the service's own; nothing of a request is part of them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator

_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Spool:
    """`folder`: where it is, absolute. Each thing in it is locked by the process that uses it."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        os.makedirs(folder, mode=0o700, exist_ok=True)

    @classmethod
    def below(cls, root: str) -> Spool:
        """The spool of the service for the studies under `root`, as the service finds it when it starts: swept."""
        own = os.path.join(root, ".service")
        os.makedirs(own, mode=0o700, exist_ok=True)
        spool = cls(os.path.join(own, "spool"))
        spool.sweep()
        return spool

    def file(self) -> SpoolFile:
        """A new file."""
        path = self._name()
        fd = os.open(path, _FILE, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return SpoolFile(path, fd)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[str]:
        """A new folder, removed at the end if it is still there: what is complete is renamed to where it belongs."""
        path = self._name()
        os.mkdir(path, 0o700)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
            os.close(fd)

    def sweep(self) -> None:
        """Removes what no living process uses. Not while requests are served: what is being made is not locked yet."""
        for name in os.listdir(self.folder):
            path = f"{self.folder}/{name}"
            with contextlib.suppress(OSError):
                if os.path.islink(path):
                    os.unlink(path)
                fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
                finally:
                    os.close(fd)

    def _name(self) -> str:
        return f"{self.folder}/{secrets.token_hex(16)}"


class SpoolFile:
    """An open file of the spool. `size` in bytes."""

    def __init__(self, path: str, fd: int) -> None:
        self.path, self.size = path, 0
        self._fd = fd

    def write(self, data: bytes | memoryview) -> None:
        while data:
            count = os.write(self._fd, data)
            self.size += count
            data = data[count:]

    def head(self, count: int) -> bytes:
        """Its first bytes."""
        return os.pread(self._fd, count, 0)

    def discard(self) -> None:
        """Removes it, unless it was given another name, and lets go of it."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        os.close(self._fd)
