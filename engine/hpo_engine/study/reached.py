"""What a trial that was ended early had reached: a value at a step, which is not the value of a whole trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpo_engine.study.objective import Objective, Row, last_step, pick_values
from hpo_engine.study.trial import Trial, TrialState

EARLY = (TrialState.PRUNED, TrialState.STOPPED)
"""Ended before it was done, without a fault."""


@dataclass(frozen=True)
class Reached:
    """The last `step` at which an objective was reported, and the `losses` by then, one for each objective."""

    step: float
    losses: tuple[float, ...]


def reached(trial: Trial, objectives: Sequence[Objective]) -> Reached | None:
    """What the trial had reached when it was ended early; None: it was not, or it has no finite value."""
    if trial.state not in EARLY or trial.provisional or not trial.rows:
        return None
    step = last_step(trial.rows, objectives)
    losses = None if step is None else losses_at(trial.rows, step, objectives)
    return None if step is None or losses is None else Reached(step, losses)


def losses_at(rows: Sequence[Row], step: float, objectives: Sequence[Objective]) -> tuple[float, ...] | None:
    """The losses of the rows up to a step; None: not every objective has a finite value by then."""
    values = pick_values([row for row in rows if row.step <= step], objectives)
    if values is None:
        return None
    return tuple([objective.loss(value) for objective, value in zip(objectives, values, strict=True)])
