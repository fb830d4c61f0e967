"""The trials of a study as columns: what a table of trials, on a page or in a program, shows, sorts and filters.

Pure functions of a history, and a cache of them for a history that grows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from hpo_engine.reports.ranking import wanted
from hpo_engine.space.params import Float, Int
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective, Row, pick_values
from hpo_engine.study.rows import pairs
from hpo_engine.study.trial import Trial, TrialState
from hpo_engine.system.collecting import uncollected
from hpo_engine.text.tables import cut, safe_text, value

CELL = 300
"""Characters of a cell's text; a trial's own page has the whole."""
_REASON = 400

_RUN = (
    ("duration", "duration", "seconds"),
    ("attempts", "attempts", "number"),
    ("steps", "last step", "number"),
    ("cpu", "processor", "seconds"),
    ("memory", "memory", "mebibytes"),
    ("started", "started", "time"),
    ("ended", "ended", "time"),
    ("origin", "started from", "number"),
    ("reason", "why it ended", "text"),
)
"""Key, name and kind of the columns on a trial's run."""


@dataclass(frozen=True)
class _Record:
    """The cells of one trial by the key of their column; `so_far`: values of objectives that are not results."""

    cells: Mapping[str, Any]
    so_far: Mapping[str, float]
    metrics: Mapping[str, float]
    params: Mapping[str, Any]


class Columns:
    """The columns of one study. Trials that have not changed since the last call cost nothing."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._history: History | None = None
        self._records: list[_Record] = []
        self._changed: list[int] = []
        self._metric_names: dict[str, None] = {}
        self._param_names: dict[str, None] = {}
        self._texts: set[str] = set()  # parameters with a value that is not a number

    def read(self, history: History) -> None:
        """Takes in a later state of the study."""
        before = self._history
        if before is not None and before.opened_at == history.opened_at and history.events <= before.events:
            return  # another reader was quicker
        if before is not None and before.opened_at != history.opened_at:
            self._forget()  # another study has its place
            before = None
        fresh = history.trials if before is None else history.trials.changed(before.trials)
        respecified = before is not None and before.spec != history.spec
        with uncollected():
            self._take(history, history.trials if respecified else fresh)
        self._history = history

    def _take(self, history: History, trials: Iterable[Trial]) -> None:
        for trial in trials:
            record = _record(history, trial)
            if trial.id < len(self._records):
                self._records[trial.id], self._changed[trial.id] = record, history.events
            else:
                self._records.append(record)
                self._changed.append(history.events)
            self._metric_names |= dict.fromkeys(record.metrics)
            self._param_names |= dict.fromkeys(record.params)
            self._texts.update([name for name, each in record.params.items() if isinstance(each, str)])

    @property
    def events(self) -> int:
        """The number of the latest event that has been taken in."""
        return -1 if self._history is None else self._history.events

    def to_json(self, since: int = -1) -> dict[str, Any]:
        """The columns as one JSON object.

        Args:
            since: the `events` of an earlier answer: only trials that have changed since are in it.
        """
        assert self._history is not None
        history = self._history
        chosen = [number for number, at in enumerate(self._changed) if at > since]
        records = [self._records[number] for number in chosen]
        columns = [_column("trial", "trial", "number", "", chosen)]
        columns.append(_column("state", "state", "state", "", [r.cells["state"] for r in records]))
        columns += self._objectives(history, records)
        columns += self._metrics(history, records)
        columns += self._params(history, records)
        columns += [_column(key, name, kind, "run", [r.cells[key] for r in records]) for key, name, kind in _RUN]
        return {
            "study": safe_text(history.spec.name), "events": history.events, "trials": len(self._records),
            "best": list(history.front_ids), "rows": chosen, "columns": columns,
        }  # fmt: skip

    def _objectives(self, history: History, records: Sequence[_Record]) -> list[dict[str, Any]]:
        out = []
        for aim in history.spec.objectives:
            key = f"value.{aim.metric}"
            column = _column(key, aim.metric, "number", "objective", [r.cells.get(key) for r in records])
            so_far = [r.so_far.get(aim.metric) for r in records]
            out.append({**column, "goal": aim.goal, "so_far": so_far})
            key = f"step.{aim.metric}"
            name = f"{aim.metric} at step" if history.spec.multi_objective else "at step"
            out.append(_column(key, name, "number", "objective", [r.cells.get(key) for r in records]))
        return out

    def _metrics(self, history: History, records: Sequence[_Record]) -> list[dict[str, Any]]:
        aims = {aim.metric for aim in history.spec.objectives}
        names = dict.fromkeys([*history.spec.extra_metrics, *self._metric_names])
        out = []
        for name in names:
            if name not in aims:
                column = _column(f"metric.{name}", name, "number", "metric", [r.metrics.get(name) for r in records])
                out.append({**column, "goal": history.spec.extra_metrics.get(name, "latest")})
        return out

    def _params(self, history: History, records: Sequence[_Record]) -> list[dict[str, Any]]:
        numbers = [param for param in history.spec.space.params if isinstance(param, Float | Int)]
        logarithmic = {param.name for param in numbers if param.log or param.power is not None}
        names = dict.fromkeys([*history.spec.config_names, *self._param_names])
        out = []
        for name in names:
            cells = [r.params.get(name) for r in records]
            column = _column(f"param.{name}", name, "text" if name in self._texts else "number", "param", cells)
            out.append({**column, "log": name in logarithmic})
        return out


class _Seen(NamedTuple):
    """What a trial's rows have of a metric: the value that counts for it, at which step it was, and the last step."""

    value: float | None
    step: float | None
    last: float


def _seen(rows: Sequence[tuple[float, Mapping[str, Any]]], aim: Objective) -> _Seen | None:
    name = aim.metric
    found = [(values[name], step) for step, values in rows if name in values]
    if not found:
        return None
    last = max([step for _, step in found])
    finite = [(v, step) for v, step in found if type(v) is not str and math.isfinite(v)]
    if aim.over == "last":
        value, step = found[-1]
        return _Seen(value if finite and finite[-1] == found[-1] else None, step, last)
    if not finite:
        return _Seen(None, None, last)
    best = (max if aim.goal == "maximize" else min)([v for v, _ in finite])
    return _Seen(best, next(step for v, step in finite if v == best), last)


def best_step(rows: Sequence[Row], aim: Objective, found: float) -> float | None:
    """The step of the row that an objective's value is from; None: no row has it."""
    steps = [step for step, values in pairs(rows) if values.get(aim.metric) == found]
    return None if not steps else steps[-1] if aim.over == "last" else steps[0]


def _record(history: History, trial: Trial) -> _Record:
    rows, aims = trial.rows, history.spec.objectives
    raw = list(pairs(rows))
    extra = [wanted(history.spec, name) for name in history.spec.extra_metrics]
    seen = {aim.metric: one for aim in (*extra, *aims) if (one := _seen(raw, aim)) is not None}
    latest = dict[str, Any]()
    for _, values in raw:
        latest.update(values)
    cells: dict[str, Any] = {
        "state": trial.state.value,
        "duration": _rounded(trial.took_s),
        "attempts": len(trial.attempts),
        "steps": max((seen[aim.metric].last for aim in aims if aim.metric in seen), default=None),
        "cpu": _rounded(trial.cpu_s),
        "memory": _rounded(trial.memory_peak_mb),
        "started": _rounded(trial.started_at),
        "ended": _rounded(trial.ended_at),
        "origin": None if trial.origin is None else trial.origin.trial,
        "reason": cut(safe_text(trial.reason), _REASON) or None,
    }
    results = history.values(trial)
    shown: Sequence[float | None] = results or _so_far(trial, seen, aims)
    for aim, found in zip(aims, shown, strict=False):
        one = seen.get(aim.metric)
        cells[f"value.{aim.metric}"] = _plain(found) if results else None
        if found is not None:
            same = one is not None and one.value == found
            cells[f"step.{aim.metric}"] = one.step if one is not None and same else best_step(rows, aim, found)
    so_far = {} if results else {a.metric: v for a, v in zip(aims, shown, strict=True) if v is not None}
    objectives = {aim.metric for aim in aims}
    values_of = {name: seen[name].value if name in seen else v for name, v in latest.items() if name not in objectives}
    metrics = {name: v for name, v in values_of.items() if v is not None and type(v) is not str and math.isfinite(v)}
    return _Record(cells, so_far, metrics, _params(history, trial))


def _so_far(trial: Trial, seen: Mapping[str, _Seen], aims: Sequence[Objective]) -> Sequence[float | None]:
    """Values of a trial without a result which has not failed: those so far, or what it had reached."""
    if trial.state not in (TrialState.RUNNING, TrialState.PAUSED, TrialState.PRUNED, TrialState.STOPPED):
        return [None] * len(aims)
    if len(aims) == 1:
        return [seen[aims[0].metric].value if aims[0].metric in seen else None]
    return pick_values(trial.rows, aims) or [None] * len(aims)


def _params(history: History, trial: Trial) -> dict[str, Any]:
    config = history.config if trial.state is TrialState.RUNNING else history.result_config
    return {name: _plain(found) for name, found in config(trial).items()}


def _column(key: str, name: str, kind: str, group: str, cells: list[Any]) -> dict[str, Any]:
    return {"key": key, "name": safe_text(name), "kind": kind, "group": group, "cells": cells}


def _plain(thing: Any) -> Any:
    """A number as it is (None if it is not finite, or more than a double holds), everything else as text."""
    if thing is None or isinstance(thing, bool):
        return None if thing is None else str(thing).lower()
    if isinstance(thing, int | float):
        if isinstance(thing, int) and abs(thing) >= 2**53:
            return str(thing)
        return thing if math.isfinite(thing) else None
    return cut(value(thing), CELL)


def _rounded(number: float | None) -> float | None:
    return None if number is None or not math.isfinite(number) else round(number, 3)
