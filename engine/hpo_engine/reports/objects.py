"""The JSON view of a history: what `--json` prints for a study, a trial, an attempt.

Imports next to nothing, as every verb of the command line begins with this.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hpo_engine.text.quoting import without_password

if TYPE_CHECKING:
    from hpo_engine.study.history import History
    from hpo_engine.study.trial import Attempt, Trial

_encode = json.JSONEncoder(allow_nan=False, default=str).encode


def state_word(state: str, led: bool) -> str:
    """The state from the log; "interrupted" if the log says running, but no engine runs the study."""
    return "interrupted" if state == "running" and not led else state


def summary(history: History, led: bool, now: float) -> dict[str, Any]:
    """The last line of `submit --json`, and the first fields of `show --json`."""
    return {
        "study": history.spec.name,
        "state": state_word(history.state.value, led),
        "best": best_object(history),
        **(front_object(history) if history.spec.multi_objective else {}),
        **({"reason": history.reason} if history.halted or history.by_rule else {}),
        "counts": {state.value: count for state, count in sorted(history.counts.items())},
        **({"trials": history.begun, "runs": history.runs} if history.spec.resource else {}),
        "seconds": round(history.elapsed_s(now), 3),
    }


def sources_object(history: History) -> list[dict[str, Any]]:
    """The metric sources that results have come from, if there was a choice."""
    return [
        {"source": f.key, "read": f.source, "steps": f.steps, "others": list(f.others), "trial": f.trial}
        for f in history.metrics_from
    ]


def provenance_object(history: History) -> dict[str, Any]:
    """What the study was run with: the command without secrets, the commit of the script's folder (null: it has none),
    and what each engine ran on that found another machine or other packages than the one before."""
    found = history.provenance
    return {
        "command": list(found.command),
        "code": None if found.code is None else found.code.to_json(),
        "runtimes": [runtime.to_json() for runtime in history.runtimes],
    }


def best_object(history: History) -> dict[str, Any] | None:
    """The best trial; with several objectives, the trial of the front that is best by the first one."""
    return None if history.best is None else member_object(history, history.best)


def front_object(history: History) -> dict[str, Any]:
    """For several objectives: the front, ordered by the first one, its hypervolume, and the reference point."""
    aims = history.spec.objectives
    reference = [aim.value(loss) for aim, loss in zip(aims, history.reference, strict=False)]
    return {
        "front": [member_object(history, history.trials[number]) for _, number in history.front],
        "hypervolume": history.hypervolume,
        "reference": dict(zip([aim.metric for aim in aims], reference, strict=False)) or None,
    }


def member_object(history: History, trial: Trial) -> dict[str, Any]:
    values = history.values(trial)
    several: dict[str, Any] = {"values": values_object(history, trial)} if history.spec.multi_objective else {}
    several |= metrics_object(history, trial)
    return {"trial": trial.id, "value": values[0], **several, "params": history.result_config(trial)}


def metrics_object(history: History, trial: Trial) -> dict[str, Any]:
    """The values of the extra metrics, if the study file names any."""
    from hpo_engine.reports.ranking import beside, beside_names

    names = beside_names(history.spec)
    return {"metrics": {**dict.fromkeys(names), **beside(history, trial)}} if names else {}


def values_object(history: History, trial: Trial) -> dict[str, float] | None:
    """Objective -> value; None if the trial has no result."""
    names = [aim.metric for aim in history.spec.objectives]
    return dict(zip(names, history.values(trial), strict=False)) or None


def reached_object(history: History, trial: Trial) -> dict[str, Any]:
    """What a trial that was ended early had reached; nothing for others."""
    from hpo_engine.study.reached import reached

    found = reached(trial, history.spec.objectives)
    if found is None:
        return {}
    losses = zip(history.spec.objectives, found.losses, strict=True)
    return {"reached": {"step": found.step, "values": {aim.metric: aim.value(loss) for aim, loss in losses}}}


def trial_object(history: History, trial: Trial) -> dict[str, Any]:
    from hpo_engine.study.lineage import has_schedule

    last = trial.rows[-1] if trial.rows else None
    values, several = values_object(history, trial), {}
    if history.spec.multi_objective:
        several = {"values": values, "front": trial.id in history.front_ids}
    return {
        "trial": trial.id,
        "state": trial.state.value,
        "value": None if values is None else values[history.spec.objectives[0].metric],
        **several,
        **metrics_object(history, trial),
        "params": history.result_config(trial),
        "attempts": len(trial.attempts),
        "started_at": trial.started_at,
        "ended_at": trial.ended_at,
        "failure": None if trial.failure is None else trial.failure.value,
        "reason": trial.reason,
        "cpu_s": trial.cpu_s,
        "memory_peak_mb": trial.memory_peak_mb,
        **({"results": results_object(history, trial)} if history.spec.resource else {}),
        **({"schedule": schedule_object(history, trial)} if has_schedule(history, trial) else {}),
        **reached_object(history, trial),
        "last_row": None if last is None else {"step": last.step, **last.values},
    }


def results_object(history: History, trial: Trial) -> list[dict[str, Any]]:
    """The trial's result for each amount of the resource that it was trained with."""
    objectives, out = history.spec.objectives, []
    for result in trial.results:
        values = [o.value(loss) for o, loss in zip(objectives, result.losses, strict=True)]
        several = {"values": {o.metric: v for o, v in zip(objectives, values, strict=True)}}
        out.append({
            "resource": result.resource, "attempt": result.attempt, "value": values[0],
            **(several if history.spec.multi_objective else {}),
        })  # fmt: skip
    return out


def schedule_object(history: History, trial: Trial) -> list[dict[str, Any]]:
    """The runs that led to the trial, one after the other, see `study.lineage`."""
    from hpo_engine.study.lineage import schedule

    objectives, out = history.spec.objectives, []
    for run in schedule(history, trial):
        values = [o.value(loss) for o, loss in zip(objectives, run.losses, strict=False)]
        several = {"values": dict(zip([o.metric for o in objectives], values, strict=False)) or None}
        out.append({
            "trial": run.trial, "attempt": run.attempt, "from": run.start, "to": run.end,
            "value": values[0] if values else None, **(several if history.spec.multi_objective else {}),
            "params": dict(run.params),
        })  # fmt: skip
    return out


def attempt_object(attempt: Attempt) -> dict[str, Any]:
    end = attempt.exit
    return {
        "attempt": attempt.number,
        "resource": attempt.resource,
        "resume_from": attempt.resume,
        "devices": attempt.devices,
        "variables": {name: without_password(text) for name, text in attempt.variables.items()},
        "started_at": attempt.started_at,
        "ended_at": attempt.ended_at,
        "exit": None if end is None else str(end),
        "stop_cause": None if end is None or end.stop_cause is None else end.stop_cause.value,
        "failure": None if attempt.failure is None else attempt.failure.value,
        "seconds": None if end is None else end.seconds,
        "cpu_s": None if end is None else end.cpu_s,
        "memory_peak_mb": None if end is None else end.memory_peak_mb,
    }


def dump(value: Any) -> str:
    """Strict JSON, in ASCII so that it is read alike in every locale; numbers that are not finite become null."""
    try:
        return _encode(value)
    except ValueError:  # some number in it is not finite
        if isinstance(value, dict):
            return f"{{{', '.join([f'{_encode(str(k))}: {dump(v)}' for k, v in value.items()])}}}"
        if isinstance(value, list | tuple):
            return f"[{', '.join(map(dump, value))}]"
        if isinstance(value, float):
            return "null"
        raise
