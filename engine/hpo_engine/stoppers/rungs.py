"""Rungs: a few steps, ever farther apart, at which a trial is held against all others that have come as far."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from hpo_engine.stoppers.ends import Ends
from hpo_engine.stoppers.reported import Curves, Group, Results
from hpo_engine.study.history import History
from hpo_engine.study.trial import Trial

_MOST_RUNGS = 200
_LAST_RUNG = 2.0**63  # no step is beyond it


def rungs(keep: float, from_step: float) -> tuple[float, ...]:
    """The steps `from_step` and then each 1/`keep` times the one before, as whole steps (but below 1, for scripts that
    count in fractions of an epoch), each once."""
    out: list[float] = []
    step = float(from_step)
    while len(out) < _MOST_RUNGS and step < _LAST_RUNG:
        whole = float(round(step)) if step >= 1 else step
        if not out or whole > out[-1]:
            out.append(whole)
        step /= keep
    return tuple(out)


@dataclass(frozen=True)
class Place:
    """How a trial stands at a step: `better` of `rivals` other trials are better."""

    step: float
    better: int
    rivals: int

    def not_promising(self) -> str:
        return f"not promising: {self.better} of {self.rivals} other trials were better at step {self.step:g}"


class Steps:
    """The curves of a history, and the steps at which trials end."""

    def __init__(self) -> None:
        self._curves, self._ends = Curves(), Ends()

    def last(self, trial: Trial, history: History) -> float | None:
        """The last step that the trial has reported; None if there is none."""
        self._curves.look(history)
        steps = self._curves.of(trial).steps
        return steps[-1] if steps else None

    def group(self, trial: Trial) -> Group:
        """The curves that it is compared with, after `last`."""
        return self._curves.group(trial)

    def end(self, trial: Trial, history: History) -> float:
        """The last step at which completed trials ended; infinite if none has."""
        return self._ends.last(trial, history)

    def at_end(self, trial: Trial, history: History) -> bool:
        """Whether it is at a step where completed trials end."""
        return self._ends.reached(trial, history)

    def results(self, trial: Trial) -> Results:
        """The results with as much of the resource, after `last`."""
        return self._curves.results(trial)


class Rungs(Steps):
    """The places of running trials on the highest rung that they have reached.

    There is no rung at the last step at which completed trials end, or beyond it. So a place is what all trials had at
    one step, whichever came there first; it changes while others come as far.
    """

    def __init__(self, rungs: Sequence[float]) -> None:
        super().__init__()
        self._rungs = rungs

    def place(self, trial: Trial, history: History, first: int = 0) -> Place | None:
        """None: the trial has not come to the rung number `first` yet."""
        last = self.last(trial, history)
        if last is None:
            return None
        number = min(bisect_right(self._rungs, last), bisect_left(self._rungs, self.end(trial, history))) - 1
        if number < first:
            return None
        step = self._rungs[number]
        return Place(step, *self.group(trial).at(step).better_than(trial.id))
