"""A history as arrays in the unit cube: results, failures, running trials, and those of earlier studies.

Every searcher that learns from points reads histories through an Observer; what counts as a failure is decided in
`fates`. Rows are cached between calls, by the identity of trials, which changes no answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hpo_engine.maths import pareto
from hpo_engine.searchers.evidence import Evidence
from hpo_engine.searchers.fates import Fate, fate
from hpo_engine.searchers.prior import arrays
from hpo_engine.space.searchspace import SearchSpace
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.table import TrialTable
from hpo_engine.study.trial import FailureKind, Trial


@dataclass(frozen=True)
class Observations:
    """The trials of a history as arrays, in the order of their ids; points as from `SearchSpace.encode` (NaN if a
    parameter does not apply).

    Attributes:
        points, losses: finished trials; losses are finite and to be minimised. With k > 1 objectives they are
            `pareto.scores` of the `vectors`, which order them like losses (their distances mean nothing).
        partial: trials that were ended early and had a value to compare with those of finished ones at the same step;
            `partial_losses`: at least so bad would they have become, see `evidence`. They are on the scale of the
            `losses`, and never a result; `partial_vectors`: one for each objective; `partial_say`: how far each is to
            be believed.
        failed: trials that failed, timed out, or were pruned with nothing to compare; `failures`: the kind of each
            (None: pruned, or unknown).
        pending: trials that have not ended.
        prior_points: trials of earlier studies, NaN also for parameters that they did not have; `prior_losses`: their
            ranks in [0, 1], 0 the best of its study; `prior_studies`: the number of the study. See `relevance`.
    """

    points: np.ndarray  # (n, d)
    losses: np.ndarray  # (n,)
    failed: np.ndarray  # (f, d)
    pending: np.ndarray  # (p, d)
    prior_points: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))  # (m, d)
    prior_losses: np.ndarray = field(default_factory=lambda: np.empty(0))  # (m,)
    prior_studies: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=int))  # (m,)
    vectors: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))  # (n, k); default: the losses, as a column
    failures: tuple[FailureKind | None, ...] = ()  # (f,)
    partial: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))  # (s, d)
    partial_losses: np.ndarray = field(default_factory=lambda: np.empty(0))  # (s,)
    partial_vectors: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))  # (s, k)
    partial_say: np.ndarray = field(default_factory=lambda: np.empty(0))  # (s,) in [0, 1]

    def __post_init__(self) -> None:
        if len(self.vectors) != len(self.losses):
            object.__setattr__(self, "vectors", self.losses[:, None])
        if not len(self.partial):
            object.__setattr__(self, "partial", np.empty((0, self.points.shape[1])))
        if len(self.partial_say) != len(self.partial):
            object.__setattr__(self, "partial_say", np.ones(len(self.partial)))
        if len(self.partial_vectors) != len(self.partial_losses):
            object.__setattr__(self, "partial_vectors", self.partial_losses[:, None])

    @property
    def taken(self) -> np.ndarray:  # (n + s + f + p, d)
        """Every point that need not be tried again."""
        return np.concatenate([self.points, self.partial, self.failed, self.pending])

    @property
    def seen(self) -> tuple[np.ndarray, np.ndarray]:  # (n + s, d), (n + s,)
        """The points of finished trials and of those that were ended early, and their losses."""
        if not len(self.partial):
            return self.points, self.losses
        return np.concatenate([self.points, self.partial]), np.concatenate([self.losses, self.partial_losses])

    @property
    def say(self) -> np.ndarray:  # (n + s,)
        """How far each of the `seen` is to be believed; 1 for finished trials."""
        return np.concatenate([np.ones(len(self.losses)), self.partial_say])

    @property
    def repeats(self) -> np.ndarray:  # (n,) whole numbers
        """For each result the number of earlier results of the same configuration."""
        seen: dict[bytes, int] = {}
        out = np.zeros(len(self.points), dtype=np.int64)
        for i, point in enumerate(np.round(self.points, 12)):
            out[i] = seen.get(name := point.tobytes(), 0)
            seen[name] = int(out[i]) + 1
        return out


class Observer:
    """Histories of one space -> Observations."""

    _seen: TrialTable
    _points: np.ndarray
    _vectors: np.ndarray
    _fates: np.ndarray
    _resources: np.ndarray

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._evidence: Evidence | None = None
        self._earlier: tuple[Any, tuple[np.ndarray, np.ndarray, np.ndarray]] | None = None  # a prior and its arrays
        self._scored: tuple[np.ndarray, np.ndarray] = np.empty((0, 0)), np.empty(0)
        self._reset()

    def read(self, history: History, resource: int | None = None) -> Observations:
        """The observations of all trials, or of those with this amount of the resource."""
        trials, k = history.trials, len(history.spec.objectives)
        if len(trials) < len(self._seen) or self._vectors.shape[1] != k:
            self._reset(k)
        for trial in trials.changed(self._seen):
            self._take(trial)
        self._seen, n = trials, len(trials)
        fates, points = self._fates[:n], self._points[:n]
        chosen = np.ones(n, dtype=bool) if resource is None else self._resources[:n] == resource
        partial, *evidence = self._partial(history, chosen & ((fates == Fate.PRUNED) | (fates == Fate.STOPPED)))
        finished, running = chosen & (fates == Fate.FINISHED), chosen & (fates == Fate.RUNNING)
        failed = chosen & ((fates == Fate.FAILED) | (fates == Fate.PRUNED))
        failed[partial] = False
        vectors = self._vectors[:n][finished]
        losses = vectors[:, 0] if k == 1 else self._scores_of(vectors)
        failures = tuple([trials[i].failure for i in np.flatnonzero(failed).tolist()])
        return Observations(
            points[finished], losses, points[failed], points[running], *self._prior(history.spec), vectors, failures,
            points[partial], *evidence,
        )  # fmt: skip

    def _partial(self, history: History, early: np.ndarray) -> tuple[list[int], np.ndarray, np.ndarray, np.ndarray]:
        """Of the trials that were ended early and count as evidence: ids, losses (s,), vectors (s, k), say (s,)."""
        k = len(history.spec.objectives)
        if not early.any():
            return [], np.empty(0), np.empty((0, k)), np.empty(0)
        if self._evidence is None or self._evidence.objectives != history.spec.objectives:
            self._evidence = Evidence(history.spec.objectives)
        found = self._evidence.read([trial for trial in history.trials if trial.state.ended or trial.results])
        ids = [i for i in np.flatnonzero(early).tolist() if i in found]
        vectors = np.array([found[i].losses for i in ids]).reshape(len(ids), k)
        scores, say = (np.array([getattr(found[i], name) for i in ids]) for name in ("score", "say"))
        return ids, scores, vectors, say

    def _prior(self, spec: StudySpec) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if self._earlier is None or self._earlier[0] is not spec.prior:
            self._earlier = spec.prior, arrays(spec)
        return self._earlier[1]

    def _scores_of(self, vectors: np.ndarray) -> np.ndarray:
        """They change only when a trial finishes, so the latest ones are cached."""
        if not np.array_equal(vectors, self._scored[0]):
            self._scored = vectors, pareto.scores(vectors)
        return self._scored[1]

    def _reset(self, k: int = 1) -> None:
        d = len(self._space.dimensions)
        self._seen = TrialTable()  # those whose rows the arrays have
        self._points, self._vectors = np.empty((64, d)), np.empty((64, k))
        self._fates, self._resources = np.empty(64, dtype=np.int8), np.empty(64, dtype=np.int64)

    def _take(self, trial: Trial) -> None:
        i = trial.id
        if i == len(self._fates):
            grown = [np.concatenate([a, np.empty_like(a)]) for a in self._arrays]
            self._points, self._vectors, self._fates, self._resources = grown
        if i >= len(self._seen) or self._seen[i].proposal is not trial.proposal:
            self._points[i] = self._space.encode(trial.params)
            self._resources[i] = trial.proposal.resource or 0
        self._fates[i] = fate(trial)
        self._vectors[i] = trial.losses or 0.0

    @property
    def _arrays(self) -> tuple[np.ndarray, ...]:
        return self._points, self._vectors, self._fates, self._resources
