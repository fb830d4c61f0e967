"""Histories whose trials all have a result: a function evaluated at random configurations, and the same for Optuna."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hpo_engine.space.searchspace import Choice, Int, SearchSpace
from hpo_engine.study.history import Front, History
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.table import TrialTable
from hpo_engine.study.trial import Proposal, Result, Trial, TrialState
from hpo_engine.testing.histories import spec_of


def evaluated(
    space: SearchSpace, function: Callable[[Mapping[str, Any]], Any], n: int, seed: int = 0, **changes: Any
) -> History:
    """n random trials with these losses: a number, or a tuple of one for each objective.

    A trial is FAILED where the function returns None.
    """
    rng, trials, front, k = np.random.default_rng(seed), [], Front(), 1
    for i in range(n):
        params = space.sample(rng)
        found = function(params)
        losses = found if isinstance(found, tuple) else () if found is None else (found,)
        k = max(k, len(losses))
        results = (Result(0, None, losses),) if losses else ()
        state = TrialState.COMPLETED if losses else TrialState.FAILED
        trials.append(Trial(i, Proposal(params), state, results=results, started_at=2.0 * i, ended_at=2.0 * i + 3))
        if results:
            front.join(trials[-1], first=True)
    objectives = tuple(Objective("loss" if k == 1 else f"loss{j}") for j in range(k))
    spec: StudySpec = spec_of(space, **{"objectives": objectives, **changes})
    return History(spec, TrialTable(trials), **front.fields())


def optuna_study(history: History) -> Any:
    """The same trials as a study of Optuna."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(directions=["minimize"] * len(history.spec.objectives))
    spaces = {param.name: _distribution(param) for param in history.spec.space.dimensions}
    for trial in history.trials:
        own = {name: spaces[name] for name in trial.params}
        study.add_trial(
            optuna.trial.create_trial(params=dict(trial.params), distributions=own, values=list(trial.losses))
        )
    return study


def _distribution(param: Any) -> Any:
    from optuna import distributions

    if isinstance(param, Choice):
        return distributions.CategoricalDistribution(param.choices)
    if isinstance(param, Int):
        return distributions.IntDistribution(param.low, param.high, log=param.log)
    return distributions.FloatDistribution(param.low, param.high, log=param.log, step=param.step)
