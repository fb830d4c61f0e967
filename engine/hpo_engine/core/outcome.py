"""What a run's end means for its trial: pure functions of the history and of how the process ended.

What its files say comes after this (see metrics.verdict); nothing here reads one.
"""

from __future__ import annotations

from hpo_engine.study.history import History
from hpo_engine.study.trial import DIVERGED, EARLY, INTERRUPT, STUDY_OVER, TIME_LIMIT, USER, Exit, Trial, TrialState

_LOSSES = 3  # an attempt that nobody saw end is run again this often, without using up a retry


def judge(history: History, trial: Trial, exit_: Exit, said: str, over: str, why: str = "") -> tuple[TrialState, str]:
    """The trial's next state and why; COMPLETED means that its files decide, see `without_value`.

    Args:
        trial: with the attempt that ended as its latest. said: why it failed, as far as its output tells.
        over: why the study ends ("": it does not). why: why a rule ended the trial ("": none, or no longer known).
    """
    spec, number = history.spec, trial.id
    if exit_.asked_for == INTERRUPT:
        by = "the study was stopped" if history.halted else history.stop_asked or "by an earlier engine"
        return TrialState.PENDING, f"interrupted ({by})"
    if exit_.asked_for == USER:
        return TrialState.STOPPED, "stopped by the user"
    if exit_.asked_for == EARLY:
        return TrialState.PRUNED, why or "not promising"
    if exit_.asked_for == STUDY_OVER:
        return TrialState.STOPPED, over or "the study ended"
    if exit_.asked_for == DIVERGED:  # as if it had gone on to its end, which could have told nothing else
        return TrialState.COMPLETED, why or "diverged"
    if exit_.asked_for == TIME_LIMIT:
        limit = f"{spec.trial.time_limit_s:g} s" if spec.trial.time_limit_s is not None else "its limit"
        if spec.trial.on_time_limit == "keep":
            return TrialState.COMPLETED, f"ended by its time limit of {limit}; what it had reported counts"
        return TrialState.TIMED_OUT, f"trial {number}: over its time limit of {limit}"
    if exit_.machine:
        return TrialState.PENDING, f"not started: {exit_.error}" if exit_.unstarted else str(exit_)
    if exit_.lost:
        losses = 1 + sum(a.exit is not None and a.exit.lost for a in trial.attempts)
        if losses <= _LOSSES:
            return TrialState.PENDING, str(exit_)
        return TrialState.LOST, f"trial {number}: lost {losses} times: something kills its supervisor"
    if exit_.clean:
        return TrialState.COMPLETED, ""
    how = "its supervisor was told to stop from outside" if exit_.asked_for else str(exit_)
    reason = f"trial {number}: {how}" + (f"; {said[:300]}" if said else "")
    failures = 1 + sum(_failed(a.exit) for a in trial.attempts)
    if failures <= spec.trial.retries:
        return TrialState.PENDING, f"{reason} (retry {failures} of {spec.trial.retries})"
    return TrialState.FAILED, reason


def without_value(trial: Trial, exit_: Exit, reason: str, problem: str) -> tuple[TrialState, str]:
    """As `judge`, if the files give no value. `reason`: what `judge` has said; `problem`: what is wrong with them."""
    if exit_.asked_for == DIVERGED:
        return TrialState.PRUNED, reason
    if exit_.asked_for == TIME_LIMIT:
        limit, lacking = reason.partition(";")[0], problem.removeprefix(f"trial {trial.id}: ")
        return TrialState.TIMED_OUT, f"trial {trial.id}: {limit}, before it had reported a value: {lacking}"
    return TrialState.FAILED, problem


def _failed(exit_: Exit | None) -> bool:
    """Whether the end of an earlier attempt uses up a retry."""
    return exit_ is not None and not (exit_.lost or exit_.asked_for or exit_.machine)


def why_none(history: History) -> str:
    """Why a study without a best trial has none: the commonest complaint, once."""
    if not history.trials:
        return "the searcher proposed no trial"
    last = next((t.reason for t in reversed(tuple(history.trials)) if t.reason), "no trial gave a value")
    return f"no trial gave a valid value; the last one: {last}"
