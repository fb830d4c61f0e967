"""What is written about a study as runs of W&B, each as one message for the worker. Plain values; no wandb here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from hpo_engine.reports.objects import provenance_object, reached_object
from hpo_engine.study.history import History
from hpo_engine.study.objective import Row
from hpo_engine.study.trial import BAD, Attempt, Trial

Message = dict[str, Any]
"""`run`: its id. `start`: keyword arguments of wandb.init. `rows`: [[index, UTC seconds or None, metrics], ...], from
some index on. `summary`: values that sum it up. `end`: its exit code (None: it goes on). `key`: by which the worker
remembers that it has been written."""


def study_id(history: History) -> str:
    """The id of the study's own run, with which those of its trials begin; the same after a resume."""
    spec = history.opened_spec
    return hashlib.sha256(f"{spec.name} {history.opened_at!r} {spec.seed}".encode()).hexdigest()[:10]


def run_id(history: History, trial: Trial, attempt: Attempt) -> str:
    """The id of an attempt's run: the trial's, unless it begins anew after another one, whose curve it would spoil."""
    first = 1
    for other in (*trial.attempts[: attempt.number - 1], attempt):
        if other.number > 1 and other.resume != trial.id:
            first = other.number
    base = f"{study_id(history)}-{trial.id}"
    return base if first == 1 else f"{base}-{first}"


def name_of(history: History, trial: Trial) -> str:
    """`digits-12`."""
    return f"{history.spec.name}-{trial.id}"


def about(history: History, trial: Trial) -> dict[str, Any]:
    """What is under `hpo_engine` in the configuration of a trial's run."""
    found = provenance_object(history)
    runtime = found["runtimes"][-1] if found["runtimes"] else {}
    return {
        "study": history.spec.name,
        "trial": trial.id,
        "params": history.config(trial),
        "command": found["command"],
        "code": found["code"],
        "machine": runtime.get("machine"),
        "python": runtime.get("python"),
        "packages": runtime.get("packages"),
        "engine": runtime.get("engine"),
    }


def trial_message(
    history: History, trial: Trial, common: Mapping[str, Any], rows: Sequence[Row], first: int
) -> Message:
    """The trial's run from row `first` on, which ends with it.

    Args:
        common: arguments of wandb.init for all runs. rows: all of the trial's.
    """
    attempt = trial.attempts[-1]
    name = name_of(history, trial)
    start = {
        **common,
        "id": run_id(history, trial, attempt),
        "name": name if len(trial.attempts) == 1 else f"{name} (attempt {attempt.number})",
        "group": history.spec.name,
        "job_type": "trial",
        "config": {**history.config(trial), "hpo_engine": about(history, trial)},
    }
    times = _times(trial, rows)
    message: Message = {
        "run": start["id"],
        "start": start,
        "rows": [[i, times[i], _values(rows[i])] for i in range(first, len(rows))],
    }
    if trial.state.ended:
        message["summary"] = _summary(history, trial)
        message["end"] = 1 if trial.state in BAD else 0
        message["key"] = f"{start['id']} {trial.ended_at}"
    return message


def study_message(history: History, common: Mapping[str, Any]) -> Message:
    """The study's own run: a row per ended trial, and what is best so far."""
    aim = history.spec.objectives[0]
    best: float | None = None
    rows: list[Any] = []
    for trial in sorted(history.finished, key=lambda trial: trial.ended_at or 0.0):
        values = dict(zip((a.metric for a in history.spec.objectives), history.values(trial), strict=False))
        if trial.loss is not None and (best is None or trial.loss < aim.loss(best)):
            best = aim.value(trial.loss)
        row = {"step": len(rows) + 1, "trial": trial.id, "state": trial.state.value, **values}
        rows.append([len(rows), trial.ended_at, row if best is None else {**row, f"best/{aim.metric}": best}])
    summary: dict[str, Any] = {
        "state": history.state.value,
        "trials": {state.value: count for state, count in history.counts.items()},
    }
    if history.best is not None:
        summary["best"] = {"trial": history.best.id, "params": history.result_config(history.best)}
    start = {
        **common,
        "id": study_id(history),
        "name": history.spec.name,
        "group": history.spec.name,
        "job_type": "study",
        "config": {"space": history.spec.space.to_json(), "algorithm": history.spec.algorithm.name}
        | {"hpo_engine": provenance_object(history)},
    }
    key = f"{start['id']} {history.events}"
    return {"run": start["id"], "start": start, "rows": rows, "summary": summary, "end": 0, "key": key}


def _summary(history: History, trial: Trial) -> dict[str, Any]:
    values = dict(zip((aim.metric for aim in history.spec.objectives), history.values(trial), strict=False))
    found = {"state": trial.state.value, "reason": trial.reason, "values": values, **reached_object(history, trial)}
    return {"hpo_engine": {name: value for name, value in found.items() if value}}


def _times(trial: Trial, rows: Sequence[Row]) -> list[float | None]:
    """When each row was reported, as far as that is known: the last ones of `seen_at`, the end of the trial."""
    return [None] * len(rows) if trial.started_at is None else _spread(trial.started_at, trial.ended_at, len(rows))


def _spread(start: float, end: float | None, count: int) -> list[float | None]:
    """Evenly between the trial's beginning and its end; unknown while it runs."""
    if end is None:
        return [None] * count
    return [start + (end - start) * (i + 1) / count for i in range(count)]


def _values(row: Row) -> dict[str, float]:
    """The metrics of a row with its step, which is the x axis; one that is called so keeps its own value."""
    return {"step": row.step, **row.values}
