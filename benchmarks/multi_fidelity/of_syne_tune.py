"""Syne Tune: its schedulers, asked as its tuner asks them, in the simulated time of `clock`.

Version 0.16 has ASHA in the variant that stops trials; the one that pauses and promotes them is gone.
Conditions are unknown to it: all parameters are searched, and those that do not apply are dropped.
"""

from __future__ import annotations

import datetime
import logging
from typing import Any

import numpy as np
from syne_tune import config_space as cs
from syne_tune.backend.trial_status import Trial
from syne_tune.optimizer.baselines import ASHA, BOHB
from syne_tune.optimizer.scheduler import SchedulerDecision

from benchmarks.multi_fidelity.clock import Start
from benchmarks.multi_fidelity.curves import Curve, World
from benchmarks.search.peers import applies
from hpo_engine.space.searchspace import Choice, Int

logging.disable(logging.WARNING)
SCHEDULERS = {"syne-tune-asha": ASHA, "syne-tune-bohb": BOHB}


def make_syne_tune(word: str) -> Any:
    return lambda world, seed, workers, carry: SyneTune(world, seed, SCHEDULERS[word])


class SyneTune:
    live = True

    def __init__(self, world: World, seed: int, scheduler: Any) -> None:
        self._world, self._count = world, 0
        np.random.seed(seed)  # its ASHA draws brackets from the global generator
        space = {p.name: _domain(p) for p in world.space.dimensions}
        self._scheduler = scheduler(
            config_space=space, metric="loss", time_attr="epoch", max_t=world.most, random_seed=seed, do_minimize=True
        )

    def ask(self) -> Start | None:
        suggestion = self._scheduler.suggest()
        if suggestion is None:
            return None
        trial = Trial(self._count, suggestion.config, datetime.datetime(2026, 1, 1))
        self._count += 1
        self._scheduler.on_trial_add(trial)
        params: dict[str, Any] = {}
        for p in self._world.space.dimensions:
            if applies(p, params):
                params[p.name] = suggestion.config[p.name]
        return Start(trial, params, self._world.most)

    def report(self, token: Trial, step: int, loss: float) -> bool:
        decision = self._scheduler.on_trial_result(token, {"loss": loss, "epoch": step})
        return bool(decision == SchedulerDecision.CONTINUE)

    def ended(self, token: Trial, rows: Curve, stopped: bool) -> None:
        if not stopped:
            self._scheduler.on_trial_complete(token, {"loss": rows[-1][1], "epoch": rows[-1][0]})


def _domain(p: Any) -> Any:
    if isinstance(p, Choice):
        return cs.choice(list(p.choices))
    if isinstance(p, Int):
        return (cs.lograndint if p.log else cs.randint)(p.low, p.high)
    return (cs.loguniform if p.log else cs.uniform)(p.low, p.high)
