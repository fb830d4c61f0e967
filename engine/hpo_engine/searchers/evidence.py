"""What trials that were ended early say about their configurations: a loss for each, from where it stood.

A value after three epochs is not comparable with one after thirty, so a trial is compared at the step that it reached,
with what the others had by then. Their final losses show what its own would have been at least.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hpo_engine.maths import pareto
from hpo_engine.maths.isotonic import isotonic
from hpo_engine.study.objective import Objective, Row
from hpo_engine.study.reached import EARLY, Reached, losses_at, reached
from hpo_engine.study.trial import Trial

_ASSUMED = 5
_MOST = 200  # trials that one is compared with: the latest
_MOST_STEPS = 24  # at which trials are compared; each takes about a millisecond


@dataclass(frozen=True)
class Partial:
    """What a trial that was ended early counts as.

    Attributes:
        losses: one for each objective; each is one that a finished trial has.
        score: with several objectives the value that orders trials, on the scale of the finished trials' `scores`;
            else the loss.
        behind: the share of the trials with a value at the step that it reached that were better there, in [0, 1).
            Orders trials with equal scores.
        say: in [0, 1], how far it is to be believed: 0 if values at that step turn out to say nothing, see `agreement`.
    """

    losses: tuple[float, ...]
    score: float
    behind: float
    say: float


class _Known(NamedTuple):
    """What a trial is compared with: `losses` of another one, and its score."""

    trial: Trial
    losses: tuple[float, ...]
    finished: bool


class Evidence:
    """Trials -> what those that were ended early count as. Keeps values at steps, which changes no answer."""

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self.objectives = tuple(objectives)
        self._seen: list[Trial] = []
        self._found: dict[int, Partial] = {}
        self._reached: dict[int, tuple[Trial, Reached | None]] = {}  # by trial id
        self._at: dict[tuple[int, float], tuple[Sequence[Row], tuple[float, ...] | None]] = {}  # by trial id and step

    def read(self, trials: Sequence[Trial]) -> Mapping[int, Partial]:
        """By id, what the trials that were ended early count as; none without a finite value, or without a finished
        trial to compare with.

        Trials are compared with those that have as much of the resource and had a value as early.

        Args:
            trials: those that count; what they are compared with must be among them.
        """
        if len(trials) != len(self._seen) or any(a is not b for a, b in zip(trials, self._seen, strict=True)):
            self._seen, self._found = list(trials), self._read(trials)
        return self._found

    def _read(self, trials: Sequence[Trial]) -> dict[int, Partial]:
        early: dict[int, list[tuple[Trial, Reached]]] = {}  # by resource
        for trial in trials:
            if trial.state in EARLY and (found := self._reached_by(trial)) is not None:
                early.setdefault(trial.proposal.resource or 0, []).append((trial, found))
        out: dict[int, Partial] = {}
        for resource, group in early.items():
            results = [(t, r.losses) for t in trials for r in t.results if (r.resource or 0) == resource]
            if results:
                out.update(self._group(group, results))
        return out

    def _group(
        self, early: Sequence[tuple[Trial, Reached]], finished: Sequence[tuple[Trial, tuple[float, ...]]]
    ) -> dict[int, Partial]:
        """From the farthest step down: those that came farther count among the trials that one is compared with, so
        that these are not the survivors only."""
        scores = _scores(np.array([losses for _, losses in finished]))
        known = [_Known(t, (*losses, s), True) for (t, losses), s in zip(finished, scores.tolist(), strict=True)]
        out: dict[int, Partial] = {}
        for step, trials in _by_step(early):
            here = [(t, losses) for t in trials if (losses := self._value(t, step)) is not None]
            if not here:
                continue
            new = [(t, p) for (t, _), p in zip(here, self._at_step(step, here, known), strict=False)]
            out.update({t.id: partial for t, partial in new})
            known += [_Known(t, (*p.losses, p.score), False) for t, p in new]
        return out

    def _at_step(
        self, step: float, here: Sequence[tuple[Trial, tuple[float, ...]]], known: Sequence[_Known]
    ) -> list[Partial]:
        """Those that were ended `here`, compared with what is `known`; none if no other trial has a value so early."""
        others = [(found, k) for k in known[-_MOST:] if (found := self._value(k.trial, step)) is not None]
        if not others:
            return []
        at, own = np.array([found for found, _ in others]), np.array([losses for _, losses in here])
        last, finished = np.array([k.losses for _, k in others]), np.array([k.finished for _, k in others])
        if at.shape[1] > 1:  # (else the score is the loss)
            scores = _scores(np.concatenate([at, own]))
            at, own = np.column_stack([at, scores[: len(at)]]), np.column_stack([own, scores[len(at) :]])
        columns = [expected(at[:, j], last[:, j], own[:, j]) for j in range(at.shape[1])]
        standing = np.concatenate([at[:, -1], own[:, -1]])
        behind = np.searchsorted(np.sort(standing), own[:, -1]) / len(standing)
        say = agreement(at[finished, -1], last[finished, -1])
        return [
            Partial(tuple(row[: len(self.objectives)]), row[-1], b, say)
            for row, b in zip(np.column_stack(columns).tolist(), behind.tolist(), strict=True)
        ]

    def _reached_by(self, trial: Trial) -> Reached | None:
        found = self._reached.get(trial.id)
        if found is None or found[0] is not trial:
            found = self._reached[trial.id] = trial, reached(trial, self.objectives)
        return found[1]

    def _value(self, trial: Trial, step: float) -> tuple[float, ...] | None:
        found = self._at.get((trial.id, step))
        if found is None or found[0] is not trial.rows:
            found = self._at[trial.id, step] = trial.rows, losses_at(trial.rows, step, self.objectives)
        return found[1]


def _by_step(early: Sequence[tuple[Trial, Reached]]) -> list[tuple[float, list[Trial]]]:
    """The steps at which trials are compared, the farthest first, with those that are compared there: at the step that
    each reached, or, if these are many, at one of some of them that it came to before."""
    steps = sorted({r.step for _, r in early})
    if len(steps) > _MOST_STEPS:
        steps = [steps[round(i * (len(steps) - 1) / (_MOST_STEPS - 1))] for i in range(_MOST_STEPS)]
    out: dict[float, list[Trial]] = {step: [] for step in reversed(steps)}
    for trial, found in early:
        out[steps[bisect_right(steps, found.step) - 1]].append(trial)
    return list(out.items())


def expected(at: np.ndarray, last: np.ndarray, own: np.ndarray) -> np.ndarray:  # (n,), (n,), (m,) -> (m,)
    """The losses that values at a step lead to, rounded up to one in `last`.

    Fits a nondecreasing function to the ranks of the last losses of n trials, given their values at the step: if the
    early values order the trials as the last ones do, that is their rank, and if they say nothing, the mean one. A
    value between two of theirs counts as the worse one, and a value that is worse than all as the worst of them, which
    is the least that can be said.

    Args:
        at, last: values at the step and last losses of the other trials, n > 0. own: values at the step.
    """
    values, which, counts = np.unique(at, return_inverse=True, return_counts=True)
    ranked = np.sort(last)
    means = np.bincount(which.reshape(-1), weights=_ranks(last)) / counts
    fitted = isotonic(means, counts.astype(float))
    places = np.minimum(np.searchsorted(values, own, "left"), len(values) - 1)
    out: np.ndarray = ranked[np.ceil(np.round(fitted[places], 9)).astype(int)]
    return out


def agreement(at: np.ndarray, last: np.ndarray) -> float:  # (n,), (n,)
    """In [0, 1], how far the order of n finished trials at a step is that of their last losses.

    It is twice their rank correlation, at most 1: they are the better half of all trials at that step, whose order is
    less clear than that of all. While there are few, their correlation is that of chance, so five more are assumed
    whose correlation is 1/2.
    """
    n = len(at)
    x, y = _ranks(at), _ranks(last)
    if n < 2 or x.std() == 0 or y.std() == 0:
        return 1.0
    found = float(np.corrcoef(x, y)[0, 1])
    return float(np.clip(2 * (n * found + _ASSUMED * 0.5) / (n + _ASSUMED), 0.0, 1.0))


def _ranks(values: np.ndarray) -> np.ndarray:  # (n,) -> (n,)
    """From 0; equal values share the mean of their ranks."""
    order = np.sort(values)
    out: np.ndarray = (np.searchsorted(order, values, "left") + np.searchsorted(order, values, "right") - 1) / 2
    return out


def _scores(vectors: np.ndarray) -> np.ndarray:  # (n, k) -> (n,)
    return vectors[:, 0] if vectors.shape[1] == 1 else pareto.scores(vectors)
