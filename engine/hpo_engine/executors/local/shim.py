"""A shim: the process above an attempt. It takes attempts, one after the other, each at most once, and starts them.

Runs in a fork of the launcher with the standard library only. Knows the paths in its orders and nothing of studies;
`supervision` is what it does until the attempt has ended.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # as signal, without enumerations: they cost a fork a tenth of a ms
import errno
import fcntl
import json
import os
import resource  # noqa: F401  (os.wait4 needs it: imported here once, not in each fork)
import signal
import time

from hpo_engine.executors.local import processes
from hpo_engine.executors.local.supervision import Supervision
from hpo_engine.failpoints import failpoint
from hpo_engine.system.faults import faultpoint
from hpo_engine.system.writing import write_all

TYPE_CHECKING = False  # typing is a third of what this process would hold in memory
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

TAKEN = 75  # exit status: another shim has this attempt
UNTOLD = 71  # exit status: the exit record is written, but could not be reported to the engine
UNABLE = 80  # exit status, with an errno on top: the attempt could not begin, and may begin elsewhere
_MOST_ATTEMPTS = 500  # of one shim: whatever a process gathers in a long life, this one has a short one
_MOST_FILES = 1 << 20  # more than any descriptor of a launcher or shim
_CHUNK = 1 << 16
_COUNT_S = 1.0  # how long the kernel's count of its own kills is reused, because reading it takes a while

_ALL_SIGNALS = set(range(1, signal.NSIG)) - {signal.SIGKILL, signal.SIGSTOP, 32, 33}  # 32, 33: the C library's own


class ForkedChild(BaseException):  # noqa: N818  (it is not an error)
    """Raised in the fork that is to be a program, so that it leaves every frame of its launcher. `orders`: descriptor
    to read its order from (as Shim.serve gets it), which may never come."""

    def __init__(self, orders: int) -> None:
        self.orders = orders


def restore(handlers: Sequence[tuple[int, Any]], wakeup: int, mask: set[Any], files: set[int]) -> None:
    """In a program's fork: signals as they were before there was a launcher, and no file of the launcher's or shim's
    (the lock on the token among them) but 0, 1, 2 and `files`."""
    first = 3
    for fd in (*sorted(files), _MOST_FILES):
        if fd >= first:
            os.closerange(first, fd)
            first = fd + 1
    _signal.set_wakeup_fd(wakeup)
    for number, handler in handlers:
        if handler is not None:
            _signal.signal(number, handler)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)


def awaited(orders: int) -> dict[str, Any]:
    """In a program's fork: its order, when it has come; the process is where it is to run then. Ends with the shim."""
    text = b""
    while data := os.read(orders, 1 << 16):
        text += data
    os.close(orders)
    if not text:
        os._exit(0)  # never needed
    order: dict[str, Any] = json.loads(text)
    if order["protect"]:
        processes.make_read_only(order["protect"])
    os.chdir(order["cwd"])
    return order


class Shim:
    """Takes attempts, one at a time. All that needs no order is done before it comes, the fork for a script included.

    Args:
        boot: the boot id; orders: descriptor that they are read from; notices, idle: pipes that report an end to
        the engine, and to the launcher that this shim is free.
        preloaded: programs are forks of this process, not what the order's argv names.
    """

    def __init__(self, boot: str, orders: int, notices: int, idle: int, preloaded: bool) -> None:
        os.setsid()
        processes.become_subreaper()
        processes.wake_when_orphaned()
        self._orders, self._notices, self._idle, self._preloaded = orders, notices, idle, preloaded
        self._buffer = b""
        self._ahead: _Ahead | None = None
        self._pid = os.getpid()
        self._identity = {"pid": self._pid, "start": processes.start_time(self._pid), "boot": boot}
        self._ooms, self._ooms_at = processes.oom_kills(), time.monotonic()
        self._signals, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def serve(self) -> NoReturn:
        """Runs the attempts that come, each a line with a JSON object: nonce, argv, env, cwd; started,
        exit, stop, log, tails (paths); time_limit_s, grace_s (seconds or None), log_bytes, protect (paths); lease (a
        path) and script (see `forked.ForkedScript`), or None.

        Leaves when no more can come, or after one that has made this process unlike a new one: status 0; UNTOLD and
        TAKEN at once.

        Raises:
            ForkedChild: in the fork that is to be a program.
        """
        left = _MOST_ATTEMPTS
        while left:
            if self._preloaded and self._ahead is None:
                try:
                    self._ahead = _Ahead()
                except OSError:
                    pass  # too many processes now; the attempt tries again, and reports it
            line = self._next_order()
            left = left - 1 if line and self._run(line) else 0
            if left:
                os.write(self._idle, b"%d\n" % self._pid)
        os._exit(0)

    def _run(self, line: bytes) -> bool:
        """Whether this process is as good as a new one afterwards."""
        order = json.loads(line)
        try:
            os.read(self._signals, _CHUNK)  # they were for an earlier attempt
        except BlockingIOError:
            pass
        try:
            lease = _hold(order["lease"])
            token = self._take_token(order)
        except OSError as error:
            os._exit(UNABLE + min(error.errno or 0, 255 - UNABLE))
        if token is None:
            os._exit(TAKEN)
        if time.monotonic() > self._ooms_at + _COUNT_S:
            self._ooms, self._ooms_at = processes.oom_kills(), time.monotonic()
        attempt = Supervision(order, self._signals, self._ooms)
        attempt.run(lambda: self._spend(line) if self._preloaded else _spawned(order))
        self._ooms = attempt.ooms
        for fd in (token, lease):
            if fd >= 0:
                os.close(fd)
        try:
            os.write(self._notices, f"{order['nonce']} {self._pid}\n".encode())
        except OSError:  # full, or nobody there
            os._exit(UNTOLD)
        return attempt.all_gone and (self._preloaded or not order["protect"])

    def _next_order(self) -> bytes:
        """Empty: there will be none."""
        while b"\n" not in self._buffer:
            data = os.read(self._orders, 1 << 20)
            if not data:
                return b""
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _spend(self, line: bytes) -> tuple[int, int]:
        """The program that was forked ahead gets its order; one that was killed meanwhile is replaced."""
        while True:
            ahead, self._ahead = self._ahead or _Ahead(), None
            try:
                ahead.begin(line)
                return ahead.pid, ahead.output
            except BrokenPipeError:
                os.close(ahead.output)

    def _take_token(self, order: dict[str, Any]) -> int | None:
        """At most once: lock first, link into place second. Who finds the name taken is not the one (None)."""
        faultpoint("shim.token")
        aside = f"{order['started']}.{self._pid}"
        fd = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        folder = os.stat(os.path.dirname(aside))  # a copy of the folder will have this file, and no process in it
        token = {
            "nonce": order["nonce"],
            **self._identity,
            "folder": [folder.st_dev, folder.st_ino],
            "at": time.time(),
            "clock": time.monotonic(),  # the same for all processes, until the next boot
        }
        os.write(fd, json.dumps(token).encode())
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        failpoint("shim.before-token")
        try:
            os.link(aside, order["started"])
        except FileExistsError:
            return None
        finally:
            os.unlink(aside)
        failpoint("shim.token-made")
        return fd  # open, and the lock held, until the attempt has ended


def _hold(lease: str | None) -> int:
    """Keeps what the attempt has of the machine its own until all its processes are gone, whoever else dies; -1: it is
    not noted anywhere. Raises OSError: others may have it by now, as nobody was there to hold it."""
    if lease is None:
        return -1
    fd = os.open(lease, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    fcntl.flock(fd, fcntl.LOCK_SH)
    if os.fstat(fd).st_nlink:
        return fd
    os.close(fd)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), lease)


class _Ahead:
    """The process of a program whose order has not come. `output`: what it prints can be read here, without waiting."""

    def __init__(self) -> None:
        fds: list[int] = []
        try:
            fds += os.pipe()
            fds += _output()
            faultpoint("shim.fork")
            self.pid = os.fork()
        except OSError:
            for fd in fds:
                os.close(fd)
            raise
        orders, self._orders_in, self.output, write_end = fds
        if self.pid == 0:
            os.setpgid(0, 0)
            os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
            os.dup2(write_end, 1)
            os.dup2(write_end, 2)
            raise ForkedChild(orders)
        failpoint("shim.child-forked")
        try:
            os.setpgid(self.pid, self.pid)  # both do, so that it is done whoever comes first
        except OSError:
            pass
        os.close(write_end)
        os.close(orders)

    def begin(self, line: bytes) -> None:
        """Raises BrokenPipeError if it is gone."""
        try:
            write_all(self._orders_in, line)
        finally:
            os.close(self._orders_in)


def _spawned(order: dict[str, Any]) -> tuple[int, int]:
    """The process of any program; its pid, and where its output is read without waiting."""
    if order["protect"]:
        processes.make_read_only(order["protect"])
    faultpoint("shim.spawn")
    output, write_end = _output()
    try:
        pid = os.posix_spawn(
            order["argv"][0],
            order["argv"],
            order["env"],
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, write_end, 1),
                (os.POSIX_SPAWN_DUP2, write_end, 2),
            ],
            setpgroup=0,
            setsigmask=(),
            setsigdef=_ALL_SIGNALS,
        )
    except BaseException:
        os.close(output)
        raise
    finally:
        os.close(write_end)
    failpoint("shim.child-started")
    return pid, output


def _output() -> tuple[int, int]:
    output, write_end = os.pipe()
    os.set_blocking(output, False)  # our end only: the script's must block
    return output, write_end
