"""What the API says of studies and trials, beside what `--json` of the command line says, which it repeats."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from hpo_engine.reports import objects
from hpo_engine.text.quoting import without_password

if TYPE_CHECKING:
    from hpo_engine.service.desk import View
    from hpo_engine.study.history import History
    from hpo_engine.study.spec import StudySpec
    from hpo_engine.study.trial import Trial

_MOST_QUEUED = 1000


def brief_object(view: View) -> dict[str, Any]:
    """A study in a list: from its summary, so that a list of hundreds reads no history."""
    found, spec = view.summary, None if view.summary is not None else view.spec
    out: dict[str, Any] = {
        "study": view.name,
        "state": view.state,
        "owner": view.owner,
        "created": view.created,
        "elsewhere": view.elsewhere,
        "problem": view.problem,
        "recovery": view.recovery,
    }
    if found is None:
        metrics = [] if spec is None else [aim.metric for aim in spec.objectives]
        algorithm, total = (None, None) if spec is None else (spec.algorithm.name, spec.budget.trials)
        return {
            **out, "algorithm": algorithm, "metrics": metrics, "best": None, "front_size": 0, "done": 0, "total": total,
            "runs": 0, "counts": {}, "last_at": view.created, "folder": "",
        }  # fmt: skip
    return {
        **out,
        "algorithm": found.algorithm,
        "metrics": list(found.metrics),
        "best": None if found.best is None else {"trial": found.best[0], "value": found.best[1]},
        "front_size": found.front,
        "done": found.done,
        "total": found.total,
        "runs": found.runs,
        "counts": dict(found.counts),
        "last_at": found.last_at,
        "folder": "" if view.paths is None else view.paths.root,
    }


def study_object(view: View) -> dict[str, Any]:
    """A study in full, without its trials. One that has not begun: as far as it is known."""
    out, history, spec = brief_object(view), view.history, view.spec
    if spec is None:
        return {**out, "events": 0}
    out = {**out, "events": 0, **_asked(spec)}
    if history is None:
        return out
    progress = history.progress
    return {
        **out,
        **objects.summary(history, view.state == "running", time.time()),
        "study": view.name,  # its folder's, which may have been renamed
        "state": view.state,
        "reason": history.reason or view.problem,
        "events": history.events,
        "done": progress[0],
        "total": progress[1],
        "unit": history.progress_unit,
        "queue": [{"number": entry.number, "params": dict(entry.params)} for entry in history.queue[:_MOST_QUEUED]],
        "queued": len(history.queue),
        "metrics_from": objects.sources_object(history),
        "provenance": objects.provenance_object(history),
        "folder": "" if view.paths is None else view.paths.root,
    }


def _asked(spec: StudySpec) -> dict[str, Any]:
    """What the study was asked to be."""
    from hpo_engine.studyfile.native import to_native

    return {
        "objectives": [{"metric": aim.metric, "goal": aim.goal, "over": aim.over} for aim in spec.objectives],
        "extra_metrics": dict(spec.extra_metrics),
        "space": to_native(spec).get("space", {}),
        "seed": spec.seed,
        "limits": {
            "trials": spec.budget.trials,
            "runs": spec.budget.runs,
            "time_limit_s": spec.budget.time_s,
            "parallel": spec.resources.parallel,
        },
        "resource": None if spec.resource is None else {"name": spec.resource.name, "max": spec.resource.max},
        "notes": list(spec.notes),
        "made_of": "study file" if spec.submitted_code is None else "WMLA request",
    }


def update_object(history: History, trial: Trial) -> dict[str, Any]:
    """What a list of trials shows of one, for events: small, and whole."""
    values = history.values(trial)
    last = trial.rows[-1] if trial.rows else None
    aims = [aim.metric for aim in history.spec.objectives]
    return {
        "trial": trial.id,
        "state": trial.state.value,
        "value": values[0] if values else None,
        **({"values": dict(zip(aims, values, strict=False)) or None} if len(aims) > 1 else {}),
        "params": history.result_config(trial),
        "started_at": trial.started_at,
        "ended_at": trial.ended_at,
        "reason": trial.reason,
        "step": None if last is None else last.step,
        "latest": {name: last.values[name] for name in aims if name in last.values} if last is not None else {},
    }


def detail_object(history: History, trial: Trial) -> dict[str, Any]:
    """A trial in full, without its rows."""
    attempt = trial.attempt
    return {
        **objects.trial_object(history, trial),
        "config": history.whole_config(trial),
        "metrics_seen": metrics_seen(history, trial),
        "runs": [objects.attempt_object(each) for each in trial.attempts],
        "lineage": lineage_object(history, trial),
        "rows": len(trial.rows),
        "checkpoint": trial.results[-1].checkpoint if trial.results else None,
        "checkpoint_bytes": trial.checkpoint_bytes,
        "variables": {}
        if attempt is None
        else {name: without_password(text) for name, text in attempt.variables.items()},
        "resource": trial.proposal.resource,
        "proposed_at": trial.proposed_at,
        "paused": trial.state.value == "paused",
    }


def metrics_seen(history: History, trial: Trial) -> dict[str, Any]:
    """Of every metric in the rows its latest value, the extremes with the steps at which they were, and which of these
    counts (`counts`: min, max, latest, or None if the study says nothing of it)."""
    found: dict[str, dict[str, Any]] = {}
    for row in trial.rows:
        for name, value in row.values.items():
            one = found.setdefault(name, {"latest": value, "latest_step": row.step, **dict.fromkeys(_EXTREMES)})
            one["latest"], one["latest_step"] = value, row.step
            if value != value:
                continue
            if one["min"] is None or value < one["min"]:
                one["min"], one["min_step"] = value, row.step
            if one["max"] is None or value > one["max"]:
                one["max"], one["max_step"] = value, row.step
    for name, one in found.items():
        one["counts"] = _counting(history, name)
    return found


_EXTREMES = ("min", "min_step", "max", "max_step")


def _counting(history: History, name: str) -> str | None:
    from hpo_engine.reports.ranking import wanted

    spec = history.spec
    if name not in spec.extra_metrics and all(aim.metric != name for aim in spec.objectives):
        return None
    aim = wanted(spec, name)
    return "latest" if aim.over == "last" else "max" if aim.goal == "maximize" else "min"


def lineage_object(history: History, trial: Trial) -> dict[str, Any]:
    """Where the trial's files come from, and which trials began with its own."""
    origin = trial.origin
    return {
        "started_from": None if origin is None else origin.trial,
        "at_step": None if origin is None else origin.step,
        "repeats": trial.proposal.repeats,
        "replaces": trial.proposal.replaces,
        "queued": None if trial.proposal.queued is None else trial.proposal.queued.number,
        "note": None if trial.proposal.note is None else dict(trial.proposal.note),
        "started_others": [t.id for t in history.trials if t.origin is not None and t.origin.trial == trial.id],
    }
