"""What stands still although it should not: launchers and shims that a trial has stopped or traces, limits not kept.

Shims keep limits and launchers look after shims, but a trial can stop both. So the engine looks every second: what is
stopped is woken; what stays still is replaced (a launcher) or ended (a shim, with its trial). Tokens see to it that
nothing begins twice.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hpo_engine.core.ports import Launch
from hpo_engine.executors.local import processes, records
from hpo_engine.executors.local.client import LAUNCHER, Link
from hpo_engine.executors.local.launchers import Launchers
from hpo_engine.study.trial import StopCause

_log = logging.getLogger(__name__)
_LOOK_S = 1.0
_STILL_S = 4.0  # so long something may stand still that has been woken meanwhile
_DEAF_S = 60.0  # so long an order may lie with a launcher that is not stopped
_MARGIN_S = 5.0  # beyond time limit and grace, until the engine ends a run itself


@dataclass
class Run:
    """An attempt under way. `link`: the key of the launcher that has its order, `sent_at` since when; `pid`: its shim,
    as that launcher says (0: not yet). `pidfd`: it is watched without a launcher. `told`: Started was said. `why`: it
    was asked to stop, `stop_at` when. `token`: what its record says of its shim. `still_since`: of its shim; all times
    are monotonic. `blame`: why it fails if nothing records how it ended."""

    launch: Launch
    folder: str
    link: str | None = None
    sent_at: float | None = None
    pid: int = 0
    pidfd: int | None = None
    told: bool = False
    why: StopCause | None = None
    kill: bool = False
    stop_at: float | None = None
    signalled: bool = False
    token: records.Token | None = None
    still_since: float | None = None
    blame: str = ""
    pressed: bool = False  # it was told to end at once, since it is overdue


class Guard:
    """Args:
    stop: tells a run to end at once. give_up: ends the shim of a run, with all below it.
    """

    def __init__(
        self, launchers: Launchers, stop: Callable[[Run, StopCause], None], give_up: Callable[[Run], None]
    ) -> None:
        self._launchers, self._stop, self._give_up = launchers, stop, give_up
        self._next = 0.0
        self._told = False

    def look(self, runs: Iterable[Run]) -> None:
        """To be called often. Raises OSError: records cannot be read at present."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _LOOK_S
        under_way = list(runs)
        for key, link in self._launchers:
            self._look_at_launcher(link, [run for run in under_way if run.link == key], now)
        for run in under_way:
            if not self._launchers.waits(run.link):
                self._look_at_shim(run, now)

    # -- launchers -------------------------------------------------------------------------------------------------

    def _look_at_launcher(self, link: Link, runs: list[Run], now: float) -> None:
        if link.given_up:
            return
        if processes.stands_still(link.pid):
            link.still_since = link.still_since or now
            link.wake()
            self._say_once("a trial has stopped the launcher, or traces it; it is woken")
        else:
            link.still_since = None
        unheard = min((run.sent_at for run in runs if run.sent_at and not run.pid and run.pidfd is None), default=now)
        if (link.still_since is not None and now - link.still_since >= _STILL_S) or now - unheard >= _DEAF_S:
            _log.warning("the launcher does not answer; a new one takes over")
            link.give_up()

    def _say_once(self, text: str) -> None:
        if not self._told:
            self._told = True
            _log.warning(text)

    # -- shims -----------------------------------------------------------------------------------------------------

    def _look_at_shim(self, run: Run, now: float) -> None:
        run.token = run.token or records.token(run.folder, run.launch.nonce)
        pid = run.pid if run.token is None else run.token.pid
        if not processes.stands_still(pid, None if run.token is None else run.token.start):
            run.still_since = None
        elif run.still_since is None:
            run.still_since = now
        if run.still_since is not None:
            self._wake(run)
            if now - run.still_since >= _STILL_S:
                if processes.traced_from_below(pid):
                    run.blame = "it traces its supervisor and keeps it from its work"
                text = run.blame or "its supervisor stands still"
                _log.warning("trial %d: %s; both are ended", run.launch.trial_id, text)
                self._give_up(run)
                return
        if run.link is None and run.token is not None:
            _wake_launcher_above(run.token.pid)
        due = _due(run)
        if due is None or now < due:
            return
        if not run.pressed:
            run.pressed = True
            self._stop(run, StopCause.TIME_LIMIT)
        elif now >= due + _STILL_S:
            _log.warning("trial %d: its supervisor does not end it in time; both are ended", run.launch.trial_id)
            self._give_up(run)

    def _wake(self, run: Run) -> None:
        pidfd = self.open_shim(run)
        if pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGCONT)
            os.close(pidfd)

    def open_shim(self, run: Run) -> int | None:
        """A pidfd of the run's shim: the one that its token names; if there is no token (the shim was stopped before it
        made one, or somebody removed it), the child of our own launcher that has the order."""
        pidfd = records.open_shim(run.folder, run.launch.nonce)
        link = self._launchers.get(run.link)
        if pidfd is not None or link is None or not run.pid or records.token(run.folder, run.launch.nonce) is not None:
            return pidfd
        try:
            pidfd = os.pidfd_open(run.pid)
        except OSError:
            return None
        if processes.parent(run.pid) == link.pid:
            return pidfd
        os.close(pidfd)
        return None


def _wake_launcher_above(shim: int) -> None:
    """Wakes the launcher of an adopted run, which is nobody's child any more and would stay for ever."""
    pid = processes.parent(shim)
    if pid is None or not processes.stands_still(pid):
        return
    with contextlib.suppress(OSError):
        pidfd = os.pidfd_open(pid)
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                ours = os.fsencode(LAUNCHER) in file.read().split(b"\0")
            if ours and processes.parent(shim) == pid:
                signal.pidfd_send_signal(pidfd, signal.SIGCONT)
        finally:
            os.close(pidfd)


def _due(run: Run) -> float | None:
    """When the run should have ended at the latest, if its shim sees to it."""
    grace, limit = run.launch.grace_s, run.launch.time_limit_s
    ends = []
    if run.stop_at is not None:
        ends.append(run.stop_at + (0.0 if run.kill else grace))
    if limit is not None and run.token is not None:
        ends.append(run.token.clock + limit + grace)
    return min(ends) + _MARGIN_S if ends else None
