"""What each configuration has shown at the rungs of a study, by its first trial, whether it took one run or several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpo_engine.searchers.model_source import by_configuration
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective, Row
from hpo_engine.study.reached import losses_at
from hpo_engine.study.table import TrialTable
from hpo_engine.study.trial import Trial


@dataclass(frozen=True)
class Known:
    """Losses by configuration. `full`: with the most of the resource. `short`: for each lower rung, from the lowest,
    those of runs with that amount; `early`: these and what the rows of full runs had by then. `failed`, `running`:
    configurations with such a run."""

    full: dict[int, float]
    short: tuple[dict[int, float], ...]
    early: tuple[dict[int, float], ...]
    failed: tuple[int, ...]
    running: tuple[int, ...]


class RungResults:
    """Histories -> `Known`. Keeps the latest one and losses at steps, which changes no answer.

    Args:
        amounts: of the resource, at each rung from the lowest.
    """

    def __init__(self, amounts: Sequence[int], objectives: Sequence[Objective]) -> None:
        self._amounts, self._objectives = tuple(amounts), tuple(objectives)
        self._latest: tuple[TrialTable, Known] | None = None
        self._at: dict[tuple[int, int], tuple[Sequence[Row], float | None]] = {}  # by trial id and amount

    def read(self, history: History) -> Known:
        if self._latest is None or self._latest[0] is not history.trials:
            self._latest = history.trials, self._read(history)
        return self._latest[1]

    def _read(self, history: History) -> Known:
        results, failed, running = by_configuration(history.trials)
        full = results.get(self._amounts[-1], {})
        short = tuple(results.get(amount, {}) for amount in self._amounts[:-1])
        # Only a configuration that began with the most has shown its lower rungs by its rows alone.
        whole = [history.trials[i] for i in full if history.trials[i].trained == self._amounts[-1]]
        early = []
        for amount, own in zip(self._amounts[:-1], short, strict=True):
            passed = {trial.id: loss for trial in whole if (loss := self._value(trial, amount)) is not None}
            early.append({**passed, **own})
        return Known(full, short, tuple(early), tuple(failed), tuple(running))

    def _value(self, trial: Trial, amount: int) -> float | None:
        """The loss of the rows up to that amount, if they are counted in the resource."""
        kept = self._at.get((trial.id, amount))
        if kept is None or kept[0] is not trial.rows:
            losses = losses_at(trial.rows, amount, self._objectives) if in_units(trial) else None
            kept = self._at[trial.id, amount] = trial.rows, None if losses is None else losses[0]
        return kept[1]


def reported(history: History) -> bool:
    """Whether the first trial with a result has reported in units of the resource."""
    first = next((trial for trial in history.trials if trial.results), None)
    return first is not None and in_units(first)


def in_units(trial: Trial) -> bool:
    """Whether the last of several rows is at the amount of the resource that the trial has had."""
    return len(trial.rows) > 1 and trial.rows[-1].step == trial.trained
