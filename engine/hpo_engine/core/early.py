"""Early ends of trials and of the study: asks the stoppers in each turn and has attempts stopped."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

from hpo_engine.core.attempts import Attempts
from hpo_engine.core.ports import Stopper
from hpo_engine.core.recorder import Recorder
from hpo_engine.failpoints import failpoint
from hpo_engine.stoppers.rule import end_of
from hpo_engine.study.events import StopAsked
from hpo_engine.study.trial import StopCause, Trial

_log = logging.getLogger(__name__)


class EarlyStopping:
    """`over`: why the study ends ("": it does not)."""

    def __init__(self, recorder: Recorder, stopper: Stopper, attempts: Attempts) -> None:
        self._recorder, self._stopper, self._attempts = recorder, stopper, attempts
        self.over = ""
        self._ended = -1  # trials that had ended when the stoppers were last asked whether they are idle
        self._logged: set[str] = set()

    def use(self, stopper: Stopper) -> None:
        """Asks another stopper from now on."""
        self._stopper = stopper

    @property
    def closing(self) -> bool:
        """Whether nothing more may start."""
        return bool(self._recorder.history.stop_asked or self.over)

    def stop_trials(self, now: float) -> None:
        for trial in self._recorder.history.running:
            if end := end_of(self._stopper, trial, self._recorder.history, now):
                self._stop([trial], end.cause, end.reason, now)

    def end_study(self, now: float) -> None:
        """Asks whether the study is over; if so, stops its trials."""
        if not self.closing:
            self.over = self._stopper.end_study(self._recorder.history, now) or ""
        if self.over:
            running = [trial for trial in self._recorder.history.running if not trial.told_to_end]
            self._stop(running, StopCause.STUDY_OVER, self.over, now)

    def log_idle(self, now: float) -> None:
        """Logs once why a stopper has nothing to work on, when a trial has ended: before, it may only be too early."""
        history = self._recorder.history
        if history.ended_count == self._ended or self.closing:
            return
        self._ended = history.ended_count
        for reason in (self._stopper.idle(history, now) or "").splitlines():
            alike = re.sub(r"\d+", "#", reason)  # a reason that counts something is still the same
            if alike not in self._logged:
                self._logged.add(alike)
                _log.warning("%s", reason)

    def stop_again(self, now: float) -> None:
        """Repeats stops that an earlier engine requested, or died before requesting."""
        for trial in self._recorder.history.running:
            if trial.told_to_end and trial.stop is not None:
                self._attempts.stop(trial, trial.stop.cause, now)

    def _stop(self, trials: Sequence[Trial], cause: StopCause, why: str, now: float) -> None:
        if not trials:
            return
        for trial in trials:
            self._recorder.record(StopAsked(now, trial.id, why, cause=cause.value))
        self._recorder.commit()
        failpoint("trial.stop-asked")
        for trial in trials:
            self._attempts.stop(trial, cause, now)
