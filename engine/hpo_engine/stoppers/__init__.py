"""Rules that end trials and studies early, as functions of (history, now). No clock, no process, no file.

A rule may keep what it has computed from trials that did not change since; dropping that changes no answer, so that a
study that was killed and resumed ends in the same way as one that was not.
"""

from __future__ import annotations

import logging
import reprlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from hpo_engine.errors import EngineError, StopperError
from hpo_engine.plugins.raised import described
from hpo_engine.stoppers.alike import AlikeStopper
from hpo_engine.stoppers.diverged import DivergedStopper
from hpo_engine.stoppers.misnamed import MisnamedStopper
from hpo_engine.stoppers.rank import RankStopper
from hpo_engine.stoppers.rule import Halt, Rule, TrialEnd
from hpo_engine.study.history import History
from hpo_engine.study.trial import Trial

__all__ = [
    "AlikeStopper",
    "BudgetStopper",
    "DivergedStopper",
    "FirstOf",
    "Halt",
    "MisnamedStopper",
    "RankStopper",
    "Rule",
    "TrialEnd",
]

_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")


class FirstOf(Rule):
    """Several rules; the first one with a reason decides. Raises StopperError for one that raises, or that answers with
    anything but a reason in words or None."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)

    def diverged(self, trial: Trial, history: History, now: float) -> str | None:
        return self._first(lambda rule: _reason(rule, rule.diverged(trial, history, now)))

    def end_trial(self, trial: Trial, history: History, now: float) -> TrialEnd | str | None:
        found: TrialEnd | str | None = self._first(lambda rule: _trial_end(rule, rule.end_trial(trial, history, now)))
        return found

    def stalled(self, trial: Trial, history: History, now: float) -> str | None:
        able = [rule for rule in self._rules if _has(rule, "stalled")]
        return _first(able, lambda rule: _reason(rule, rule.stalled(trial, history, now)))

    def end_study(self, history: History, now: float) -> str | None:
        return self._first(lambda rule: _reason(rule, rule.end_study(history, now)))

    def halt(self, history: History, now: float) -> Halt | None:
        return self._first(lambda rule: _halt(rule, rule.halt(history, now)))

    def idle(self, history: History, now: float) -> str | None:
        """The reasons of all rules, one per line."""
        found = [
            _asked(rule, lambda rule: _reason(rule, rule.idle(history, now)))
            for rule in self._rules
            if _has(rule, "idle")
        ]
        return "\n".join(dict.fromkeys(filter(None, found))) or None

    def _first(self, ask: Callable[[Rule], _Answer | None]) -> _Answer | None:
        return _first(self._rules, ask)


def _first(rules: Sequence[Rule], ask: Callable[[Rule], _Answer | None]) -> _Answer | None:
    for rule in rules:
        if answer := _asked(rule, ask):
            return answer
    return None


def _asked(rule: Rule, ask: Callable[[Rule], _Answer | None]) -> _Answer | None:
    try:
        return ask(rule)
    except EngineError as error:
        raise StopperError(str(error)) from error
    except BaseException as error:  # a plugin ends its study, not the engine
        _log.debug("a stopper raised", exc_info=error)
        raise StopperError(f"the stopper {type(rule).__name__} failed: {described(error)}") from error


def _has(rule: Any, method: str) -> bool:
    """Whether it has the method: a plugin that does not derive from Rule may lack it."""
    return callable(getattr(rule, method, None))


def _reason(rule: Rule, answer: Any) -> str | None:
    """The answer in one line. Raises StopperError if it is neither text nor None."""
    if answer is None:
        return None
    if not isinstance(answer, str):
        if isinstance(answer, Coroutine):
            answer.close()  # else Python warns that nobody awaited it
        shown = " ".join(reprlib.repr(answer).split())
        raise StopperError(f"the stopper {type(rule).__name__} answered {shown}; it must be a reason in words or None")
    return " ".join(answer.split())


def _trial_end(rule: Rule, answer: Any) -> Any:
    """A TrialEnd, a reason alone, or None."""
    if not isinstance(answer, TrialEnd):
        return _reason(rule, answer)
    return TrialEnd(_reason(rule, answer.reason) or "not promising", answer.cause)


def _halt(rule: Rule, answer: Any) -> Halt | None:
    """A plugin's answer may be its reason alone."""
    if isinstance(answer, Halt):
        return answer
    reason = _reason(rule, answer)
    return Halt(type(rule).__name__, reason) if reason else None


class BudgetStopper(Rule):
    """The study's time limit. (A trial's own is kept by whoever runs it, so that it holds without an engine; the
    number of trials is kept by the loop, which proposes no more.)"""

    def end_study(self, history: History, now: float) -> str | None:
        limit = history.spec.budget.time_s
        if limit is not None and history.elapsed_s(now) >= limit:
            return f"time limit of {limit:g} s reached"
        return None
