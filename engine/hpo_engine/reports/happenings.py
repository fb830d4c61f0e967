"""The events of a study as JSON for programs: `watch --jsonl`. Names and fields stay, whatever the log's own form is.

Version 1. A later version may add events and fields; what is there keeps its name and its meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hpo_engine.study import events as log
from hpo_engine.study.history import History
from hpo_engine.study.trial import Exit

VERSION = 1


def happening(number: int, event: log.Event, history: History) -> dict[str, Any] | None:
    """The event as an object; None if it is of no use outside the engine.

    Args:
        number: the event's number in the study's log, from 1. history: the study right after it.
    """
    made = _KINDS.get(type(event))
    if made is None:
        return None
    name, fields = made
    return {
        "version": VERSION, "event": name, "number": number, "at": event.at, "study": history.spec.name,
        **fields(event, history),
    }  # fmt: skip


def ending(number: int, state: str, history: History) -> dict[str, Any]:
    """The last object of all: no engine runs the study any more."""
    best = history.best
    return {
        "version": VERSION, "event": "end", "number": number, "at": history.last_at, "study": history.spec.name,
        "state": state, "reason": history.reason, "best": None if best is None else best.id,
        "value": history.best_value,
    }  # fmt: skip


def _opened(event: Any, history: History) -> dict[str, Any]:
    spec = history.spec
    return {
        "objectives": [{"metric": aim.metric, "goal": aim.goal} for aim in spec.objectives],
        "algorithm": spec.algorithm.name,
        "trials": spec.budget.trials,
        "runs": spec.budget.runs,
        "parallel": spec.resources.parallel,
        "parameters": list(spec.space.names),
    }


def _queued(event: log.TrialQueued, history: History) -> dict[str, Any]:
    return {"params": dict(event.params), "first": bool(event.first), "earlier_study": event.study is not None}


def _proposed(event: log.TrialProposed | log.TrialCarriedOn, history: History) -> dict[str, Any]:
    trial = history.trials[event.trial]
    return {"trial": trial.id, "params": dict(trial.params), "resource": trial.proposal.resource}


def _started(event: log.AttemptStarted, history: History) -> dict[str, Any]:
    return {"trial": event.trial, "attempt": len(history.trials[event.trial].attempts)}


def _metrics(event: log.MetricsSeen, history: History) -> dict[str, Any]:
    rows = [{"step": row.step, "values": dict(row.values)} for row in event.rows]
    return {"trial": event.trial, "replace": event.replace, "rows": rows}


def _attempt_ended(event: log.AttemptEnded, history: History) -> dict[str, Any]:
    return {
        "trial": event.trial, "attempt": event.attempt, "reason": event.reason, "failure": event.failure,
        "exit": str(Exit.from_json(event.exit)), "paused": bool(event.paused),
    }  # fmt: skip


def _ended(event: log.TrialEnded, history: History) -> dict[str, Any]:
    trial = history.trials[event.trial]
    values = dict(zip([o.metric for o in history.spec.objectives], history.values(trial), strict=False))
    done = trial.state.value == "completed"
    return {
        "trial": trial.id, "state": event.state, "values": values if done and values else None,
        "reason": event.reason, "failure": event.failure, "best": trial.id in history.front_ids and done,
    }  # fmt: skip


def _trial(event: Any, history: History) -> dict[str, Any]:
    return {"trial": event.trial}


def _stop(event: log.StopAsked, history: History) -> dict[str, Any]:
    return {"trial": event.trial, "reason": event.why, "rule": event.rule}


def _closed(event: log.StudyClosed, history: History) -> dict[str, Any]:
    return {"state": event.state, "reason": event.reason, "best": history.best_id, "value": history.best_value}


_KINDS: Mapping[type[log.Event], tuple[str, Callable[[Any, History], dict[str, Any]]]] = {
    log.StudyOpened: ("study_opened", _opened),
    log.EngineStarted: ("engine_started", lambda event, _: {"pid": event.pid, "host": event.host}),
    log.TrialQueued: ("trial_queued", _queued),
    log.TrialProposed: ("trial_proposed", _proposed),
    log.TrialCarriedOn: ("trial_carried_on", _proposed),
    log.AttemptStarted: ("attempt_started", _started),
    log.MetricsSeen: ("metrics", _metrics),
    log.AttemptEnded: ("attempt_ended", _attempt_ended),
    log.TrialPaused: ("trial_paused", _trial),
    log.TrialResumed: ("trial_resumed", _trial),
    log.TrialReopened: ("trial_reopened", _trial),
    log.TrialEnded: ("trial_ended", _ended),
    log.StopAsked: ("stop_asked", _stop),
    log.SpecChanged: ("study_changed", lambda event, _: {"lines": list(event.lines or ()), "who": event.who}),
    log.StudyClosed: ("study_closed", _closed),
}
