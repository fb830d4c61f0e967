"""What the end of an attempt means: state, kind of failure and reason, for every way to end."""

from __future__ import annotations

from typing import Any

import pytest

from hpo_engine.core.outcome import judge, without_value
from hpo_engine.study.history import History
from hpo_engine.study.spec import TrialPolicy
from hpo_engine.study.trial import Attempt, Exit, FailureKind, Proposal, StopCause, Trial, TrialState
from tests.support.random_logs import spec


def outcome(exit_: Exit, output: str = "", earlier: tuple[Exit, ...] = (), **policy: Any) -> Any:
    history = History(spec(trial=TrialPolicy(**policy)))
    attempts = tuple(Attempt(n, "x", exit=e) for n, e in enumerate((*earlier, None), 1))
    return judge(history, Trial(4, Proposal({"x": 0.5}), TrialState.RUNNING, attempts=attempts), exit_, output)


@pytest.mark.parametrize(
    ("exit_", "output", "kind", "reason"),
    [
        (Exit(code=3), "ValueError: no", "exit_code", "trial 4: exit code 3; ValueError: no"),
        (Exit(signal=11), "", "signal", "trial 4: killed by signal 11"),
        (Exit(signal=9), "", "signal", "trial 4: killed by signal 9"),
        (Exit(signal=9, oom=True), "", "out_of_memory", "killed by signal 9 (the kernel ran out of memory and"),
        (Exit(code=1), "torch.OutOfMemoryError: CUDA out of memory. Tried", "out_of_memory", "exit code 1; torch.Out"),
        (Exit(code=1), "MemoryError", "out_of_memory", "exit code 1; MemoryError"),
        (Exit(error="cannot start x"), "", "launch", "trial 4: cannot start x"),
        (Exit(signal=15, stop_cause=StopCause.OUTSIDE), "", "outside", "told to stop from outside"),
    ],
)
def test_failure_has_a_kind_and_a_retry_has_the_same(exit_: Exit, output: str, kind: str, reason: str) -> None:
    failed, again = outcome(exit_, output), outcome(exit_, output, retries=1)
    assert (failed.state, failed.failure) == (TrialState.FAILED, FailureKind(kind)) and reason in failed.reason
    assert (again.state, again.failure) == (TrialState.PENDING, FailureKind(kind))
    assert again.reason == f"{failed.reason} (retry 1 of 1)"
    assert outcome(exit_, output, retries=1, earlier=(Exit(code=1),)) == failed


@pytest.mark.parametrize(
    ("cause", "state", "kind"),
    [
        (StopCause.INTERRUPT, "pending", None),
        (StopCause.USER, "stopped", None),
        (StopCause.EARLY, "pruned", None),
        (StopCause.STUDY_OVER, "stopped", None),
        (StopCause.DIVERGED, "completed", None),
        (StopCause.TIME_LIMIT, "timed_out", FailureKind.TIME_LIMIT),
    ],
)
def test_stopped_attempt_has_not_failed_but_at_its_time_limit(cause: StopCause, state: str, kind: Any) -> None:
    found = outcome(Exit(signal=15, stop_cause=cause), time_limit_s=5.0)
    assert (found.state.value, found.failure) == (state, kind) and found.reason


def test_machine_and_lost_are_kinds_of_their_own() -> None:
    assert outcome(Exit(error="no room", machine=True)).failure is FailureKind.MACHINE
    lost = Exit(lost=True)
    assert [outcome(lost, earlier=(lost,) * n).state.value for n in (0, 2, 3)] == ["pending", "pending", "lost"]
    assert outcome(lost, earlier=(lost,) * 3).failure is FailureKind.LOST


def test_files_without_a_value_decide_by_how_the_run_was_ended() -> None:
    trial = Trial(4, Proposal({"x": 0.5}))
    for exit_, state, kind in (
        (Exit(code=0), "failed", FailureKind.NO_RESULT),
        (Exit(signal=15, stop_cause=StopCause.DIVERGED), "pruned", None),
        (Exit(signal=15, stop_cause=StopCause.TIME_LIMIT), "timed_out", FailureKind.TIME_LIMIT),
    ):
        judged = outcome(exit_, time_limit_s=5.0, on_time_limit="keep")
        assert judged.state is TrialState.COMPLETED
        found = without_value(trial, exit_, judged, FailureKind.NO_RESULT, "trial 4: wrote nothing")
        assert (found.state.value, found.failure) == (state, kind)
