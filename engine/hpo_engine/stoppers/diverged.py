"""Ending trials whose objective has become nan, infinite or worse than a bound, and stays so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hpo_engine.plugins.card import Card, Option
from hpo_engine.stoppers.ends import Ends
from hpo_engine.stoppers.per_objective import per_objective
from hpo_engine.stoppers.rule import Rule
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective, Row, pick_values
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.table import TrialTable
from hpo_engine.study.trial import Trial

_ROWS = 2  # one alone may be an accident, such as a score of a batch that has only one class
_ROWS_IN_DOUBT = 10


class DivergedStopper(Rule):
    """Ends a running trial that reports an objective as nan or infinite, or beyond `bound` on the side of the worse, in
    so many rows in a row, the latest included:

    - two, if the objective was in order before, in this trial or in any other one of the study;
    - ten, if it has never been, or if it is not finite but another loss of the same row is: a script may report
      nan for what it has not measured yet;
    - in any case more than a trial of the study has reported and recovered from.

    Rows without the objective do not count. A trial at a step where completed trials end is left alone. The value that
    the trial has then counts if it is within the bound; if not, or if there is none, the trial is pruned.
    """

    card = Card(
        summary="ends running trials whose objective has become nan or infinite, or is beyond a bound, and stays so",
        suits="always; it is on",
        options={
            "bound": Option(
                "values worse than this have diverged, too: those above it or, of what is maximized, below it; with "
                "several objectives a list in their order",
                float, many=True,
            ),
        },
    )  # fmt: skip

    def __init__(self, spec: StudySpec, *, bound: float | Sequence[float] | None = None) -> None:
        self._aims = spec.objectives
        bounds = [math.inf] * len(spec.objectives) if bound is None else per_objective(bound, spec, "bound")
        self._bounds = {  # as losses
            aim.metric: math.inf if bound is None else aim.loss(value)
            for aim, value in zip(spec.objectives, bounds, strict=True)
        }
        self._metrics = [aim.metric for aim in spec.objectives]
        self._ends = Ends()
        self._seen: dict[int, tuple[Sequence[Row], str | None]] = {}  # of running trials: what was found in these rows
        self._table = TrialTable()
        self._recovered: dict[str, dict[int, int]] = {m: {} for m in self._metrics}  # rows, by trial

    def diverged(self, trial: Trial, history: History, now: float) -> str | None:
        found = self._found(trial, history)
        return found[0] if found is not None and found[1] else None

    def end_trial(self, trial: Trial, history: History, now: float) -> str | None:
        found = self._found(trial, history)
        return found[0] if found is not None and not found[1] else None

    def _found(self, trial: Trial, history: History) -> tuple[str, bool] | None:
        """Why the trial has diverged, and whether what it had before may count."""
        rows, suspect = self._seen.get(trial.id, ((), None))
        if rows is not trial.rows:
            suspect = next((a.metric for a in self._aims if self._series(trial, a).tail >= _ROWS), None)
            self._seen[trial.id] = trial.rows, suspect
        if suspect is None:
            return None
        self._look(history)
        for aim in self._aims:
            series = self._series(trial, aim)
            if series.tail >= self._needed(series, aim.metric) and not self._ends.reached(trial, history):
                return f"diverged: {aim.metric} is {series.last} since step {series.since:g}", self._may_count(trial)
        return None

    def _may_count(self, trial: Trial) -> bool:
        """Whether the value that the trial would get is within the bounds (or there is none)."""
        values = pick_values(trial.rows, self._aims)
        return values is None or all(
            aim.loss(value) <= self._bounds[aim.metric] for aim, value in zip(self._aims, values, strict=True)
        )

    def _series(self, trial: Trial, aim: Objective) -> _Series:
        return _Series(trial.rows, aim, self._bounds[aim.metric])

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
            for aim in self._aims:
                self._recovered[aim.metric][trial.id] = self._series(trial, aim).recovered
        self._table = history.trials


@dataclass(init=False)
class _Series:
    """One objective of a trial: `tail` rows at its end are bad (not finite, or a loss above `bound`), the first of them
    at step `since`; the `last` value in words; `other_loss`: it is not finite, and another loss of its row is.
    `recovered`: the longest such run that ended with a good value (-1: no value is good)."""

    def __init__(self, rows: Sequence[Row], aim: Objective, bound: float) -> None:
        metric = aim.metric
        self.tail, self.since, self.last, self.other_loss, self.recovered = 0, 0.0, "", False, -1
        for row in rows:
            value = row.values.get(metric)
            if value is None:
                continue
            if math.isfinite(value) and aim.loss(value) <= bound:
                self.recovered, self.tail = max(self.recovered, self.tail), 0
                continue
            self.since = row.step if not self.tail else self.since
            self.tail += 1
            self.last = "nan" if math.isnan(value) else "infinite" if math.isinf(value) else _beyond(aim, bound)
            self.other_loss = not math.isfinite(value) and any(
                "loss" in m.lower() and math.isfinite(v) for m, v in row.values.items() if m != metric
            )


def _beyond(aim: Objective, bound: float) -> str:
    return f"{'below' if aim.goal == 'maximize' else 'above'} {aim.value(bound):g}"
