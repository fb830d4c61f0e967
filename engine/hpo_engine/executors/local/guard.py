"""Launchers and shims that a trial has stopped or traces, and limits that are not kept.

Shims keep limits and launchers look after shims, but a trial can stop both. So the engine looks every second: what is
stopped is woken; what stays stopped is replaced (a launcher) or ended (a shim, with its trial). Tokens ensure that
nothing starts twice.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time

from hpo_engine.executors.local import processes, records
from hpo_engine.executors.local.client import LAUNCHER, LauncherClient
from hpo_engine.executors.local.launchers import LauncherPool
from hpo_engine.executors.local.runs import Run, Runs
from hpo_engine.study.trial import StopCause

_log = logging.getLogger(__name__)
_LOOK_S = 1.0
_STILL_S = 4.0  # how long a process may stay stopped although it is woken again and again
_DEAF_S = 60.0  # how long a launcher that is not stopped may take over an order
_MARGIN_S = 5.0  # beyond time limit and grace, until the engine ends a run itself


class Guard:
    """Looks after launchers and shims for the engine."""

    def __init__(self, pool: LauncherPool, runs: Runs) -> None:
        self._pool, self._runs = pool, runs
        self._next = 0.0
        self._warned = False

    def look(self) -> None:
        """Call it often; it does something once per second. Raises OSError: records cannot be read at present."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _LOOK_S
        runs = list(self._runs)
        for client in self._pool:
            self._look_at_launcher(client, [run for run in runs if run.launcher is client], now)
        for run in runs:
            if not run.waits:
                self._look_at_shim(run, now)

    # -- launchers -------------------------------------------------------------------------------------------------

    def _look_at_launcher(self, client: LauncherClient, runs: list[Run], now: float) -> None:
        if client.given_up:
            return
        if processes.stands_still(client.pid):
            client.still_since = client.still_since or now
            client.wake()
            self._warn_once("a trial has stopped the launcher, or traces it; it is woken")
        else:
            client.still_since = None
        unheard = min((run.sent_at for run in runs if run.sent_at and not run.pid and run.pidfd is None), default=now)
        if (client.still_since is not None and now - client.still_since >= _STILL_S) or now - unheard >= _DEAF_S:
            _log.warning("the launcher does not answer; a new one takes over")
            client.give_up()

    def _warn_once(self, text: str) -> None:
        if not self._warned:
            self._warned = True
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
            _wake(run)
            if now - run.still_since >= _STILL_S:
                if processes.traced_from_below(pid):
                    run.blame = "it traces its supervisor and keeps it from working"
                text = run.blame or "its supervisor is stopped"
                _log.warning("trial %d: %s; both are ended", run.launch.trial_id, text)
                self._runs.give_up(run)
                return
        if run.launcher is None and run.token is not None:
            _wake_launcher_above(run.token.pid)
        due = _due(run)
        if due is None or now < due:
            return
        if not run.pressed:
            run.pressed = True
            self._runs.stop(run.launch.nonce, StopCause.TIME_LIMIT, "over its time limit", kill=True)
        elif now >= due + _STILL_S:
            _log.warning("trial %d: its supervisor did not end it in time; both are ended", run.launch.trial_id)
            self._runs.give_up(run)


def _wake(run: Run) -> None:
    pidfd = run.open_shim()
    if pidfd is not None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGCONT)
        os.close(pidfd)


def _wake_launcher_above(shim: int) -> None:
    """Wakes the launcher of an adopted run, which is nobody's child any more and would never leave."""
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
