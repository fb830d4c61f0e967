"""Which trials a list has, and in which order: conditions and a sort key as a query has them. Pure functions."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from hpo_engine.errors import Problem, SpecError, nearest
from hpo_engine.reports.ranking import WORDS, ordered, row_metrics, wanted
from hpo_engine.study.history import History
from hpo_engine.study.trial import Trial
from hpo_engine.text.quoting import quoted

Condition = Callable[[Trial], bool]
_SIGNS = ("<=", ">=", "!=", "=", "<", ">", "~")
MOST_CONDITIONS = 20


def chosen(history: History, where: Sequence[str], text: str, sort: str) -> list[Trial]:
    """The trials that meet all conditions, in order.

    Args:
        where: conditions such as `state=completed,failed`, `params.lr<0.01`, `metrics.loss<=0.3`, `params.kind~tree`
            (contains). A trial that lacks the value meets only `!=`.
        text: must occur in a trial's reason, state or one of its values; "": any.
        sort: as `show --sort` takes it; "": by number.

    Raises:
        SpecError: a condition or the sort key names nothing that the study has.
    """
    conditions = [_condition(history, each) for each in where]
    if text:
        conditions.append(_containing(history, text.lower()))
    trials: Sequence[Trial] = history.trials
    if sort and sort not in ("trial", "-trial"):
        try:
            trials = ordered(history, sort)
        except SpecError as error:
            raise SpecError([Problem("sort", str(error).removeprefix("--sort: "))]) from None
    found = [trial for trial in trials if all(met(trial) for met in conditions)]
    return found[::-1] if sort == "-trial" else found


def _condition(history: History, text: str) -> Condition:
    splits = _splits(text)
    if not splits:
        raise SpecError([Problem("where", f"{quoted(text)}: write NAME=VALUE, or another of {' '.join(_SIGNS)}")])
    known = _names(history)
    for name, sign, value in splits:
        if name in known:
            return _compared(known[name], sign, value, text)
    known |= {f"metrics.{name}": _metric(history, name) for name in row_metrics(history)}  # which reads all rows
    for name, sign, value in splits:
        if name in known:
            return _compared(known[name], sign, value, text)
    raise SpecError([Problem("where", f"the study has no {quoted(splits[0][0])}{nearest(splits[0][0], known)}")])


def _splits(text: str) -> list[tuple[str, str, str]]:
    """Every way to read a condition: name, sign, value. Names of parameters may have a sign in them."""
    found = []
    for at in range(1, len(text)):
        if sign := next((sign for sign in _SIGNS if text.startswith(sign, at)), ""):
            found.append((text[:at].strip(), sign, text[at + len(sign) :].strip()))
    return found


def _names(history: History) -> dict[str, Callable[[Trial], Any]]:
    """What trials can be chosen by, with how to get it; without the metrics that the study file does not name."""
    spec = history.spec
    names: dict[str, Callable[[Trial], Any]] = dict(WORDS)
    names["value"] = lambda trial: (history.values(trial) or (None,))[0]
    names["reason"] = lambda trial: trial.reason or None
    params = [*spec.space.names, *([spec.resource.name] if spec.resource else [])]
    metrics = dict.fromkeys([*(aim.metric for aim in spec.objectives), *spec.extra_metrics])
    for name in metrics:
        names[f"metrics.{name}"] = _metric(history, name)
    for name in params:
        names[f"params.{name}"] = _param(history, name)
    return names


def _param(history: History, name: str) -> Callable[[Trial], Any]:
    return lambda trial: history.result_config(trial).get(name)


def _metric(history: History, name: str) -> Callable[[Trial], float | None]:
    which = next((i for i, aim in enumerate(history.spec.objectives) if aim.metric == name), None)
    if which is not None:
        return lambda trial: values[which] if (values := history.values(trial)) else None
    how = wanted(history.spec, name)
    return lambda trial: how.pick(trial.rows)


def _compared(get: Callable[[Trial], Any], sign: str, text: str, whole: str) -> Condition:
    if sign in ("=", "!="):
        options = {text, *(each.strip() for each in text.split(","))}
        numbers = {float(each) for each in options if _is_number(each)}
        return lambda trial: (_among(get(trial), options, numbers)) is (sign == "=")
    if sign == "~":
        return lambda trial: (value := get(trial)) is not None and text.lower() in _said(value).lower()
    if not _is_number(text):
        raise SpecError([Problem("where", f"{quoted(whole)}: {sign} compares numbers, and {quoted(text)} is none")])
    limit = float(text)
    compare = {"<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge}[sign]
    return lambda trial: isinstance(value := get(trial), int | float) and bool(compare(value, limit))


def _among(value: Any, texts: set[str], numbers: set[float]) -> bool:
    if value is None:
        return False
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value in numbers
    return _said(value) in texts


def _said(value: Any) -> str:
    """As a study file would have it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_number(text: str) -> bool:
    try:
        return float(text) == float(text)
    except ValueError:
        return False


def _containing(history: History, text: str) -> Condition:
    def met(trial: Trial) -> bool:
        if text in trial.reason.lower() or text in trial.state.value or text == str(trial.id):
            return True
        return any(text in _said(value).lower() for value in history.result_config(trial).values())

    return met
