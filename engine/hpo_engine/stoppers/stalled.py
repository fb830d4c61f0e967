"""Ending trials that hang: no row, no change of their files and no processor time for a long time.

What the machine shows is no part of the history, so an engine that takes over begins to watch anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from hpo_engine.plugins.card import Card, Option
from hpo_engine.stoppers.rule import Activity, Rule
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import MOST_SEEN, Trial

_LOOKS = 20  # at the machine, in the time after which a silent trial ends
_CPU_SHARE, _CPU_S = 0.002, 0.05  # of one core, and seconds: what threads need that only wait
_IO_RATE, _IO_BYTES = 1_000.0, 1 << 14  # per second, and in all: as much as they read and write
_LATEST = 64  # trials that tell how long a first report takes
_FEW = 3  # readings of its rows, before a trial has a step of its own


class StalledStopper(Rule):
    """Ends a running trial that has done nothing for `times` its own step, and for `min_seconds`: it has reported no
    row, no file in its folders has changed, and its processes have read and written nothing and used no processor time.

    Its step is the median of the times between two readings of new rows. Before it has reported three times, its step
    is the longest time that it has needed for a report so far; before the first report, the longest that any of the
    latest trials has needed for that one.

    A trial that computes silently uses processor time, and one that downloads writes: these are left alone. So is a
    trial whose processes are suspended. What runs elsewhere on behalf of a script (in a container, on another machine)
    cannot be seen.
    """

    card = Card(
        summary="ends trials that hang: no row, no change of files and no processor time for many of their own steps",
        suits="scripts that may wait forever for a network or a lock",
        options={
            "times": Option("how many of its own steps a trial may do nothing for", float, 20.0, least=1, above=True),
            "min_seconds": Option(
                "a trial that has done nothing for less is not ended", float, 60.0, least=0, above=True
            ),
        },
    )

    def __init__(self, spec: StudySpec, *, times: float = 20.0, min_seconds: float = 60.0) -> None:
        self._times, self._min_s = times, min_seconds
        self._watched: dict[str, _Quiet] = {}  # by nonce: silent attempts

    def stalled(self, trial: Trial, history: History, now: float) -> str | None:
        attempt = trial.attempt
        if self.watch is None or attempt is None or attempt.started_at is None:
            return None
        step_s = _step_s(trial, history)
        limit = max(self._times * step_s, self._min_s)
        silent = now - (trial.seen_at[-1] if trial.seen_at else attempt.started_at)
        if silent < max(2 * step_s, limit / _LOOKS):
            self._watched.pop(attempt.nonce, None)
            return None
        quiet = self._look(trial, attempt.nonce, now, limit / _LOOKS)
        if quiet is None or quiet.looked_at - quiet.since < limit:
            return None
        return (
            f"stalled: no row for {silent:.0f} s, where one takes it {step_s:.2g} s; in the last {quiet.for_s:.0f} s "
            f"its files did not change and its processes used {quiet.cpu_s:.2f} s of processor time"
        )

    def idle(self, history: History, now: float) -> str | None:
        if self.watch is not None or not history.ended_count:
            return None
        return f"stop: stalled cannot see what trials do: the executor {history.spec.executor.name} does not show it"

    def _look(self, trial: Trial, nonce: str, now: float, every_s: float) -> _Quiet | None:
        """How long the attempt is known to have done nothing; None: that cannot be seen."""
        assert self.watch is not None
        quiet = self._watched.get(nonce)
        if quiet is not None and now - quiet.looked_at < every_s:
            return quiet
        found = self.watch(trial)
        if found is None:
            self._watched.pop(nonce, None)
            return None
        if quiet is None or quiet.ended_by(found, now):
            quiet = _Quiet(found, now, found, now)
        else:
            quiet = _Quiet(quiet.first, quiet.since, found, now)
        self._watched[nonce] = quiet
        return quiet


@dataclass(frozen=True)
class _Quiet:
    """A time in which an attempt has done nothing: what was seen at its beginning, and `since` when that is; what was
    seen last, and when (UTC seconds)."""

    first: Activity
    since: float
    last: Activity
    looked_at: float

    @property
    def for_s(self) -> float:
        return self.looked_at - self.since

    @property
    def cpu_s(self) -> float:
        return self.last.cpu_s - self.first.cpu_s

    def ended_by(self, found: Activity, now: float) -> bool:
        """Whether what is seen now shows that the attempt has done something since."""
        took = now - self.since
        cpu_s, io_bytes = found.cpu_s - self.first.cpu_s, found.io_bytes - self.first.io_bytes
        return (
            found.suspended
            or found.files != self.first.files
            or not 0 <= cpu_s <= _CPU_S + _CPU_SHARE * took  # less: processes have ended
            or not 0 <= io_bytes <= _IO_BYTES + _IO_RATE * took
        )


def _step_s(trial: Trial, history: History) -> float:
    """Seconds that one step of the trial takes; infinite if nothing is known of it."""
    if len(trial.seen_at) >= _FEW:
        times = trial.seen_at[1:] if len(trial.seen_at) == MOST_SEEN else trial.seen_at  # the first is long ago
        return median(b - a for a, b in pairwise(times))
    own = [*_first_report_s(trial), *(b - a for a, b in pairwise(trial.seen_at))]
    latest = range(max(0, history.next_id - _LATEST), history.next_id)
    return max(own or (s for number in latest for s in _first_report_s(history.trials[number])), default=math.inf)


def _first_report_s(trial: Trial) -> Iterator[float]:
    started_at = None if trial.attempt is None else trial.attempt.started_at
    if trial.seen_at and started_at is not None:
        yield trial.seen_at[0] - started_at
