"""Trials in a requested order, their other metrics, and a history judged by another metric.

Pure functions of a history; nothing is trained and nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from hpo_engine.errors import EngineError, SpecError, nearest
from hpo_engine.study.history import Front, History, moved
from hpo_engine.study.objective import Objective
from hpo_engine.study.reached import Reached, reached
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.table import TrialTable
from hpo_engine.study.trial import Result, Trial, TrialState
from hpo_engine.study.values import changed
from hpo_engine.text.quoting import listed
from hpo_engine.text.tables import counted

WORDS: Mapping[str, Callable[[Trial], Any]] = {
    "trial": lambda t: t.id,
    "state": lambda t: t.state.value,
    "duration": lambda t: t.took_s,
    "attempts": lambda t: len(t.attempts),
    "started": lambda t: t.started_at,
    "ended": lambda t: t.ended_at,
}
"""Sort keys other than metrics and parameters."""


# -- metrics of interest -----------------------------------------------------------------------------------------------


def beside_names(spec: StudySpec) -> list[str]:
    """The names under `metrics:` that are not objectives."""
    return [name for name in spec.extra_metrics if all(name != aim.metric for aim in spec.objectives)]


def beside(history: History, trial: Trial) -> dict[str, float]:
    """Of each metric under `metrics:` the lowest, the highest or the latest value, as it says there."""
    found = {name: wanted(history.spec, name).pick(trial.rows) for name in beside_names(history.spec)}
    return {name: value for name, value in found.items() if value is not None}


def wanted(spec: StudySpec, name: str) -> Objective:
    """How a metric counts: as an objective says, as `metrics:` says, else by its latest value."""
    aim = next((aim for aim in spec.objectives if aim.metric == name), None)
    goal = spec.extra_metrics.get(name, "latest")
    if aim is not None:
        return aim
    return Objective(name, goal) if goal in ("minimize", "maximize") else Objective(name, over="last")


def newest(trial: Trial, name: str) -> float | None:
    """The metric's value in the latest row that has it."""
    return next((v for row in reversed(trial.rows) if (v := row.values.get(name)) is not None), None)


def row_metrics(history: History) -> dict[str, int]:
    """Every metric in the trials' rows, and how many trials have it; the commonest first."""
    counts: dict[str, int] = {}
    for trial in history.trials:
        for name in dict.fromkeys(name for row in trial.rows for name in row.values):
            counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


# -- order -------------------------------------------------------------------------------------------------------------


def best_first(history: History) -> list[Trial]:
    """The trials with a result by their loss (of the first objective), those with the most of the resource first."""
    return sorted([t for t in history.trials if t.results], key=lambda t: (-t.trained, t.losses[0], t.id))


def farthest(history: History) -> tuple[Trial, Reached] | None:
    """Of the trials that were ended early, the best one (by the first objective) of those that came farthest, as only
    values at the same step compare; None if there is none with a value."""
    early = [(t, r) for t in history.trials if (r := reached(t, history.spec.objectives)) is not None]
    last = max((r.step for _, r in early), default=None)
    return min((pair for pair in early if pair[1].step == last), key=lambda p: (p[1].losses[0], p[0].id), default=None)


def tied(history: History) -> list[int]:
    """The ids of the other trials that have the best trial's loss with as much of the resource; for one objective."""
    best = history.best
    if best is None or history.spec.multi_objective:
        return []
    wanted_result = best.trained, best.losses
    return [t.id for t in history.trials if t.results and t is not best and (t.trained, t.losses) == wanted_result]


def ordered(history: History, name: str, *, reverse: bool = False) -> list[Trial]:
    """All trials by that value, those without one at the end; of a metric with a goal, the best first.

    Args:
        name: a metric, a parameter (or the resource), or one of WORDS; `-NAME` turns the order round, and
            `params.NAME` and `metrics.NAME` say which of two is meant.

    Raises:
        SpecError: there is nothing of that name.
    """
    if name.startswith("-"):
        name, reverse = name[1:], not reverse
    get = _getter(history, name)
    found = [(key, trial) for trial in history.trials if (key := get(trial)) is not None]
    rest = [trial for trial in history.trials if get(trial) is None]
    found.sort(key=lambda pair: pair[0], reverse=reverse)
    return [trial for _, trial in found] + rest


def _getter(history: History, name: str) -> Callable[[Trial], Any]:
    spec = history.spec
    kind, _, rest = name.partition(".")
    params = {*spec.space.names, *([spec.resource.name] if spec.resource else [])}
    if kind == "params" and rest in params:
        return _param(history, rest)
    if kind == "metrics" and rest:
        return _metric(history, rest)
    if name == "value":
        return _metric(history, spec.objectives[0].metric)
    if name in WORDS:
        return WORDS[name]
    if any(aim.metric == name for aim in spec.objectives) or name in spec.extra_metrics:
        return _metric(history, name)
    if name in params:
        return _param(history, name)
    if name in row_metrics(history):
        return _metric(history, name)
    known = [
        *WORDS,
        "value",
        *params,
        *(aim.metric for aim in spec.objectives),
        *spec.extra_metrics,
        *row_metrics(history),
    ]
    raise SpecError(f'--sort: {spec.name} has no metric or parameter "{name}"{nearest(name, known)}')


def is_metric(history: History, name: str) -> bool:
    """Whether `name` stands for a metric when trials are sorted by it, and not for anything else."""
    resource = history.spec.resource
    other = name in WORDS or name in history.spec.space or (resource is not None and name == resource.name)
    return not other and name in row_metrics(history)


def _param(history: History, name: str) -> Callable[[Trial], Any]:
    def get(trial: Trial) -> Any:
        value = history.result_config(trial).get(name)
        if value is None:
            return None
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return (0, value, "") if is_number else (1, 0, str(value))

    return get


def _metric(history: History, name: str) -> Callable[[Trial], Any]:
    how = wanted(history.spec, name)
    which = next((i for i, aim in enumerate(history.spec.objectives) if aim.metric == name), None)

    def get(trial: Trial) -> Any:
        if which is not None:  # the value that the trial was judged by; failed and running trials have none
            return None if not trial.losses else (-trial.trained, trial.losses[which])
        value = how.pick(trial.rows)
        return None if value is None else (0, how.loss(value))

    return get


# -- judged again ------------------------------------------------------------------------------------------------------


def objective_for(history: History, metric: str | None, goal: str | None, over: str | None) -> Objective:
    """The objective that somebody asks for afterwards; what is left out is as the study file has it for that metric.

    Raises:
        SpecError: the goal is known from nowhere. EngineError: no trial has the metric.
    """
    spec = history.spec
    named = next(
        (aim for aim in spec.objectives if aim.metric == metric), spec.objectives[0] if metric is None else None
    )
    if named is not None:
        return replace(named, goal=goal or named.goal, over=over or named.over)
    assert metric is not None
    given = spec.extra_metrics.get(metric)
    goal = goal or (given if given in ("minimize", "maximize") else None)
    objective = Objective(
        metric, goal or "", over or ("last" if given not in (None, "minimize", "maximize") else "best")
    )
    if goal is None:
        if metric not in row_metrics(history):
            raise EngineError(_none(history, objective.metric))
        raise SpecError(f"--metric {metric}: add --goal minimize or --goal maximize; the study file gives it no goal")
    return Objective(metric, goal, over or ("last" if given not in (None, "minimize", "maximize") else "best"))


def judged_again(history: History, objective: Objective) -> History:
    """The history as it would be if the study had this one objective: from the rows that are there.

    A trial counts if it ended by itself with exit code 0: as COMPLETED, or as FAILED for its metrics alone. Trials that
    crashed, or were stopped on the way, stay what they are. The former objectives stand beside the new one.

    Raises:
        EngineError: no trial has a value of the metric.
    """
    spec = history.spec
    before = {aim.metric: aim.goal if aim.over == "best" else "latest" for aim in spec.objectives}
    before = {
        name: goal for name, goal in before.items() if any(name in row.values for t in history.trials for row in t.rows)
    }
    extra = {name: goal for name, goal in {**before, **spec.extra_metrics}.items() if name != objective.metric}
    spec = replace(spec, objectives=(objective,), extra_metrics=extra)
    trials = [_judged(trial, objective) for trial in history.trials]
    if not any(trial.state is TrialState.COMPLETED for trial in trials):
        raise EngineError(_none(history, objective.metric))
    front = Front()
    for trial in sorted(trials, key=lambda t: (t.ended_at or 0.0, t.id)):
        if trial.results:
            front.join(trial, first=True)
    return changed(history, spec=spec, trials=TrialTable(trials), **moved(History(spec), trials), **front.fields())


def _judged(trial: Trial, objective: Objective) -> Trial:
    if trial.results and trial.state is not TrialState.COMPLETED:  # it has not got further since it was carried on
        before = objective.pick(trial.base)
        results = () if before is None else (Result(trial.done, trial.trained, (objective.loss(before),)),)
        return replace(trial, results=results)
    if not whole(trial):
        return trial
    value = objective.pick(trial.rows)
    if value is None:
        reason = f'trial {trial.id}: no finite "{objective.metric}" in its rows'
        return replace(trial, state=TrialState.FAILED, results=(), reason=reason)
    reason = trial.reason if trial.state is TrialState.COMPLETED else ""
    result = Result(len(trial.attempts), trial.proposal.resource, (objective.loss(value),))
    return replace(trial, state=TrialState.COMPLETED, results=(result,), reason=reason)


def whole(trial: Trial) -> bool:
    """Whether the trial ran to its own end, so that its rows are all that it had to say."""
    if trial.state is TrialState.COMPLETED:
        return True
    ended = trial.attempt.exit if trial.attempt is not None else None
    return trial.state is TrialState.FAILED and ended is not None and ended.clean


def _none(history: History, metric: str) -> str:
    name = history.spec.name
    there = row_metrics(history)
    if metric in there:
        have = counted(there[metric], "trial has", "trials have")
        if any(whole(t) and any(metric in row.values for row in t.rows) for t in history.trials):
            return f'{name}: {have} "{metric}", but no finite value of it counts'
        return f'{name}: {have} "{metric}", but none ended by itself, with exit code 0'
    if not there:
        return f'{name}: no trial has a metric "{metric}", nor any other'
    names = listed([f'"{n}" ({counted(count, "trial")})' for n, count in there.items()], 12)
    hint = nearest(metric, there).removeprefix("; ")
    hint = f" ({hint})" if hint.startswith("did you mean") else ""
    return f'{name}: no trial has a metric "{metric}"{hint}; there are {names}'
