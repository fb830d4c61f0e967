"""What stoppers end before its time: a trial, or the study. Asks them in each turn and has the executor stop."""

from __future__ import annotations

from hpo_engine.core.ports import Executor, Stopper
from hpo_engine.core.recorder import Recorder
from hpo_engine.failpoints import failpoint
from hpo_engine.study.events import StopAsked
from hpo_engine.study.trial import Exit, StopCause, Trial


class EarlyStopping:
    """`over`: why the study ends ("": it does not)."""

    def __init__(self, recorder: Recorder, stopper: Stopper, executor: Executor) -> None:
        self._recorder, self._stopper, self._executor = recorder, stopper, executor
        self._stopping: dict[int, str] = {}  # trials that a rule ends, and why
        self.over = ""

    @property
    def closing(self) -> bool:
        """Whether nothing more is to begin."""
        return bool(self._recorder.history.stop_asked or self.over)

    def stop_trials(self, now: float) -> None:
        recorder = self._recorder
        for trial in recorder.history.running:
            if trial.id not in self._stopping and (found := self._rule(trial, now)):
                cause, why = found
                self._stopping[trial.id] = why
                recorder.record(StopAsked(now, trial.id, why))
                recorder.commit()
                failpoint("trial.pruned")
                self._executor.stop(trial.id, cause)

    def end_study(self, now: float) -> None:
        """Finds out whether the study is over; then its trials are stopped."""
        if not self.closing:
            self.over = self._stopper.end_study(self._recorder.history, now) or ""
        if self.over:
            for trial in self._recorder.history.running:
                self._executor.stop(trial.id, StopCause.STUDY_OVER)

    def why_ended(self, trial: Trial, exit_: Exit, now: float) -> str:
        """Why a rule has ended the trial, which is over now ("": none did)."""
        why = self._stopping.pop(trial.id, "")
        if not why and exit_.stop_cause in (
            StopCause.DIVERGED,
            StopCause.EARLY,
        ):  # an earlier engine asked: the rule says so again
            why = found[1] if (found := self._rule(trial, now)) else ""
        return why

    def _rule(self, trial: Trial, now: float) -> tuple[StopCause, str] | None:
        """(what to tell the executor, why) if a rule ends the trial."""
        if why := self._stopper.diverged(trial, self._recorder.history, now):
            return StopCause.DIVERGED, why
        if why := self._stopper.end_trial(trial, self._recorder.history, now):
            return StopCause.EARLY, why
        return None
