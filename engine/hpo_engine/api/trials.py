"""A trial as people read it: plain values, in the user's own signs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.study.history import History
    from hpo_engine.study.objective import Row
    from hpo_engine.study.trial import Trial


@dataclass(frozen=True)
class TrialRecord:
    """A trial as it stood when it was read.

    Attributes:
        id: counts from 0.
        state: pending, running, paused, completed, failed, timed_out, stopped, pruned or lost.
        params: its configuration; with the resource under its name, if the study has one.
        value: of the objective (of the first one, if there are several); None: it has no result.
        values: of every objective, by its metric; empty if it has no result.
        reported: what it has reported; see `rows`.
        started_at, ended_at: UTC seconds; None: not yet. seconds: of its latest run.
        attempts: how often its process was started.
        failure: the kind of failure; None: it did not fail. reason: why it ended as it did, in words.
        folder: its RESULT_DIR, with config.json and what it left; "" in an Optimizer. logs: its LOG_DIR.
        checkpoint: the newest one that its result is from; None: none is known.
    """

    id: int
    state: str
    params: dict[str, Any]
    value: float | None = None
    values: dict[str, float] = field(default_factory=dict)
    reported: Sequence[Row] = field(default=(), repr=False)
    started_at: float | None = field(default=None, repr=False)
    ended_at: float | None = field(default=None, repr=False)
    seconds: float | None = None
    attempts: int = field(default=0, repr=False)
    failure: str | None = None
    reason: str = ""
    folder: str = field(default="", repr=False)
    logs: str = field(default="", repr=False)
    checkpoint: str | None = field(default=None, repr=False)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """What it has reported: the step and the metrics of each report."""
        return [{"step": row.step, **row.values} for row in self.reported]

    @property
    def metrics(self) -> dict[str, float]:
        """The latest value of every metric that it has reported."""
        return {name: value for row in self.reported for name, value in row.values.items()}


class Trials(list[TrialRecord]):
    """The trials of a study as it stood when they were read, by id."""

    def __init__(self, history: History, paths: StudyPaths | None = None) -> None:
        super().__init__(record_of(history, trial, paths) for trial in history.trials)
        self._history = history

    def _repr_html_(self) -> str:
        from hpo_engine.api.notebook.page import trials_page

        return trials_page(self._history)


def record_of(history: History, trial: Trial, paths: StudyPaths | None = None) -> TrialRecord:
    """`paths`: the study's folder (None: the trial has none)."""
    values = dict(zip([aim.metric for aim in history.spec.objectives], history.values(trial), strict=False))
    folders = None if paths is None else paths.trial(trial.id)
    checkpoint = trial.results[-1].checkpoint if trial.results else None
    return TrialRecord(
        trial.id,
        trial.state.value,
        history.result_config(trial),
        next(iter(values.values()), None),
        values,
        trial.rows,
        trial.started_at,
        trial.ended_at,
        trial.ran_s,
        len(trial.attempts),
        None if trial.failure is None else trial.failure.value,
        trial.reason,
        "" if folders is None else folders.result_dir,
        "" if folders is None else folders.log_dir,
        None if checkpoint is None or folders is None else os.path.join(folders.result_dir, checkpoint),
    )
