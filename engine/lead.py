"""Who leads a study: an flock'd file that names the engine. The kernel frees it on any death, so it is never stale."""

from __future__ import annotations

import fcntl
import json
import os
import time
from typing import NamedTuple

from engine.errors import StudyLocked
from engine.paths import identity

_RETRY_S = 0.05


class Holder(NamedTuple):
    """The engine that leads: its process, host, and since when (UTC seconds)."""

    pid: int
    host: str
    since: float

    def __str__(self) -> str:
        return f"engine {self.pid} on {self.host}, since {time.strftime('%H:%M:%S', time.localtime(self.since))}"


class Lead:
    """The lead of one study, taken when made, given back by `close` (or by death).

    Args:
        path: the lock file.
        wait_s: how long to wait for another engine to leave.

    Raises:
        StudyLocked: another engine leads; the error says which.
    """

    def __init__(self, path: str, wait_s: float = 0.0) -> None:
        if _of_another_folder(path):
            os.unlink(path)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        deadline = time.monotonic() + wait_s
        while not _try_lock(self._fd):
            if time.monotonic() >= deadline:
                os.close(self._fd)
                holder = who_leads(path)
                text = f"{os.path.dirname(path)}: led by {holder or 'another engine'}; watch it, stop it, or --wait"
                raise StudyLocked(text, holder=str(holder or ""))
            time.sleep(_RETRY_S)
        record = {"pid": os.getpid(), "host": os.uname().nodename, "since": time.time(), "folder": _folder(path)}
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, json.dumps(record).encode(), 0)

    def close(self) -> None:
        os.close(self._fd)


def who_leads(path: str) -> Holder | None:
    """The engine that holds the lock file at `path`, or None (nobody, or no such file)."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        if _try_lock(fd, shared=True):
            return None
        try:
            record = json.loads(os.pread(fd, 4096, 0))
            if record.get("folder", _folder(path)) != _folder(path):
                return None
            return Holder(int(record["pid"]), str(record["host"]), float(record["since"]))
        except (ValueError, KeyError, TypeError):
            return Holder(0, "?", 0.0)  # it has the lock and is about to write its name
    finally:
        os.close(fd)


def _folder(path: str) -> list[int]:
    return list(identity(os.path.dirname(path)))


def _of_another_folder(path: str) -> bool:
    """Whether the lock file is the same file as another folder's: a hard link, and its lock tells nothing here."""
    try:
        if os.stat(path, follow_symlinks=False).st_nlink == 1:
            return False
        with open(path, "rb") as file:
            return bool(json.loads(file.read(4096))["folder"] != _folder(path))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _try_lock(fd: int, *, shared: bool = False) -> bool:
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
