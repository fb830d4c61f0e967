"""Who leads a study: an flock on its folder, and on a file in it that names the engine.

The kernel frees both on any death, so neither is ever stale. The lock on the folder is the one that counts: it cannot
be deleted by hand without the study, and it moves with it. Not every file system can lock a folder; on those only the
file counts. A lock holds an inode, not a name, so its holder checks that the name still belongs to that inode.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import time
from typing import NamedTuple

from hpo_engine.errors import StudyGone, StudyLocked

_RETRY_S, _RETRY_SOON_S = 0.05, 0.005
_PATIENCE_S = 0.2
"""How long even an engine that must not wait tries: `who_leads` holds the locks for a moment, too."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class Holder(NamedTuple):
    """The engine that leads: its process, host, and since when (UTC seconds)."""

    pid: int
    host: str
    since: float

    def __str__(self) -> str:
        if not self.pid:
            return "its process is not known"
        return f"process {self.pid} on {self.host}, since {time.strftime('%H:%M:%S', time.localtime(self.since))}"


class StudyLock:
    """The lock on one study, taken when made and released by `close` (or by the death of the process).

    Args:
        path: the lock file; wait_s: how long to wait for another engine to leave.
        can_wait: whether the user can ask for that; the error says so.

    Raises:
        StudyLocked: another engine has the study (the error says which), or its folder was replaced meanwhile.
        StudyGone: the folder does not exist, or was removed meanwhile.
    """

    def __init__(self, path: str, wait_s: float = 0.0, *, can_wait: bool = True) -> None:
        self._folder, self._name = os.path.split(path)
        self._fd, self._file_id = -1, (0, 0)
        try:
            self._folder_fd = os.open(self._folder or ".", _FOLDER)
        except FileNotFoundError:
            raise StudyGone(f"{self._folder}: this study no longer exists; it was moved or removed") from None
        try:
            self._id = _identity(os.fstat(self._folder_fd))
            soon = time.monotonic() + _PATIENCE_S
            deadline = soon + max(0.0, wait_s - _PATIENCE_S)
            while not self._take():
                self._check_folder()
                if time.monotonic() >= deadline:
                    holder = who_leads(path)
                    name = os.path.basename(self._folder)
                    text = (
                        f"{self._folder} is being run by another hpo-engine{f' ({holder})' if holder else ''}: "
                        f"hpo-engine watch {name}, hpo-engine stop {name}{', or --wait S' if can_wait else ''}"
                    )
                    raise StudyLocked(text, holder=str(holder or ""))
                time.sleep(_RETRY_SOON_S if time.monotonic() < soon else _RETRY_S)
            self._check_folder()
        except BaseException:
            self.close()
            raise

    def check(self) -> None:
        """Checks that the names of the folder and the lock file still belong to what is locked. A lock file that was
        deleted is made again.

        Raises:
            StudyGone: the folder was moved or removed. StudyLocked: another study, or another engine, took its place.
        """
        self._check_folder()
        try:
            there = os.stat(self._name, dir_fd=self._folder_fd, follow_symlinks=False)
        except FileNotFoundError:
            there = None
        if there is not None and _identity(there) == self._file_id:
            return
        lost, self._fd = self._fd, -1
        os.close(lost)
        if not self._take_file():
            raise StudyLocked(
                f"{self._folder}: {self._name} was deleted, and another engine runs the study now; this one exits"
            )

    def close(self) -> None:
        for fd in (self._fd, self._folder_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._folder_fd = -1

    def _take(self) -> bool:
        """Both locks, or none."""
        if not _lock_folder(self._folder_fd):
            return False
        if self._take_file():
            return True
        with contextlib.suppress(OSError):  # a file system that cannot lock folders
            fcntl.flock(self._folder_fd, fcntl.LOCK_UN)
        return False

    def _take_file(self) -> bool:
        try:
            if _of_another_folder(self._folder_fd, self._name):
                os.unlink(self._name, dir_fd=self._folder_fd)
            fd = os.open(self._name, _FILE, 0o644, dir_fd=self._folder_fd)
        except FileNotFoundError:
            self._check_folder()
            raise self._gone() from None
        except OSError as error:
            error.filename = f"{self._folder}/{self._name}"
            raise
        try:
            if not _try_lock(fd):
                return False
            try:
                same = _identity(os.stat(self._name, dir_fd=self._folder_fd)) == _identity(os.fstat(fd))
            except FileNotFoundError:
                same = False
            if not same:  # deleted, and perhaps made again, before the lock was ours
                return False
            record = {"pid": os.getpid(), "host": os.uname().nodename, "since": time.time(), "folder": self._id}
            os.ftruncate(fd, 0)
            os.pwrite(fd, json.dumps(record).encode(), 0)
            self._fd, self._file_id, fd = fd, _identity(os.fstat(fd)), -1
            return True
        except OSError as error:
            error.filename = f"{self._folder}/{self._name}"
            raise
        finally:
            if fd >= 0:
                os.close(fd)

    def _check_folder(self) -> None:
        try:
            there = os.stat(self._folder or ".")
        except (FileNotFoundError, NotADirectoryError):
            raise self._gone() from None
        if not stat.S_ISDIR(there.st_mode):
            raise self._gone()
        if _identity(there) != self._id:
            raise StudyLocked(
                f"{self._folder}: the study that was here was moved or removed, and another one has its name; "
                "this engine does not touch it"
            )

    def _gone(self) -> StudyGone:
        now = os.readlink(f"/proc/self/fd/{self._folder_fd}") if os.path.isdir("/proc/self/fd") else ""
        moved = now and not now.endswith(" (deleted)") and not os.path.basename(now).startswith(".")
        what = f"the study was moved to {now}; resume it there" if moved else "the study was removed"
        return StudyGone(f"{self._folder}: {what}; this engine exits")


def who_leads(path: str) -> Holder | None:
    """The engine that holds the lock file at `path`, or None (no engine, or no such study)."""
    folder, name = os.path.split(path)
    try:
        folder_fd = os.open(folder or ".", _FOLDER)
    except OSError:
        return None
    try:
        if not _lock_folder(folder_fd, shared=True):
            return _holder(folder_fd, name) or Holder(0, "?", 0.0)
        return _holder(folder_fd, name, locked=True)
    finally:
        os.close(folder_fd)


def hold_folder(path: str) -> int | None:
    """A descriptor that keeps others from holding the folder until it is closed; None if another process holds it."""
    fd = os.open(path, _FOLDER | os.O_NOFOLLOW)
    try:
        if _lock_folder(fd) and _identity(os.fstat(fd)) == _identity(os.stat(path, follow_symlinks=False)):
            return fd
    except OSError:
        pass
    os.close(fd)
    return None


def _holder(folder: int, name: str, *, locked: bool = False) -> Holder | None:
    """The content of the lock file; None if there is none or, with `locked`, if no process has the lock on it."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=folder)
    except OSError:
        return None
    try:
        if locked and _try_lock(fd, shared=True):
            return None
        record = json.loads(os.pread(fd, 4096, 0))
        if locked and _of_another_folder(folder, name):
            return None
        return Holder(int(record["pid"]), str(record["host"]), float(record["since"]))
    except (ValueError, KeyError, TypeError):
        return Holder(0, "?", 0.0)  # the holder is about to write its name
    finally:
        os.close(fd)


def _identity(seen: os.stat_result) -> tuple[int, int]:
    return seen.st_dev, seen.st_ino


def _of_another_folder(folder: int, name: str) -> bool:
    """Whether the lock file is a hard link of another folder's: then its lock says nothing about this study."""
    try:
        if os.stat(name, dir_fd=folder, follow_symlinks=False).st_nlink == 1:
            return False
        with open(os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=folder), "rb") as file:
            return tuple(json.loads(file.read(4096))["folder"]) != _identity(os.fstat(folder))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _lock_folder(fd: int, *, shared: bool = False) -> bool:
    try:
        return _try_lock(fd, shared=shared)
    except OSError:  # this file system cannot lock folders
        return True


def _try_lock(fd: int, *, shared: bool = False) -> bool:
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
