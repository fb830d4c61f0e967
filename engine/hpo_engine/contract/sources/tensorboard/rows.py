"""Scalars merged into rows: those of the same step, or of the same epoch, are one row."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from hpo_engine.study.objective import Row


class Point(NamedTuple):
    """A value of a metric. `by_epoch`: `at` is its epoch, of which the last value counts; otherwise its step."""

    metric: str
    at: float
    value: float
    by_epoch: bool = False


class Counter:
    """Says at which step, or in which epoch, the scalars of one run are.

    Lightning logs the epoch as a scalar beside all others: its global step counts batches, and what is logged within an
    epoch is spread over several of them. A script that names no step has 0 in every scalar; these are numbered.
    """

    def __init__(self, *, by_epoch: bool = False) -> None:
        self.by_epoch = by_epoch
        self._epoch: float | None = None
        self._waiting: list[tuple[str, int, float]] = []  # scalars whose epoch is not known yet
        self._zeros: dict[str, int] = {}  # by tag: how many of its latest scalars have step 0

    @property
    def waiting(self) -> bool:
        """Whether there are scalars whose epoch is not known yet."""
        return bool(self._waiting)

    def add(self, tag: str, step: int, value: float) -> Sequence[tuple[str, float, float]]:
        """The tag, the step or epoch, and the value of what is known by now."""
        if self.by_epoch:
            self._waiting.append((tag, step, value))
            return ()
        if step != 0:
            self._zeros.pop(tag, None)
            return ((tag, step, value),)
        count = self._zeros.get(tag, 0)
        self._zeros[tag] = count + 1
        return ((tag, count, value),)

    def epoch(self, step: int, value: float) -> Sequence[tuple[str, float, float]]:
        """The scalars before it: those of the same step are in this epoch, earlier ones in the one before."""
        before = value if self._epoch is None else self._epoch
        out = [(tag, value if at == step else before, number) for tag, at, number in self._waiting]
        self._epoch, self._waiting = value, []
        return out

    def rest(self) -> Sequence[tuple[str, float, float]]:
        """What still waits for its epoch: it is in the latest one."""
        out = [(tag, at if self._epoch is None else self._epoch, number) for tag, at, number in self._waiting]
        self._waiting = []
        return out


class Merged:
    """Rows, made of points in order of time.

    Rows that were made stay as they are, for every change of one is a new record of all of them: what comes later for
    the same step is a row of its own, until all is read again at the end. Epochs are few; the row of one is made when
    it has what the study looks for, and again when the next epoch begins.
    """

    def __init__(self, named: Collection[str] = ()) -> None:
        self.rows: list[Row] = []
        self._named = named
        self._latest: dict[str, tuple[float, float]] = {}  # by metric: at, value
        self._back = False  # whether the steps of a metric have gone back
        self._epochs: dict[float, dict[str, float]] = {}
        self._row_of: dict[float, int] = {}  # by epoch
        self._changed: set[float] = set()  # epochs whose rows are not what they have to be

    def add(self, points: Iterable[Point], *, last: bool = False) -> None:
        """Args:
        last: they are all points of the trial, and rows are put in order of their steps.
        """
        steps: dict[float, dict[str, float]] = {}  # the row of each step that was made now
        for metric, at, value, by_epoch in points:
            if by_epoch:
                self._epochs.setdefault(at, {})[metric] = value
                self._changed.add(at)
                continue
            before = self._latest.get(metric)
            if before is not None:
                if before == (at, value):  # the same report, by another logger
                    continue
                self._back |= at < before[0]
            self._latest[metric] = at, value
            if (row := steps.get(at)) is None or metric in row:
                row = steps[at] = {}
                self.rows.append(Row(at, row))
            row[metric] = value
        self._show_epochs(last)
        if last and not self._back:
            self.rows.sort(key=lambda row: row.step)

    def take_back(self, metrics: Collection[str], step: float) -> None:
        """Takes the metrics out of all rows from this step on: training was restarted there."""
        kept: list[Row] = []
        epoch_of = {index: epoch for epoch, index in self._row_of.items()}
        for index, row in enumerate(self.rows):
            if row.step >= step and not row.values.keys().isdisjoint(metrics):
                values = {name: value for name, value in row.values.items() if name not in metrics}
                row = Row(row.step, values)
            if row.values:
                if index in epoch_of:
                    self._row_of[epoch_of[index]] = len(kept)
                kept.append(row)
        self.rows = kept
        for metric in metrics:
            self._latest.pop(metric, None)

    def _show_epochs(self, last: bool) -> None:
        if not self._changed:
            return
        newest = max(self._epochs)
        for epoch in sorted(self._changed):
            values = self._epochs[epoch]
            looked_for = values.keys() & self._named if self._named else values.keys()
            if epoch in self._row_of:
                shown = self.rows[self._row_of[epoch]].values
                if last or epoch < newest or looked_for - shown.keys():
                    self.rows[self._row_of[epoch]] = Row(epoch, dict(values))
                    self._changed.discard(epoch)
            elif last or epoch < newest or looked_for:
                self._row_of[epoch] = len(self.rows)
                self.rows.append(Row(epoch, dict(values)))
                self._changed.discard(epoch)
