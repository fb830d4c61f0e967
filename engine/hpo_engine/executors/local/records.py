"""What the files of an attempt say about its process: never started, alive, ended, or lost. And how to signal it.

A process is known by (boot id, pid, start time) and by holding the lock on its own token; signals go through a pidfd
that was opened before that was checked, so none can reach a stranger. A token names its folder by device and inode,
which a copy of the folder does not have: what runs in the original is never signalled on behalf of a copy.
"""

from __future__ import annotations

import contextlib
import enum
import fcntl
import json
import os
import signal
from dataclasses import fields
from typing import Any, NamedTuple

from hpo_engine.contract.paths import identity
from hpo_engine.executors.local import processes
from hpo_engine.failpoints import failpoint
from hpo_engine.study.trial import Exit
from hpo_engine.system.faults import NO_ROOM, at_fault, faultpoint
from hpo_engine.system.writing import open_new

STARTED, EXIT, STOP = "started", "exit.json", "stop"
_OF_EXIT = frozenset(f.name for f in fields(Exit))


class Token(NamedTuple):
    """What an attempt's token says of its shim: pid, start time, and monotonic seconds when the attempt began."""

    pid: int
    start: int
    clock: float


class Fate(enum.Enum):
    """never started -> alive -> ended, or lost: started, not alive, and nothing recorded how it ended.

    ELSEWHERE: the records were copied from the folder in which it started, and do not say how it ended.
    """

    NEVER = "never"
    ALIVE = "alive"
    ENDED = "ended"
    LOST = "lost"
    ELSEWHERE = "elsewhere"


def fate(folder: str, nonce: str) -> tuple[Fate, Exit | None]:
    """What became of the attempt whose records are in `folder`; with the Exit if it ENDED.

    Raises:
        OSError: the machine cannot say at present, see `faults.at_fault`; so do all functions that read records.
    """
    if ended := read_exit(folder, nonce):
        return Fate.ENDED, ended
    try:
        fd = os.open(f"{folder}/{STARTED}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if at_fault(error):
            raise
        return Fate.NEVER, None
    try:
        locked = _locked(fd)
    finally:
        os.close(fd)
    if elsewhere(started(folder, nonce), folder):
        return Fate.ELSEWHERE, None
    if locked:
        return Fate.ALIVE, None
    # It may have ended between the two looks.
    if ended := read_exit(folder, nonce):
        return Fate.ENDED, ended
    return Fate.LOST, None


def read_exit(folder: str, nonce: str) -> Exit | None:
    """The exit record, or None if there is none of this nonce."""
    record = _read_json(f"{folder}/{EXIT}")
    if record is None or record.get("nonce") != nonce:
        return None
    try:
        return Exit.from_json({k: v for k, v in record.items() if k in _OF_EXIT and v is not None})
    except (TypeError, ValueError):
        return None


def token(folder: str, nonce: str) -> Token | None:
    """Of an attempt that began in this folder since the machine was started; its process may be dead."""
    record = started(folder, nonce)
    if record is None or record.get("boot") != processes.boot_id() or elsewhere(record, folder):
        return None
    try:
        return Token(int(record["pid"]), int(record["start"]), float(record["clock"]))
    except (KeyError, ValueError, TypeError, OverflowError):
        return None


def open_shim(folder: str, nonce: str) -> int | None:
    """A pidfd of the shim that runs this attempt; None if it is not alive, or the record cannot be trusted."""
    record = started(folder, nonce)
    if record is None or elsewhere(record, folder):
        return None
    pidfd = _open_process(record)
    if pidfd is None:
        return None
    try:
        if _holds(int(record["pid"]), f"{folder}/{STARTED}"):
            return pidfd
    except OSError as error:
        if at_fault(error):
            os.close(pidfd)
            raise
    os.close(pidfd)
    return None


def original(folder: str, nonce: str) -> str | None:
    """The folder in which the attempt runs whose records were copied into `folder`; None if it runs nowhere else."""
    record = started(folder, nonce)
    if record is None or not elsewhere(record, folder):
        return None
    pidfd = _open_process(record)
    if pidfd is None:
        return None
    os.close(pidfd)
    # Its token is open: where that is now, whatever has been moved since.
    files = f"/proc/{int(record['pid'])}/fd"
    with contextlib.suppress(OSError):
        for name in os.listdir(files):
            there, _, token = os.readlink(f"{files}/{name}").rpartition("/")  # by the name that it was opened with
            if token.startswith(STARTED) and os.path.isdir(there) and list(identity(there)) == record["folder"]:
                return there
    return None


def ask_to_stop(folder: str, nonce: str, why: str, *, kill: bool, reason: str = "") -> bool:
    """Leaves the reason and signals the shim; False if no shim of this nonce is alive (yet).

    Args:
        why: the value of a StopCause. reason: a sentence for the script.
    """
    pidfd = open_shim(folder, nonce)
    if pidfd is None:
        return False
    try:
        # The request in the file counts, not the signal: if the shim has another attempt by now, that has no request.
        number = signal.SIGUSR1 if _leave_request(folder, why, reason, kill=kill) else signal.SIGTERM
        signal.pidfd_send_signal(pidfd, number)
        signal.pidfd_send_signal(pidfd, signal.SIGCONT)  # its own trial may have stopped it
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)
    return True


def _leave_request(folder: str, why: str, reason: str, *, kill: bool) -> bool:
    """False if the disk is full."""
    request = _read_json(f"{folder}/{STOP}")
    if request is not None and (request.get("kill") or not kill):
        return True
    try:
        with open(open_new(f"{folder}/{STOP}.new"), "w", encoding="utf-8") as file:
            earlier = request or {}
            json.dump({"why": earlier.get("why", why), "reason": earlier.get("reason", reason), "kill": kill}, file)
        failpoint("stop.before-reason")
        os.rename(f"{folder}/{STOP}.new", f"{folder}/{STOP}")
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        return False
    return True


def kill_shim(folder: str, nonce: str) -> None:
    """The last resort for one that answers nothing; whoever watches it then sees to its tree."""
    pidfd = open_shim(folder, nonce)
    if pidfd is not None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.close(pidfd)


def _holds(pid: int, path: str) -> bool:
    """Whether the kernel says that `pid` holds the flock on `path` (True if the kernel does not say)."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not _locked(fd):
            return False  # what `pid` holds is another file of the same number
        inode = os.fstat(fd).st_ino
    finally:
        os.close(fd)
    try:
        with open("/proc/locks", encoding="ascii") as file:
            lines = [line.split() for line in file]
    except OSError as error:
        if at_fault(error):
            raise
        return True
    return any(f[1] == "FLOCK" and f[4] == str(pid) and f[5].endswith(f":{inode}") for f in lines if len(f) >= 6)


def _locked(fd: int) -> bool:
    """Whether somebody holds the lock on the open file."""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def started(folder: str, nonce: str) -> dict[str, Any] | None:
    """What the attempt's token says of its shim; None if there is none of this nonce."""
    record = _read_json(f"{folder}/{STARTED}")
    return record if record is not None and record.get("nonce") == nonce else None


def elsewhere(record: dict[str, Any] | None, folder: str) -> bool:
    """Whether the token was made in another folder than the one that it is in now."""
    try:
        return record is not None and "folder" in record and record["folder"] != list(identity(folder))
    except OSError:
        return False


def _open_process(record: dict[str, Any]) -> int | None:
    """A pidfd of the process that a token names, if it is alive."""
    try:
        pid, start = int(record["pid"]), int(record["start"])
        if record["boot"] != processes.boot_id() or pid <= 1:
            return None
        pidfd = os.pidfd_open(pid)
    except (OSError, KeyError, ValueError, TypeError, OverflowError) as error:
        if at_fault(error):
            raise
        return None
    try:
        if processes.start_time(pid) == start:
            return pidfd
    except (OSError, ValueError, IndexError) as error:
        if at_fault(error):
            os.close(pidfd)
            raise
    os.close(pidfd)
    return None


def _read_json(path: str) -> dict[str, Any] | None:
    faultpoint("engine.read-records")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if at_fault(error):
            raise
        return None
    try:
        data = json.loads(os.read(fd, 65536))
    except (OSError, ValueError, RecursionError) as error:
        if at_fault(error):
            raise
        return None
    finally:
        os.close(fd)
    return data if isinstance(data, dict) else None
