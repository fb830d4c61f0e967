"""Ending the study once its trials have used up what they may use in all."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import islice

from hpo_engine.plugins.card import Card, Option
from hpo_engine.stoppers.rule import Rule
from hpo_engine.study import usage
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.table import TrialTable
from hpo_engine.study.trial import Attempt, Trial, TrialState

_Use = Callable[[Trial, Attempt, History, float], float]
_ENOUGH, _LOOKED_AT = 3, 64  # trials that tell whether there are steps to count
_HOUR_S = 3600.0


class UsageStopper(Rule):
    """Ends the study when its attempts have used `epochs`, `seconds` or a `cost` in all; running trials are stopped.

    Every attempt counts: retries, trials that were carried on, what was interrupted, what runs now. Epochs are units of
    the study's resource; without one, steps of the rows that trials report. What a running trial trains counts when it
    is reported, so a study goes over a budget of epochs by at most what its trials had not reported.
    """

    card = Card(
        summary="ends the study when its trials have used up epochs, seconds or money",
        suits="a fixed amount of computing",
        options={
            "epochs": Option("units of the resource in all; without a resource, steps", float, least=0, above=True),
            "seconds": Option("seconds of running in all trials together", float, least=0, above=True),
            "cost": Option("what all trials may cost, in the unit of price and gpu_price", float, least=0, above=True),
            "price": Option("what one hour of a trial costs", float, 0.0, least=0),
            "gpu_price": Option("what one hour of a GPU costs", float, 0.0, least=0),
        },
    )

    def __init__(
        self,
        spec: StudySpec,
        *,
        epochs: float | None = None,
        seconds: float | None = None,
        cost: float | None = None,
        price: float = 0.0,
        gpu_price: float = 0.0,
    ) -> None:
        if epochs is None and seconds is None and cost is None:
            raise ValueError("epochs, seconds or cost is missing, as in budget epochs=300")
        if (cost is not None) != bool(price or gpu_price):
            raise ValueError("cost goes with price or gpu_price (per hour), as in budget cost=20 gpu_price=1.5")
        if gpu_price and not spec.resources.gpus:
            raise ValueError("gpu_price counts the GPUs that trials are given, and trial.gpus gives them none")
        unit = spec.resource.name if spec.resource else "steps"
        limits = (
            _Limit(epochs, unit, lambda trial, attempt, history, now: usage.epochs(trial, attempt, history)),
            _Limit(seconds, "seconds of trials", lambda trial, attempt, history, now: usage.seconds(attempt, now)),
            _Limit(cost, "cost", partial(_cost, price, gpu_price)),
        )
        self._limits = [limit for limit in limits if limit.most is not None]
        self._steps = spec.resource is None and epochs is not None

    def end_study(self, history: History, now: float) -> str | None:
        return next((why for limit in self._limits if (why := limit.spent(history, now))), None)

    def idle(self, history: History, now: float) -> str | None:
        if not self._steps:
            return None
        trials = [t for t in islice(history.trials, _LOOKED_AT) if t.state is TrialState.COMPLETED]
        if len(trials) < _ENOUGH or any(usage.epochs(t, t.attempts[-1], history) > 1 for t in trials if t.attempts):
            return None
        return (
            "stop: budget counts each trial as one step, because each reports one row; let the script write a row with "
            "its step after each epoch, or name a resource in the study file (docs/early-stopping.md)"
        )


class _Limit:
    """One limit and what has been used of it. `use`: what one attempt has used."""

    def __init__(self, most: float | None, unit: str, use: _Use) -> None:
        self.most, self._unit, self._use = most, unit, use
        self._table = TrialTable()
        self._ended: dict[int, float] = {}  # trials that do not run -> what they have used
        self._sum = 0.0

    def spent(self, history: History, now: float) -> str | None:
        assert self.most is not None
        self._look(history, now)
        running = [self._of(trial, history, now) for trial in history.running]
        used = math.fsum([self._sum, *running]) if running else self._sum
        if used < self.most:
            return None
        return f"budget spent: {used:.6g} of {self.most:g} {self._unit}"

    def _look(self, history: History, now: float) -> None:
        if history.trials is self._table:
            return
        if len(history.trials) < len(self._table):
            self._table, self._ended = TrialTable(), {}
        for trial in history.trials.changed(self._table):
            if trial.state is TrialState.RUNNING:
                self._ended.pop(trial.id, None)
            else:
                self._ended[trial.id] = self._of(trial, history, now)
        self._sum = math.fsum(self._ended.values())
        self._table = history.trials

    def _of(self, trial: Trial, history: History, now: float) -> float:
        return math.fsum(self._use(trial, attempt, history, now) for attempt in trial.attempts)


def _cost(price: float, gpu_price: float, trial: Trial, attempt: Attempt, history: History, now: float) -> float:
    each = price + gpu_price * usage.gpus(attempt, history.spec)
    return each * usage.seconds(attempt, now) / _HOUR_S
