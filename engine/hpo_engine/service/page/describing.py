"""What the head of a study's page says: values for a template, made of a study as it stands."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpo_engine.service.desk import View
from hpo_engine.space.searchspace import Choice, Constant, Float, Int
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import BAD, Trial, TrialState
from hpo_engine.text.tables import counted, duration, safe_text

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_REASONS = 4
_ACTIVE = ("running", "queued")


@dataclass(frozen=True)
class Note:
    """A line above a study. `bad`: something went wrong. `trials`: the first of those that it is about."""

    text: str
    bad: bool = False
    trials: tuple[int, ...] = ()


@dataclass(frozen=True)
class Best:
    """The best trial, or of several objectives one of the front.

    `values`: metric, goal, value. `params`: name and value, those that are searched first; `fixed`: how many of the
    last ones are the same for all trials. `config`: its config.json.
    """

    trial: int
    values: tuple[tuple[str, str, float], ...]
    params: tuple[tuple[str, Any], ...]
    fixed: int
    config: str


@dataclass(frozen=True)
class Head:
    """See the template. `left_s`: seconds until it ends, None if unknown. `can`: the actions that make sense now."""

    done: int
    total: int | None
    unit: str
    counts: tuple[tuple[str, int], ...]
    elapsed_s: float
    left_s: float | None
    objectives: tuple[tuple[str, str], ...]
    algorithm: str
    algorithm_words: str
    best: Best | None
    front: int
    notes: tuple[Note, ...]
    can: frozenset[str]
    trials: int


def head_of(view: View, history: History, now: float) -> Head:
    """The head of a study that has a log.

    Args:
        now: UTC seconds.
    """
    from hpo_engine.trackers.eta import seconds_left

    spec, running = history.spec, view.state == "running"
    done, total = history.progress
    return Head(
        done=done, total=total, unit=history.progress_unit,
        counts=tuple((state.value, history.counts[state]) for state in TrialState if history.counts.get(state)),
        elapsed_s=history.elapsed_s(now if running else history.last_at),
        left_s=seconds_left(history, now) if running else None,
        objectives=tuple((aim.metric, aim.goal) for aim in spec.objectives),
        algorithm=spec.algorithm.name, algorithm_words=algorithm_words(spec),
        best=None if history.best is None else best_of(history, history.best), front=len(history.front),
        notes=tuple(_notes(view, history)), can=frozenset(_possible(view, history)), trials=len(history.trials),
    )  # fmt: skip


def best_of(history: History, trial: Trial) -> Best:
    """What is worth knowing of a trial of the front."""
    import json

    space = history.spec.space
    config = history.result_config(trial)
    fixed = [name for name in config if name in space and isinstance(space[name], Constant)]
    names = [name for name in config if name not in fixed] + fixed
    aims = history.spec.objectives
    return Best(
        trial.id,
        tuple((aim.metric, aim.goal, found) for aim, found in zip(aims, history.values(trial), strict=False)),
        tuple((name, config[name]) for name in names),
        len(fixed),
        json.dumps({**history.spec.base, **config}, indent=2),
    )


def algorithm_words(spec: StudySpec) -> str:
    """What the algorithm does, in one line; "" for one that is not built in: its code does not run here."""
    from hpo_engine.assembly import SEARCHERS, traits

    name = spec.algorithm.name
    summary = traits(name).card.summary if name in SEARCHERS else ""
    return summary.partition(";")[0]  # what comes after that is for those who choose


def axes_of(spec: StudySpec) -> list[dict[str, Any]]:
    """The searched parameters for scripts that draw: name, kind, ends, whether logarithmic, and choices as they are in
    the columns of trials."""
    out = list[dict[str, Any]]()
    for param in spec.space.dimensions:
        axis: dict[str, Any] = {"name": param.name}
        if isinstance(param, Choice):
            axis |= {"kind": "choice", "choices": [_cell(each) for each in param.choices]}
        elif isinstance(param, Float | Int):
            axis |= {"kind": param.kind, **_ends(param)}
        out.append(axis)
    return out


def _ends(param: Float | Int) -> dict[str, Any]:
    if param.power is None:
        return {"low": param.low, "high": param.high, "log": param.log}
    ends = sorted((float(param.power) ** param.low, float(param.power) ** param.high))
    return {"low": ends[0], "high": ends[1], "log": True}


def _cell(thing: Any) -> Any:
    """As `reports.columns` writes a value."""
    from hpo_engine.text.tables import cut, value

    if isinstance(thing, bool):
        return str(thing).lower()
    if thing is None:
        return None
    return thing if isinstance(thing, int | float) else cut(value(thing), 300)


def _notes(view: View, history: History) -> Iterator[Note]:
    """What a reader should know first: why it ended, what failed and why, what looks wrong."""
    from hpo_engine.executors.machine import waits
    from hpo_engine.reports.remarks import identical
    from hpo_engine.trackers.lines import metrics_are
    from hpo_engine.trackers.remedy import remedy

    if view.problem:
        yield Note(safe_text(view.problem), bad=True)
    if view.state == "interrupted":
        yield Note("its engine was ended from outside; nothing is lost, and it can be resumed")
    if history.reason and view.state != "running":
        yield Note(safe_text(history.reason), bad=bool(history.halted) or view.state == "failed")
    folder = "" if view.paths is None else view.paths.root
    if text := remedy(history, folder):
        yield Note(safe_text(text), bad=True)
    yield from failures(history.trials)
    if text := identical(history):
        yield Note(text, bad=True)
    if view.state == "running" and view.paths is not None and (line := waits(view.paths.root, os.environ)):
        yield Note(line)
    if view.elsewhere:
        yield Note(f"it was started from a terminal: {safe_text(view.elsewhere)}")
    for found in history.metrics_from:
        yield Note(metrics_are(found, history.spec))


def failures(trials: Sequence[Trial]) -> Iterator[Note]:
    """One note for each reason why trials failed, the commonest ones first."""
    from hpo_engine.trackers.lines import reason

    by_reason = dict[str, list[int]]()
    for trial in trials:
        if trial.state in BAD:
            by_reason.setdefault(reason(trial) or trial.state.value.replace("_", " "), []).append(trial.id)
    common = sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[1][0]))
    for why, numbers in common[:_MOST_REASONS]:
        yield Note(f"{counted(len(numbers), 'trial')} failed: {why}", bad=True, trials=tuple(numbers[:8]))
    if rest := sum(len(numbers) for _, numbers in common[_MOST_REASONS:]):
        yield Note(f"{counted(rest, 'trial')} more failed for other reasons", bad=True)


def _possible(view: View, history: History) -> Iterator[str]:
    if view.state in _ACTIVE:
        yield "stop"
    elif view.state != "damaged" and (view.state in ("stopped", "interrupted") or _may_run(history)):
        yield "resume"
    if any(history.counts.get(state) for state in BAD):
        yield "retry"
    yield from ("enqueue", "edit", "remove")


def _may_run(history: History) -> bool:
    """Whether there is something left to run."""
    return bool(history.queue or history.open_ids or history.revised)


def forecast(head: Head) -> str:
    """`about 12m 10s left`; "" if nobody knows."""
    return "" if head.left_s is None else f"about {duration(head.left_s, tenths=False)} left"
