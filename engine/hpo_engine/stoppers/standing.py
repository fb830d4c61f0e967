"""How trials stand at one step: how many are better than one of them, by losses or, if there are several, by fronts."""

from __future__ import annotations

import math
from bisect import bisect_left, insort

Losses = tuple[float, ...]

_MOST_RIVALS = 1_000  # of several objectives: the latest trials, for fronts of more take too long


class Standing:
    """What trials had when they came to a step: losses by trial, infinite where they were not finite."""

    def __init__(self) -> None:
        self._losses: dict[int, Losses] = {}
        self._order: list[float] = []  # of the first losses, ascending
        self._fronts: dict[int, int] | None = None  # of several: trial -> the number of its front

    def __len__(self) -> int:
        return len(self._losses)

    def put(self, trial_id: int, losses: Losses) -> None:
        if self._losses.get(trial_id) != losses:
            self.drop(trial_id)
            self._losses[trial_id] = losses
            insort(self._order, losses[0])

    def drop(self, trial_id: int) -> None:
        self._fronts = None
        if (losses := self._losses.pop(trial_id, None)) is not None:
            del self._order[bisect_left(self._order, losses[0])]

    def better_than(self, trial_id: int) -> tuple[int, int]:
        """How many others are better than this trial, and of how many.

        With several objectives better means a front ahead, so none is better than a trial that no other one dominates.
        """
        own = self._losses[trial_id]
        if len(own) == 1:
            return bisect_left(self._order, own[0]), len(self._losses) - 1
        if self._fronts is None:
            self._fronts = _fronts(self._latest())
        if trial_id not in self._fronts:
            return self.better_than_value(own, trial_id)
        better = sum(front < self._fronts[trial_id] for front in self._fronts.values())
        return better, len(self._fronts) - 1

    def better_than_value(self, own: Losses, trial_id: int) -> tuple[int, int]:
        """As `better_than`, if the trial had these losses instead of those that it has here."""
        if len(own) == 1:
            better, mine = bisect_left(self._order, own[0]), self._losses.get(trial_id)
            return (better, len(self._losses)) if mine is None else (better - (mine < own), len(self._losses) - 1)
        fronts = _fronts({**self._latest(), trial_id: own})
        return sum(front < fronts[trial_id] for front in fronts.values()), len(fronts) - 1

    def _latest(self) -> dict[int, Losses]:
        return {i: self._losses[i] for i in sorted(self._losses)[-_MOST_RIVALS:]}


def _fronts(losses: dict[int, Losses]) -> dict[int, int]:
    """Trial -> the number of its front; those that are not finite come last."""
    import numpy as np

    from hpo_engine.maths import pareto  # numpy: only studies with several objectives need it

    finite = [i for i in losses if all(map(math.isfinite, losses[i]))]
    out = dict.fromkeys(losses, len(losses))
    if finite:
        out.update(zip(finite, pareto.ranks(np.array([losses[i] for i in finite])).tolist(), strict=True))
    return out
