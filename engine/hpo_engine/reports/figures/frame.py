"""The columns of a history as arrays, made once and shared by all figures. Knows no Plotly.

Notation: n trials, m objectives, d dimensions of the search space. Rows are trials in the order of their numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from hpo_engine.reports.figures import NothingToShow
from hpo_engine.reports.figures.words import assigned, label, words
from hpo_engine.space.searchspace import SearchSpace
from hpo_engine.study.history import History
from hpo_engine.study.reached import reached
from hpo_engine.study.spec import Params
from hpo_engine.study.trial import Trial, TrialState
from hpo_engine.text.tables import number, value


class Frame:
    """The trials of a history as columns; each is computed when it is first asked for."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.spec = history.spec
        self.trials: tuple[Trial, ...] = tuple(history.trials)

    def __len__(self) -> int:
        return len(self.trials)

    @cached_property
    def ids(self) -> np.ndarray:  # (n,) int
        return np.arange(len(self.trials), dtype=np.int64)

    @cached_property
    def states(self) -> np.ndarray:  # (n,) str: the values of TrialState
        return np.array([trial.state.value for trial in self.trials], dtype="U12")

    def where(self, *states: TrialState) -> np.ndarray:  # (n,) bool
        """The trials in one of these states."""
        return np.asarray(np.isin(self.states, [state.value for state in states]))

    @cached_property
    def losses(self) -> np.ndarray:  # (n, m), minimised; NaN without a result
        return self._vectors([trial.losses for trial in self.trials])

    @cached_property
    def values(self) -> np.ndarray:  # (n, m), in the user's own signs; NaN without a result
        return np.asarray(self.losses * self.signs)

    @cached_property
    def reached(self) -> np.ndarray:  # (n, m)
        """The values that trials had reached which were ended early; NaN for others, and if they had none."""
        found = [reached(trial, self.spec.objectives) for trial in self.trials]
        return np.asarray(self._vectors([() if one is None else one.losses for one in found]) * self.signs)

    @cached_property
    def signs(self) -> np.ndarray:  # (m,)
        """What turns losses into values, and back: 1 for what is minimised, -1 for what is maximised."""
        return np.array([-1.0 if aim.goal == "maximize" else 1.0 for aim in self.spec.objectives])

    @cached_property
    def completed(self) -> np.ndarray:  # (n,) bool: has a result
        return np.asarray(~np.isnan(self.losses).any(axis=1))

    @cached_property
    def comparable(self) -> np.ndarray:  # (n,) bool
        """The trials whose results compare with that of the best one: with as much of the resource as it had."""
        return np.asarray(self.completed & (self.trained == self.history.front_resource))

    @cached_property
    def front(self) -> np.ndarray:  # (n,) bool: no other trial dominates it; the best one of a single objective
        return np.isin(self.ids, self.history.front_ids)

    @cached_property
    def trained(self) -> np.ndarray:  # (n,) int: the resource of the latest result, 0 without
        return np.array([trial.trained for trial in self.trials], dtype=np.int64)

    @cached_property
    def started(self) -> np.ndarray:  # (n,) UTC seconds; NaN if it has not started
        return _column([trial.started_at for trial in self.trials])

    @cached_property
    def ended(self) -> np.ndarray:  # (n,) UTC seconds; NaN if it has not ended
        return _column([trial.ended_at for trial in self.trials])

    @cached_property
    def took(self) -> np.ndarray:  # (n,) seconds of the runs that its training is made of; NaN if unknown
        return _column([trial.took_s for trial in self.trials])

    @cached_property
    def params(self) -> tuple[Params, ...]:  # (n,)
        """The parameters behind each trial's latest result, of a trial without one those that it has."""
        return tuple([_params(trial) for trial in self.trials])

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The parameters that are searched, in the order of the study file."""
        return tuple(param.name for param in self.spec.space.dimensions)

    def column(self, name: str) -> list[Any]:  # (n,)
        """The values of a parameter as they are; None where it does not apply."""
        return [params.get(name) for params in self.params]

    @cached_property
    def unit(self) -> np.ndarray:  # (n, d)
        """The places of the parameters on their axes, in [0, 1]; NaN where one does not apply, or where a trial has a
        value that the space no longer holds."""
        vectors = [_vector(self.spec.space, params) for params in self.params]
        return np.array(vectors, dtype=float).reshape(len(vectors), len(self.names))

    @cached_property
    def hovers(self) -> np.ndarray:  # (n,) str
        """What a figure says of each trial when it is pointed at, as Plotly reads text."""
        return np.array([self._hover(i) for i in range(len(self))], dtype=object)

    def _hover(self, i: int) -> str:
        trial, aims = self.trials[i], self.spec.objectives
        lines = [f"<b>trial {i}</b> {trial.state.value.replace('_', ' ')}"]
        values = self.values[i] if self.completed[i] else self.reached[i]
        lines += [f"{label(a.metric)} = {number(v)}" for a, v in zip(aims, values, strict=True) if math.isfinite(v)]
        if self.spec.resource is not None and trial.trained:
            lines.append(f"{label(self.spec.resource.name)}: {trial.trained}")
        if trial.reason:
            lines.append(words(trial.reason))
        return "<br>".join([*lines, assigned([(name, value(v)) for name, v in self.params[i].items()])])

    def best_so_far(self, order: np.ndarray, objective: int = 0) -> np.ndarray:  # (k,) -> (k,)
        """The best value of an objective among the comparable trials up to each place of `order`; NaN before the first.

        Args:
            order: trial numbers, earliest first.
        """
        losses = np.where(self.comparable, self.losses[:, objective], math.inf)[order]
        best = np.minimum.accumulate(losses) if len(losses) else losses
        return np.asarray(np.where(np.isinf(best), math.nan, best) * self.signs[objective])

    def _vectors(self, rows: Sequence[Sequence[float]]) -> np.ndarray:
        m = len(self.spec.objectives)
        out = np.full((len(rows), m), math.nan)
        for i, row in enumerate(rows):
            if len(row) == m:
                out[i] = row
        return out


_latest: Frame | None = None


def frame_of(history: History) -> Frame:
    """The columns of a history; those of the latest one are kept, as a report draws many figures of one history."""
    global _latest
    kept = _latest
    if kept is None or kept.history is not history:
        kept = _latest = Frame(history)
    return kept


def with_results(history: History) -> Frame:
    """The columns of a history that has results. Raises NothingToShow if it has none."""
    frame = frame_of(history)
    if not frame.completed.any():
        raise NothingToShow(no_results(frame))
    return frame


def no_results(frame: Frame) -> str:
    """Why there is no result to show."""
    if not len(frame):
        return "no trial has been proposed yet"
    if frame.history.open_ids:
        return "no trial has a result yet"
    return "no trial has ended with a result"


def _params(trial: Trial) -> Params:
    """See `Frame.params`; the same as `History.result_config` without the resource."""
    attempt = trial.attempt_of(trial.results[-1]) if trial.results else None
    return trial.params if attempt is None else attempt.params


def _vector(space: SearchSpace, params: Params) -> list[float]:
    try:
        return space.vector(params)
    except ValueError:  # a value that the space no longer holds
        pass
    out = []
    for param in space.dimensions:
        axis = space.axis(param.name)
        known = param.name in params and axis.problem(params[param.name]) is None
        out.append(axis.encode(params[param.name]) if known else math.nan)
    return out


def _column(values: Sequence[float | None]) -> np.ndarray:
    return np.array([math.nan if value is None else value for value in values], dtype=float)
