"""The launcher of one engine: a small process that forks a shim per attempt and tells when one has ended.

Run as a script (`python -I -S launcher.py FD`), standard library only, so that a fork is cheap. It outlives its engine
until its last shim has ended. What a killed shim leaves behind falls to it, and it kills that.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
import time
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
from engine.executors import shim  # noqa: E402

sys.path.pop(0)

_BATCH_MS = 20  # "started" may wait this long for company: an engine woken for it alone has nothing to do


class Launcher:
    """Lines of JSON over a socket: in come orders (see shim.run, plus `key`), out go

    {"started": key, "pid": n} and {"ended": key, "status": n} (the shim's wait status).
    """

    def __init__(self, fd: int) -> None:
        self._engine: socket.socket | None = socket.socket(fileno=fd)
        self._buffer = b""
        self._out: list[dict[str, Any]] = []
        self._shims: dict[int, Any] = {}
        self._boot = shim.boot_id()
        self._signals, self._signals_in = os.pipe()
        for end in (self._signals, self._signals_in):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._signals_in, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        self._blocked = {signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD}

    def run(self) -> None:
        poller = select.poll()
        poller.register(self._signals, select.POLLIN)
        poller.register(self._engine_fd(), select.POLLIN)
        while self._engine or self._shims:
            events = poller.poll(_BATCH_MS if self._out else None)
            ended = False
            for fd, _ in events:
                if fd == self._signals:
                    os.read(self._signals, 512)
                    ended = self._reap()
                elif not self._read_orders():
                    poller.unregister(fd)
                    self._let_go()
            if self._out and (ended or not events):
                self._send()

    def _engine_fd(self) -> int:
        return self._engine.fileno() if self._engine else -1

    def _read_orders(self) -> bool:
        assert self._engine is not None
        try:
            data = self._engine.recv(1 << 20)
        except ConnectionError:
            return False
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._launch(json.loads(line))
        return bool(data)

    def _launch(self, order: dict[str, Any]) -> None:
        # Blocked across the fork: a stop that comes before the shim has its handlers must wait, not vanish.
        signal.pthread_sigmask(signal.SIG_BLOCK, self._blocked)
        pid = os.fork()
        if pid == 0:
            try:
                self._become_shim(order)
            finally:
                os._exit(70)
        self._shims[pid] = order["key"]
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._blocked)
        self._out.append({"started": order["key"], "pid": pid})

    def _become_shim(self, order: dict[str, Any]) -> None:
        signal.set_wakeup_fd(-1)
        os.close(self._signals)
        os.close(self._signals_in)
        if self._engine:
            self._engine.close()
        order["boot"] = self._boot
        shim.run(order)

    def _reap(self) -> bool:
        ended = False
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            key = self._shims.pop(pid, None)
            if key is None:
                continue  # an orphan of a killed shim
            if os.WIFSIGNALED(status):
                self._kill_orphans()
            self._out.append({"ended": key, "status": status})
            ended = True
        return ended

    def _kill_orphans(self) -> None:
        """What a killed shim had below it is below this process now."""
        deadline = time.monotonic() + 5.0
        while shim._below(os.getpid(), set(self._shims)) and time.monotonic() < deadline:
            shim.kill_all(os.getpid(), spare=set(self._shims))
            time.sleep(0.005)

    def _send(self) -> None:
        out, self._out = self._out, []
        if self._engine:
            try:
                self._engine.sendall(b"".join(json.dumps(m).encode() + b"\n" for m in out))
            except ConnectionError:
                self._let_go()

    def _let_go(self) -> None:
        """The engine is gone: stay for the shims, take no more orders."""
        if self._engine:
            self._engine.close()
            self._engine = None
        self._out.clear()


if __name__ == "__main__":
    shim.become_subreaper()
    launcher = Launcher(int(sys.argv[1]))
    gc.collect()
    gc.freeze()  # a collection in a fork would touch, and so copy, every page
    gc.disable()
    launcher.run()
