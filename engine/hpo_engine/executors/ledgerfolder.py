"""The folder that all studies of this computer share: where it is, its files, and the locks on them.

Locks die with the process that holds them. Nothing here waits. Knows neither leases nor studies: see `ledger`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from hpo_engine.failpoints import failpoint

_T = TypeVar("_T")

VARIABLE = "HPO_ENGINE_LEDGER"
OFF = "off"
_BASES = ("/tmp", "/var/tmp", "/dev/shm")  # the same for every shell, cron job and login: no TMPDIR, no runtime folder
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
_FILE = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_TURN = "turn"
_MOST_BYTES = 1 << 16  # of a file here
_TOKEN_BYTES = 64
_TRIES = 200
_MOST = 1e12  # of any number here: cores, trials, seconds since the boot


class LedgerFolder:
    """The folder, open.

    Args:
        path: of the folder; own: name of this process's file there, whose lock it holds from now on, or "" for a
            process that only reads.

    Raises:
        OSError
    """

    def __init__(self, path: str, own: str = "") -> None:
        self.path = path
        self._fd = self._turn = self._own = -1
        try:
            self._fd = os.open(path, _FOLDER)
            if own:
                fcntl.flock(self._fd, fcntl.LOCK_SH)  # who cleans up /tmp leaves a locked folder alone
                self._turn = _opened(_TURN, self._fd)
                self._own = _owned(own, self._fd)
        except OSError:
            self.close()
            raise

    @property
    def is_there(self) -> bool:
        """Whether nobody has removed the files that every process here relies on."""
        return os.fstat(self._turn).st_nlink > 0 and os.fstat(self._own).st_nlink > 0

    def close(self) -> None:
        for fd in (self._own, self._turn, self._fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._turn = self._own = -1

    # -- the turn --------------------------------------------------------------------------------------------------

    def begin_turn(self) -> bool:
        """False: another process has the turn."""
        return _lock(self._turn)

    def end_turn(self) -> None:
        if self._turn >= 0:
            fcntl.flock(self._turn, fcntl.LOCK_UN)

    @property
    def token(self) -> bytes:
        """Changes with everything that others should know; b"" if it cannot be read."""
        try:
            return os.pread(self._turn, _TOKEN_BYTES, 0)
        except OSError:
            return b""

    @token.setter
    def token(self, token: bytes) -> None:
        with contextlib.suppress(OSError):
            os.pwrite(self._turn, token.ljust(_TOKEN_BYTES)[:_TOKEN_BYTES], 0)

    # -- files -----------------------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        try:
            return os.listdir(self._fd)
        except OSError:
            return []

    def publish(self, value: Mapping[str, Any]) -> None:
        """Writes this process's own file. Raises OSError."""
        _write(self._own, value)

    def put(self, name: str, value: Mapping[str, Any]) -> None:
        """Writes a file, whole or not at all. Raises OSError."""
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _FILE, 0o644, dir_fd=self._fd)
        try:
            _write(fd, value)
        except OSError:
            os.unlink(name, dir_fd=self._fd)
            raise
        finally:
            os.close(fd)

    def rename(self, old: str, new: str) -> bool:
        """False: there is no such file. Raises OSError."""
        try:
            os.rename(old, new, src_dir_fd=self._fd, dst_dir_fd=self._fd)
        except FileNotFoundError:
            return False
        failpoint("lease.renamed")
        return True

    def remove(self, name: str) -> None:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=self._fd)

    def read(self, name: str, cls: type[_T]) -> _T | None:
        """The value in a file; None if it is missing, or not what this version writes."""
        return self._with(name, lambda fd: _read(fd, cls))

    def read_living(self, name: str, cls: type[_T]) -> _T | None:
        """`read` of another process's own file; None, too, if that process has gone."""
        return self._with(name, lambda fd: None if _lock(fd, shared=True) else _read(fd, cls))

    def remove_dead(self, name: str) -> None:
        """Removes another process's own file if that process has gone; only in one's turn, so that no new process of
        that name loses its file."""
        self._with(name, lambda fd: self.remove(name) if _lock(fd, shared=True) else None)

    def is_locked(self, name: str) -> bool | None:
        """Whether a process holds the lock of a file; None: there is no such file."""
        try:
            fd = os.open(name, os.O_RDONLY | _FILE, dir_fd=self._fd)
        except OSError as error:
            return None if error.errno == errno.ENOENT else True  # it may be
        try:
            return not _lock(fd)
        finally:
            os.close(fd)

    def _with(self, name: str, use: Callable[[int], _T | None]) -> _T | None:
        """None if the file cannot be used, for example because the file system has no locks."""
        try:
            fd = os.open(name, os.O_RDONLY | _FILE, dir_fd=self._fd)
        except OSError:
            return None
        try:
            return use(fd)
        except OSError:
            return None
        finally:
            os.close(fd)


def folder_of(env: Mapping[str, str]) -> str:
    """The folder that all studies of this user share, made if it is missing. Raises OSError: there can be none."""
    if named := env.get(VARIABLE):
        os.makedirs(named, exist_ok=True)
        return os.path.abspath(named)
    problem = OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    for base in _BASES:
        path = f"{base}/hpo-engine-{os.geteuid()}"
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, 0o700)
            seen = os.stat(path, follow_symlinks=False)
            if stat.S_ISDIR(seen.st_mode) and seen.st_uid == os.geteuid() and os.access(path, os.W_OK | os.X_OK):
                return path
            problem = OSError(errno.EACCES, os.strerror(errno.EACCES))  # somebody else has put it there
        except OSError as error:
            problem = error
    raise problem


def _owned(name: str, folder: int) -> int:
    """A descriptor that holds the lock of a file, which is made if it is missing. Raises OSError."""
    for _ in range(_TRIES):
        fd = _opened(name, folder)
        if _lock(fd) and os.fstat(fd).st_nlink:
            return fd
        os.close(fd)  # another process looks at it, or has just removed it as left behind
        os.sched_yield()
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def _opened(name: str, folder: int) -> int:
    """A descriptor of a file, which is made if it is missing. Raises OSError, also if it is a pipe or the like."""
    fd = os.open(name, os.O_RDWR | os.O_CREAT | _FILE, 0o644, dir_fd=folder)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, f"{name} is not a file")


def _lock(fd: int, *, shared: bool = False) -> bool:
    """Whether the lock is this descriptor's now."""
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(fd: int, value: Mapping[str, Any]) -> None:
    data = json.dumps(value).encode()
    if os.pwrite(fd, data, 0) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.ftruncate(fd, len(data))


def _read(fd: int, cls: type[_T]) -> _T | None:
    try:
        made = cls(**json.loads(os.pread(fd, _MOST_BYTES, 0)))
        return made if all(_CHECKS[f.type](getattr(made, f.name)) for f in fields(made)) else None  # type: ignore[arg-type, index]
    except (OSError, ValueError, RecursionError, TypeError, AttributeError):  # it is being written, say
        return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value <= _MOST


_CHECKS: dict[str, Callable[[Any], bool]] = {  # by the type of a field
    "str": lambda value: isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
    "int": lambda value: isinstance(value, int) and value >= 0,
    "int | None": lambda value: value is None or (isinstance(value, int) and 0 < value <= _MOST),
    "float": _is_number,
    "Sequence[str]": lambda value: isinstance(value, list) and all(isinstance(gpu, str) for gpu in value),
    "Mapping[str, float]": lambda value: isinstance(value, dict) and all(map(_is_number, value.values())),
}
