"""What running and ended trials had at equal steps, whatever the order in which they came there.

One reading of rows for all rules that compare trials. A value at a step, once reported, does not change as a trial
continues; so what is known at a step depends on which trials have come as far, and not on when.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import le

from hpo_engine.maths.front import Member, joined
from hpo_engine.stoppers.standing import Losses, Standing
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective, Row, has_one
from hpo_engine.study.table import TrialTable
from hpo_engine.study.trial import Trial

_MOST_STANDINGS = 256  # steps of a group at which all losses are kept in order


@dataclass(frozen=True)
class Curve:
    """What a trial has reported of the objectives, one point per step, steps ascending.

    A point is a row with an objective by which every objective has been reported, at a step beyond that of the point
    before. Losses are infinite where they are not finite.

    Attributes:
        values: what the trial would count by if it ended there, best or last as the objectives say.
        reports: the row's own losses; what it lacks is that of the row before.
        averages: the means of the finite reports up to there; infinite where the value is.
    """

    steps: list[float] = field(default_factory=list)
    values: list[Losses] = field(default_factory=list)
    reports: list[Losses] = field(default_factory=list)
    averages: list[Losses] = field(default_factory=list)

    def reached(self, step: float) -> int | None:
        """The number of the first point at or beyond the step; None if it has not come so far."""
        i = bisect_left(self.steps, step)
        return i if i < len(self.steps) else None


class Group:
    """The curves of all trials that were trained with one amount of the resource, by trial."""

    def __init__(self) -> None:
        self.curves: dict[int, Curve] = {}
        self._standings: dict[tuple[str, float], Standing] = {}

    def at(self, step: float, of: str = "values") -> Standing:
        """How all that have come as far stand at a step, by the `values` or the `averages` of their curves."""
        standing = self._standings.pop((of, step), None)
        if standing is None:
            standing = Standing()
            for trial_id, curve in self.curves.items():
                _stand(standing, trial_id, curve, step, of)
            while len(self._standings) >= _MOST_STANDINGS:
                del self._standings[next(iter(self._standings))]
        self._standings[of, step] = standing  # the last one used is the last to go
        return standing

    def put(self, trial_id: int, curve: Curve) -> None:
        self.curves[trial_id] = curve
        for (of, step), standing in self._standings.items():
            _stand(standing, trial_id, curve, step, of)

    def drop(self, trial_id: int) -> None:
        self.put(trial_id, _NOTHING)
        del self.curves[trial_id]


def _stand(standing: Standing, trial_id: int, curve: Curve, step: float, of: str) -> None:
    i = curve.reached(step)
    if i is None:
        standing.drop(trial_id)
    else:
        standing.put(trial_id, (curve.values if of == "values" else curve.averages)[i])


class Results:
    """The losses of trials that completed with one amount of the resource, and the front of them."""

    def __init__(self) -> None:
        self._losses: dict[int, Losses] = {}
        self._front: tuple[Member, ...] = ()

    def __len__(self) -> int:
        return len(self._losses)

    @property
    def front(self) -> list[Losses]:
        """Those that none of the others dominates, in ascending order; with one objective the best."""
        return [losses for losses, _ in self._front]

    def beat(self, losses: Losses) -> bool:
        """Whether one of them is nowhere worse and somewhere better."""
        return any(front != losses and all(map(le, front, losses)) for front, _ in self._front)

    def put(self, trial_id: int, losses: Losses) -> None:
        if self._losses.get(trial_id) != losses:
            self.drop(trial_id)
            self._losses[trial_id] = losses
            self._front = joined(self._front, (losses, trial_id))

    def drop(self, trial_id: int) -> None:
        if self._losses.pop(trial_id, None) is not None:
            self._front = ()
            for other, losses in self._losses.items():
                self._front = joined(self._front, (losses, other))


class Curves:
    """The curves of a history, by the amount of the resource (0: the study has none).

    A trial that was carried on to more of the resource stays among those with less, with what it had reported when it
    was carried on: trainings with more of it may take another course. Provisional rows do not count.
    """

    def __init__(self) -> None:
        self._restart()

    def _restart(self) -> None:
        self._table = TrialTable()
        self._groups: dict[int, Group] = {}
        self._results: dict[int, Results] = {}
        self._readings: dict[int, dict[int, _Reading]] = {}  # by trial and resource

    def look(self, history: History) -> None:
        """Takes in what has changed."""
        if history.trials is self._table:
            return
        if len(history.trials) < len(self._table):
            self._restart()
        for trial in history.trials.changed(self._table):
            self._take(trial, history.spec.objectives)
        self._table = history.trials

    def of(self, trial: Trial) -> Curve:
        """The trial's own, as of its latest attempt."""
        return self.group(trial).curves.get(trial.id, _NOTHING)

    def group(self, trial: Trial) -> Group:
        """Those that it is compared with, its own included."""
        return self._groups.setdefault(trial.proposal.resource or 0, Group())

    def results(self, trial: Trial) -> Results:
        """Those with as much of the resource as the trial has."""
        return self._results.setdefault(trial.proposal.resource or 0, Results())

    def _take(self, trial: Trial, aims: Sequence[Objective]) -> None:
        had = {result.resource or 0: result.losses for result in trial.results}
        for resource, results in self._results.items():
            if resource not in had:
                results.drop(trial.id)
        for resource, losses in had.items():
            self._results.setdefault(resource, Results()).put(trial.id, losses)
        old = self._readings.get(trial.id, {})
        new: dict[int, _Reading] = {}
        for resource, rows in _rows_by_resource(trial):
            reading = old.get(resource)
            if reading is None or not reading.extend(rows):
                reading = _Reading(aims)
                reading.extend(rows)
            new[resource] = reading
            if reading.news:
                self._groups.setdefault(resource, Group()).put(trial.id, reading.curve)
                reading.news = False
        for resource in old.keys() - new.keys():
            self._groups[resource].drop(trial.id)
        self._readings[trial.id] = new


_NOTHING = Curve()


def _rows_by_resource(trial: Trial) -> Iterable[tuple[int, Sequence[Row]]]:
    own = () if trial.provisional else trial.rows
    found = {r.resource or 0: r.rows for r in trial.results if r.rows is not trial.rows or not trial.provisional}
    found[trial.proposal.resource or 0] = own
    return found.items()


class _Reading:
    """The curve of rows that grow at their end. `news`: the curve has changed since somebody cleared this."""

    def __init__(self, aims: Sequence[Objective]) -> None:
        self.curve, self.news = Curve(), True
        self._aims = aims
        self._rows: Sequence[Row] = ()
        self._begun: list[Row] = []  # rows before every objective has been reported
        self._latest: list[float] = []  # losses, filled
        self._best: Losses | None = None
        self._choosing = next((i for i, aim in enumerate(aims) if aim.over == "best"), None)
        self._sums, self._finite = [0.0] * len(aims), 0

    def extend(self, rows: Sequence[Row]) -> bool:
        """Reads what has come since; False, and nothing is read, if it is not a continuation."""
        if rows is self._rows:
            return True
        known = len(self._rows)
        if known and (len(rows) < known or rows[:known] != self._rows[:known]):
            return False
        points = len(self.curve.steps)
        for row in rows[known:]:
            self._read(row)
        self._rows = rows
        self.news = self.news or len(self.curve.steps) > points
        return True

    def _read(self, row: Row) -> None:
        if not has_one(row, self._aims):
            return
        if self._latest:
            self._count(row)
        else:
            self._begun.append(row)
            first = [
                next((v for r in self._begun if (v := r.values.get(a.metric)) is not None), None) for a in self._aims
            ]
            if None in first:
                return
            # Before the first report of a metric that first one counts, see `pick_values`.
            self._latest = [aim.loss(v) for aim, v in zip(self._aims, first, strict=True) if v is not None]
            for earlier in self._begun:
                self._count(earlier)
        if row.step == row.step and (not self.curve.steps or row.step > self.curve.steps[-1]):
            self._add(row.step)

    def _count(self, row: Row) -> None:
        for i, aim in enumerate(self._aims):
            if (value := row.values.get(aim.metric)) is not None:
                self._latest[i] = aim.loss(value)
        if self._choosing is None or not all(map(math.isfinite, self._latest)):
            return
        if self._best is None or self._latest[self._choosing] < self._best[self._choosing]:
            self._best = tuple(self._latest)

    def _add(self, step: float) -> None:
        none = (math.inf,) * len(self._aims)
        report = tuple(self._latest) if all(map(math.isfinite, self._latest)) else none
        value = report if self._choosing is None else self._best or none
        if report is not none:
            self._sums = [a + b for a, b in zip(self._sums, report, strict=True)]
            self._finite += 1
        # The value may be finite where no report is: that of a second row at one step.
        average = tuple([total / self._finite for total in self._sums]) if self._finite and value is not none else value
        self.curve.steps.append(step)
        self.curve.values.append(value)
        self.curve.reports.append(report)
        self.curve.averages.append(average)
