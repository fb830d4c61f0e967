"""A shortage during which the machine cannot start trials: launches wait, and the user is warned once.

Time is passed in. Knows neither trials nor processes.
"""

from __future__ import annotations

import logging
import sys

from hpo_engine.errors import MachineError

_log = logging.getLogger(__name__)

_FIRST_S, _LONGEST_S = 0.1, 5.0  # pauses between two tries, each twice as long as the one before
_PATIENCE_S = 60.0  # without a start while nothing runs
_PROOF_S = 1.0  # an attempt that has run for this long was not a false start


class Trouble:
    """Call for each attempt: `tries` before it starts, `met` if it could not start, `eased` when it has started, `over`
    when it has ended by itself. Attempts that started before the shortage prove nothing."""

    def __init__(self) -> None:
        self._tried: set[int] = set()  # trials tried in this shortage
        self._since: float | None = None  # None: there is none
        self._began = 0.0  # since its first failed start
        self._eased: float | None = None
        self._pause, self._until = 0.0, 0.0
        self._why = ""
        self._cut: dict[int, tuple[float, int]] = {}  # trials whose runs a full disk cut short: first time, count
        self._quiet = False  # the same trial again: the user has been warned
        self._hopeless = ""

    @property
    def lasts(self) -> bool:
        return self._since is not None

    def tries(self, trial_id: int) -> None:
        if self._since is not None:
            self._tried.add(trial_id)

    def met(self, trial_id: int, why: str, then: str, now: float, *, alone: bool) -> None:
        """`then`: what will be done once there is room. `alone`: no other trial of the study runs, so none makes room
        by ending."""
        if self._since is None:
            before = max(0, self._cut.get(trial_id, (now, 0))[1] - 1)
            self._began, self._pause, self._quiet = now, _FIRST_S / 2 * 2 ** min(before, 10), before > 0
            if not self._quiet:
                _log.warning("%s; waiting, %s", why, then)
        if self._since is None or not alone:
            self._since = now
        self._tried.add(trial_id)
        self._why, self._eased = why, None
        self._pause = min(_LONGEST_S, 2 * self._pause)
        self._until = now + self._pause

    def cut_short(self, trial_id: int, why: str, now: float) -> None:
        """An attempt had started and failed because the disk was full. The trial itself may have filled it, so it is
        repeated only for as long as a failing start is."""
        since, times = self._cut.get(trial_id, (now, 0))
        self._cut[trial_id] = since, times + 1
        if now - since > _PATIENCE_S:
            self._hopeless = why

    def eased(self, trial_id: int, now: float) -> None:
        if trial_id in self._tried and self._eased is None:
            self._eased = now

    def over(self, trial_id: int, now: float) -> None:
        self._cut.pop(trial_id, None)
        if trial_id in self._tried:
            self._end(now)

    def _end(self, now: float) -> None:
        if not self._quiet:
            _log.warning("the machine has room again after %.3g s; the study continues", max(0.0, now - self._began))
        self._since = self._eased = None
        self._tried.clear()

    def room(self, now: float) -> int:
        """How many attempts may start now: none, a single one as a test, or any number.

        Raises:
            MachineError: the shortage has lasted too long.
        """
        if self._hopeless:
            raise MachineError(
                f"{self._hopeless}; this happened again and again. Nothing is lost: make room, then resume"
            )
        if self._since is None:
            return sys.maxsize
        if self._eased is not None:
            if now < self._eased + _PROOF_S:
                return 0
            self._end(now)
            return sys.maxsize
        if now - self._since > _PATIENCE_S:
            raise MachineError(
                f"{self._why}; no trial could be started for {_PATIENCE_S:g} s. Nothing is lost: make room, then resume"
            )
        if self._until - now > self._pause:  # the clock was set back
            self._until = now
        return 1 if now >= self._until else 0
