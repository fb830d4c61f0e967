"""Attempts as processes of this machine: one launcher, a shim an attempt, slots, adoption after a restart.

Speaks to the launcher over a socket and believes the attempts' files more than it: a launcher may die.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from engine import outputlog
from engine.executors import attempt as records
from engine.executors import shim
from engine.executors.attempt import Fate
from engine.executors.slots import Slots, count_cores, find_gpus
from engine.failpoints import failpoint
from engine.ports import Adoption, Ended, Launch, Started
from engine.study import Exit, Resources

_log = logging.getLogger(__name__)
_LAUNCHER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "launcher.py")
_STOP_AGAIN_S = 0.02
_DEATHS = 5  # launchers in a row that die without a word


@dataclass
class _Run:
    """An attempt under way. `pidfd`: it was adopted (our launcher does not know it). `told`: Started was said.
    `why`: it was asked to stop."""

    launch: Launch
    folder: str
    pidfd: int | None = None
    told: bool = False
    why: str | None = None
    kill: bool = False
    signalled: bool = False


class LocalExecutor:
    """The Executor of one machine.

    Args:
        resources: slots; env: the caller's environment (which GPUs there are); errors: file for what the launcher
            may have to say; interpreter: Python of the launcher.

    Raises:
        SpecError: one trial asks for more than the machine has.
    """

    def __init__(
        self, resources: Resources, env: Mapping[str, str], errors: str = os.devnull, interpreter: str = sys.executable
    ) -> None:
        gpus = find_gpus(env) if resources.gpus else ()
        self._slots = Slots(resources, gpus, count_cores())
        self._interpreter, self._errors = interpreter, errors
        self._process: subprocess.Popen[bytes] | None = None
        self._deaths = 0
        self._runs: dict[int, _Run] = {}
        self._news: list[Started | Ended] = []
        self._socket: socket.socket | None = None
        self._buffer = b""
        self._poller = select.poll()
        self._pidfds: dict[int, int] = {}
        self._woken, self._waker = os.pipe()
        for end in (self._woken, self._waker):
            os.set_blocking(end, False)
        self._notices, self._notices_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)  # shims tell of their ends
        self._notice_buffer = b""
        for fd in (self._woken, self._notices):
            self._poller.register(fd, select.POLLIN)

    def free(self) -> int:
        return self._slots.free()

    def reserve(self, trial_id: int) -> tuple[str, ...]:
        return self._slots.take(trial_id)

    def release(self, trial_id: int) -> None:
        self._slots.give_back(trial_id)

    def launch(self, launch: Launch) -> None:
        run = _Run(launch, launch.paths.attempt(launch.attempt))
        self._runs[launch.trial_id] = run
        self._send(run)

    def adopt(self, launch: Launch) -> Adoption:
        run = _Run(launch, launch.paths.attempt(launch.attempt), told=True)
        self._slots.hold(launch.trial_id, launch.gpus)
        fate, _ = records.fate(run.folder, launch.nonce)
        if fate is Fate.NEVER:
            return Adoption.NEVER
        self._runs[launch.trial_id] = run
        return self._settle(run)

    def reap(self) -> list[Started | Ended]:
        self._look(0)
        for run in list(self._runs.values()):
            if run.why is not None and not run.signalled:
                run.signalled = records.ask_to_stop(run.folder, run.launch.nonce, run.why, kill=run.kill)
        news, self._news = self._news, []
        return news

    def stop(self, trial_id: int, why: str, *, kill: bool = False) -> None:
        run = self._runs.get(trial_id)
        if run is None:
            return
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)  # a trial may have stopped our launcher
        if run.kill and kill:  # asked for again: it does not answer
            records.kill_shim(run.folder, run.launch.nonce)
        if run.why is not None and run.kill >= kill:
            return
        run.why, run.kill = run.why or why, kill
        run.signalled = records.ask_to_stop(run.folder, run.launch.nonce, run.why, kill=kill)

    def wait(self, timeout_s: float) -> None:
        if self._news:
            return
        if any(run.why is not None and not run.signalled for run in self._runs.values()):
            timeout_s = min(timeout_s, _STOP_AGAIN_S)  # it is starting: signal it as soon as it can hear
        self._look(timeout_s)

    def wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._waker, b"\0")

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        for pidfd in self._pidfds:
            os.close(pidfd)
        for fd in (self._woken, self._waker, self._notices, self._notices_in):
            os.close(fd)

    # -- the launcher ----------------------------------------------------------------------------------------------

    def _send(self, run: _Run) -> None:
        launch, folder = run.launch, run.folder
        try:
            argv0 = _program(launch)
        except FileNotFoundError as error:
            self._end(run, Exit(error=str(error)))
            return
        order = {
            "trial": launch.trial_id,
            "attempt": launch.attempt,
            "nonce": launch.nonce,
            "argv": [argv0, *launch.argv[1:]],
            "env": dict(launch.env),
            "cwd": launch.paths.result_dir,
            "started": f"{folder}/{records.STARTED}",
            "exit": f"{folder}/{records.EXIT}",
            "stop": f"{folder}/{records.STOP}",
            "log": f"{folder}/{outputlog.NAME}",
            "tails": [f"{folder}/{name}" for name in outputlog.TAILS],
            "time_limit_s": launch.time_limit_s,
            "grace_s": launch.grace_s,
            "log_bytes": launch.log_bytes,
            "protect": list(launch.protect),
        }
        line = b"%d %d %s\n" % (launch.trial_id, launch.attempt, json.dumps(order).encode())
        for _ in range(3):
            try:
                self._launcher().sendall(line)
                break
            except OSError:
                self._launcher_died()
        else:
            self._end(run, Exit(error="the launcher cannot be started; see hpo-engine doctor"))
            return
        failpoint("attempt.sent")

    def _launcher(self) -> socket.socket:
        if self._socket is None:
            if self._deaths > _DEATHS:
                raise OSError("the launcher dies at once")
            ours, theirs = socket.socketpair()
            # Nothing of the caller's terminal or pipes: the launcher may outlive the engine.
            with open(self._errors, "ab") as errors:
                self._process = subprocess.Popen(
                    [self._interpreter, "-I", "-S", _LAUNCHER, str(theirs.fileno()), str(self._notices_in)],
                    pass_fds=[theirs.fileno(), self._notices_in], start_new_session=True, cwd="/",
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
                )  # fmt: skip
            theirs.close()
            self._socket, self._buffer = ours, b""
            self._poller.register(ours, select.POLLIN)
        return self._socket

    def _launcher_died(self) -> None:
        """Its shims go on: from now on their files and pidfds tell. What it had not begun, a new one begins."""
        if self._socket is None:
            return
        _log.warning("the launcher died; a new one takes over")
        self._deaths += 1
        self._poller.unregister(self._socket)
        self._socket.close()
        self._socket = None
        for run in list(self._runs.values()):
            if run.pidfd is None:
                fate, _ = records.fate(run.folder, run.launch.nonce)
                if fate is Fate.NEVER:
                    self._send(run)
                else:
                    self._settle(run)

    def _look(self, timeout_s: float) -> None:
        for fd, _ in self._poller.poll(timeout_s * 1000):
            if fd == self._woken:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._woken, 512)
            elif fd in self._pidfds:
                run = self._runs.get(self._pidfds[fd])
                self._forget_pidfd(fd)
                if run is not None:
                    run.pidfd = None
                    self._settle(run)
            elif fd == self._notices:
                self._read_notices()
            else:
                self._read_launcher()

    def _read_launcher(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(1 << 16)
        except ConnectionError:
            data = b""
        if not data:
            self._launcher_died()
            return
        self._deaths = 0
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            what, *numbers = line.split()
            trial_id, attempt, number = map(int, numbers)
            if what == b"started":
                self._started(trial_id, attempt, number)
            elif run := self._run_of(trial_id, attempt):
                if os.WIFEXITED(number) and os.WEXITSTATUS(number) == shim.TAKEN:
                    _log.info("trial %d: attempt %d runs already; adopted", trial_id, attempt)
                self._settle(run)

    def _read_notices(self) -> None:
        """Ends, from the shims themselves: a line `TRIAL ATTEMPT PID` each."""
        *lines, self._notice_buffer = (self._notice_buffer + os.read(self._notices, 1 << 16)).split(b"\n")
        for line in lines:
            trial_id, attempt, pid = map(int, line.split())
            self._started(trial_id, attempt, pid)
            if run := self._run_of(trial_id, attempt):
                self._settle(run)

    def _started(self, trial_id: int, attempt: int, pid: int) -> None:
        if (run := self._run_of(trial_id, attempt)) and not run.told:
            run.told = True
            self._news.append(Started(trial_id, attempt, pid))

    def _run_of(self, trial_id: int, attempt: int) -> _Run | None:
        run = self._runs.get(trial_id)
        return run if run is not None and run.launch.attempt == attempt else None

    # -- the fate of a run -----------------------------------------------------------------------------------------

    def _settle(self, run: _Run) -> Adoption:
        """Says what the files say: adopts what lives, ends what has ended."""
        nonce = run.launch.nonce
        deadline = time.monotonic() + 1.0
        while True:
            fate, exit_ = records.fate(run.folder, nonce)
            if fate is Fate.ALIVE:
                pidfd = records.open_shim(run.folder, nonce)
                if pidfd is not None:
                    self._watch_pidfd(run, pidfd)
                    return Adoption.RUNNING
                if time.monotonic() < deadline:
                    time.sleep(0.001)  # it is on its way out
                    continue
            if exit_ is None:
                killed = records.sweep(nonce)
                if killed:
                    _log.warning("trial %d: its supervisor died; %d processes killed", run.launch.trial_id, killed)
                exit_ = Exit(lost=True)
            self._end(run, exit_)
            return Adoption.ENDED

    def _end(self, run: _Run, exit_: Exit) -> None:
        launch = run.launch
        if self._runs.pop(launch.trial_id, None) is None:
            return
        self._slots.give_back(launch.trial_id)
        self._news.append(Ended(launch.trial_id, launch.attempt, exit_))

    def _watch_pidfd(self, run: _Run, pidfd: int) -> None:
        if run.pidfd is not None:
            self._forget_pidfd(run.pidfd)
        run.pidfd = pidfd
        self._pidfds[pidfd] = run.launch.trial_id
        self._poller.register(pidfd, select.POLLIN)

    def _forget_pidfd(self, pidfd: int) -> None:
        self._poller.unregister(pidfd)
        del self._pidfds[pidfd]
        os.close(pidfd)


def _program(launch: Launch) -> str:
    """argv[0] as a path: what a shell would find in the working directory or on the PATH."""
    name = launch.argv[0]
    if "/" in name:
        path = os.path.join(launch.paths.result_dir, name)
        if os.path.isfile(path) and not os.access(path, os.X_OK):
            raise FileNotFoundError(f"cannot start {name}: it is not executable (chmod +x {os.path.basename(name)})")
        return path
    found = shutil.which(name, path=launch.env.get("PATH", os.defpath))
    if found is None:
        raise FileNotFoundError(f"cannot start {name}: not found on the PATH")
    return found
