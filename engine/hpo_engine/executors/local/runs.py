"""The attempts under way, and what became of each: their files are believed more than any launcher, which may die.

Knows launchers only as the parents of shims.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from hpo_engine.core.ports import Adoption
from hpo_engine.executors.local import marks, processes, records
from hpo_engine.executors.local.bound import BoundLaunch
from hpo_engine.executors.local.client import LauncherClient
from hpo_engine.executors.local.records import Fate
from hpo_engine.study.trial import Exit, StopCause
from hpo_engine.system.faults import at_fault
from hpo_engine.text.tables import counted

_log = logging.getLogger(__name__)
_ADOPTED_S = 1.0
_NO_TOKEN_S = 2.0  # after which a run is signalled to which no stop request can be sent
_AGAIN_S = 0.1  # until records that could not be read are looked at again
_SOON_S = 0.005  # until a run that is about to end is looked at again
_SWEEP_S = 2.0  # how long what a dead shim has left may take to die
_LEAVING_S = 1.0  # how long a shim that has ended may still hold its lock


@dataclass
class Run:
    """An attempt under way; all times are monotonic seconds.

    `launcher`: the one that has its order (None: it is adopted), `sent_at` since when. `pid`: its shim, as that
    launcher says (0: not yet). `pidfd`: of its shim, if it is watched without a launcher. `started`: Started was
    reported. `why`, `reason`: it was asked to stop, at `stop_at`, with SIGKILL at once if `kill`; `signalled`: its shim
    knows. `token`: what its record says of its shim; `still_since`: when that was first seen suspended. `blame`:
    why it fails if nothing records how it ended. `pressed`: it was stopped at once, because it is overdue.
    `leaving_since`: its shim has gone but for its lock. `swept`: processes that it had left and that were killed, since
    `swept_since`.
    """

    launch: BoundLaunch
    folder: str
    launcher: LauncherClient | None = None
    sent_at: float | None = None
    pid: int = 0
    pidfd: int | None = None
    started: bool = False
    why: StopCause | None = None
    reason: str = ""
    kill: bool = False
    stop_at: float | None = None
    signalled: bool = False
    token: records.Token | None = None
    still_since: float | None = None
    blame: str = ""
    pressed: bool = False
    leaving_since: float | None = None
    swept: int = 0
    swept_since: float | None = None

    @property
    def waits(self) -> bool:
        """Whether its order has not been sent, as its launcher is not ready."""
        return self.launcher is not None and not self.launcher.ready

    def open_shim(self) -> int | None:
        """A pidfd of the shim: the one that the token names; if there is no token (the shim was stopped before it made
        one, or somebody removed it), the child of our own launcher that has the order. None if it is not alive."""
        pidfd = records.open_shim(self.folder, self.launch.nonce)
        if pidfd is not None or self.launcher is None or not self.pid:
            return pidfd
        if records.token(self.folder, self.launch.nonce) is not None:
            return None
        try:
            pidfd = os.pidfd_open(self.pid)
        except OSError:
            return None
        if processes.parent(self.pid) == self.launcher.pid:
            return pidfd
        os.close(pidfd)
        return None


class Runs:
    """All attempts under way, by nonce.

    Args:
        poller: watches for the ends of shims that are watched without a launcher.
        started, ended: called once for each run.
    """

    def __init__(self, poller: select.poll, started: Callable[[Run], None], ended: Callable[[Run, Exit], None]) -> None:
        self._poller, self._on_start, self._on_end = poller, started, ended
        self._runs: dict[str, Run] = {}
        self._pidfds: dict[int, Run] = {}
        self._look_at_adopted = 0.0
        self._unsettled: dict[str, Run] = {}  # whose records could not be read (too many open files, say), or that end
        self._look_at = 0.0  # when these are looked at again

    def __iter__(self) -> Iterator[Run]:
        return iter(list(self._runs.values()))

    def get(self, nonce: str) -> Run | None:
        return self._runs.get(nonce)

    def add(self, launch: BoundLaunch) -> Run:
        run = self._runs[launch.nonce] = Run(launch, launch.paths.attempt(launch.attempt))
        return run

    def adopt(self, launch: BoundLaunch) -> Adoption:
        """Takes over what an earlier engine intended."""
        fate, _ = records.fate(launch.paths.attempt(launch.attempt), launch.nonce)
        if fate is Fate.NEVER and not launch.begun:
            return Adoption.NEVER
        run = self.add(launch)
        run.started = True
        return self.settle(run)

    def started(self, run: Run, pid: int) -> None:
        run.pid = pid
        if not run.started:
            run.started = True
            self._on_start(run)

    def end(self, run: Run, exit_: Exit) -> None:
        if self._runs.pop(run.launch.nonce, None) is None:
            return
        if exit_.stop_cause == StopCause.OUTSIDE and run.why is not None:
            exit_ = replace(exit_, stop_cause=run.why)  # the reason could not be left for its shim
        self._on_end(run, exit_)

    def close(self) -> None:
        for pidfd in self._pidfds:
            os.close(pidfd)

    # -- fates -----------------------------------------------------------------------------------------------------

    def settle(self, run: Run) -> Adoption:
        """Does what the files say: adopts what is alive, ends what has ended."""
        try:
            return self._settle(run)
        except OSError as error:
            if not at_fault(error):
                raise
            _log.info("trial %d: its records cannot be read now: %s", run.launch.trial_id, error)
            self._look_again(run, _AGAIN_S)
            return Adoption.RUNNING

    def _settle(self, run: Run) -> Adoption:
        fate, exit_ = records.fate(run.folder, run.launch.nonce)
        now = time.monotonic()
        if fate is Fate.ALIVE:
            if (pidfd := records.open_shim(run.folder, run.launch.nonce)) is not None:
                self._adopt(run, pidfd)
                return Adoption.RUNNING
            run.leaving_since = run.leaving_since or now
            if now < run.leaving_since + _LEAVING_S:
                self._look_again(run, _SOON_S)
                return Adoption.ENDED
        if exit_ is None:
            killed = marks.sweep(run.launch.paths, run.launch.attempt, run.launch.nonce)
            run.swept, run.swept_since = run.swept + killed, run.swept_since or now
            if killed and now < run.swept_since + _SWEEP_S:
                self._look_again(run, _SOON_S)
                return Adoption.ENDED
            exit_ = _unrecorded(run)
        self.end(run, exit_)
        return Adoption.ENDED

    def _look_again(self, run: Run, after_s: float) -> None:
        due = time.monotonic() + after_s
        self._look_at = min(due, self._look_at) if self._unsettled else due
        self._unsettled[run.launch.nonce] = run

    def due_s(self) -> float | None:
        """In how many seconds `settle_again` has something to do; None: not before there are news."""
        return max(0.0, self._look_at - time.monotonic()) if self._unsettled else None

    def _adopt(self, run: Run, pidfd: int) -> None:
        self.watch(run, pidfd)
        if not run.started and (token := records.token(run.folder, run.launch.nonce)):
            self.started(run, token.pid)  # its launcher died before it reported that

    def settle_again(self) -> None:
        """Looks at those whose files may say more by now."""
        now = time.monotonic()
        if self._unsettled and now >= self._look_at:
            waiting, self._unsettled = self._unsettled, {}
            for run in waiting.values():
                if self._runs.get(run.launch.nonce) is run:
                    self.settle(run)
        # While another engine lives, its shims do not leave with their attempts' ends.
        if self._pidfds and now >= self._look_at_adopted:
            self._look_at_adopted = now + _ADOPTED_S
            for pidfd, run in list(self._pidfds.items()):
                if run.launch.nonce not in self._runs or records.read_exit(run.folder, run.launch.nonce):
                    self.shim_ended(pidfd)

    # -- shims without a launcher ----------------------------------------------------------------------------------

    def watch(self, run: Run, pidfd: int) -> None:
        """From now on the end of the shim is seen without its launcher; takes `pidfd` over."""
        if run.pidfd is not None:
            self._forget(run.pidfd)
        run.pidfd = pidfd
        self._pidfds[pidfd] = run
        self._poller.register(pidfd, select.POLLIN)

    def shim_ended(self, fd: int) -> bool:
        """Whether that is the pidfd of a watched shim; then its run is settled."""
        if fd not in self._pidfds:
            return False
        run = self._pidfds[fd]
        self._forget(fd)
        if run.launch.nonce in self._runs:
            run.pidfd = None
            self.settle(run)
        return True

    def _forget(self, pidfd: int) -> None:
        self._poller.unregister(pidfd)
        del self._pidfds[pidfd]
        os.close(pidfd)

    # -- stopping --------------------------------------------------------------------------------------------------

    @property
    def stopping(self) -> list[Run]:
        """Those that were asked to stop while their shims could not receive that yet."""
        return [run for run in self._runs.values() if run.why is not None and not run.signalled]

    def stop(self, nonce: str, why: StopCause, reason: str, *, kill: bool) -> None:
        run = self._runs.get(nonce)
        if run is None:
            return
        if run.waits:
            self.end(run, Exit(stop_cause=why))
            return
        if run.launcher is not None:
            run.launcher.wake()
        if run.kill and kill:  # asked for again: it does not answer
            records.kill_shim(run.folder, run.launch.nonce)
        if run.why is not None and run.kill >= kill:
            return
        if run.why is None:
            run.why, run.reason = why, reason
        run.kill = kill
        run.stop_at = time.monotonic()
        self.ask_to_stop(run)

    def ask_to_stop(self, run: Run) -> None:
        assert run.why is not None
        try:
            run.signalled = records.ask_to_stop(run.folder, run.launch.nonce, run.why, kill=run.kill, reason=run.reason)
            if not run.signalled and run.stop_at is not None and time.monotonic() > run.stop_at + _NO_TOKEN_S:
                _terminate(run)
        except OSError as error:
            if not at_fault(error):
                raise
            run.signalled = False  # it is tried again

    def give_up(self, run: Run) -> None:
        """Ends the run's shim, which does not see to its end. Whoever learns of that first ends what it leaves."""
        pidfd = run.open_shim()
        if pidfd is None:
            return
        # From now on we watch for its end ourselves: the launcher may be suspended, and the end of a traced process is
        # reported to its tracer first.
        if records.token(run.folder, run.launch.nonce) is not None:
            self.settle(run)
        elif run.pidfd is None:
            self.watch(run, os.dup(pidfd))
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.close(pidfd)


def _terminate(run: Run) -> None:
    """Stops a run whose folder somebody has removed, so that no reason can be left for its shim."""
    pidfd = run.open_shim()
    if pidfd is not None:
        signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        os.close(pidfd)
        run.signalled = True


def _unrecorded(run: Run) -> Exit:
    """The end of a run whose shim has left no record of it."""
    if run.swept and run.why is None and not run.blame:
        left = counted(run.swept, "process", "processes")
        _log.warning("trial %d: its supervisor died; %s killed", run.launch.trial_id, left)
    if run.why is not None:
        return Exit(signal=signal.SIGKILL, stop_cause=run.why)
    return Exit(signal=signal.SIGKILL, error=run.blame) if run.blame else Exit(lost=True)
