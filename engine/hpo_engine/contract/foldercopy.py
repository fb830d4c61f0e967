"""A copy of a folder that scripts have written: no link is followed, holes stay holes, and blocks are shared if the
file system can do that.

A copy may take minutes, so it is made in a thread (see `copies`), and whoever wants it may cancel it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Collection

from hpo_engine.contract.paths import is_below
from hpo_engine.failpoints import failpoint
from hpo_engine.system.faults import SPARE, at_fault, placed
from hpo_engine.system.files import FOLDER, open_folder

_DEEPEST = 100  # levels of folders; what nests deeper is a mistake or an attack
_PIECE = 16 << 20  # bytes between two looks at the free space, and at whether the copy is still wanted
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FICLONE = 0x40049409  # ioctl_ficlone(2)

Check = Callable[[], None]
"""Called again and again while a copy is made; what it raises ends the copy."""


def no_check() -> None:
    """The copy is wanted whatever happens."""


def copy_folder(
    root: str,
    source: str,
    target: str,
    *,
    skip: Collection[str] = (),
    moved: tuple[str, str] | None = None,
    check: Check = no_check,
) -> None:
    """Copies a folder to `target`, in place of what is there. If that fails, nothing is left at `target`.

    Sockets, pipes and devices are left out: those belonged to processes that are gone.

    Args:
        root: no link below it is followed on the way to the two folders.
        skip: files that are left out, by their paths in the folder.
        moved: links that lead to or below the first path lead to or below the second one in the copy.

    Raises:
        OSError: a full disk is reported before the copy fills it, so that trials that run can still write.
    """
    parent, _, name = target.rpartition("/")
    shutil.rmtree(target, ignore_errors=True)
    try:
        fds = [open_folder(root, parent)]
        try:
            os.mkdir(name, dir_fd=fds[0])
            fds += [open_folder(root, path) for path in (source, target)]
            _Copying(target, fds[1], skip, moved, check).folder(fds[1], fds[2])
        finally:
            for fd in fds:
                os.close(fd)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


class _Copying:
    """One copy on its way."""

    def __init__(self, path: str, top: int, skip: Collection[str], moved: tuple[str, str] | None, check: Check) -> None:
        self._path, self._top, self._skip = path, top, skip
        self._moved, self._check = moved, check
        self._done = 0  # bytes that were copied or shared
        self._all: int | None = None  # bytes that the folder takes up; None: not counted yet
        self._ranges = True  # copy_file_range works

    def folder(self, source: int, target: int, inside: str = "", depth: int = _DEEPEST) -> None:
        """`inside`: the folder's path in the one that is copied, "" or with a slash at its end."""
        if not depth:
            raise OSError(errno.ELOOP, f"folders are nested deeper than {_DEEPEST}")
        with os.scandir(source) as entries:
            for entry in entries:
                self._check()
                if inside + entry.name in self._skip:
                    continue
                seen = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(seen.st_mode):
                    self._inner(entry.name, source, target, seen, inside, depth)
                elif stat.S_ISREG(seen.st_mode):
                    self._file(entry.name, source, target, seen)
                elif stat.S_ISLNK(seen.st_mode):
                    os.symlink(self._leads_to(os.readlink(entry.name, dir_fd=source)), entry.name, dir_fd=target)

    def _inner(self, name: str, source: int, target: int, seen: os.stat_result, inside: str, depth: int) -> None:
        os.mkdir(name, 0o700, dir_fd=target)
        fds: list[int] = []
        try:
            for fd in (source, target):
                fds.append(os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=fd))
            self.folder(fds[0], fds[1], f"{inside}{name}/", depth - 1)
            _like(fds[1], seen)
        finally:
            for fd in fds:
                os.close(fd)

    def _leads_to(self, path: str) -> str:
        if self._moved is None or not is_below(path, self._moved[0]):
            return path
        return self._moved[1] + path[len(self._moved[0]) :]

    def _file(self, name: str, source: int, target: int, seen: os.stat_result) -> None:
        out = os.open(name, _READ, dir_fd=source)
        try:
            into = os.open(name, _WRITE, 0o600, dir_fd=target)
            try:
                if seen.st_size and not _cloned(out, into):
                    before = self._done
                    self._pour(out, into, seen.st_size)
                    self._done = before
                self._done += _taken_up(seen)
                failpoint("trial.copying")
                _like(into, seen)
            finally:
                os.close(into)
        finally:
            os.close(out)

    def _pour(self, out: int, into: int, size: int) -> None:
        at, end = 0, 0
        while at < size:
            if at == end:
                at, end = _next_data(out, at, size)
                continue
            self._check()
            self._require_room(into)
            count = self._piece(out, into, at, min(_PIECE, end - at))
            if not count:  # the file has become shorter
                break
            at += count
            self._done += count
        os.ftruncate(into, size)

    def _piece(self, out: int, into: int, at: int, count: int) -> int:
        """Copies up to `count` bytes; returns how many."""
        if self._ranges:
            try:
                if copied := os.copy_file_range(out, into, count, at, at):
                    return copied
            except OSError as error:
                if at_fault(error):
                    raise
            self._ranges = False  # not between these file systems
        return os.pwrite(into, os.pread(out, min(count, 1 << 20), at), at)

    def _require_room(self, into: int) -> None:
        """Raises ENOSPC if what is left to copy does not fit."""
        if self._all is None:
            self._all = self._size(self._top, ".")
        seen, left = os.fstatvfs(into), max(0, self._all - self._done)
        if seen.f_bavail * seen.f_frsize < left + min(SPARE, seen.f_blocks * seen.f_frsize // 2):
            raise placed(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), self._path, needed=left)

    def _size(self, parent: int, name: str) -> int:
        """Bytes that the files in a folder take up. Opened anew: two scans of one descriptor share a place."""
        size, folder = 0, os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=parent)
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    self._check()
                    seen = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(seen.st_mode):
                        size += self._size(folder, entry.name)
                    elif stat.S_ISREG(seen.st_mode):
                        size += _taken_up(seen)
        finally:
            os.close(folder)
        return size


def _taken_up(seen: os.stat_result) -> int:
    return seen.st_blocks * 512


def _cloned(out: int, into: int) -> bool:
    """Whether the file shares the other one's blocks now, which takes neither time nor space."""
    try:
        fcntl.ioctl(into, _FICLONE, out)
    except OSError:  # the file system cannot do it, which most cannot
        return False
    return True


def _next_data(fd: int, at: int, size: int) -> tuple[int, int]:
    """Start and end of the next bytes from `at` on that are no hole; (size, size) if there are none."""
    try:
        start = os.lseek(fd, at, os.SEEK_DATA)
        return min(start, size), min(os.lseek(fd, start, os.SEEK_HOLE), size)
    except OSError as error:  # ENXIO: there is nothing but a hole; else this file system knows no holes
        return (size, size) if error.errno == errno.ENXIO else (at, size)


def _like(fd: int, seen: os.stat_result) -> None:
    os.fchmod(fd, stat.S_IMODE(seen.st_mode))
    os.utime(fd, ns=(seen.st_atime_ns, seen.st_mtime_ns))
