"""The steps at which completed trials end: a trial that has come just as far has nothing left to save."""

from __future__ import annotations

import math
from collections import Counter

from hpo_engine.study.history import History
from hpo_engine.study.objective import last_step
from hpo_engine.study.table import TrialTable
from hpo_engine.study.trial import Result, Trial


class Ends:
    """Keeps the last steps of the trials that completed by themselves, by their share of the resource.

    One that was carried on from there counts for the share that it had completed with, too.
    """

    def __init__(self) -> None:
        self._restart()

    def _restart(self) -> None:
        self._table = TrialTable()
        self._ends: dict[int, Counter[float]] = {}
        self._results: dict[int, tuple[Result, ...]] = {}  # of each trial: those that were taken in
        self._steps: dict[int, list[tuple[int, float]]] = {}  # of each trial: what came of them, by resource

    def reached(self, trial: Trial, history: History) -> bool:
        """Whether the trial is at a step where completed trials end. (Beyond it, a trial is not at its end.)"""
        ends = self._of(trial, history)
        return bool(ends) and last_step(trial.rows, history.spec.objectives) in ends

    def last(self, trial: Trial, history: History) -> float:
        """The last step at which any of them ended; infinite if none has."""
        return max(self._of(trial, history), default=math.inf)

    def _of(self, trial: Trial, history: History) -> Counter[float]:
        """The steps of the trials with as much of the resource, each with how many ended there."""
        self._look(history)
        return self._ends.get(trial.proposal.resource or 0, Counter())

    def _look(self, history: History) -> None:
        if history.trials is self._table:
            return
        if len(history.trials) < len(self._table):
            self._restart()
        for trial in history.trials.changed(self._table):
            if trial.results is not self._results.get(trial.id, ()):
                self._take(trial, history)
        self._table = history.trials

    def _take(self, trial: Trial, history: History) -> None:
        for resource, end in self._steps.pop(trial.id, ()):
            self._ends[resource] -= Counter([end])
        steps = []
        for result in trial.results:
            step = last_step(result.rows, history.spec.objectives)
            if step is not None and trial.by_itself(result):
                steps.append((result.resource or 0, step))
                self._ends.setdefault(result.resource or 0, Counter())[step] += 1
        self._results[trial.id], self._steps[trial.id] = trial.results, steps
