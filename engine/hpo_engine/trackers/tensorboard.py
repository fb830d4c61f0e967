"""Shows a study in TensorBoard: each trial is a run with its reported curves, and a row of the HParams page.

A trial that was trained with one set of values after another also has their curves (`schedule/NAME`).

One event file per trial, in the trial's log folder beside what the script writes there; it is begun with the first
reported row or with the trial's end, so a trial that reports once costs one open, one write and one close. A trial that
is carried on gets another file, whose curve replaces those before. Never imports TensorBoard. Knows nothing of how
trials run; what goes wrong here costs curves, never a trial.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

from hpo_engine.contract.paths import StudyPaths
from hpo_engine.study.events import (
    AttemptEnded,
    AttemptIntended,
    Event,
    MetricsSeen,
    TrialCarriedOn,
    TrialEnded,
    TrialReopened,
)
from hpo_engine.study.history import History
from hpo_engine.study.lineage import has_schedule, schedule
from hpo_engine.study.objective import Row
from hpo_engine.study.trial import Trial, TrialState
from hpo_engine.system.faults import described, placed
from hpo_engine.trackers import backlog, tfevents
from hpo_engine.trackers.eventfile import File, Folder
from hpo_engine.trackers.hparams import Columns, metrics

log = logging.getLogger(__name__)

FLUSH_S = 1.0
"""A running trial's file grows at most this often."""
BACKLOG_SLICE_S = 0.01
"""What one turn of the loop may spend on trials of earlier engines."""
SCHEDULE = "schedule"
"""What the tags of a trial's parameters begin with, if it was trained with one set of values after another."""
_STATUS = {
    TrialState.COMPLETED: tfevents.SUCCESS,
    TrialState.FAILED: tfevents.FAILURE,
    TrialState.TIMED_OUT: tfevents.FAILURE,
    TrialState.LOST: tfevents.FAILURE,
}


class TensorBoardTracker:
    """Tracker that writes event files below `paths.logs`; `host` goes into their names."""

    def __init__(self, paths: StudyPaths, *, host: str | None = None) -> None:
        self._paths = paths
        self._host = (host or os.uname().nodename or "host").replace("/", "_")
        self._curves: dict[int, _Curve] = {}
        self._dirty: set[int] = set()
        self._gone: set[int] = set()
        self._backlog: Iterator[tuple[Trial, bool]] = iter(())
        self._heard_at = 0.0  # of the latest event that this tracker knows of
        self._failed = False  # to write a file; reported once
        self._columns: Columns | None = None

    def open(self, history: History, now: float) -> None:
        """Files that an earlier engine never came to write are written in slices, by `tick`."""
        self._columns = Columns(history)
        self._backlog = backlog.unwritten(self._paths, history)
        self._heard_at = history.last_at
        for trial in history.running:
            if trial.rows and not trial.provisional:
                self._curve(trial).arrive(tuple(trial.rows), now, replaced=False)
                self._dirty.add(trial.id)

    def on(self, event: Event, history: History) -> None:
        self._heard_at = event.at
        if isinstance(event, MetricsSeen):
            if event.provisional:  # what is in a file cannot be taken back
                return
            trial = history.trials[event.trial]
            curve = self._curve(trial)
            if trial.before:  # one curve over all attempts that went on
                curve.arrive(tuple(trial.rows), event.at, replaced=True)
            else:
                rows = tuple(event.rows) if event.replace else (*curve.rows, *event.rows)
                curve.arrive(rows, event.at, replaced=event.replace)
            self._dirty.add(event.trial)
        elif isinstance(event, TrialEnded):
            one = () if event.value is None else (event.value,)
            end = _End(TrialState(event.state), event.values or one, event.at)
            self._write(history, history.trials[event.trial], event.at, end)
            self._forget(event.trial)
        elif isinstance(event, AttemptEnded):
            trial = history.trials[event.trial]
            if event.trial in self._dirty and len(trial.attempts) == event.attempt:  # else its folder has moved away
                self._write(history, trial, event.at)
            self._forget(event.trial)
        elif isinstance(event, (AttemptIntended, TrialReopened, TrialCarriedOn)):
            self._forget(event.trial)

    def tick(self, history: History, now: float) -> None:
        if self._dirty:
            for trial_id in sorted(self._dirty):
                trial = history.trials[trial_id]
                if not 0 <= now - self._curve(trial).flushed_at < FLUSH_S:
                    self._write(history, trial, now)
        self._catch_up(history, BACKLOG_SLICE_S)

    def close(self, history: History) -> None:
        for trial_id in sorted(self._dirty):
            self._write(history, history.trials[trial_id], history.last_at)
        self._catch_up(history, float("inf"))
        if not self._failed:
            backlog.mark(self._paths, history, self._heard_at)

    def _curve(self, trial: Trial) -> _Curve:
        curve = self._curves.get(trial.id)
        if curve is None:  # of a trial that is carried on, all of it replaces what is in earlier files
            curve = self._curves[trial.id] = _Curve(taken_back=bool(trial.before))
        return curve

    def _forget(self, trial_id: int) -> None:
        self._curves.pop(trial_id, None)
        self._dirty.discard(trial_id)
        self._gone.discard(trial_id)

    def _catch_up(self, history: History, seconds: float) -> None:
        """Writes ended trials whose file is missing, or was cut short by the end of the engine before this one."""
        deadline = None
        for trial, due in self._backlog:
            if due and history.trials[trial.id] is trial:
                end = _End(trial.state, history.values(trial), trial.ended_at or history.last_at)
                self._write(history, trial, end.at, end)
                self._forget(trial.id)
            deadline = deadline or time.monotonic() + seconds
            if time.monotonic() >= deadline:
                return

    def _write(self, history: History, trial: Trial, now: float, end: _End | None = None) -> None:
        """Appends what the trial's file lacks."""
        assert self._columns is not None, "open comes first"
        self._dirty.discard(trial.id)
        if trial.id in self._gone:
            return
        if trial.id not in self._curves:
            self._curve(trial).arrive(tuple(trial.rows), now, replaced=False)
        curve = self._curve(trial)
        curve.flushed_at = now
        try:
            with closing(Folder(self._paths.logs, self._paths.trial(trial.id).name)) as folder:
                started = trial.started_at or trial.proposed_at
                chunks = []
                if curve.file is None:
                    curve.file = folder.create(f"{int(now):010d}.{self._host}")
                    chunks.append(tfevents.header(started))
                    chunks.append(tfevents.summary(started, 0, [self._columns.session(history.config(trial), started)]))
                else:
                    folder.reopen(curve.file)
                chunks += curve.records()
                if curve.schedule_due and has_schedule(history, trial):
                    chunks += _schedule(history, trial, started)
                curve.schedule_due = False
                if end is not None:
                    chunks += self._ending(history, curve, end)
                folder.append(b"".join(chunks))
        except OSError as error:
            self._give_up(trial.id, error)

    def _ending(self, history: History, curve: _Curve, end: _End) -> Iterator[bytes]:
        """The trial's value and verdict, and (after a good trial) the page's columns: its metrics are known by then."""
        assert self._columns is not None
        if end.values:
            yield self._columns.experiment(history, curve.rows, end.at)
            for objective, tag, value in zip(
                history.spec.objectives, self._columns.best_tags, end.values, strict=False
            ):
                at, step = curve.where(objective.metric, value)
                yield tfevents.summary(at or end.at, step, [tfevents.scalar(tag, value)])
        status = _STATUS.get(end.state, tfevents.UNKNOWN)
        yield tfevents.summary(end.at, 0, [tfevents.session_end(status, end.at)])

    def _give_up(self, trial_id: int, error: OSError) -> None:
        self._gone.add(trial_id)
        if not isinstance(error, FileNotFoundError) and not self._failed:
            self._failed = True
            what = described(placed(error, self._paths.trial(trial_id).log_dir))
            log.warning("trial %d: its TensorBoard file is left as it is: %s (reported once)", trial_id, what)


def _schedule(history: History, trial: Trial, at: float) -> Iterator[bytes]:
    """The values of the parameters over the resource, by what led to the trial; numbers only."""
    for run in schedule(history, trial):
        values = {name: v for name, v in run.params.items() if isinstance(v, int | float) and not isinstance(v, bool)}
        for step in (run.start, run.end):
            yield tfevents.summary(at, step, [tfevents.scalar(f"{SCHEDULE}/{name}", v) for name, v in values.items()])


@dataclass(frozen=True)
class _End:
    """How a trial ended; `values` in the user's own signs, one for each objective, none unless it ended well."""

    state: TrialState
    values: tuple[float, ...]
    at: float


@dataclass
class _Curve:
    """A trial's rows on their way into its file: when each came, how many are written, under which steps."""

    file: File | None = None
    flushed_at: float = float("-inf")
    rows: tuple[Row, ...] = ()
    came_at: list[float] = field(default_factory=list)
    written: int = 0
    by_position: bool = False
    taken_back: bool = False
    schedule_due: bool = True  # it has to be written (again)
    latest: dict[str, float] = field(default_factory=dict)

    def arrive(self, rows: tuple[Row, ...], at: float, *, replaced: bool) -> None:
        """Takes note that the trial's rows are now `rows`; unless `replaced`, the earlier ones are a prefix of them."""
        if rows is self.rows:
            return
        if replaced or len(rows) < len(self.rows):
            same = _same(self.rows, rows)
            del self.came_at[same:]
            if same < self.written:
                self.taken_back, self.written, self.latest = True, same, {}
                self._in_order(rows[:same])
        self.rows = rows
        self.came_at.extend([at] * (len(rows) - len(self.came_at)))

    def records(self) -> list[bytes]:
        """The rows that are not in the file yet.

        Steps are the script's own where TensorBoard can draw them: whole, and rising for each metric; else the rows
        are numbered, those written before included.
        """
        if not self.by_position and not self._in_order(self.rows[self.written :]):
            self.by_position = True
            self.taken_back |= self.written > 0
            self.written = 0
        out = []
        if self.taken_back:
            before = self._step(self.written - 1) if self.written else -1
            out.append(tfevents.restart(self.came_at[-1] if self.came_at else 0.0, before + 1))
            self.taken_back, self.schedule_due = False, True
        for i in range(self.written, len(self.rows)):
            values = [tfevents.scalar(name, v) for name, v in metrics(self.rows[i])]
            if values:
                out.append(tfevents.summary(self.came_at[i], self._step(i), values))
        self.written = len(self.rows)
        return out

    def where(self, metric: str, value: float) -> tuple[float | None, int]:
        """When and at which step the metric had the value."""
        for i, row in enumerate(self.rows):
            if row.values.get(metric) == value:
                return self.came_at[i], self._step(i)
        return None, 0

    def _step(self, i: int) -> int:
        return i + 1 if self.by_position else int(self.rows[i].step)

    def _in_order(self, rows: tuple[Row, ...]) -> bool:
        latest = self.latest
        for row in rows:
            step = row.step
            if not 0 <= step < 2**63 or step != int(step):  # NaN is caught by the first
                return False
            for name in row.values:
                if latest.get(name, -1) >= step:
                    return False
                latest[name] = step
        return True


def _same(old: tuple[Row, ...], new: tuple[Row, ...]) -> int:
    """How many rows at the start are the same."""
    for i, (a, b) in enumerate(zip(old, new, strict=False)):
        if a != b:
            return i
    return min(len(old), len(new))
