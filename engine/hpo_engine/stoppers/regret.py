"""Ending the study when a model sees too little left to gain."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from hpo_engine.plugins.card import Card, Option
from hpo_engine.stoppers.rule import Rule
from hpo_engine.study.history import History
from hpo_engine.study.spec import Params, StudySpec
from hpo_engine.study.table import TrialTable
from hpo_engine.study.trial import Trial

if TYPE_CHECKING:
    from hpo_engine.stoppers.regret_model import RegretModel


class RegretStopper(Rule):
    """Ends the study when the regret of its best trial is less than `below`, by a model that is cautious.

    The regret is what the best configuration of the whole space would be better than the best one found. A Gaussian
    process of the results bounds it: its upper confidence bound at the best trial, less its lowest lower confidence
    bound anywhere in the space. Noise of the results does not count as something to gain.

    Results are those with as much of the resource as the best has. The model looks after each of the first forty
    results, then each time that there are a twentieth more.

    Source: Makarova et al., Automatic Termination for Hyperparameter Optimization, AutoML 2022, eq. 2, with the width
    of the bounds as there (GP-UCB of Srinivas et al. 2010, a fifth of it, delta = 0.1).
    """

    card = Card(
        summary="ends the study when a model expects that less than an amount can still be gained",
        suits="one objective and few parameters",
        source="Makarova et al., Automatic Termination for Hyperparameter Optimization, AutoML 2022",
        cost="30 to 100 ms per result",
        options={
            "below": Option(
                "what is too little to go on for, in the unit of the objective", float, least=0, above=True
            ),
            "min_trials": Option("results before the model is asked", int, 20, least=5),
        },
    )

    def __init__(self, spec: StudySpec, *, below: float | None = None, min_trials: int = 20) -> None:
        if below is None:
            raise ValueError(
                f"below is missing: the least gain of {spec.objectives[0].metric} that is worth going on for"
            )
        if spec.multi_objective:
            raise ValueError("needs one objective; several of them have no single best value")
        self._spec, self._below, self._min_trials = spec, below, min_trials
        self._table = TrialTable()
        self._results: list[_Found] = []  # in the order in which they ended
        self._most = 0
        self._known: tuple[Sequence[_Found], float] = (), float("inf")

    def end_study(self, history: History, now: float) -> str | None:
        self._look(history.trials)
        count = _asked_at(len(self._results))
        if count < self._min_trials or not self._spec.space.dimensions:
            return None
        found = tuple(self._results[:count])
        if self._known[0] != found:
            self._known = found, self._model.bound([each.params for each in found], [each.loss for each in found])
        bound = self._known[1]
        if not bound < self._below:
            return None
        metric = self._spec.objectives[0].metric
        return f"regret: at most {bound:.3g} of {metric} is still to be gained, by a model of {count} results"

    @cached_property
    def _model(self) -> RegretModel:
        from hpo_engine.stoppers.regret_model import RegretModel

        return RegretModel(self._spec.space, self._spec.seed or 0)

    def _look(self, trials: TrialTable) -> None:
        if trials is self._table:
            return
        news = [] if len(trials) < len(self._table) else [t for t in trials.changed(self._table) if t.results]
        most = max((trial.trained for trial in news), default=0)
        known = {each.id for each in self._results}
        if len(trials) < len(self._table) or most > self._most or any(trial.id in known for trial in news):
            news = [trial for trial in trials if trial.results]
            self._results, self._most = [], max((trial.trained for trial in news), default=0)
        self._table = trials
        for trial in news:
            if trial.trained == self._most:
                insort(self._results, _found(trial))


class _Found(NamedTuple):
    """A result; they are ordered by the time at which they ended."""

    at: float
    id: int
    loss: float
    params: Params


def _found(trial: Trial) -> _Found:
    assert trial.loss is not None
    attempt = trial.attempt_of(trial.results[-1])
    if attempt is None:
        return _Found(trial.ended_at or 0.0, trial.id, trial.loss, trial.params)
    return _Found(attempt.ended_at or 0.0, trial.id, trial.loss, attempt.params)


def _asked_at(count: int) -> int:
    """The number of results, at most `count`, that the model was last asked about."""
    step = 1
    while step * 40 <= count:
        step *= 2
    return count - count % step
