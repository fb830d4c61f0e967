"""What the attempts of a study have used: epochs (units of its resource, or steps), seconds and devices.

An attempt is counted once, whatever became of it: retries, interruptions and trials that were carried on included.
"""

from __future__ import annotations

from collections.abc import Sequence

from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective, Row, has_one
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Attempt, Trial


def epochs(trial: Trial, attempt: Attempt, history: History) -> float:
    """The units of the resource that the attempt has trained; without a resource, the steps that it has reported.

    One that ended well by itself has trained all that it was given beyond what its files had. Any other one has trained
    the steps that it has reported, at most that.
    """
    rows, before = (attempt.rows, attempt.before) if attempt.rows else (trial.rows, trial.before)
    if attempt is not trial.attempt and not attempt.rows:
        rows = before = ()
    steps = _steps(rows, before, history.spec.objectives)
    if attempt.resource is None:
        return steps
    given = max(0, attempt.resource - _inherited(trial, attempt, history))
    by_itself = attempt.exit is not None and attempt.exit.clean
    if by_itself and any(result.attempt == attempt.number for result in trial.results):
        return given
    return min(steps, given)


def seconds(attempt: Attempt, now: float) -> float:
    """How long the attempt has run so far; what its supervisor measured, if that is known."""
    if attempt.exit is not None and attempt.exit.seconds is not None:
        return attempt.exit.seconds
    if attempt.started_at is None:
        return 0.0
    return max(0.0, (now if attempt.ended_at is None else attempt.ended_at) - attempt.started_at)


def gpus(attempt: Attempt, spec: StudySpec) -> float:
    """How many GPUs the attempt had, as a share if several trials were on one."""
    return float(len(attempt.devices)) if spec.resources.gpus is None else spec.resources.gpus


def _steps(rows: Sequence[Row], before: Sequence[Row], objectives: Sequence[Objective]) -> float:
    """How many steps an attempt has trained, by the trial's rows and those `before` it.

    The first row of one that begins anew stands for as many steps as there are between two rows: 5, 10, 15 are fifteen,
    and 0, 1, 2 are three.
    """
    if rows is before:
        return 0.0
    # By identity: a script that trains the same steps once more may report the very same values.
    shared = next((i for i, (a, b) in enumerate(zip(rows, before, strict=False)) if a is not b), len(before))
    steps, earlier = _reported(rows[shared:], objectives), _reported(before, objectives)
    if not steps:
        return 0.0
    if earlier and steps[0] > earlier[-1]:
        return steps[-1] - earlier[-1]
    apart = next((pair[1] - pair[0] for pair in (steps, earlier) if len(pair) > 1), max(1.0, steps[0]))
    return steps[-1] - steps[0] + apart


def _reported(rows: Sequence[Row], objectives: Sequence[Objective]) -> list[float]:
    """The steps at which an objective was reported."""
    return sorted({row.step for row in rows if has_one(row, objectives)})


def _inherited(trial: Trial, attempt: Attempt, history: History) -> int:
    """The resource that had gone into the files with which the attempt began."""
    if attempt.resume is None:
        return 0
    earlier = [result for result in trial.results if result.attempt < attempt.number]
    if not earlier and trial.origin is not None:
        others = history.trials[trial.origin.trial].results
        earlier = [result for result in others if result.attempt <= trial.origin.attempt]
    return max((result.resource or 0 for result in earlier), default=0)
