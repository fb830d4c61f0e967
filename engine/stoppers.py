"""Rules that end a study or a trial early, as functions of (history, now). No clock, no process, no file."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from engine.objective import Objective, Row, pick_values
from engine.study import History, StudySpec, Trial

_MOST_RUNGS = 200
_MOST_RIVALS = 1_000  # of several objectives: the latest ones, for fronts of more take too long


def stopper(spec: StudySpec) -> FirstOf:
    """All rules of the study together."""
    rules: list[BudgetStopper | RankStopper] = [BudgetStopper()]
    if spec.early_stopping is not None:
        rules.append(RankStopper(spec))
    return FirstOf(rules)


class FirstOf:
    """Several rules; the first that has a reason tells it."""

    def __init__(self, rules: Sequence[BudgetStopper | RankStopper]) -> None:
        self._rules = tuple(rules)

    def end_trial(self, trial: Trial, history: History, now: float) -> str | None:
        return next((why for rule in self._rules if (why := rule.end_trial(trial, history, now))), None)

    def end_study(self, history: History, now: float) -> str | None:
        return next((why for rule in self._rules if (why := rule.end_study(history, now))), None)


class BudgetStopper:
    """The study's time limit. (A trial's own is kept by whoever runs it, so that it holds without an engine; the
    number of trials is kept by the loop, which proposes no more.)"""

    def end_trial(self, trial: Trial, history: History, now: float) -> str | None:
        return None

    def end_study(self, history: History, now: float) -> str | None:
        limit = history.spec.budget.time_s
        if limit is not None and history.elapsed_s(now) >= limit:
            return f"time limit of {limit:g} s reached"
        return None


class RankStopper:
    """Ends a running trial whose reported values are among the worst of all trials at the same step.

    Looked at are rungs: the steps `from_step`, and then each 1/`keep` times the one before. On the highest rung that it
    has reached, a trial is held against all trials that have reached it (with as much of the resource, where there is
    one). It ends if at least a share `keep` of them is better, but not while fewer than `warm_up` others are there. So
    it may go on and be ended later, when better ones have come as far. With one objective better means a lower loss,
    with several a front ahead: a trial that none of the others dominates is never ended, since what it would add to the
    front is not known from here. Equal values are not better, so equal curves all go on. Values that are not finite are
    worse than all others. Where a trial has not reported the objectives, nothing happens.

    Keeps what trials had on each rung between calls, by the identity of trials; dropping that changes no answer.

    Source: Li et al., A System for Massively Parallel Hyperparameter Tuning (ASHA), MLSys 2020, in the variant that
    stops instead of pausing (eta = 1 / keep); for several objectives Schmucker et al., Multi-objective asynchronous
    successive halving, arXiv:2106.12639, section 3.
    """

    def __init__(self, spec: StudySpec) -> None:
        assert spec.early_stopping is not None
        self._rule = spec.early_stopping
        self._seen: list[Trial] = []
        self._rungs: dict[tuple[int, int], _Rung] = {}  # by number and resource
        self._highest: dict[int, tuple[int, int]] = {}  # of each trial that has one

    def end_study(self, history: History, now: float) -> str | None:
        return None

    def end_trial(self, trial: Trial, history: History, now: float) -> str | None:
        self._look(history)
        place = self._highest.get(trial.id)
        if place is None:
            return None
        better, rivals = self._rungs[place].better_than(trial.id)
        if rivals < self._rule.warm_up or better < math.ceil(self._rule.keep * (rivals + 1)):
            return None
        return f"not promising: {better} of {rivals} other trials were better at step {self._step(place[0]):g}"

    def _look(self, history: History) -> None:
        trials = history.trials
        if len(trials) < len(self._seen):
            self._seen, self._rungs, self._highest = [], {}, {}
        for i, trial in enumerate(trials):
            if i >= len(self._seen):
                self._seen.append(trial)
            elif self._seen[i] is trial:
                continue
            elif self._seen[i].rows is trial.rows:  # what else changes does not matter here
                self._seen[i] = trial
                continue
            self._seen[i] = trial
            self._take(trial, history.spec.aims)

    def _take(self, trial: Trial, aims: Sequence[Objective]) -> None:
        resource = trial.proposal.resource or 0
        self._highest.pop(trial.id, None)
        found = _at_rungs(trial.rows, aims, self._step)
        for number, losses in enumerate(found):
            self._rungs.setdefault((number, resource), _Rung()).put(trial.id, losses)
            self._highest[trial.id] = number, resource
        number = len(found)
        while (rung := self._rungs.get((number, resource))) is not None:  # an earlier run had come farther
            rung.drop(trial.id)
            number += 1

    def _step(self, rung: int) -> float:
        return self._rule.from_step * self._rule.keep**-rung


@dataclass
class _Rung:
    """What trials had when they came to a step: losses by trial, infinite where they were not finite."""

    losses: dict[int, tuple[float, ...]] = field(default_factory=dict)
    _order: list[float] = field(default_factory=list)  # of one objective; empty where it must be made anew
    _fronts: dict[int, int] = field(default_factory=dict)  # of several: trial -> the number of its front

    def put(self, trial_id: int, losses: tuple[float, ...]) -> None:
        if self.losses.get(trial_id) != losses:
            self.losses[trial_id] = losses
            self._order, self._fronts = [], {}

    def drop(self, trial_id: int) -> None:
        if self.losses.pop(trial_id, None) is not None:
            self._order, self._fronts = [], {}

    def better_than(self, trial_id: int) -> tuple[int, int]:
        """How many others are better than this one, and of how many."""
        own = self.losses[trial_id]
        if len(own) == 1:
            self._order = self._order or sorted(losses[0] for losses in self.losses.values())
            return bisect_left(self._order, own[0]), len(self.losses) - 1
        self._fronts = self._fronts or _fronts(self.losses)
        others = [self._fronts[i] for i in list(self.losses)[-_MOST_RIVALS:] if i != trial_id]
        return sum(front < self._fronts[trial_id] for front in others), len(others)


def _fronts(losses: Mapping[int, tuple[float, ...]]) -> dict[int, int]:
    """Trial -> the number of its front; those that are not finite come last."""
    import numpy as np

    from engine.maths import pareto  # numpy: only studies with several objectives need it

    recent = list(losses)[-_MOST_RIVALS:]
    finite = [i for i in recent if all(map(math.isfinite, losses[i]))]
    out = dict.fromkeys(losses, len(losses))
    if finite:
        out.update(zip(finite, pareto.ranks(np.array([losses[i] for i in finite])).tolist(), strict=True))
    return out


def _at_rungs(
    rows: Sequence[Row], aims: Sequence[Objective], step_of: Callable[[int], float]
) -> list[tuple[float, ...]]:
    """The losses on each rung that the rows reach: of the rows up to the first one at that step or beyond it.

    Ends where an objective has not been reported yet; infinite where one is not finite.
    """
    out: list[tuple[float, ...]] = []
    for i, row in enumerate(rows):
        while len(out) < _MOST_RUNGS and row.step >= step_of(len(out)):
            before = rows[: i + 1]
            if not all(any(aim.metric in r.values for r in before) for aim in aims):
                return out
            values = pick_values(before, aims)
            out.append(
                (math.inf,) * len(aims)
                if values is None
                else tuple(aim.loss(value) for aim, value in zip(aims, values, strict=True))
            )
    return out
