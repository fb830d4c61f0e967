"""Opening and reading files in folders that a training script may have tampered with.

No link is followed below a study's folder, nothing but plain files of sound size is read, nothing blocks. What is wrong
with a file is a ContractError that says so.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from hpo_engine.errors import ContractError
from hpo_engine.failpoints import failpoint
from hpo_engine.system.faults import at_fault

MAX_BYTES = 16 << 20  # of a file that a script wrote and we read
TICK_NS = 20_000_000  # of the clock that stamps files: within it, one may change without a new time stamp
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def open_folder(root: str, path: str) -> int:
    """A descriptor of `path`, which lies below `root`; no link is followed below the root (which may be one)."""
    fd = os.open(root, FOLDER)
    for name in path[len(root) + 1 :].split("/"):
        outer = fd
        try:
            fd = os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=outer)
        except OSError as error:
            error.filename = path
            raise
        finally:
            os.close(outer)
    return fd


class Missing(ContractError):
    """There is no such file."""


class Changed(ContractError):
    """The name led to another file a moment later: a script replaced it, by accident or to deceive."""


class Gone(ContractError):
    """The folder itself does not exist, or is not a folder."""


def safe_read(folder: str | int, name: str, limit: int = MAX_BYTES, *, called: str = "RESULT_DIR") -> bytes:
    """The bytes of a file that a script may have put there in bad faith; never blocks, follows no link.

    Args:
        folder: its path, or a descriptor; called: what messages call it.
        limit: bytes; a larger file is refused before it is read.

    Raises:
        ContractError: says why in words.
        OSError: the machine cannot read at present, see `faults.at_fault`.
    """
    if isinstance(folder, str):
        try:
            fd = os.open(folder, FOLDER | os.O_NOFOLLOW)
        except OSError as error:
            raise gone(called, error) from None
        try:
            return safe_read(fd, name, limit, called=called)
        finally:
            os.close(fd)
    for last in (False, False, False, False, True):
        try:
            fd, size = open_file(folder, name, limit)
        except Changed:
            if last:
                raise
            continue
        try:
            return _read_all(fd, name, size, limit)
        except OSError as error:
            raise _unreadable(name, error) from None
        finally:
            os.close(fd)
    raise AssertionError("not reached")


def gone(called: str, error: OSError) -> ContractError:
    """What is wrong with a folder. Raises the error itself if a later try may succeed (faults.at_fault)."""
    if at_fault(error):
        raise error
    if error.errno == errno.ENOENT:
        return Gone(f"{called} is gone")
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return Gone(f"{called} is not a folder any more (something else was put in its place)")
    return Gone(f"{called} cannot be read ({error.strerror})")


def _unreadable(name: str, error: OSError) -> ContractError:
    if at_fault(error):
        raise error
    return ContractError(f"{name} cannot be read ({error.strerror})")


def open_file(folder: int, name: str, limit: int) -> tuple[int, os.stat_result]:
    try:
        # Looked at before it is opened: opening alone can make a device act.
        _check(name, os.stat(name, dir_fd=folder, follow_symlinks=False), limit)
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        raise Missing(f"{name} is missing") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ContractError(f"{name} is a link, not a file") from None
        raise _unreadable(name, error) from None
    try:
        # What is open must be what the name leads to *now*, by its only name: a hard link to a secret, opened and
        # then taken away, has one name left, but not this one.
        opened, now = os.fstat(fd), os.stat(name, dir_fd=folder, follow_symlinks=False)
        _check(name, now, limit)
        if (opened.st_dev, opened.st_ino) != (now.st_dev, now.st_ino):
            raise Changed(f"{name} was replaced while it was read")
        return fd, opened
    except FileNotFoundError:
        os.close(fd)
        raise Changed(f"{name} was taken away while it was read") from None
    except BaseException:
        os.close(fd)
        raise


_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def _check(name: str, found: os.stat_result, limit: int) -> None:
    mode = found.st_mode
    if stat.S_ISLNK(mode):
        raise ContractError(f"{name} is a link, not a file")
    if not stat.S_ISREG(mode):
        raise ContractError(f"{name} is not a regular file but {_KINDS.get(stat.S_IFMT(mode), 'something else')}")
    if found.st_nlink > 1:
        raise ContractError(f"{name} has other hard links; write a file of its own")
    if found.st_size > limit:
        raise _too_big(name, found.st_size, limit)


def _too_big(name: str, size: int, limit: int) -> ContractError:
    return ContractError(f"{name} is too big ({size:,} bytes, at most {limit:,})")


def _read_all(fd: int, name: str, found: os.stat_result, limit: int) -> bytes:
    parts, length = [], 0
    while part := os.read(fd, max(4096, found.st_size - length + 1)):
        parts.append(part)
        length += len(part)
        if length > limit:  # it grew meanwhile
            raise _too_big(name, length, limit)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def disk_bytes(folder: str) -> int:
    """What the files below a folder take on the disk, without those that links lead to; 0 if it is gone."""
    total = 0
    for at, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(f"{at}/{name}").st_blocks * 512
    return total


def put_in_place(aside: str | os.PathLike[str], name: str | os.PathLike[str], folder: int | None = None) -> None:
    """Gives a file that is complete its name, in place of what has it: readers see the old one or the new one.

    Args:
        folder: a descriptor of the folder that both names are in; None: they are paths.
    """
    failpoint("file.before-rename")
    os.replace(aside, name, src_dir_fd=folder, dst_dir_fd=folder)
