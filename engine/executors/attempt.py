"""What the files of an attempt say of its process: never started, alive, ended, or lost. And how to signal it.

A process is known by (boot id, pid, start time) and by holding the lock on its own token; signals go through a pidfd
that was opened before that was checked, so none can reach a stranger.
"""

from __future__ import annotations

import contextlib
import enum
import fcntl
import json
import os
import signal
import time
from typing import Any

from engine.executors import processes
from engine.executors.capture import open_new
from engine.failpoints import failpoint
from engine.study import Exit

STARTED, EXIT, STOP = "started", "exit.json", "stop"


class Fate(enum.Enum):
    """never started -> alive -> ended, or lost: started, not alive, and nothing recorded how it ended."""

    NEVER = "never"
    ALIVE = "alive"
    ENDED = "ended"
    LOST = "lost"


def fate(folder: str, nonce: str) -> tuple[Fate, Exit | None]:
    """What became of the attempt whose records are in `folder`; with the Exit where it ENDED."""
    if ended := read_exit(folder, nonce):
        return Fate.ENDED, ended
    try:
        fd = os.open(f"{folder}/{STARTED}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return Fate.NEVER, None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return Fate.ALIVE, None
    finally:
        os.close(fd)
    # It may have ended between the two looks.
    if ended := read_exit(folder, nonce):
        return Fate.ENDED, ended
    return Fate.LOST, None


def read_exit(folder: str, nonce: str) -> Exit | None:
    """The exit record, or None where there is none of this nonce."""
    record = _read_json(f"{folder}/{EXIT}")
    if record is None or record.get("nonce") != nonce:
        return None
    known = ("code", "signal", "asked_for", "error", "leftovers", "seconds")
    try:
        return Exit(**{k: record[k] for k in known if record.get(k) is not None})
    except TypeError:
        return None


def open_shim(folder: str, nonce: str) -> int | None:
    """A pidfd of the shim that runs this attempt; None where it is not alive, or the record is not to be trusted."""
    record = _read_json(f"{folder}/{STARTED}")
    if record is None or record.get("nonce") != nonce:
        return None
    try:
        pid, start = int(record["pid"]), int(record["start"])
        if record["boot"] != processes.boot_id() or pid <= 1:
            return None
        pidfd = os.pidfd_open(pid)
    except (OSError, KeyError, ValueError, TypeError, OverflowError):
        return None
    try:
        if processes.start_time(pid) == start and _holds(pid, f"{folder}/{STARTED}"):
            return pidfd
    except (OSError, ValueError, IndexError):
        pass
    os.close(pidfd)
    return None


def ask_to_stop(folder: str, nonce: str, why: str, *, kill: bool) -> bool:
    """Leaves the reason and signals the shim; False where no shim of this nonce is alive (yet)."""
    pidfd = open_shim(folder, nonce)
    if pidfd is None:
        return False
    try:
        word = _read_json(f"{folder}/{STOP}")
        if word is None or (kill and not word.get("kill")):
            with open(open_new(f"{folder}/{STOP}.new"), "w", encoding="utf-8") as file:
                json.dump({"why": why if word is None else word.get("why", why), "kill": kill}, file)
            failpoint("stop.before-reason")
            os.rename(f"{folder}/{STOP}.new", f"{folder}/{STOP}")
        # The word counts, not the signal: should the shim have another attempt by now, that one has no word.
        signal.pidfd_send_signal(pidfd, signal.SIGUSR1)
        signal.pidfd_send_signal(pidfd, signal.SIGCONT)  # its own trial may have stopped it
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)
    return True


def kill_shim(folder: str, nonce: str) -> None:
    """The last resort for one that answers nothing; whoever watches it then sees to its tree."""
    pidfd = open_shim(folder, nonce)
    if pidfd is not None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.close(pidfd)


def sweep(nonce: str) -> int:
    """SIGKILLs every process that carries the attempt's mark in its environment; returns how many there were.

    Only for an attempt whose shim is dead: what it ran may have outlived it.
    """
    mark, killed = f"HPO_ATTEMPT={nonce}".encode(), 0
    deadline = time.monotonic() + 2.0
    while found := _marked(mark):
        for pidfd in found:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                killed += 1
            os.close(pidfd)
        if time.monotonic() > deadline:
            break
        time.sleep(0.005)
    return killed


def _marked(mark: bytes) -> list[int]:
    """pidfds of living processes with `mark` in their environment; opened before the look, so that they are they."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            pidfd = os.pidfd_open(int(name))
        except OSError:
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if mark in file.read().split(b"\0"):
                    found.append(pidfd)
                    continue
        except OSError:
            pass
        os.close(pidfd)
    return found


def _holds(pid: int, path: str) -> bool:
    """Whether the kernel says that `pid` holds the flock on `path` (True where the kernel does not tell)."""
    inode = os.stat(path, follow_symlinks=False).st_ino
    try:
        with open("/proc/locks", encoding="ascii") as file:
            lines = [line.split() for line in file]
    except OSError:
        return True
    return any(f[1] == "FLOCK" and f[4] == str(pid) and f[5].endswith(f":{inode}") for f in lines if len(f) >= 6)


def _read_json(path: str) -> dict[str, Any] | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        data = json.loads(os.read(fd, 65536))
    except (OSError, ValueError, RecursionError):
        return None
    finally:
        os.close(fd)
    return data if isinstance(data, dict) else None
