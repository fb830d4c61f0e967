"""How long runs take and how much disk they need, by what some of them have taken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import median

from hpo_engine.study.history import History
from hpo_engine.study.trial import Result, Trial, TrialState


@dataclass(frozen=True)
class Pace:
    """A run takes `start_s` seconds, and `unit_s` more for each unit of the resource that it trains (0 for a study
    without a resource). A trial takes `trial_bytes` on the disk. `runs`: the number of runs behind these figures.
    `checkpoints`: whether any of them left one. `sure`: whether the time to start is known apart from that of a unit.
    """

    start_s: float
    unit_s: float
    trial_bytes: int = 0
    runs: int = 0
    checkpoints: bool = False
    sure: bool = True

    def run_s(self, units: int | None) -> float:
        """Seconds of a run that trains so many units."""
        return self.start_s + self.unit_s * (units or 0)


Timed = tuple[int | None, float]
"""The units of the resource that a run trained (None: the study has none), and its seconds."""


def pace_of(runs: Sequence[Timed], trial_bytes: int = 0, *, checkpoints: bool = False) -> Pace | None:
    """The pace of runs that trained so many units of the resource in so many seconds; None: there are none.

    A straight line through the medians of each amount, by least squares with the number of runs as weights, and neither
    end below 0. With one amount alone all of the time is taken to be training.
    """
    if not runs:
        return None
    amounts = sorted({units for units, _ in runs if units})
    if not amounts:
        return Pace(median(seconds for _, seconds in runs), 0.0, trial_bytes, len(runs), checkpoints)
    points = [(float(units), [s for u, s in runs if u == units]) for units in amounts]
    if len(points) == 1:
        units, times = points[0]
        return Pace(0.0, median(times) / units, trial_bytes, len(runs), checkpoints, sure=False)
    start_s, unit_s = _line([(units, median(times), len(times)) for units, times in points])
    return Pace(start_s, unit_s, trial_bytes, len(runs), checkpoints)


def pace_of_history(history: History, trial_bytes: int = 0) -> Pace | None:
    """The pace of the runs of a study that have ended well; None: there are none yet."""
    runs, left = list[Timed](), False
    for trial in history.trials:
        before = 0
        for result in trial.results:
            left = left or result.checkpoint is not None
            runs += _timed(trial, result, before)
            before = result.resource or 0
    return pace_of(runs, trial_bytes, checkpoints=left)


def _timed(trial: Trial, result: Result, before: int) -> Iterator[Timed]:
    """The run that a result is from, if its time is known, and what it trained.

    Args:
        before: the resource of the trial's result before.
    """
    attempt = trial.attempt_of(result)
    if attempt is None or attempt.exit is None or attempt.exit.seconds is None:
        return
    if attempt.resume in (None, trial.id):  # how much the files of another trial saved is not known here
        inherited = before if attempt.resume is not None else 0
        yield None if result.resource is None else result.resource - inherited, attempt.exit.seconds


def most_at_once(spans: Iterable[tuple[float, float]]) -> int:
    """How many of the spans (begin, end) there are at a time at most; one that ends when another begins is over."""
    changes = sorted(change for begin, end in spans for change in ((begin, 1), (end, -1)))
    return max(accumulate((change for _, change in changes), initial=0))


def ended_well(history: History) -> list[int]:
    """The trials whose folders are as such a trial leaves them."""
    return [trial.id for trial in history.trials if trial.state is TrialState.COMPLETED]


def _line(points: Sequence[tuple[float, float, int]]) -> tuple[float, float]:
    """Intercept and slope of the least-squares line through points (x, y, weight); neither is below 0."""
    total = sum(w for _, _, w in points)
    mean_x, mean_y = (sum(p[k] * p[2] for p in points) / total for k in (0, 1))
    spread = sum(w * (x - mean_x) ** 2 for x, _, w in points)
    slope = max(0.0, sum(w * (x - mean_x) * (y - mean_y) for x, y, w in points) / spread)
    start = mean_y - slope * mean_x
    if start < 0:  # through 0, then
        return 0.0, sum(w * x * y for x, y, w in points) / sum(w * x * x for x, _, w in points)
    return start, slope
