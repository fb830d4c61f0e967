"""stop.json: that an attempt is being ended, why, and how long it has to finish. Left before SIGTERM is sent.

A script's own file by that name is never touched. Standard library only, for shims import this.
"""

from __future__ import annotations

import json
import os
import time

from hpo_engine.failpoints import failpoint
from hpo_engine.system.writing import write_all

NAME = "stop.json"  # in RESULT_DIR
_MOST_BYTES = 16_384
_KEYS = frozenset(("cause", "reason", "at", "deadline", "grace_s", "attempt"))


def leave(cause: str, reason: str, grace_s: float, nonce: str) -> bool:
    """Writes the note into the current folder, RESULT_DIR; False if something is there by that name already, or it
    cannot be written: the attempt is ended all the same.

    Args:
        cause: see StopCause; reason: the same in words. grace_s: seconds from now until SIGKILL.
    """
    now = time.time()
    note = {
        "cause": cause,
        "reason": reason,
        "at": round(now, 3),
        "deadline": round(now + grace_s, 3),
        "grace_s": grace_s,
        "attempt": nonce,
    }
    aside = f".{os.urandom(8).hex()}.tmp"  # a random name cannot be planted
    try:
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            write_all(fd, json.dumps(note).encode() + b"\n")
            os.link(aside, NAME)  # whole, or not at all; never in place of what is there
            failpoint("shim.stop-noted")
        finally:
            os.close(fd)
            os.unlink(aside)
    except OSError:
        return False
    return True


def remove(folder: int) -> None:
    """Removes the note of an earlier attempt from a folder (a descriptor); anything else by that name stays."""
    if is_note(NAME, folder):
        os.unlink(NAME, dir_fd=folder)


def is_note(path: str, folder: int | None = None) -> bool:
    """Whether that is a file which `leave` wrote. Links are not followed, and pipes not waited for."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return False
    try:
        found = json.loads(os.read(fd, _MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return False
    finally:
        os.close(fd)
    return isinstance(found, dict) and found.keys() == _KEYS
