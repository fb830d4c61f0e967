"""Ending trials whose objective has become nan or infinite and stays so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hpo_engine.plugins.card import Card
from hpo_engine.stoppers.ends import Ends
from hpo_engine.stoppers.rule import Rule
from hpo_engine.study.history import History
from hpo_engine.study.objective import Row
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.table import TrialTable
from hpo_engine.study.trial import Trial

_ROWS = 2  # one alone may be an accident, such as a score of a batch that has only one class
_ROWS_IN_DOUBT = 10


class DivergedStopper(Rule):
    """Ends a running trial that reports an objective as nan or infinite in so many rows in a row, the latest included:

    - two, where the objective was finite before, in this trial or in any other one of the study;
    - ten, if it has never been finite, or if another loss of the same row is finite: a script may report
      nan for what it has not measured yet;
    - in any case more than a trial of the study has reported and become finite again.

    Rows without the objective do not count. A trial at a step where completed trials end is left alone.
    """

    card = Card(summary="ends running trials whose objective has become nan or infinite and stays so")

    def __init__(self, spec: StudySpec) -> None:
        self._metrics = [aim.metric for aim in spec.objectives]
        self._ends = Ends()
        self._seen: dict[int, tuple[Sequence[Row], str | None]] = {}  # of running trials: what was found in these rows
        self._table = TrialTable()
        self._recovered: dict[str, dict[int, int]] = {m: {} for m in self._metrics}  # rows, by trial

    def diverged(self, trial: Trial, history: History, now: float) -> str | None:
        rows, suspect = self._seen.get(trial.id, ((), None))
        if rows is not trial.rows:
            suspect = next((m for m in self._metrics if _Series(trial.rows, m).tail >= _ROWS), None)
            self._seen[trial.id] = trial.rows, suspect
        if suspect is None:
            return None
        self._look(history)
        for metric in self._metrics:
            series = _Series(trial.rows, metric)
            if series.tail >= self._needed(series, metric) and not self._ends.reached(trial, history):
                return f"diverged: {metric} is {series.last} since step {series.since:g}"
        return None

    def _needed(self, series: _Series, metric: str) -> int:
        recovered = max(self._recovered[metric].values(), default=-1)
        return max(_ROWS_IN_DOUBT if recovered < 0 or series.other_loss else _ROWS, recovered + 1)

    def _look(self, history: History) -> None:
        """What the trials of the study have recovered from."""
        if history.trials is self._table:
            return
        if len(history.trials) < len(self._table):
            self._table, self._recovered = TrialTable(), {m: {} for m in self._metrics}
        for trial in history.trials.changed(self._table):
            for metric in self._metrics:
                self._recovered[metric][trial.id] = _Series(trial.rows, metric).recovered
        self._table = history.trials


@dataclass(init=False)
class _Series:
    """One metric of a trial: `tail` rows at its end are not finite, the first of them at step `since`; the `last` value
    as a word; `other_loss`: another loss in the last row is finite. `recovered`: the longest such run that ended with a
    finite value (-1: no value is finite)."""

    def __init__(self, rows: Sequence[Row], metric: str) -> None:
        self.tail, self.since, self.last, self.other_loss, self.recovered = 0, 0.0, "", False, -1
        for row in rows:
            value = row.values.get(metric)
            if value is None:
                continue
            if math.isfinite(value):
                self.recovered, self.tail = max(self.recovered, self.tail), 0
                continue
            self.since = row.step if not self.tail else self.since
            self.tail += 1
            self.last = "nan" if math.isnan(value) else "infinite"
            self.other_loss = any(
                "loss" in m.lower() and math.isfinite(v) for m, v in row.values.items() if m != metric
            )
