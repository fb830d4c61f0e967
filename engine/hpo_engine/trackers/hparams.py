"""What TensorBoard's HParams page shows of a study: its columns, and the row of each trial.

TensorBoard filters by type (a text filter over a number is an error there), so a column has one type for all trials:
number, bool, or else text. Knows the search space and the metrics seen; nothing of files.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from hpo_engine.space.searchspace import Choice, Constant, Float, Int
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective, Row
from hpo_engine.study.rows import metric_names
from hpo_engine.study.spec import StudySpec
from hpo_engine.trackers import tfevents
from hpo_engine.trackers.tfevents import HParam, HParamInfo, MetricInfo

MAX_PARAMS = 200
MAX_METRICS = 30
MAX_METRICS_A_ROW = 500
MAX_CHOICES = 50
MAX_TAG = 500
MAX_TEXT = 1000
_EXACT = 2**53  # TensorBoard's numbers are floats


class Columns:
    """The columns of one study; grows with the metrics of the trials it is shown."""

    def __init__(self, history: History) -> None:
        spec = history.spec
        self._infos = [_info(p) for p in spec.space.params[:MAX_PARAMS]]
        if spec.resource is not None:
            self._infos.append(
                HParamInfo(
                    spec.resource.name,
                    "number",
                    low=0.0,
                    high=float(spec.resource.max),
                    description="resource of a trial",
                )
            )
        self._types = {info.name: info.type for info in self._infos}
        self._metrics = dict.fromkeys([*(o.metric for o in spec.objectives), *spec.extra_metrics])
        for trial in history.trials:
            if trial.loss is not None:
                self._see(metric_names(trial.rows))
        self._record: tfevents.Stamped | None = None
        self.best_tags = best_tags(spec.objectives)

    def session(self, config: Mapping[str, Any], started_at: float) -> bytes:
        """The summary value that makes a run a row of the page; parameters that do not apply are left out."""
        values = {name: _as(self._types[name], v) for name, v in config.items() if name in self._types}
        return tfevents.session_start(values, started_at)

    def experiment(self, history: History, rows: tuple[Row, ...], now: float) -> bytes:
        """The record with all columns. It stands in every good trial's file (TensorBoard takes any one of them), so
        no run other than the trials is needed, and any trial's folder may be deleted."""
        if self._see(metric_names(rows)) or self._record is None:
            spec = history.spec
            infos = self._infos, list(self._metric_infos(spec))
            self._record = tfevents.Stamped([tfevents.experiment(_title(spec), history.opened_at, *infos)])
        return self._record.at(now)

    def _see(self, names: Collection[str]) -> bool:
        before = len(self._metrics)
        if before < MAX_METRICS and not self._metrics.keys() >= set(names):
            self._metrics.update(dict.fromkeys(sorted(names)))
        return len(self._metrics) > before

    def _metric_infos(self, spec: StudySpec) -> Iterator[MetricInfo]:
        word = "An objective" if spec.multi_objective else "The objective"
        for objective, tag in zip(spec.objectives, self.best_tags, strict=False):
            which = f"the best {objective.metric}" if objective.over == "best" else tag
            yield MetricInfo(tag, f"{word}: {which} of a trial ({objective.goal})")
        goals = {} if self.best_tags else {o.metric: o.goal for o in spec.objectives}
        for name in list(self._metrics)[:MAX_METRICS]:
            text = f"{word}: {goals[name]}" if name in goals else "The last value"
            yield MetricInfo(name[:MAX_TAG], text)


def best_tags(objectives: Sequence[Objective]) -> tuple[str, ...]:
    """The scalars that hold a trial's values, where these may differ from the metrics' last values; else none."""
    best = next((o.metric for o in objectives if o.over == "best"), None)
    if best is None:
        return ()
    return tuple(
        f"{o.metric} (best)"[:MAX_TAG] if o.over == "best" else f"{o.metric} (at best {best})"[:MAX_TAG]
        for o in objectives
    )


def metrics(row: Row) -> list[tuple[str, float]]:
    """The row's metrics as scalars (tag, value), without the names that TensorBoard keeps for itself or cannot show."""
    items = list(row.values.items())[:MAX_METRICS_A_ROW]
    return [(name[:MAX_TAG], value) for name, value in items if name and not name.startswith("_hparams_/")]


def _title(spec: StudySpec) -> str:
    return f"{spec.name}: {', '.join(f'{o.goal} {o.metric}' for o in spec.objectives)} ({spec.algorithm.name})"


def _info(param: Float | Int | Choice | Constant) -> HParamInfo:
    if isinstance(param, Choice):
        kind = _type(param.choices)
        shown = tuple(dict.fromkeys(_as(kind, v) for v in param.choices)) if len(param.choices) <= MAX_CHOICES else ()
        return HParamInfo(param.name, kind, shown, description=f"one of {len(param.choices)}")
    if isinstance(param, Constant):
        kind = _type((param.value,))
        return HParamInfo(param.name, kind, (_as(kind, param.value),), description="constant", differs=False)
    if isinstance(param, Int) and not param.power and max(abs(param.low), abs(param.high)) > _EXACT:
        return HParamInfo(param.name, "string", description=f"int, {param.low} to {param.high}")
    low, high = float(param.low), float(param.high)
    how = "log scale" if param.log else f"powers of {param.power:g}" if param.power else "linear"
    if param.power:
        low, high = sorted((_power(param.power, low), _power(param.power, high)))
    text = f"{param.kind}, {low:g} to {high:g}, {how}"
    if not (math.isfinite(low) and math.isfinite(high)):
        return HParamInfo(param.name, "number", description=text)
    return HParamInfo(param.name, "number", low=low, high=high, description=text)


def _power(base: float, exponent: float) -> float:
    try:
        return math.pow(base, exponent)
    except (OverflowError, ValueError):
        return math.inf


def _type(values: tuple[Any, ...]) -> str:
    if all(isinstance(v, bool) for v in values):
        return "bool"
    exact = (isinstance(v, float) or (type(v) is int and abs(v) <= _EXACT) for v in values)
    return "number" if all(exact) else "string"


def _as(kind: str, value: Any) -> HParam:
    """The value as the column's type; lists, null and mixtures as their JSON text."""
    if kind == "number" and isinstance(value, (int, float)):
        return float(value)
    if kind == "bool":
        return bool(value)
    return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))[:MAX_TEXT]
