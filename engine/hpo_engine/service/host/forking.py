"""The process that forks engines: their imports are done in it once, so that a study starts within milliseconds.

Messages are JSON objects over a socket that keeps them apart. One comes in per engine to start:

    {"start": NUMBER, "name": STUDY, "place": whether its folder is to be made first, "words": argv of the verb}

and out go, with that number: {"started": NUMBER, "pid": PID}, together with a descriptor of the process (pidfd);
{"placed": NUMBER}; {"refused": NUMBER, "why": TEXT}, if the folder cannot be made; {"ended": NUMBER, "status": STATUS},
as wait(2) has it. Engines are sessions of their own: they go on when this process or the service ends.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NoReturn

from hpo_engine.contract.paths import StudyPaths
from hpo_engine.errors import EngineError, StudyExists
from hpo_engine.executors.preload.title import ProcessTitle
from hpo_engine.failpoints import failpoint
from hpo_engine.system import threads
from hpo_engine.system.faults import described

MARK = "HPO_ENGINE_SERVICE"
"""The variable by which a service knows its own engines, see `is_own`; trials do not get it."""
_MOST = 1 << 16  # bytes of a message
_WHY = 10_000  # letters
_ROOMS = (
    "yaml", "numpy", "hpo_engine.assembly", "hpo_engine.assembly.engines", "hpo_engine.assembly.surroundings",
    "hpo_engine.control.submitting", "hpo_engine.control.changes", "hpo_engine.contract.copies",
    "hpo_engine.contract.workspace",
    "hpo_engine.contract.snapshot.survey", "hpo_engine.core.loop", "hpo_engine.core.commands",
    "hpo_engine.core.searcher_thread", "hpo_engine.executors.local.executor", "hpo_engine.executors.local.origin",
    "hpo_engine.executors.local.activity", "hpo_engine.service.records.uploads", "hpo_engine.service.host.placing",
    "hpo_engine.service.intake.spool", "hpo_engine.searchers.random", "hpo_engine.searchers.tpe",
    "hpo_engine.searchers.bayesian", "hpo_engine.searchers.halving", "hpo_engine.studyfile.native",
    "hpo_engine.studyfile.wmla", "hpo_engine.study.decoding", "hpo_engine.trackers.console",
    "hpo_engine.trackers.tensorboard",
)  # fmt: skip
"""What most engines need."""


def fork_engines(channel: socket.socket, root: str, run: Callable[[], object], rooms: Sequence[str] = ()) -> None:
    """Forks engines until the service closes its end of the socket.

    Args:
        root: of the studies. run: the command line's `main`, which takes its words from sys.argv. rooms: what else to
            import first.
    """
    for name in (*_ROOMS, *rooms):
        with contextlib.suppress(ImportError):  # an engine that needs it says so
            import_module(name)
    threads.keep_to_one(os.environ)
    order = _Forker(channel, root).serve()
    if order is None:
        return
    _become_engine(order, root)
    run()


def is_own(pid: int, root: str) -> bool:
    """Whether the process is an engine that a service of this root has started (this one, or one before it)."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return f"{MARK}={root}".encode() in file.read().split(b"\0")
    except OSError:
        return False


class _Order:
    """What a fork is to do. `report`: a pipe for the result of making the folder; -1: it is made."""

    def __init__(self, message: dict[str, Any], report: int, title: ProcessTitle) -> None:
        self.number, self.name, self.words = int(message["start"]), str(message["name"]), list(message["words"])
        self.report, self.title = report, title


class _Forker:
    def __init__(self, channel: socket.socket, root: str) -> None:
        self._channel, self._root = channel, root
        self._numbers: dict[int, int] = {}  # pid -> number of the order
        self._reports: dict[int, tuple[int, bytes]] = {}  # descriptor -> number of the order, what has come
        self._title = ProcessTitle()

    def serve(self) -> _Order | None:
        """In this process: None, when the service is gone. In a fork: its order."""
        signals, signals_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(signals_in, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):  # the service's end of the socket counts
            signal.signal(number, signal.SIG_IGN)
        poller = self._poller = select.poll()
        for fd in (self._channel.fileno(), signals):
            poller.register(fd, select.POLLIN)
        gc.collect()
        gc.freeze()  # a collection in a fork would touch, and so copy, every page
        while True:
            for fd, _ in poller.poll():
                if fd == signals:
                    with contextlib.suppress(BlockingIOError):
                        os.read(signals, 4096)
                    self._reap()
                elif fd in self._reports:
                    self._hear(fd)
                else:
                    message = self._channel.recv(_MOST)
                    if not message:
                        return None
                    if (order := self._fork(json.loads(message))) is not None:
                        signal.set_wakeup_fd(-1)
                        for own in (signals, signals_in, *self._reports):
                            os.close(own)
                        self._channel.close()
                        return order

    def _fork(self, message: dict[str, Any]) -> _Order | None:
        number, report, report_in = int(message["start"]), -1, -1
        try:
            if message["place"]:
                report, report_in = os.pipe2(os.O_CLOEXEC)
            failpoint("host.before-fork")
            pid = os.fork()
        except OSError as error:
            for fd in (report, report_in):
                if fd >= 0:
                    os.close(fd)
            self._send({"ended": number, "status": 1 << 8, "why": described(error)})
            return None
        if pid == 0:
            if report >= 0:
                os.close(report)
            return _Order(message, report_in, self._title)
        failpoint("host.forked")
        self._numbers[pid] = number
        if report >= 0:
            os.close(report_in)
            self._reports[report] = number, b""
            self._poller.register(report, select.POLLIN)
        handle = os.pidfd_open(pid)
        self._send({"started": number, "pid": pid}, handle)
        os.close(handle)
        return None

    def _hear(self, fd: int) -> None:
        number, before = self._reports[fd]
        data = os.read(fd, 65536)
        if data:
            self._reports[fd] = number, before + data
            return
        self._poller.unregister(fd)
        os.close(fd)
        del self._reports[fd]
        if before:  # else it has died
            self._send(json.loads(before))

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if (number := self._numbers.pop(pid, None)) is None:
                continue
            for fd in [fd for fd, (owner, _) in self._reports.items() if owner == number]:
                self._hear_all(fd)
            self._send({"ended": number, "status": status})

    def _hear_all(self, fd: int) -> None:
        while fd in self._reports:
            self._hear(fd)

    def _send(self, message: dict[str, Any], handle: int = -1) -> None:
        data = json.dumps(message).encode()
        with contextlib.suppress(OSError):  # the service is gone; its end of the socket shows that
            if handle < 0:
                self._channel.send(data)
            else:
                socket.send_fds(self._channel, [data], [handle])


def _become_engine(order: _Order, root: str) -> None:
    """In a fork: makes the folder if that is due, and prepares for the verb. Leaves if the folder cannot be made."""
    os.setsid()
    os.environ.pop(MARK, None)
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    order.title.set(["hpo-engine", *order.words], {})
    if order.report >= 0:
        _place(order, root)
    paths = StudyPaths(os.path.join(root, order.name))
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        log = os.open(paths.engine_log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        print(f"hpo-engine: {described(error)}", file=sys.stderr)
        sys.exit(5)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    sys.argv = ["hpo-engine", *order.words]


def _place(order: _Order, root: str) -> None:
    from hpo_engine.service.host.placing import place

    try:
        place(root, order.number)
    except EngineError as error:
        answer = {
            "refused": order.number,
            "why": str(error)[:_WHY],
            "again": not isinstance(error, ValueError | StudyExists),
        }
    except OSError as error:
        answer = {"refused": order.number, "why": described(error), "again": True}
    else:
        answer = {"placed": order.number}
    with contextlib.suppress(OSError):
        os.write(order.report, json.dumps(answer).encode())
    os.close(order.report)
    if "refused" in answer:
        _leave(2)


def _leave(code: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
