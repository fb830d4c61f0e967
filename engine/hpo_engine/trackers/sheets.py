"""Shows a study in two plain files: one row per trial, and one row per report of a script, as CSV or as JSON lines.

`trials` is what the history says at present, so it is written anew when a row of it changes. `metrics` only grows: what
an attempt that failed has reported stays in it, under that attempt's number.
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from functools import partial
from itertools import chain, takewhile
from typing import Any

from hpo_engine.contract.paths import StudyPaths
from hpo_engine.plugins.card import Card, Option
from hpo_engine.reports.objects import trial_object
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
from hpo_engine.study.objective import Row
from hpo_engine.study.rows import same_row
from hpo_engine.study.trial import Trial
from hpo_engine.system.faults import described, placed
from hpo_engine.trackers.rowfile import CsvForm, Form, JsonLinesForm, Line, RowFile

log = logging.getLogger(__name__)

_REST_S = 5.0
"""After a write that failed, the next one is tried this much later."""
_REWRITE_S = 2.0
"""`trials` is written anew at most this often, and the less often the longer that takes."""
_RECENT_S = 60.0
"""Only trials that ended this shortly before the log's end can lack rows because their engine was killed."""
_TRIAL = (
    "trial", "state", "value", "attempts", "started_at", "ended_at", "failure", "reason", "cpu_s", "memory_peak_mb",
)  # fmt: skip
_MOMENTARY = ("front",)  # of a trial's JSON view, what later trials change
_METRIC = ("trial", "attempt", "step", "at")
_OPTIONS = {
    "folder": Option("where the files are: a path, absolute or in the study's folder", str, default="."),
    "steps": Option("whether there is a file with one row per report of a script", bool, default=True),
}


class SheetTracker:
    """The tracker behind `csv` and `jsonl`. `form`: makes a file's form, given its first columns."""

    def __init__(self, paths: StudyPaths, *, folder: str = ".", steps: bool = True) -> None:
        place = os.path.normpath(os.path.join(paths.root, os.path.expanduser(folder)))
        self._trials = RowFile(place, "trials", self.form(_TRIAL))
        self._metrics = RowFile(place, "metrics", self.form(_METRIC)) if steps else None
        self._shown: set[int] = set()  # trials that have a row
        self._changed = False  # a row of `trials` has
        self._rewritten_at, self._rewriting_s = float("-inf"), 0.0
        self._written: dict[int, list[Row]] = {}  # of the running attempts
        self._lost = False  # the files may not be what the history says
        self._tried_at = float("-inf")
        self._told = False

    def form(self, columns: Sequence[str]) -> Form:
        raise NotImplementedError

    def row(self, history: History, trial: Trial) -> Line:
        """The row of an ended trial."""
        raise NotImplementedError

    def open(self, history: History, now: float) -> None:
        self._try(self._take_up, history)

    def on(self, event: Event, history: History) -> None:
        if self._lost:
            return
        if isinstance(event, MetricsSeen):
            if not event.provisional:  # what is in the file cannot be taken back
                self._try(self._report, history, history.trials[event.trial])
        elif isinstance(event, AttemptIntended):
            self._written.pop(event.trial, None)
        elif isinstance(event, AttemptEnded):
            self._try(self._report, history, history.trials[event.trial])
        elif isinstance(event, (TrialReopened, TrialCarriedOn)):
            self._changed = True
        elif isinstance(event, TrialEnded):
            trial = history.trials[event.trial]
            self._try(self._report, history, trial)
            self._try(self._end, history, trial)

    def tick(self, history: History, now: float) -> None:
        at = time.monotonic()
        if self._lost and at - self._tried_at >= _REST_S:
            self._try(self._take_up, history)
        elif self._changed and at - self._rewritten_at >= max(_REWRITE_S, 20 * self._rewriting_s):
            self._try(self._rewrite, history)

    def close(self, history: History) -> None:
        if self._lost:
            self._try(self._take_up, history)
        elif self._changed:
            self._try(self._rewrite, history)

    # -- one file and the other --------------------------------------------------------------------------------------

    def _try(self, write: Any, history: History, *args: Any) -> None:
        """A disk that is full costs rows for the time being, which is said once; they are written when it has room."""
        try:
            write(history, *args)
        except OSError as error:
            self._lost, self._tried_at = True, time.monotonic()
            if not self._told:
                self._told = True
                log.warning("%s; rows are added when it can be written", described(placed(error, self._trials.path)))

    def _take_up(self, history: History) -> None:
        """Brings both files to what the history says."""
        self._rewrite(history)
        if self._metrics is not None:
            steps = dict[tuple[str, str], Counter[str]]()
            for row in self._metrics.take_up():
                key = row.get("trial", ""), row.get("attempt", "")
                steps.setdefault(key, Counter())[row.get("step", "")] += 1
            self._written = {}
            for trial in self._incomplete(history, {number for number, _ in steps}):
                there = steps.get((str(trial.id), str(len(trial.attempts))), Counter())
                self._written[trial.id] = list(takewhile(partial(_taken, there), _own(trial)))
                self._report(history, trial)
        self._lost = self._told = False

    def _incomplete(self, history: History, there: set[str]) -> Iterable[Trial]:
        """Trials that may have reported more than the file has."""
        since = history.last_at - _RECENT_S
        for trial in history.trials:
            if trial.rows and not trial.provisional and (
                not trial.state.ended or (trial.ended_at or 0.0) >= since or str(trial.id) not in there
            ):  # fmt: skip
                yield trial

    def _rewrite(self, history: History) -> None:
        began = time.monotonic()
        ended = [trial for trial in history.trials if trial.state.ended or trial.results]
        self._trials.replace([self.row(history, trial) for trial in ended])
        self._shown = {trial.id for trial in ended}
        self._changed, self._rewritten_at = False, time.monotonic()
        self._rewriting_s = self._rewritten_at - began

    def _end(self, history: History, trial: Trial) -> None:
        if trial.id in self._shown or self._changed or not self._trials.untouched:
            self._changed = True  # trials are in the order of their numbers again then
            return
        self._trials.append([self.row(history, trial)])
        self._shown.add(trial.id)

    def _report(self, history: History, trial: Trial) -> None:
        """Adds the rows of the trial's latest attempt that the file has not."""
        if self._metrics is None or not trial.attempts:
            return
        if not self._metrics.untouched:  # moved away, edited: it is taken up in the next turn
            self._lost, self._tried_at = True, float("-inf")
            return
        own, written = _own(trial), self._written.setdefault(trial.id, [])
        same = 0
        for row, other in zip(own, written, strict=False):
            if not same_row(row, other):
                break
            same += 1
        attempt = len(trial.attempts)
        at = datetime.fromtimestamp(history.last_at, timezone.utc).isoformat(timespec="milliseconds")
        self._metrics.append(
            [{"trial": trial.id, "attempt": attempt, "step": row.step, "at": at, **_named(row)} for row in own[same:]]
        )
        self._written[trial.id] = list(own)
        if trial.state.ended:
            del self._written[trial.id]


class CsvTracker(SheetTracker):
    """`trials.csv` and `metrics.csv`."""

    card = Card(
        "Two CSV files in the study's folder: a row per trial, and a row per report of a script, while it grows.",
        options=_OPTIONS,
    )

    def form(self, columns: Sequence[str]) -> Form:
        return CsvForm(columns)

    def row(self, history: History, trial: Trial) -> Line:
        return flat(trial_object(history, trial))


class JsonLinesTracker(SheetTracker):
    """`trials.jsonl`, whose objects are those of `show --json`, and `metrics.jsonl`."""

    card = Card(
        "Two files of JSON lines in the study's folder: an object per trial, and one per report of a script.",
        options=_OPTIONS,
    )

    def form(self, columns: Sequence[str]) -> Form:
        return JsonLinesForm()

    def row(self, history: History, trial: Trial) -> Line:
        return {name: value for name, value in trial_object(history, trial).items() if name not in _MOMENTARY}


def flat(trial: Mapping[str, Any]) -> Line:
    """The JSON view of a trial as the cells of one row: `params.lr`, `values.loss`, `metrics.f1`, `last.loss`."""
    nested = {"params": trial["params"], "values": trial.get("values"), "metrics": trial.get("metrics")}
    last = {name: value for name, value in (trial["last_row"] or {}).items() if name != "step"}
    parts = chain(nested.items(), [("last", last)])
    return {
        **{name: trial[name] for name in _TRIAL},
        **{f"{part}.{name}": value for part, values in parts for name, value in (values or {}).items()},
    }


def _own(trial: Trial) -> Sequence[Row]:
    """What the trial's latest attempt has reported itself."""
    if not trial.before:
        return trial.rows
    same = 0
    for row, other in zip(trial.rows, trial.before, strict=False):
        if row is not other and not same_row(row, other):
            break
        same += 1
    return trial.rows[same:]


def _taken(steps: Counter[str], row: Row) -> bool:
    """Whether there is a line of the row's step, which then stands for it."""
    steps[str(row.step)] -= 1
    return steps[str(row.step)] >= 0


def _named(row: Row) -> dict[str, float]:
    """The metrics of a row; one that is called as a column of ours gets a prefix."""
    return {f"metric.{name}" if name in _METRIC else name: value for name, value in row.values.items()}
