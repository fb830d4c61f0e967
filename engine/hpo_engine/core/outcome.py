"""What the end of an attempt means for its trial: pure functions of the history and of how the process ended.

What its files say comes after this (see `contract.sources.verdict`); nothing here reads one.
"""

from __future__ import annotations

import re

from hpo_engine.study.history import History
from hpo_engine.study.trial import Exit, FailureKind, Outcome, StopCause, Trial, TrialState

_LOSSES = 3  # how often a lost attempt is repeated without using up a retry
_OUT_OF_MEMORY = re.compile(r"\bMemoryError\b|\bOutOfMemoryError\b|\bout of memory\b", re.IGNORECASE)


def judge(history: History, trial: Trial, exit_: Exit, output: str) -> Outcome:
    """The trial's next state and why; COMPLETED means that its files decide, see `without_value`.

    Args:
        trial: with the attempt that ended as its latest. output: why it failed, according to its output.
    """
    if exit_.stop_cause not in (None, StopCause.OUTSIDE):
        return _stopped(history, trial, exit_)
    if exit_.machine:
        reason = f"not started: {exit_.error}" if exit_.unstarted else str(exit_)
        return Outcome(TrialState.PENDING, FailureKind.MACHINE, reason)
    if exit_.lost:
        losses = 1 + sum(a.exit is not None and a.exit.lost for a in trial.attempts[trial.done :])
        if losses <= _LOSSES:
            return Outcome(TrialState.PENDING, FailureKind.LOST, str(exit_))
        reason = f"trial {trial.id}: lost {losses} times: something kills its supervisor"
        return Outcome(TrialState.LOST, FailureKind.LOST, reason)
    if exit_.clean:
        return Outcome(TrialState.COMPLETED)
    return _failed(history, trial, exit_, output)


def without_value(trial: Trial, exit_: Exit, outcome: Outcome, kind: FailureKind, problem: str) -> Outcome:
    """The outcome if the files give no value.

    Args:
        outcome: the result of `judge`. kind, problem: what is wrong with the files.
    """
    if exit_.stop_cause in (StopCause.DIVERGED, StopCause.CONVERGED):
        return Outcome(TrialState.PRUNED, None, outcome.reason)
    if exit_.stop_cause is StopCause.TIME_LIMIT:
        limit, lacking = outcome.reason.partition(";")[0], problem.removeprefix(f"trial {trial.id}: ")
        reason = f"trial {trial.id}: {limit}, before it had reported a value: {lacking}"
        return Outcome(TrialState.TIMED_OUT, FailureKind.TIME_LIMIT, reason)
    return Outcome(TrialState.FAILED, kind, problem)


def why_none(history: History) -> str:
    """Why a study has no best trial: the reason of its last trial that has one."""
    if not history.trials:
        return "the searcher proposed no trial"
    last = next((t.reason for t in reversed(tuple(history.trials)) if t.reason), "no trial gave a value")
    return f"no trial gave a valid value; the last one: {last}"


def _stopped(history: History, trial: Trial, exit_: Exit) -> Outcome:
    """The outcome of an attempt that was stopped."""
    why = trial.stop.reason if trial.stop is not None and trial.stop.cause is exit_.stop_cause else ""
    if exit_.stop_cause is StopCause.USER:
        return Outcome(TrialState.STOPPED, None, "stopped by the user")
    if exit_.stop_cause is StopCause.PAUSE:
        return Outcome(TrialState.PAUSED, None, why or "paused by the user")
    if exit_.stop_cause is StopCause.EARLY:
        return Outcome(TrialState.PRUNED, None, why or "not promising")
    if exit_.stop_cause is StopCause.STUDY_OVER:
        return Outcome(TrialState.STOPPED, None, why or "the study ended")
    if exit_.stop_cause in (StopCause.DIVERGED, StopCause.CONVERGED):  # training on would have reported nothing better
        return Outcome(TrialState.COMPLETED, None, why or exit_.stop_cause.value)
    if exit_.stop_cause is StopCause.STALLED:
        return _retried(history, trial, FailureKind.STALLED, f"trial {trial.id}: {why or 'stalled'}")
    if exit_.stop_cause is StopCause.TIME_LIMIT:
        policy = history.spec.trial
        limit = f"{policy.time_limit_s:g} s" if policy.time_limit_s is not None else "its limit"
        if policy.on_time_limit == "keep":
            return Outcome(
                TrialState.COMPLETED, None, f"ended by its time limit of {limit}; what it had reported counts"
            )
        reason = f"trial {trial.id}: over its time limit of {limit}"
        return Outcome(TrialState.TIMED_OUT, FailureKind.TIME_LIMIT, reason)
    return Outcome(TrialState.PENDING, None, f"interrupted ({why or 'by an earlier engine'})")


def _failed(history: History, trial: Trial, exit_: Exit, output: str) -> Outcome:
    """The outcome of an attempt that failed by itself: a retry if one is left."""
    how = "its supervisor was told to stop from outside" if exit_.stop_cause else str(exit_)
    reason = f"trial {trial.id}: {how}" + (f"; {output[:300]}" if output else "")
    return _retried(history, trial, _kind(exit_, output), reason)


def _retried(history: History, trial: Trial, kind: FailureKind, reason: str) -> Outcome:
    """A failure: the trial runs again if a retry is left."""
    retries = history.spec.trial.retries
    failures = 1 + sum(_used_retry(a.exit) for a in trial.attempts[trial.done :])
    if failures <= retries:
        return Outcome(TrialState.PENDING, kind, f"{reason} (retry {failures} of {retries})")
    return Outcome(TrialState.FAILED, kind, reason)


def _kind(exit_: Exit, output: str) -> FailureKind:
    if exit_.stop_cause:
        return FailureKind.OUTSIDE
    if exit_.oom or _OUT_OF_MEMORY.search(output):
        return FailureKind.OUT_OF_MEMORY
    if exit_.signal is not None:
        return FailureKind.SIGNAL
    return FailureKind.EXIT_CODE if exit_.code is not None else FailureKind.LAUNCH


def _used_retry(exit_: Exit | None) -> bool:
    """Whether an earlier attempt that ended like this used up a retry."""
    if exit_ is None or exit_.lost or exit_.machine:
        return False
    return exit_.stop_cause in (None, StopCause.STALLED)
