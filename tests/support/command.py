"""`hpo-engine` as a process that is forked from an interpreter with its imports done: a third of a new one's cost.

One such interpreter per process of the tests (`python -m tests.support.command`), begun with the first command. The
forked process has its own working directory, environment, standard streams and exit code, takes signals, and may be
killed. What a new interpreter alone shows (the start itself, the locale, PYTHON... variables) needs a real one.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]
_PACKAGE = ROOT / "engine" / "hpo_engine"
_LEFT_OUT = {"maths", "testing", "__main__.py"}  # SciPy, pytest, and what runs when it is imported
PIPE = subprocess.PIPE


class Command:
    """A running command, with what tests use of `subprocess.Popen`."""

    def __init__(self, pid: int, status: int, stdout: IO[str] | None, stderr: IO[str] | None) -> None:
        self.pid, self._status, self.stdout, self.stderr = pid, status, stdout, stderr
        self.returncode: int | None = None

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Its exit code is known then; what it still wrote to its pipes. Raises subprocess.TimeoutExpired."""
        texts = {"stdout": "", "stderr": ""}

        def read(name: str, pipe: IO[str]) -> None:
            with pipe:
                texts[name] = pipe.read()

        pipes = [(name, pipe) for name in texts if (pipe := getattr(self, name)) is not None]
        readers = [threading.Thread(target=read, args=each, daemon=True) for each in pipes]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(timeout)
            if reader.is_alive():
                raise subprocess.TimeoutExpired("hpo-engine", timeout or 0)
        self.wait(timeout)
        return texts["stdout"], texts["stderr"]

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, or minus the signal that ended it. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("hpo-engine", timeout or 0)
            self.returncode = os.waitstatus_to_exitcode(int(os.read(self._status, 32) or b"9"))
            os.close(self._status)
        return self.returncode

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


def start(
    *args: str, cwd: Path, env: Mapping[str, str], stdout: IO[Any] | int, stderr: IO[Any] | int | None = None
) -> Command:
    """`hpo-engine ARGS` with its output in open files or PIPEs; stderr goes where stdout goes unless it has its own."""
    ours: list[IO[str] | None] = []
    streams: list[int] = []
    pipes: list[int] = []
    for out in (stdout, stderr):
        reader = None
        if out == PIPE:
            read_end, write_end = os.pipe()
            reader = open(read_end, encoding="utf-8")  # noqa: SIM115
            pipes.append(write_end)
            out = write_end
        ours.append(reader)
        streams.append(streams[0] if out is None else out if isinstance(out, int) else out.fileno())
    mine, theirs = os.pipe()
    with open(os.devnull, "rb") as nothing:
        body = json.dumps({"argv": args, "cwd": str(cwd), "env": dict(env)}).encode()
        channel = _server()
        socket.send_fds(channel, [body], [nothing.fileno(), *streams, theirs])
    command = Command(int(channel.recv(32)), mine, *ours)
    for fd in (theirs, *pipes):
        os.close(fd)
    return command


def run(*args: str, cwd: Path, env: Mapping[str, str], timeout: float = 240.0) -> subprocess.CompletedProcess[str]:
    """As `subprocess.run` with its output captured as text."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        command = start(*args, cwd=cwd, env=env, stdout=out, stderr=err)
        try:
            code = command.wait(timeout)
        finally:
            command.kill()
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
    return subprocess.CompletedProcess(["hpo-engine", *args], code, *texts)


_channel: socket.socket | None = None


def _server() -> socket.socket:
    global _channel
    if _channel is None:
        _channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        argv = [sys.executable, "-m", "tests.support.command"]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(argv, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, cwd=ROOT, env=env)
        theirs.close()
        atexit.register(_end, _channel, process)
    return _channel


def _end(channel: socket.socket, process: subprocess.Popen[bytes]) -> None:
    channel.close()
    process.wait(60)


# -- the interpreter that is forked ------------------------------------------------------------------------------------


def _serve() -> None:
    """Forks for each request until the tests are over; returns in each forked process."""
    channel = socket.socket(fileno=os.dup(0))
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    reports: dict[int, int] = {}
    while True:
        ready = select.select([channel.fileno(), ended], [], [])[0]
        if ended in ready:
            os.read(ended, 4096)
            _reap(reports)
        if channel.fileno() in ready:
            body, fds, _, _ = socket.recv_fds(channel, 1 << 20, 4)
            if not body:
                os._exit(0)
            if (pid := os.fork()) == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                return _become(fds, [channel.detach(), ended, wake, *reports.values()], **json.loads(body))
            reports[pid] = fds.pop()
            for fd in fds:
                os.close(fd)
            channel.send(str(pid).encode())


def _reap(reports: dict[int, int]) -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            report = reports.pop(pid)
            with contextlib.suppress(BrokenPipeError):
                os.write(report, str(status).encode())
            os.close(report)


def _become(fds: list[int], close: list[int], argv: list[str], cwd: str, env: dict[str, str]) -> None:
    for number, fd in enumerate(fds[:3]):
        os.dup2(fd, number)
    for fd in (*fds, *close):
        os.close(fd)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.path[0] = cwd
    sys.argv = ["hpo-engine", *argv]
    for name in ("failpoints", "system.faults"):  # they read the environment when they are imported
        importlib.reload(importlib.import_module(f"hpo_engine.{name}"))


if __name__ == "__main__":
    for _path in sorted(_PACKAGE.rglob("*.py")):
        if _LEFT_OUT.isdisjoint((_place := _path.relative_to(_PACKAGE)).parts):
            _name = ".".join(("hpo_engine", *_place.with_suffix("").parts)).removesuffix(".__init__")
            try:
                importlib.import_module(_name)
            except ModuleNotFoundError as _error:
                if (_error.name or "").partition(".")[0] == "hpo_engine":
                    raise
                # A library of an extra that is not installed: only what needs it cannot run.
    _serve()
    from hpo_engine.cli import main

    main()
