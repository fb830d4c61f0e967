"""How long a study will still take: what its trials have taken, for those to come, shared among those at a time.

A pure function of the history and the time. Durations are those of the trials themselves: imports that are done once,
gaps between engines and the time since the study began do not count.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from functools import cached_property
from statistics import median

from hpo_engine.reports.pace import Pace, most_at_once, pace_of
from hpo_engine.searchers.hyperband import amounts_to_come
from hpo_engine.study.history import History
from hpo_engine.study.trial import Trial, TrialState

_RECENT = 500  # trials that are looked at: enough, and no more work late in a long study
_EACH = 1000  # trials to come that are placed one by one
_PLANNED = ("hyperband", "asha", "bohb", "auto")
_TELLING = (TrialState.COMPLETED, TrialState.PRUNED, TrialState.FAILED, TrialState.TIMED_OUT)


def seconds_left(history: History, now: float) -> float | None:
    """Seconds until the trials are used up, or the time is; None if it cannot be estimated (yet)."""
    spec, limit_s = history.spec, history.spec.budget.time_s
    until_limit = None if limit_s is None else max(0.0, limit_s - history.elapsed_s(now))
    if spec.budget.most is None:
        return until_limit
    known = _Durations(history)
    if not known or _may_promote(history):
        return None  # the time limit alone would frighten: most studies end long before
    running = history.running
    free = sorted(known.rest(t, history, now) for t in running)
    slots = max(len(free), _slots(history, now))
    free = [0.0] * (slots - len(free)) + free
    to_come = _runs_to_come(history)
    durations = [known.of(amount) for amount in _amounts_to_come(history, min(to_come, _EACH))]
    for duration in durations:
        heapq.heapreplace(free, free[0] + duration)
    left = max(free)
    if to_come > _EACH:
        left += sum(durations) / _EACH * (to_come - _EACH) / slots
    return left if until_limit is None else min(left, until_limit)


class _Durations:
    """Medians of what trials have taken, by their amount of the resource (None: nothing is rationed)."""

    def __init__(self, history: History) -> None:
        seen: dict[int | None, list[float]] = {}
        for trial in _recent(history):
            if trial.state in _TELLING and (took := trial.ran_s) is not None:
                seen.setdefault(_added(trial, history), []).append(took)
        self._seen = seen
        self._medians = {amount: median(times) for amount, times in seen.items()}

    def __bool__(self) -> bool:
        return bool(self._seen)

    def of(self, amount: int | None) -> float:
        """What a trial with so much of the resource will take."""
        if amount in self._medians:
            return self._medians[amount]
        if amount is None or self._pace is None:
            return median(self._medians.values())
        return self._pace.run_s(amount)

    @cached_property
    def _pace(self) -> Pace | None:
        return pace_of([(amount, took) for amount, times in self._seen.items() if amount for took in times])

    def rest(self, trial: Trial, history: History, now: float) -> float:
        """What a running trial will still take: as the others that took longer than it has taken so far."""
        since = trial.attempt.started_at if trial.attempt is not None else None
        so_far = 0.0 if since is None else max(0.0, now - since)
        amount = _added(trial, history)
        usual = self.of(amount)
        if so_far <= usual:
            return usual - so_far
        longer = [took for took in self._seen.get(amount, ()) if took > so_far]
        return median(longer) - so_far if longer else 0.0


def _added(trial: Trial, history: History) -> int | None:
    """How much of the resource its latest or its next attempt adds to what went into the files that it starts with."""
    resource = trial.proposal.resource
    return None if resource is None else resource - history.inherited(trial)


def _may_promote(history: History) -> bool:
    """Whether a searcher whose plan is unknown carries trials on, or may do so: a plugin that gives trials less than
    the whole resource. How many will be promoted, nobody else knows."""
    name, most = history.spec.algorithm.name, history.spec.full_resource or 0
    if name in _PLANNED:
        return False
    return any(
        t.proposal.carry_on is not None or (":" in name and (t.proposal.resource or most) < most)
        for t in _recent(history)
    )


def _recent(history: History) -> Iterator[Trial]:
    for number in range(history.next_id - 1, max(-1, history.next_id - 1 - _RECENT), -1):
        yield history.trials[number]


def _slots(history: History, now: float) -> int:
    """How many trials run at a time: cores or GPUs may allow fewer than `parallel`."""
    parallel = history.spec.resources.parallel
    latest = [history.trials[number] for number in range(max(0, history.next_id - 4 * parallel), history.next_id)]
    spans = [(t.started_at, now if t.ended_at is None else t.ended_at) for t in latest if t.started_at is not None]
    return max(1, min(parallel, most_at_once(spans)))


def _runs_to_come(history: History) -> int:
    """How many runs wait or have not begun: by the plan of Hyperband, else as many promotions as so far."""
    waiting, planned = len(history.pending), amounts_to_come(history)
    if planned:
        return waiting + len(planned)
    new = history.trials_left
    likely = None if new is None else round(new * history.runs / max(1, history.begun))
    return waiting + min(left for left in (likely, history.runs_left) if left is not None)


def _amounts_to_come(history: History, count: int) -> Iterator[int | None]:
    """How much of the resource each of the next runs adds, as far as that is known."""
    spec = history.spec
    if spec.resource is None:
        yield from [None] * count
        return
    waiting = [_added(t, history) for t in history.pending]
    yield from waiting[:count]
    count -= len(waiting)
    if count <= 0:
        return
    carries_on = any(t.proposal.carry_on is not None for t in _recent(history))
    planned: list[int | None] = [amount - before * carries_on for before, amount in amounts_to_come(history)]
    planned = planned or [_added(t, history) for t in _recent(history)]
    for i in range(count):
        yield planned[i % len(planned)]
