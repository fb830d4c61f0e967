"""The steps at which completed trials end: a trial that has come as far has nothing left to save."""

from __future__ import annotations

import math

from engine.study import History, Trial, TrialState, TrialTable


class Ends:
    """Keeps the last steps of the trials that completed by themselves, by their share of the resource."""

    def __init__(self) -> None:
        self._table = TrialTable()
        self._ends: dict[int, set[float]] = {}
        self._last: dict[int, float] = {}

    def reached(self, trial: Trial, history: History) -> bool:
        """Whether the trial is at a step where completed trials end, or beyond all of them."""
        self._look(history)
        resource = trial.proposal.resource or 0
        if resource not in self._last or not trial.rows:
            return False
        at = last_step(trial)
        return at in self._ends[resource] or at >= self._last[resource]

    def _look(self, history: History) -> None:
        if history.trials is self._table:
            return
        if len(history.trials) < len(self._table):
            self._table, self._ends, self._last = TrialTable(), {}, {}
        for trial in history.trials.changed(self._table):
            if trial.state is TrialState.COMPLETED and _by_itself(trial) and trial.rows:
                resource, at = trial.proposal.resource or 0, last_step(trial)
                self._ends.setdefault(resource, set()).add(at)
                self._last[resource] = max(at, self._last.get(resource, -math.inf))
        self._table = history.trials


def last_step(trial: Trial) -> float:
    return max(row.step for row in trial.rows)


def _by_itself(trial: Trial) -> bool:
    exit_ = trial.attempt.exit if trial.attempt is not None else None
    return exit_ is None or exit_.asked_for is None
