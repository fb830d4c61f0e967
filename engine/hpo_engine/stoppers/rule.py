"""What a rule may decide, and the rule that decides nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

from hpo_engine.plugins.card import NO_CARD, Card
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import StopCause, Trial


@dataclass(frozen=True)
class Halt:
    """Why a study stops until somebody has mended something; it can be resumed. `rule`: failures | objective."""

    rule: str
    reason: str


@dataclass(frozen=True)
class TrialEnd:
    """Why a trial ends, and what that means for it.

    `cause`: EARLY, it is not promising and is pruned; CONVERGED, what it has reported counts; DIVERGED, what it had
    reported before may count; STALLED, it has failed.
    """

    reason: str
    cause: StopCause = StopCause.EARLY


@dataclass(frozen=True)
class Activity:
    """What an attempt has done so far, as its machine shows it.

    `cpu_s`: processor seconds of its processes; `io_bytes`: what they have read and written, in bytes. `files`: a value
    that is another one once something in its folders has changed. `suspended`: one of its processes is, by a signal.
    """

    cpu_s: float
    io_bytes: int
    files: object
    suspended: bool = False


Watch = Callable[[Trial], Activity | None]
"""What the latest attempt of a running trial has done so far; None: it cannot be seen."""


class Rule:
    """Made as `Class(spec, **options)`; its `card` describes the options.

    Answers are a reason in words, or None to continue. Rules override what they decide. `watch`: what the machine shows
    of running trials; set by the engine, None if nothing can be seen.
    """

    card: ClassVar[Card] = NO_CARD
    watch: Watch | None = None

    def __init__(self, spec: StudySpec | None = None) -> None:
        """Most rules find all that they need in the history."""

    def diverged(self, trial: Trial, history: History, now: float) -> str | None:
        """Why the running trial will report nothing of use any more; what it has reported before may count."""
        return None

    def end_trial(self, trial: Trial, history: History, now: float) -> TrialEnd | str | None:
        """Why the running trial is not promising; or a TrialEnd, if it ends for another cause."""
        return None

    def stalled(self, trial: Trial, history: History, now: float) -> str | None:
        """Why the running trial does nothing any more; asked of every one, whatever its rows are worth."""
        return None

    def end_study(self, history: History, now: float) -> str | None:
        """Why the study is over."""
        return None

    def halt(self, history: History, now: float) -> Halt | str | None:
        """Why no more trials should run before somebody has looked."""
        return None

    def idle(self, history: History, now: float) -> str | None:
        """Why it has nothing to work on, and what to do about it; said once. Asked when a trial has ended."""
        return None


class EndsTrials(Protocol):
    """A rule, or what asks several."""

    def stalled(self, trial: Trial, history: History, now: float) -> str | None: ...

    def diverged(self, trial: Trial, history: History, now: float) -> str | None: ...

    def end_trial(self, trial: Trial, history: History, now: float) -> TrialEnd | str | None: ...


def end_of(rule: EndsTrials, trial: Trial, history: History, now: float) -> TrialEnd | None:
    """Why the rule ends the running trial; None: it does not, or the trial has been told to end already."""
    if trial.told_to_end:
        return None
    if why := rule.stalled(trial, history, now):
        return TrialEnd(why, StopCause.STALLED)
    if not trial.judgeable:
        return None
    if why := rule.diverged(trial, history, now):
        return TrialEnd(why, StopCause.DIVERGED)
    end = rule.end_trial(trial, history, now)
    return TrialEnd(end) if isinstance(end, str) else end
