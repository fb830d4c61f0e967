"""PB2: the values of a copy by a Gaussian process of how much members improved, as it changes while they train.

Notation: n segments (one interval of one trial), d coordinates of the space, two more for the context of a segment: how
far training had come, and how good the trial was when it began. What is modelled is a segment's gain: loss before minus
loss after.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo_engine.maths.embedding import Embedding, Kinds
from hpo_engine.maths.transforms import tamed
from hpo_engine.searchers import trial_rng
from hpo_engine.searchers.pbt_explore import Explorer, Pick, number_rng
from hpo_engine.searchers.pbt_population import result_params
from hpo_engine.study.geometry import kinds_of
from hpo_engine.study.spec import Params, StudySpec
from hpo_engine.study.trial import Proposal, Result, Trial

if TYPE_CHECKING:
    from hpo_engine.maths.gp import Posterior
    from hpo_engine.study.history import History

_LEAST = 4  # segments with a gain before there is a model
_MOST = 200  # segments in the model, the latest ones
_WIDE, _NEAR = 256, 64  # configurations that the best one is chosen from: drawn anywhere, and around the source's
_REACH = 0.1  # standard deviation of the near ones, in lengths of an axis


class Bandit:
    """Chooses the values with the largest upper confidence bound of the gain.

    Time is one more coordinate of the process, with a lengthscale that is learned, in place of the paper's factor
    (1 - epsilon) ^ (|t - t'| / 2): both let old segments count less the faster things change. Copies that are under
    way count as if they had gained what is expected of them, so that several at once are not alike. Only parameters
    that may change are chosen. With several objectives the gain is the mean of theirs, each in units of its range.

    Source: Parker-Holder, Nguyen, Roberts, Provably Efficient Online Hyperparameter Optimization with Population-Based
    Bandits, NeurIPS 2020, Algorithm 1 and eq. 6; the loss as context as in the authors' code.
    """

    def __init__(self, spec: StudySpec, explorer: Explorer) -> None:
        self._spec, self._space, self._explorer = spec, spec.space, explorer
        kinds = kinds_of(spec.space)
        self._kinds = Kinds(np.append(kinds.levels, [0, 0]), np.append(kinds.optional, [False, False]))

    def suggest(
        self, history: History, source: Trial, trial_id: int, before: Sequence[Proposal]
    ) -> dict[str, Any] | None:
        """The configuration of a copy of `source`; None if there is not enough to learn from.

        Args:
            before: proposals of the same answer.
        """
        segments = list(_segments(history))[-_MOST:]
        if len(segments) < _LEAST:
            return None
        scale = _Scale(history)
        points = np.array([self._point(params, scale.context(start)) for params, start, _ in segments])
        gains = np.array([scale.loss(start) - scale.loss(end) for _, start, end in segments])
        posterior = self._posterior(points, tamed(-gains))
        pending = [self._point(p, scale.context(start)) for p, start in _under_way(history, before)]
        if pending:
            posterior = posterior.given(np.array(pending), posterior.predict(np.array(pending))[0])
        context = scale.context(source.results[-1])
        candidates = self._candidates(result_params(source), trial_id)
        if not candidates:
            return None
        mean, variance = posterior.predict(np.array([self._point(params, context) for params in candidates]))
        beta = 0.2 + math.log1p(0.4 * len(segments))
        return candidates[int(np.argmin(mean - np.sqrt(beta * variance)))]

    def _point(self, params: Params, context: tuple[float, float]) -> np.ndarray:  # (d + 2,)
        return np.append(self._space.encode(params), context)

    def _posterior(self, points: np.ndarray, values: np.ndarray) -> Posterior:
        from hpo_engine.maths.gp import Posterior, Priors, fit

        embedding = Embedding(self._kinds, points, tied=points.shape[1] > 40)
        return Posterior(embedding, fit(embedding, points, values, Priors(), turns=30), points, values)

    def _candidates(self, params: Params, trial_id: int) -> list[dict[str, Any]]:
        rng, drawn = trial_rng(self._spec, trial_id), number_rng(self._spec, trial_id, "begin to apply")
        places = {p.name: i for i, p in enumerate(self._space.dimensions)}
        at = np.nan_to_num(self._space.encode(params), nan=0.5)
        wide = rng.random((_WIDE, len(at)))
        near = np.clip(at + _REACH * rng.normal(size=(_NEAR, len(at))), 0.0, 1.0)

        def picked(point: np.ndarray) -> Pick:
            return lambda param: self._space.axis(param.name).decode(float(point[places[param.name]]))

        found = [self._explorer.with_values(params, picked(point), drawn) for point in np.concatenate([wide, near])]
        return [each for each in found if self._space.allows(each)]


class _Scale:
    """The losses of a history in units of their range, and the context of a segment."""

    def __init__(self, history: History) -> None:
        losses = np.array([r.now for trial in history.trials for r in trial.results if r.now], dtype=float)
        self._low = losses.min(axis=0)
        spread = losses.max(axis=0) / 2 - self._low / 2  # halved: the range of huge losses is beyond what numbers hold
        self._spread = np.where(spread > 0, spread, 1.0)
        self._most = (history.spec.resource.max if history.spec.resource else 1) or 1

    def loss(self, result: Result) -> float:
        """From 0, the best, to 1."""
        return float(((np.array(result.now) / 2 - self._low / 2) / self._spread).mean())

    def context(self, start: Result) -> tuple[float, float]:
        return (start.resource or 0) / self._most, self.loss(start)


def _segments(history: History) -> Iterator[tuple[Params, Result, Result]]:
    """What trials were trained with from one result to the next, of their own or of the trial they started from."""
    for trial in history.trials:
        start = _origin(history, trial)
        for result in trial.results:
            attempt = trial.attempt_of(result)
            if start is not None and start.now and result.now and attempt is not None:
                yield attempt.params, start, result
            start = result


def _under_way(history: History, before: Sequence[Proposal]) -> Iterator[tuple[Params, Result]]:
    for trial in history.open:
        start = trial.results[-1] if trial.results else _origin(history, trial)
        if start is not None and start.now:
            yield trial.params, start
    for proposal in before:
        if proposal.start_from is not None:
            yield proposal.params, history.trials[proposal.start_from].results[-1]


def _origin(history: History, trial: Trial) -> Result | None:
    if trial.origin is None:
        return None
    results = history.trials[trial.origin.trial].results
    return next((r for r in results if r.attempt == trial.origin.attempt), None)
