"""Attempts as processes of this machine: a pool of launchers, the runs under them, slots, adoption after a restart."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import time
from typing import Any

from hpo_engine.core.ports import Adoption, Ended, Launch, Started
from hpo_engine.executors.context import ExecutorContext
from hpo_engine.executors.local import records, shim
from hpo_engine.executors.local.client import NO_PRELOAD, AttemptLine, LauncherClient, program_of
from hpo_engine.executors.local.crowd import Crowd
from hpo_engine.executors.local.guard import Guard
from hpo_engine.executors.local.launchers import LauncherPool
from hpo_engine.executors.local.records import Fate
from hpo_engine.executors.local.runs import Run, Runs
from hpo_engine.executors.machine import Machine
from hpo_engine.executors.sharing import Place
from hpo_engine.study.spec import Resources
from hpo_engine.study.trial import Exit, StopCause
from hpo_engine.system.faults import at_fault

_log = logging.getLogger(__name__)
_STOP_AGAIN_S = 0.02
_TURN_S = 0.05  # from one look to the next whether others have left room
_TRIES = 3  # to order an attempt from a launcher


class LocalExecutor:
    """The Executor of one machine.

    Raises:
        SpecError: one trial asks for more than the machine has.
    """

    def __init__(self, context: ExecutorContext) -> None:
        place = Place.here(context.env, gpus=bool(context.resources.gpus))
        self.machine = Machine(context.resources, place, context.study, context.name, context.env)
        self._bind = context.bind
        self._queue: dict[str, Launch] = {}  # by nonce: attempts for which there is no room yet
        self._crowd = Crowd(place.cores.count, context.say)
        self._news: list[Started | Ended] = []
        self._poller = select.poll()
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._notices, self._notices_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)  # shims report their attempts' ends
        self._notice_buffer = b""
        for fd in (self._woken, self._notices):
            self._poller.register(fd, select.POLLIN)
        self._pool = LauncherPool(context.interpreter, context.errors, self._notices_in, self._poller, context.say)
        self._runs = Runs(self._poller, self._started, self._ended)
        self._guard = Guard(self._pool, self._runs)

    def free(self, request: Resources, wanted: int) -> int:
        return 0 if self._queue else self.machine.free(request, wanted)

    def resize(self, resources: Resources) -> None:
        """The study may run another number of trials at a time from now on."""
        self.machine.resize(resources)

    def launch(self, launch: Launch) -> None:
        self._queue[launch.nonce] = launch
        self._begin()

    def adopt(self, launch: Launch) -> Adoption:
        self.machine.hold(launch.nonce, launch.request, launch.devices)
        adoption = self._runs.adopt(self._bind(launch, launch.devices, None, None))
        if adoption is Adoption.NEVER:
            self.machine.give_back(launch.nonce)
        return adoption

    def reap(self) -> list[Started | Ended]:
        self._look(0)
        self._begin()
        self._pool.give_up_late_ones()
        self._runs.settle_again()
        with contextlib.suppress(OSError):  # not now: too many files are open, say
            self._guard.look()
            self._crowd.look()
        for run in self._runs.stopping:
            self._runs.ask_to_stop(run)
        news, self._news = self._news, []
        return news

    def stop(self, nonce: str, cause: StopCause, *, kill: bool = False, reason: str = "") -> None:
        if self._queue.pop(nonce, None) is not None:
            self._news.append(Ended(nonce, Exit(stop_cause=cause)))
        self._runs.stop(nonce, cause, reason, kill=kill)

    def wait(self, timeout_s: float) -> None:
        self.machine.turn_over()
        if self._news:
            return
        if self.machine.is_waiting:
            timeout_s = min(timeout_s, _TURN_S)
        if (due_s := self._runs.due_s()) is not None:
            timeout_s = min(timeout_s, due_s)
        if self._runs.stopping:
            timeout_s = min(timeout_s, _STOP_AGAIN_S)  # it is starting: signal it as soon as it can receive that
        self._look(timeout_s)

    def wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._waker, b"\0")

    def close(self) -> None:
        self.machine.close()
        self._pool.close()
        self._runs.close()
        for fd in (self._woken, self._waker, self._notices, self._notices_in):
            os.close(fd)

    # -- orders ----------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Starts those of the queue for which there is room."""
        for launch in list(self._queue.values()):
            devices = self.machine.take(launch.nonce, launch.request)
            if devices is None:
                return
            del self._queue[launch.nonce]
            lease, each = self.machine.lease_path(launch.nonce), self.machine.threads()
            self._order(self._runs.add(self._bind(launch, devices, lease, each)))

    def _order(self, run: Run) -> None:
        """Orders the attempt from a launcher, or ends it if none can take it."""
        try:
            argv0 = program_of(run.launch)
        except FileNotFoundError as error:
            self._runs.end(run, Exit(error=str(error)))
            return
        why = "see hpo-engine doctor"
        for _ in range(_TRIES):
            spec = self._pool.spec_of(run.launch, argv0)
            key = NO_PRELOAD if spec is None else spec.key
            if self._pool.hopeless(key):
                break
            try:
                run.launcher = self._pool.client(spec)
                if run.launcher.ready:  # else it is ordered when the imports are done: until then nothing has begun
                    run.sent_at, run.pid = time.monotonic(), 0
                    run.launcher.order(run.launch, run.folder, argv0)
                return
            except OSError as error:
                if at_fault(error):
                    why = str(error.strerror)
                    break
                self._launcher_died(key, but=run)
        self._runs.end(run, Exit(error=f"the launcher cannot be started; {why}", machine=True))

    def _launcher_died(self, key: str, but: Run | None = None) -> None:
        """Its shims keep running, watched by their files and pidfds. What it had not started, a new one starts."""
        client = self._pool.lost(key)
        for run in self._runs:
            if client is None or run.launcher is not client:
                continue
            run.launcher = None
            if run.pidfd is not None or run is but:
                continue
            fate, _ = records.fate(run.folder, run.launch.nonce)
            if fate is Fate.NEVER:
                self._order(run)
            else:
                self._runs.settle(run)

    # -- news ------------------------------------------------------------------------------------------------------

    def _look(self, timeout_s: float) -> None:
        for fd, _ in self._poller.poll(timeout_s * 1000):
            if fd == self._woken:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._woken, 512)
            elif fd == self._notices:
                self._read_notices()
            elif self._runs.shim_ended(fd):
                pass
            elif (client := self._pool.of_socket(fd)) is not None:
                self._read_launcher(client)
        self._pool.flush()

    def _read_notices(self) -> None:
        """Ends, as shims report them: one line `NONCE PID` each."""
        *lines, self._notice_buffer = (self._notice_buffer + os.read(self._notices, 1 << 16)).split(b"\n")
        for line in lines:
            nonce, _, pid = line.decode().partition(" ")
            if run := self._runs.get(nonce):
                self._runs.started(run, int(pid))
                self._runs.settle(run)

    def _read_launcher(self, client: LauncherClient) -> None:
        lines = self._pool.read(client)
        if lines is None:
            self._launcher_died(client.key)
            return
        for line in lines:
            if isinstance(line, AttemptLine):
                self._heard(client, line)
            else:
                self._preloaded(client, line)

    def _preloaded(self, client: LauncherClient, report: dict[str, Any]) -> None:
        waiting = [run for run in self._runs if run.launcher is client and run.waits]
        self._pool.preloaded(client, report)
        for run in waiting:
            if "starved" in report:
                self._runs.end(run, Exit(error=f"its launcher cannot import: {report['starved']}", machine=True))
            else:
                self._order(run)

    def _heard(self, client: LauncherClient, line: AttemptLine) -> None:
        run = self._runs.get(line.nonce)
        if run is None:
            return
        if line.what == b"started":
            self._runs.started(run, line.number)
            return
        if line.what == b"starved":
            why = os.strerror(line.number)
            self._runs.end(run, Exit(error=f"cannot start its supervisor: {why}", machine=True))
            return
        self._pool.worked(client)
        status = os.WEXITSTATUS(line.number) if os.WIFEXITED(line.number) else 0
        if status == shim.TAKEN:
            _log.info("trial %d: attempt %d runs already; adopted", run.launch.trial_id, run.launch.attempt)
        if status > shim.UNABLE and records.fate(run.folder, run.launch.nonce)[0] is Fate.NEVER:
            why = os.strerror(status - shim.UNABLE)
            self._runs.end(run, Exit(error=f"its supervisor cannot note that it begins: {why}", machine=True))
        else:
            self._runs.settle(run)

    def _started(self, run: Run) -> None:
        self._pool.worked(run.launcher)
        self._crowd.started(run.launch.nonce, run.pid)
        self._news.append(Started(run.launch.nonce, run.pid, run.launch.devices))

    def _ended(self, run: Run, exit_: Exit) -> None:
        nonce = run.launch.nonce
        self._pool.attempt_ended(run.launcher, wanted=any(run.launcher is other.launcher for other in self._runs))
        self.machine.give_back(nonce)
        self._crowd.ended(nonce)
        self._news.append(Ended(nonce, exit_))
