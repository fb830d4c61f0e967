"""Optuna: TPE (multivariate, as version 5 has it by default) with its pruners; each is asked after every step."""

from __future__ import annotations

from typing import Any

import optuna

from benchmarks.multi_fidelity.clock import Start
from benchmarks.multi_fidelity.curves import Curve, World
from benchmarks.search.peers import applies
from benchmarks.search.peers.of_optuna import _suggested

optuna.logging.set_verbosity(optuna.logging.ERROR)


def make_optuna(word: str) -> Any:
    return lambda world, seed, workers, carry: Optuna(world, seed, workers, PRUNERS[word])


PRUNERS = {
    "optuna-tpe": lambda most: optuna.pruners.NopPruner(),
    "optuna-median": lambda most: optuna.pruners.MedianPruner(),
    "optuna-percentile": lambda most: optuna.pruners.PercentilePruner(25.0),
    "optuna-halving": lambda most: optuna.pruners.SuccessiveHalvingPruner(),
    "optuna-hyperband": lambda most: optuna.pruners.HyperbandPruner(max_resource=most),
    "optuna-patient": lambda most: optuna.pruners.PatientPruner(optuna.pruners.MedianPruner(), patience=3),
}


class Optuna:
    def __init__(self, world: World, seed: int, workers: int, pruner: Any) -> None:
        made = pruner(world.most)
        self.live = not isinstance(made, optuna.pruners.NopPruner)
        self._world = world
        sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=workers > 1)
        self._study = optuna.create_study(sampler=sampler, pruner=made, study_name=f"seed-{seed}")

    def ask(self) -> Start | None:
        trial = self._study.ask()
        params: dict[str, Any] = {}
        for p in self._world.space.dimensions:
            if applies(p, params):
                params[p.name] = _suggested(trial, p)
        return Start(trial, params, self._world.most)

    def report(self, token: Any, step: int, loss: float) -> bool:
        token.report(loss, step)
        return not token.should_prune()

    def ended(self, token: Any, rows: Curve, stopped: bool) -> None:
        if stopped:
            self._study.tell(token, state=optuna.trial.TrialState.PRUNED)
        else:
            self._study.tell(token, rows[-1][1])
