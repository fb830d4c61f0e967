"""A launcher as its engine sees it: the process, the socket to it, and the lines that it says."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from typing import Any

from hpo_engine.executors.preload.warm import Start
from hpo_engine.system.faults import faultpoint

LAUNCHER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "launcher.py")


class Link:
    """Starts a launcher and holds the socket to it.

    Args:
        interpreter: Python of a launcher that imports nothing; start: what a warm one is started with, or None.
        errors: file for what it may have to say; notices: descriptor of the pipe in which shims tell of their ends.

    Raises:
        OSError: the process cannot be started.
    """

    def __init__(self, interpreter: str, start: Start | None, errors: str, notices: int) -> None:
        self.ready = start is None
        self.began = time.monotonic()
        self.given_up = False  # it was ended on purpose
        self.still_since: float | None = None  # it is stopped or traced (monotonic seconds)
        self.imports = ""  # what a warm one was importing when it last said something
        self.report: dict[str, Any] | None = None  # what a warm one said of its imports
        self._buffer = self._unsent = b""
        faultpoint("engine.launcher-start")
        self.socket, theirs = socket.socketpair()
        self.socket.setblocking(False)  # our end: it may stand still, and the engine must not
        fds = [theirs.fileno(), notices]
        try:
            with open(errors, "ab") as said:
                if start is None:
                    self._process = _popen(
                        [interpreter, "-I", "-S", LAUNCHER, *map(str, fds)], fds, None, "/",
                        stdout=subprocess.DEVNULL, stderr=said,
                    )  # fmt: skip
                else:
                    self._process = _popen_warm(start, fds, said.fileno())
        except BaseException:
            self.socket.close()
            raise
        finally:
            theirs.close()

    def read(self) -> list[bytes] | None:
        """The lines that have come; None: it has gone."""
        try:
            data = self.socket.recv(1 << 16)
        except BlockingIOError:
            return []  # it was said of an earlier socket with the same number
        except ConnectionError:
            data = b""
        if not data:
            return None
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return lines

    def send(self, data: bytes) -> None:
        """Sends it, or keeps it for `flush`. Raises OSError: the launcher is gone."""
        self._unsent += data
        self.flush()

    def flush(self) -> None:
        while self._unsent:
            try:
                self._unsent = self._unsent[self.socket.send(self._unsent) :]
            except BlockingIOError:
                return

    @property
    def pid(self) -> int:
        """Of the launcher, which is this process's child: nobody else can have it until it has been waited for."""
        pid: int = self._process.pid
        return pid

    def wake(self) -> None:
        """A trial may have stopped it."""
        self._process.send_signal(signal.SIGCONT)

    def give_up(self) -> None:
        """Ends it; its shims, if it has any, go on."""
        self.given_up = True
        self._process.kill()

    def close(self) -> None:
        self.wake()  # it leaves with its last attempt, which one that is stopped would not
        self.socket.close()


def _popen(argv: list[str], fds: list[int], env: Mapping[str, str] | None, cwd: str, **std: Any) -> Any:
    # Nothing of the caller's terminal or pipes: the launcher may outlive the engine.
    return subprocess.Popen(
        argv, pass_fds=fds, start_new_session=True, env=env, cwd=cwd, stdin=subprocess.DEVNULL, **std
    )


def _popen_warm(start: Start, fds: list[int], errors: int) -> Any:
    order = json.dumps({**start.order, "errors": errors})
    env = {**start.env, **{k: v for k, v in os.environ.items() if k.startswith("HPO_FAILPOINT")}}
    # Its output must be a pipe when Python starts, as that of a trial is: streams remember what they are made on.
    read_end, write_end = os.pipe()
    try:
        return _popen(
            [*start.argv, LAUNCHER, *map(str, fds), order], [*fds, errors], env, start.folder,
            stdout=write_end, stderr=write_end,
        )  # fmt: skip
    finally:
        os.close(write_end)
        os.close(read_end)
