"""What a history says to a model, as arrays in the unit cube: what is known, what failed, what still runs.

Every searcher that learns reads histories through here, so that they agree on what a failure is. Keeps rows between
calls, by the identity of trials; dropping that changes no answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo_engine.maths import pareto
from hpo_engine.searchers.prior import arrays
from hpo_engine.space.axes import Cells
from hpo_engine.space.searchspace import Choice, SearchSpace
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Trial, TrialState

if TYPE_CHECKING:
    from collections.abc import Mapping

_OPEN, _DONE, _FAILED, _UNKNOWN = 0, 1, 2, 3
_KINDS: Mapping[TrialState, int] = {
    TrialState.PENDING: _OPEN,
    TrialState.RUNNING: _OPEN,
    TrialState.COMPLETED: _DONE,
    TrialState.FAILED: _FAILED,
    TrialState.TIMED_OUT: _FAILED,
    # Others were better with as much training; that it would have caught up is unlikely. Its last loss is no result of
    # a whole trial and does not count as one; like a failed trial it keeps searchers away.
    TrialState.PRUNED: _FAILED,
    TrialState.STOPPED: _UNKNOWN,  # somebody's wish says nothing of the parameters; nor does a lost machine
    TrialState.LOST: _UNKNOWN,
}


@dataclass(frozen=True)
class Layout:
    """The dimensions as numbers. `cells`: how many values, 0 where continuous or too many for floats to tell apart.
    `categorical`: values without order."""

    cells: np.ndarray  # (d,) whole numbers
    categorical: np.ndarray  # (d,) bool

    @classmethod
    def of(cls, space: SearchSpace) -> Layout:
        axes = [space.axis(p.name) for p in space.dimensions]
        cells = np.array([a.size if isinstance(a, Cells) and not a.fine else 0 for a in axes], dtype=np.int64)
        unordered = [isinstance(p, Choice) and not p.ordered and len(p.choices) > 2 for p in space.dimensions]
        return cls(cells, np.array(unordered, dtype=bool))


@dataclass(frozen=True)
class Observations:
    """Points are as `SearchSpace.encode` gives them: NaN where a parameter does not apply. In the order of trial ids.

    `losses` are finite and to be minimised. With k > 1 objectives they are `pareto.scores` of the `vectors`: an order
    that a searcher can use as if it were a loss (its distances mean nothing). `failed`: points whose trials failed,
    timed out or were pruned. `pending`: points of trials that have not ended. `prior_points`: of earlier studies, NaN
    also for what they had not; `prior_losses`: their ranks in [0, 1], 0 the best of its study; `prior_studies`: the
    study's number. See `relevance`.
    """

    points: np.ndarray  # (n, d)
    losses: np.ndarray  # (n,)
    failed: np.ndarray  # (f, d)
    pending: np.ndarray  # (p, d)
    prior_points: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))  # (m, d)
    prior_losses: np.ndarray = field(default_factory=lambda: np.empty(0))  # (m,)
    prior_studies: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=int))  # (m,)
    vectors: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))  # (n, k); left out: the losses, as a column

    def __post_init__(self) -> None:
        if len(self.vectors) != len(self.losses):
            object.__setattr__(self, "vectors", self.losses[:, None])

    @property
    def taken(self) -> np.ndarray:  # (n + f + p, d)
        """Every point that needs no second look."""
        return np.concatenate([self.points, self.failed, self.pending])


class Observer:
    """Histories of one space -> Observations."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._told: tuple[Any, tuple[np.ndarray, np.ndarray, np.ndarray]] | None = None  # of which prior; its arrays
        self._scored: tuple[np.ndarray, np.ndarray] = np.empty((0, 0)), np.empty(0)
        self._reset()

    def read(self, history: History, resource: int | None = None) -> Observations:
        """What is known from all trials, or from those that were given this much of the resource."""
        trials, k = history.trials, len(history.spec.objectives)
        if len(trials) < len(self._seen) or self._vectors.shape[1] != k:
            self._reset(k)
        for i, trial in enumerate(trials):
            if i >= len(self._seen) or self._seen[i] is not trial:
                self._take(i, trial)
        n = len(trials)
        kinds, points = self._kinds[:n], self._points[:n]
        chosen = np.ones(n, dtype=bool) if resource is None else self._resources[:n] == resource
        done = chosen & (kinds == _DONE)
        vectors = self._vectors[:n][done]
        losses = vectors[:, 0] if k == 1 else self._scores_of(vectors)
        failed, pending = points[chosen & (kinds == _FAILED)], points[chosen & (kinds == _OPEN)]
        return Observations(points[done], losses, failed, pending, *self._prior(history.spec), vectors)

    def _prior(self, spec: StudySpec) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if self._told is None or self._told[0] is not spec.prior:
            self._told = spec.prior, arrays(spec)
        return self._told[1]

    def _scores_of(self, vectors: np.ndarray) -> np.ndarray:
        """They change only when a trial ends well; the latest ones are kept."""
        if not np.array_equal(vectors, self._scored[0]):
            self._scored = vectors, pareto.scores(vectors)
        return self._scored[1]

    def _reset(self, k: int = 1) -> None:
        d = len(self._space.dimensions)
        self._seen: list[Trial] = []
        self._points, self._vectors = np.empty((64, d)), np.empty((64, k))
        self._kinds, self._resources = np.empty(64, dtype=np.int8), np.empty(64, dtype=np.int64)

    def _take(self, i: int, trial: Trial) -> None:
        if i == len(self._kinds):
            grown = [np.concatenate([a, np.empty_like(a)]) for a in self._arrays]
            self._points, self._vectors, self._kinds, self._resources = grown
        known = i < len(self._seen)
        if not known or self._seen[i].proposal is not trial.proposal:
            self._points[i] = self._space.encode(trial.params)
            self._resources[i] = trial.proposal.resource or 0
        self._kinds[i] = _KINDS[trial.state]
        self._vectors[i] = trial.losses or 0.0
        if known:
            self._seen[i] = trial
        else:
            self._seen.append(trial)

    @property
    def _arrays(self) -> tuple[np.ndarray, ...]:
        return self._points, self._vectors, self._kinds, self._resources
