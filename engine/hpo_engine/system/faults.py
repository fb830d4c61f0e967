"""Faults of the machine, not of a trial: too many processes or files, no memory, a disk that is full or gone.

Standard library only: shims and launchers import this. Tests let calls fail here, see `faultpoint`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

FULL = frozenset((errno.ENOSPC, errno.EDQUOT))  # a disk, or the share of it that this user may have
NO_ROOM = FULL | {errno.EROFS}
FAULTS = NO_ROOM | {
    errno.EAGAIN, errno.ENOMEM, errno.ENOBUFS, errno.EMFILE, errno.ENFILE, errno.EIO, errno.ESTALE
}  # fmt: skip

POINTS: tuple[str, ...] = (
    "engine.launcher-start",
    "engine.lay-out",
    "engine.read-records",
    "engine.read-results",
    "launcher.import",
    "launcher.fork",
    "shim.token",
    "shim.fork",
    "shim.spawn",
    "shim.exit-record",
)


def at_fault(error: BaseException) -> bool:
    """Whether the call failed for lack of something that may be available again later."""
    return isinstance(error, OSError) and error.errno in FAULTS


SPARE = 1 << 16  # bytes; with less, it is up to chance whether small writes fail
_WORDS = ("No space left on device", "Disk quota exceeded", "ENOSPC", "EDQUOT")


def out_of_room(folders: Sequence[str], output: str, seen: bool) -> str:
    """Why a failed run may have failed for lack of disk space; "" if nothing suggests it.

    Args:
        folders: where it writes; output: the error at the end of its output; seen: another write there failed for this.
    """
    for folder in folders:
        if full(folder):
            return f"the disk is full{room(folder)}"
    if seen:
        return f"the file system of {folders[0]} was full"
    word = next((word for word in _WORDS if word in output), "")
    return f"its output has: {output[:300]}" if word else ""


def full(folder: str) -> bool:
    """Whether its file system has (nearly) no bytes or no inodes left for this user."""
    try:
        seen = os.statvfs(folder)
    except OSError:
        return False
    return seen.f_bavail * seen.f_frsize < min(SPARE, seen.f_blocks * seen.f_frsize) or (
        seen.f_files > 0 and seen.f_favail == 0
    )


def placed(error: OSError, path: str, *, needed: int = 0) -> OSError:
    """The error with an absolute path; it had none, or one relative to `path`.

    Args:
        needed: bytes that were to be written; a message may say so.
    """
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    error.filename = os.path.join(path, name) if name else path
    error.__dict__.setdefault("needed", needed)
    return error


def described(error: OSError) -> str:
    """What failed and where; for a full disk also which one it is and how much room it has."""
    where = f"{error.filename}: " if error.filename else ""
    text = f"{where}{error.strerror or error}"
    if error.errno in FULL and isinstance(error.filename, str):
        text += room(error.filename, needed=error.__dict__.get("needed", 0))
    return text


def room(path: str, *, needed: int = 0) -> str:
    """` (the file system at /x has ... left)`, for messages; "" if that is not known."""
    folder = os.path.abspath(path)
    while not os.path.isdir(folder) and folder != "/":
        folder = os.path.dirname(folder)
    try:
        device, seen = os.stat(folder).st_dev, os.statvfs(folder)
        while folder != "/" and os.stat(os.path.dirname(folder)).st_dev == device:
            folder = os.path.dirname(folder)
    except OSError:
        return ""
    left = f"{_size(seen.f_bavail * seen.f_frsize)} of {_size(seen.f_blocks * seen.f_frsize)} left"
    if seen.f_files and not seen.f_favail:
        left = f"no room for more files (all {seen.f_files:,} inodes are taken)"
    return f" (the file system at {folder} has {left}{f'; {_size(needed)} are needed' if needed else ''})"


def _size(count: float) -> str:
    units = ["B", "kB", "MB", "GB", "TB"]
    while count >= 1000 and len(units) > 1:
        count /= 1000
        units.pop(0)
    return f"{count:.3g} {units[0]}"


_names: frozenset[str] = frozenset()
_errno = 0
if os.environ.get("HPO_FAILPOINT_ERRNO"):
    _text = os.environ["HPO_FAILPOINT_ERRNO"].split(":")
    _names, _errno = frozenset(_text[0].split("+")), getattr(errno, _text[1])


def faultpoint(name: str) -> None:
    """Raises the error that the environment asks for: HPO_FAILPOINT_ERRNO=name+name:EAGAIN, as long as the file
    HPO_FAILPOINT_WHILE is there. One stands before each call that can fail for the machine's reasons."""
    if name in _names and os.path.exists(os.environ.get("HPO_FAILPOINT_WHILE", "/")):
        raise OSError(_errno, os.strerror(_errno))
