"""The process of an isolated searcher, as the engine sees it: one request at a time, each with a time limit.

Whatever the process does (hangs, dies, writes nonsense, closes its pipes), a call ends with an error of this module.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping
from typing import Any

from hpo_engine.errors import SearcherError
from hpo_engine.isolation.runner import LENGTHS

RUNNER = os.path.join(os.path.dirname(__file__), "runner.py")
_MOST_BYTES = 256 << 20  # of a reply
_TAIL_BYTES = 4 << 10
_END_S = 5.0  # for the keeper to end what it keeps


class ProcessGone(SearcherError):
    """The process ended before it had answered. `signal`: what killed it, or 0. `tail`: the last lines of its output.

    Who catches it may start another one if the process was killed from outside, and else fails the study."""

    def __init__(self, text: str, signal: int, tail: str) -> None:
        super().__init__(text)
        self.signal, self.tail = signal, tail


class Process:
    """A started process.

    Args:
        python: its interpreter. env: its environment. log: the file that its output is appended to; "": one that
            nobody keeps.

    Raises:
        SearcherError: it cannot be started.
    """

    def __init__(self, python: str, env: Mapping[str, str], log: str = "") -> None:
        self._output = open(log, "ab+") if log else tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        self._began = os.fstat(self._output.fileno()).st_size
        _reap()
        requests, self._to = os.pipe()
        self._from, replies = os.pipe()
        given = (requests, replies, self._output.fileno())
        try:
            self._keeper = subprocess.Popen(
                [python, RUNNER, *map(str, given)],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                env=dict(env),
                pass_fds=given,
                start_new_session=True,
            )
        except OSError as error:
            self._shut()
            raise SearcherError(f"the interpreter {python} cannot be started: {error.strerror}") from None
        finally:
            os.close(requests)
            os.close(replies)
        os.set_blocking(self._to, False)
        os.set_blocking(self._from, False)
        self._busy = threading.Lock()
        self._closed = False
        self._end = weakref.finalize(self, _abandon, self._keeper, self._to, self._from)

    @property
    def alive(self) -> bool:
        return not self._closed and self._keeper.poll() is None

    def call(self, request: Mapping[str, Any], blob: bytes, limit_s: float) -> tuple[dict[str, Any], bytes]:
        """The reply to a request, and the bytes with it.

        Raises:
            ProcessGone: there is none, and will not be one.
            SearcherError: what the searcher raised, nonsense, or none within `limit_s` seconds; then it is ended.
        """
        text = json.dumps(request).encode()
        with self._busy:
            try:
                deadline = time.monotonic() + limit_s
                self._write(LENGTHS.pack(len(text), len(blob)) + text + blob, deadline)
                first, second = LENGTHS.unpack(self._read(LENGTHS.size, deadline))
                if first + second > _MOST_BYTES:
                    raise SearcherError(f"an answer of {(first + second) >> 20} MiB; at most {_MOST_BYTES >> 20}")
                body, state = self._read(first, deadline), self._read(second, deadline)
                reply = json.loads(body)
                if not isinstance(reply, dict):
                    raise ValueError
            except _Overtime:
                raise SearcherError(f"no answer within {limit_s:g} s{self._said()}") from None
            except (ValueError, RecursionError):
                raise SearcherError("an answer that is no message of ours") from None
            except OSError:
                raise self._gone() from None
            finally:
                if self._closed:
                    self._shut()
        if "error" in reply:
            raise SearcherError(str(reply["error"]))
        return reply, state

    def tail(self) -> str:
        """The last lines that it has printed, in one line; "" if there are none."""
        with contextlib.suppress(OSError, ValueError):
            size = os.fstat(self._output.fileno()).st_size
            data = os.pread(self._output.fileno(), _TAIL_BYTES, max(self._began, size - _TAIL_BYTES))
            lines = [line.strip() for line in data.decode(errors="replace").splitlines() if line.strip()]
            return " | ".join(lines[-3:])[-500:]
        return ""

    def close(self) -> None:
        """Ends the process and all that it has started. Returns at once; a call in another thread gets ProcessGone."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError):
            self._keeper.terminate()
        if self._busy.acquire(blocking=False):
            self._shut()
            self._busy.release()

    def _gone(self) -> ProcessGone:
        number, code = 0, None
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._keeper.wait(_END_S)
        if code is None:
            how = "it closed its connection to the engine"
        elif code < 0:
            number, how = -code, f"its process was killed by {_name(-code)}"
        else:
            how = f"its process ended with exit code {code} before it had answered"
        said = self.tail()
        return ProcessGone(f"{how}{self._said()}", number, said)

    def _said(self) -> str:
        said = self.tail()
        return f"; its last output: {said}" if said else ""

    def _write(self, data: bytes, deadline: float) -> None:
        view = memoryview(data)
        while view:
            self._await(self._to, select.POLLOUT, deadline)
            with contextlib.suppress(BlockingIOError):
                view = view[os.write(self._to, view) :]

    def _read(self, size: int, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < size:
            self._await(self._from, select.POLLIN, deadline)
            with contextlib.suppress(BlockingIOError):
                part = os.read(self._from, min(size - len(data), 1 << 20))
                if not part:
                    raise BrokenPipeError
                data += part
        return bytes(data)

    def _await(self, number: int, event: int, deadline: float) -> None:
        if self._closed:
            raise BrokenPipeError
        poller = select.poll()
        poller.register(number, event)
        while not poller.poll(min(1000.0, max(0.0, deadline - time.monotonic()) * 1000)):
            if time.monotonic() >= deadline:
                raise _Overtime

    def _shut(self) -> None:
        self._closed = True
        if (end := self.__dict__.get("_end")) is not None:
            end.detach()
            _ending.append(self._keeper)
        for number in (self._to, self._from):
            with contextlib.suppress(OSError):
                os.close(number)
        self._output.close()


class _Overtime(Exception):
    pass


_ending: list[subprocess.Popen[bytes]] = []
"""Keepers that were told to end and have not been waited for."""


def _reap() -> None:
    _ending[:] = [keeper for keeper in _ending if keeper.poll() is None]


def _abandon(keeper: subprocess.Popen[bytes], *pipes: int) -> None:
    """For a process that nobody has closed: its keeper ends it when the pipe is closed."""
    _ending.append(keeper)
    for number in pipes:
        with contextlib.suppress(OSError):
            os.close(number)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
