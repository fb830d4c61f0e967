"""Attempts as processes of this machine: launchers, a shim an attempt, slots, adoption after a restart.

Speaks to launchers over sockets and believes the attempts' files more than them: a launcher may die.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from hpo_engine.core.ports import Adoption, Ended, Launch, Started
from hpo_engine.executors.crowd import Crowd
from hpo_engine.executors.local import records, shim
from hpo_engine.executors.local.guard import Guard, Run
from hpo_engine.executors.local.launchers import COLD, Launchers
from hpo_engine.executors.local.orders import order_of, program_of
from hpo_engine.executors.local.records import Fate
from hpo_engine.executors.slots import Slots, count_cores, find_gpus
from hpo_engine.failpoints import failpoint
from hpo_engine.study.spec import Resources
from hpo_engine.study.trial import Exit, StopCause
from hpo_engine.system.faults import at_fault
from hpo_engine.text.tables import counted

_log = logging.getLogger(__name__)
_STOP_AGAIN_S = 0.02
_ADOPTED_S = 1.0
_NO_TOKEN_S = 2.0  # after which one that runs and cannot be told to stop is signalled
_AGAIN_S = 0.1  # until records that could not be read are looked at again


class LocalExecutor:
    """The Executor of one machine.

    Args:
        resources: slots; env: the caller's environment (which GPUs there are); errors: file for what launchers may
            have to say; interpreter: Python of the launcher that imports nothing.
        say: called with one-line notices about the preload.

    Raises:
        SpecError: one trial asks for more than the machine has.
    """

    def __init__(
        self,
        resources: Resources,
        env: Mapping[str, str],
        errors: str = os.devnull,
        interpreter: str = sys.executable,
        say: Callable[[str], None] = _log.info,
    ) -> None:
        gpus = find_gpus(env) if resources.gpus else ()
        cores = count_cores()
        self._slots = Slots(resources, gpus, cores)
        self._crowd = Crowd(cores, say)
        self._runs: dict[int, Run] = {}
        self._news: list[Started | Ended] = []
        self._poller = select.poll()
        self._pidfds: dict[int, int] = {}
        self._look_at_adopted = 0.0
        self._unread: dict[int, Run] = {}  # whose records could not be read, for want of descriptors say
        self._read_again = 0.0
        self._woken, self._waker = os.pipe()
        for end in (self._woken, self._waker):
            os.set_blocking(end, False)
        self._notices, self._notices_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)  # shims tell of their ends
        self._notice_buffer = b""
        for fd in (self._woken, self._notices):
            self._poller.register(fd, select.POLLIN)
        self._launchers = Launchers(interpreter, errors, self._notices_in, self._poller, say)
        self._guard = Guard(
            self._launchers, lambda run, why: self.stop(run.launch.trial_id, why, kill=True), self._give_up
        )

    def free(self) -> int:
        return self._slots.free()

    def reserve(self, trial_id: int) -> tuple[str, ...]:
        return self._slots.take(trial_id)

    def release(self, trial_id: int) -> None:
        self._slots.give_back(trial_id)

    def launch(self, launch: Launch) -> None:
        run = Run(launch, launch.paths.attempt(launch.attempt))
        self._runs[launch.trial_id] = run
        self._send(run)

    def adopt(self, launch: Launch) -> Adoption:
        run = Run(launch, launch.paths.attempt(launch.attempt), told=True)
        self._slots.hold(launch.trial_id, launch.gpus)
        fate, _ = records.fate(run.folder, launch.nonce)
        if fate is Fate.NEVER and not launch.begun:
            return Adoption.NEVER
        self._runs[launch.trial_id] = run
        return self._settle(run)

    def reap(self) -> list[Started | Ended]:
        self._look(0)
        self._launchers.give_up_late_ones()
        self._settle_adopted()
        self._settle_unread()
        with contextlib.suppress(OSError):  # not now: too many files are open, say
            self._guard.look(self._runs.values())
            self._crowd.look()
        for run in list(self._runs.values()):
            if run.why is not None and not run.signalled:
                self._ask_to_stop(run)
        news, self._news = self._news, []
        return news

    def stop(self, trial_id: int, why: StopCause, *, kill: bool = False) -> None:
        run = self._runs.get(trial_id)
        if run is None:
            return
        if self._waits(run):
            self._end(run, Exit(stop_cause=why))
            return
        if (link := self._launchers.get(run.link)) is not None:
            link.wake()
        if run.kill and kill:  # asked for again: it does not answer
            records.kill_shim(run.folder, run.launch.nonce)
        if run.why is not None and run.kill >= kill:
            return
        run.why, run.kill = run.why or why, kill
        run.stop_at = time.monotonic()
        self._ask_to_stop(run)

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
        self._launchers.close()
        for pidfd in self._pidfds:
            os.close(pidfd)
        for fd in (self._woken, self._waker, self._notices, self._notices_in):
            os.close(fd)

    # -- launchers -------------------------------------------------------------------------------------------------

    def _send(self, run: Run) -> None:
        launch = run.launch
        try:
            argv0 = program_of(launch)
        except FileNotFoundError as error:
            self._end(run, Exit(error=str(error)))
            return
        order, why = order_of(launch, run.folder, argv0), "see hpo-engine doctor"
        for _ in range(3):
            start = self._launchers.start_of(launch, argv0)
            run.link = COLD if start is None else start.key
            if self._launchers.die(run.link):
                break
            order["warm"] = None if start is None else start.program
            line = b"%d %d %s\n" % (launch.trial_id, launch.attempt, json.dumps(order).encode())
            try:
                link = self._launchers.link(run.link, start)
                if link.ready:  # else it is sent when the imports are done: until then nothing has begun
                    link.send(line)
                    run.sent_at, run.pid = time.monotonic(), 0
                    failpoint("attempt.sent")
                return
            except OSError as error:
                if at_fault(error):
                    why = str(error.strerror)
                    break
                self._launcher_died(run.link, but=run)
        self._end(run, Exit(error=f"the launcher cannot be started; {why}", machine=True))

    def _launcher_died(self, key: str, but: Run | None = None) -> None:
        """Its shims go on: from now on their files and pidfds tell. What it had not begun, a new one begins."""
        self._launchers.lost(key)
        for run in list(self._runs.values()):
            if run.link != key or run.pidfd is not None or run is but:
                continue
            fate, _ = records.fate(run.folder, run.launch.nonce)
            if fate is Fate.NEVER:
                self._send(run)
            else:
                self._settle(run)

    def _settle_adopted(self) -> None:
        """Where another engine is there still, its shim does not leave with the attempt's end."""
        if not self._pidfds or time.monotonic() < self._look_at_adopted:
            return
        self._look_at_adopted = time.monotonic() + _ADOPTED_S
        for pidfd, trial_id in list(self._pidfds.items()):
            run = self._runs.get(trial_id)
            if run is None or records.read_exit(run.folder, run.launch.nonce):
                self._adopted_ended(pidfd)

    def _look(self, timeout_s: float) -> None:
        for fd, _ in self._poller.poll(timeout_s * 1000):
            if fd == self._woken:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._woken, 512)
            elif fd in self._pidfds:
                self._adopted_ended(fd)
            elif fd == self._notices:
                self._read_notices()
            elif (key := self._launchers.of_socket(fd)) is not None:
                self._read_launcher(key)
        self._launchers.flush()

    def _read_launcher(self, key: str) -> None:
        link = self._launchers.get(key)
        assert link is not None
        lines = link.read()
        if lines is None:
            self._launcher_died(key)
            return
        for line in lines:
            what, _, rest = line.partition(b" ")
            if what == b"warm":
                self._warmed(key, json.loads(rest))
            elif what == b"imports":
                link.imports = json.loads(rest)
            elif what == b"cold":
                self._launchers.tell_warm(link, float(rest))
            else:
                trial_id, attempt, number = map(int, rest.split())
                self._heard(key, what, trial_id, attempt, number)

    def _heard(self, key: str, what: bytes, trial_id: int, attempt: int, number: int) -> None:
        """Of an attempt: that it has begun (`number`: the pid), could not (the errno), or ended (the wait status)."""
        if what == b"started":
            self._started(trial_id, attempt, number)
        elif (run := self._run_of(trial_id, attempt)) is None:
            return
        elif what == b"starved":
            self._end(run, Exit(error=f"cannot start its supervisor: {os.strerror(number)}", machine=True))
        else:
            self._launchers.worked(key)
            status = os.WEXITSTATUS(number) if os.WIFEXITED(number) else 0
            if status == shim.TAKEN:
                _log.info("trial %d: attempt %d runs already; adopted", trial_id, attempt)
            if status > shim.UNABLE and records.fate(run.folder, run.launch.nonce)[0] is Fate.NEVER:
                why = os.strerror(status - shim.UNABLE)
                self._end(run, Exit(error=f"its supervisor cannot note that it begins: {why}", machine=True))
            else:
                self._settle(run)

    def _warmed(self, key: str, report: dict[str, Any]) -> None:
        waiting = [run for run in self._runs.values() if self._waits(run) and run.link == key]
        self._launchers.warmed(key, report)
        for run in waiting:
            if "starved" in report:
                self._end(run, Exit(error=f"its launcher cannot import: {report['starved']}", machine=True))
            else:
                self._send(run)

    def _waits(self, run: Run) -> bool:
        return self._launchers.waits(run.link)

    def _read_notices(self) -> None:
        """Ends, from the shims themselves: a line `TRIAL ATTEMPT PID` each."""
        *lines, self._notice_buffer = (self._notice_buffer + os.read(self._notices, 1 << 16)).split(b"\n")
        for line in lines:
            trial_id, attempt, pid = map(int, line.split())
            self._started(trial_id, attempt, pid)
            if run := self._run_of(trial_id, attempt):
                self._settle(run)

    def _started(self, trial_id: int, attempt: int, pid: int) -> None:
        run = self._run_of(trial_id, attempt)
        if run is not None:
            run.pid = pid
        if run is not None and not run.told:
            self._launchers.worked(run.link)
            run.told = True
            self._crowd.started(trial_id, pid)
            self._news.append(Started(trial_id, attempt, pid))

    def _run_of(self, trial_id: int, attempt: int) -> Run | None:
        run = self._runs.get(trial_id)
        return run if run is not None and run.launch.attempt == attempt else None

    def _ask_to_stop(self, run: Run) -> None:
        assert run.why is not None
        try:
            run.signalled = records.ask_to_stop(run.folder, run.launch.nonce, run.why, kill=run.kill)
            if not run.signalled and run.stop_at is not None and time.monotonic() > run.stop_at + _NO_TOKEN_S:
                self._terminate(run)
        except OSError as error:
            if not at_fault(error):
                raise
            run.signalled = False  # it is tried again

    def _terminate(self, run: Run) -> None:
        """Stops a run whose folder somebody has removed, so that no word can be left for its shim."""
        pidfd = self._guard.open_shim(run)
        if pidfd is not None:
            signal.pidfd_send_signal(pidfd, signal.SIGTERM)
            os.close(pidfd)
            run.signalled = True

    # -- the fate of a run -----------------------------------------------------------------------------------------

    def _settle(self, run: Run) -> Adoption:
        """Says what the files say: adopts what lives, ends what has ended."""
        try:
            return self._settled(run)
        except OSError as error:
            if not at_fault(error):
                raise
            _log.info("trial %d: its records cannot be read now: %s", run.launch.trial_id, error)
            self._unread[run.launch.trial_id] = run
            self._read_again = time.monotonic() + _AGAIN_S
            return Adoption.RUNNING

    def _settled(self, run: Run) -> Adoption:
        nonce = run.launch.nonce
        deadline = time.monotonic() + 1.0
        while True:
            fate, exit_ = records.fate(run.folder, nonce)
            if fate is Fate.ALIVE:
                pidfd = records.open_shim(run.folder, nonce)
                if pidfd is not None:
                    self._watch_pidfd(run, pidfd)
                    if not run.told and (
                        token := records.token(run.folder, nonce)
                    ):  # its launcher died before it said so
                        self._started(run.launch.trial_id, run.launch.attempt, token.pid)
                    return Adoption.RUNNING
                if time.monotonic() < deadline:
                    time.sleep(0.001)  # it is on its way out
                    continue
            if exit_ is None:
                killed = records.sweep(run.launch.paths, run.launch.attempt, nonce)
                if killed and run.why is None and not run.blame:
                    left = counted(killed, "process", "processes")
                    _log.warning("trial %d: its supervisor died; %s killed", run.launch.trial_id, left)
                exit_ = _unrecorded(run)
            self._end(run, exit_)
            return Adoption.ENDED

    def _give_up(self, run: Run) -> None:
        """Ends the run's shim, which does not see to its end. Whoever hears of that first sees to what it leaves."""
        pidfd = self._guard.open_shim(run)
        if pidfd is None:
            return
        # From now on we hear of its end ourselves: the launcher may stand still, and of a process that is traced who
        # traces it hears first.
        if records.token(run.folder, run.launch.nonce) is not None:
            self._settle(run)
        elif run.pidfd is None:
            self._watch_pidfd(run, os.dup(pidfd))
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.close(pidfd)

    def _settle_unread(self) -> None:
        if self._unread and time.monotonic() >= self._read_again:
            waiting, self._unread = self._unread, {}
            for run in waiting.values():
                if self._runs.get(run.launch.trial_id) is run:
                    self._settle(run)

    def _end(self, run: Run, exit_: Exit) -> None:
        launch = run.launch
        if self._runs.pop(launch.trial_id, None) is None:
            return
        if exit_.stop_cause == StopCause.OUTSIDE and run.why is not None:
            exit_ = replace(exit_, stop_cause=run.why)  # the word could not be left for its shim
        self._launchers.attempt_ended(run.link, wanted=any(run.link == r.link for r in self._runs.values()))
        self._slots.give_back(launch.trial_id)
        self._crowd.ended(launch.trial_id)
        self._news.append(Ended(launch.trial_id, launch.attempt, exit_))

    def _watch_pidfd(self, run: Run, pidfd: int) -> None:
        if run.pidfd is not None:
            self._forget_pidfd(run.pidfd)
        run.pidfd = pidfd
        self._pidfds[pidfd] = run.launch.trial_id
        self._poller.register(pidfd, select.POLLIN)

    def _adopted_ended(self, pidfd: int) -> None:
        run = self._runs.get(self._pidfds[pidfd])
        self._forget_pidfd(pidfd)
        if run is not None:
            run.pidfd = None
            self._settle(run)

    def _forget_pidfd(self, pidfd: int) -> None:
        self._poller.unregister(pidfd)
        del self._pidfds[pidfd]
        os.close(pidfd)


def _unrecorded(run: Run) -> Exit:
    """The end of a run whose shim has left no record of it."""
    if run.why is not None:
        return Exit(signal=signal.SIGKILL, stop_cause=run.why)
    return Exit(signal=signal.SIGKILL, error=run.blame) if run.blame else Exit(lost=True)
