"""The time axis of figures, which is cut where nothing ran for long; and what had been spent by some time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hpo_engine.study import usage
from hpo_engine.study.history import History
from hpo_engine.study.trial import Attempt, Trial

_LONG = 0.1  # of the time in which something ran: a gap that is longer is cut
_LEFT = 0.01  # of that time: the width that a cut gap keeps
_UNITS = ((1.0, "s"), (60.0, "min"), (3600.0, "h"), (86400.0, "days"))


@dataclass(frozen=True)
class Gap:
    """A cut in the axis `at` so many seconds, in which nothing ran for `seconds`."""

    at: float
    seconds: float


class Clock:
    """UTC seconds -> seconds on the axis of a study.

    Attributes:
        gaps: where the axis is cut. length: its length in seconds. unit: the unit that suits the length, as the seconds
            that it has and its symbol.
    """

    def __init__(self, spans: Sequence[tuple[float, float]]) -> None:
        """`spans`: (start, end) of what ran, UTC seconds."""
        merged = _merged(spans)
        busy = sum(end - start for start, end in merged)
        real, shown, gaps = [merged[0][0]], [0.0], list[Gap]()
        for k, (start, end) in enumerate(merged):
            if k and start > real[-1]:
                silent = start - real[-1]
                cut = silent > _LONG * busy
                if cut:
                    gaps.append(Gap(shown[-1] + _LEFT * busy / 2, silent))
                real.append(start)
                shown.append(shown[-1] + (_LEFT * busy if cut else silent))
            real.append(end)
            shown.append(shown[-1] + end - start)
        self._real, self._shown = np.array(real), np.array(shown)
        self.gaps = tuple(gaps)
        self.length = shown[-1]
        self.unit = unit_of(self.length)

    def at(self, times: np.ndarray) -> np.ndarray:  # (k,) UTC seconds -> (k,) in `unit`; NaN stays NaN
        """The places of these times on the axis."""
        out: np.ndarray = np.interp(times, self._real, self._shown) / self.unit[0]
        out[np.isnan(times)] = math.nan
        return out


def unit_of(seconds: float) -> tuple[float, str]:
    """The unit in which so many seconds are a number that people like: its seconds, and its symbol."""
    return next((unit for unit in reversed(_UNITS) if seconds >= 2 * unit[0]), _UNITS[0])


def span_of(attempt: Attempt, history: History) -> tuple[float, float] | None:
    """When the attempt ran, UTC seconds, until the latest event if it still does; None: it never started."""
    if attempt.started_at is None:
        return None
    end = history.last_at if attempt.ended_at is None else attempt.ended_at
    return attempt.started_at, max(attempt.started_at, end)


def clock_of(history: History) -> Clock | None:
    """The clock of a study's attempts; None: none has started."""
    spans = [span for trial in history.trials for a in trial.attempts if (span := span_of(a, history)) is not None]
    return Clock(spans) if spans else None


def spent(history: History, cost: Callable[[Trial, Attempt], float | None], times: np.ndarray) -> np.ndarray | None:
    """What all attempts that had ended by certain times had cost.

    Args:
        cost: of an attempt that has ended; None if it is unknown, which counts as nothing.
        times: (k,) UTC seconds.

    Returns:
        (k,), NaN where the time is; None: the cost of no attempt is known, or there was none.
    """
    found = [
        (attempt.ended_at, amount)
        for trial in history.trials
        for attempt in trial.attempts
        if attempt.ended_at is not None and (amount := cost(trial, attempt)) is not None
    ]
    if not found or not any(amount for _, amount in found):
        return None
    found.sort()
    totals = np.concatenate([[0.0], np.cumsum([amount for _, amount in found])])
    places = np.searchsorted([at for at, _ in found], times, side="right")
    return np.where(np.isnan(times), math.nan, totals[places])


def resource_cost(history: History) -> Callable[[Trial, Attempt], float]:
    """Units of the study's resource."""
    return lambda trial, attempt: usage.epochs(trial, attempt, history)


def processor_cost(trial: Trial, attempt: Attempt) -> float | None:
    """Processor seconds."""
    return None if attempt.exit is None else attempt.exit.cpu_s


def _merged(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The union of spans, in order."""
    out: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((start, end))
    return out
