"""What is the machine's fault and no trial's: too many processes or files, no memory, a disk that is full or gone.

Standard library only: shims and launchers import this. Tests let calls fail here, see `faultpoint`.
"""

from __future__ import annotations

import errno
import os

NO_ROOM = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EROFS))  # of a disk
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
    """Whether the call failed for want of something that another moment may bring."""
    return isinstance(error, OSError) and error.errno in FAULTS


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
