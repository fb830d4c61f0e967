"""The steps at which completed trials end: a trial that has come just as far has nothing left to save."""

from __future__ import annotations

import math

from hpo_engine.study.history import History
from hpo_engine.study.objective import last_step
from hpo_engine.study.table import TrialTable
from hpo_engine.study.trial import Trial, TrialState


class Ends:
    """Keeps the last steps of the trials that completed by themselves, by their share of the resource."""

    def __init__(self) -> None:
        self._table = TrialTable()
        self._ends: dict[int, set[float]] = {}

    def reached(self, trial: Trial, history: History) -> bool:
        """Whether the trial is at a step where completed trials end. (Beyond it, a trial is not at its end.)"""
        ends = self._of(trial, history)
        return bool(ends) and last_step(trial.rows, history.spec.objectives) in ends

    def last(self, trial: Trial, history: History) -> float:
        """The last step at which any of them ended; infinite where none has."""
        return max(self._of(trial, history), default=math.inf)

    def _of(self, trial: Trial, history: History) -> set[float]:
        """The steps of the trials with as much of the resource."""
        self._look(history)
        return self._ends.get(trial.proposal.resource or 0, set())

    def _look(self, history: History) -> None:
        if history.trials is self._table:
            return
        if len(history.trials) < len(self._table):
            self._table, self._ends = TrialTable(), {}
        for trial in history.trials.changed(self._table):
            if trial.state is not TrialState.COMPLETED or not _by_itself(trial):
                continue
            if (step := last_step(trial.rows, history.spec.objectives)) is not None:
                self._ends.setdefault(trial.proposal.resource or 0, set()).add(step)
        self._table = history.trials


def _by_itself(trial: Trial) -> bool:
    exit_ = trial.attempt.exit if trial.attempt is not None else None
    return exit_ is None or exit_.stop_cause is None
