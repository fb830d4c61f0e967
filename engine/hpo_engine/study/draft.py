"""A history in the making: what the steps of events change, before it is frozen again.

A draft copies a trial when it is first touched, so that one event costs the same at 10,000 trials, and a whole log is
folded without a copy for each event.
"""

from __future__ import annotations

from hpo_engine.errors import JournalError
from hpo_engine.study.history import Front, History, moved
from hpo_engine.study.table import TrialTable
from hpo_engine.study.trial import Attempt, Result, Trial, TrialState
from hpo_engine.study.values import amend, changed


class Draft:
    """The study while events are applied to it.

    `study` is all of the history but its trials and indices; a step replaces it. `events`: the number of those applied
    so far; `last_at`: UTC seconds of the latest one. The trials that `trial` returns, and their latest attempts, belong
    to the draft: a step amends them.
    """

    def __init__(self, history: History) -> None:
        self.study = history
        self.events, self.last_at = history.events, history.last_at
        self._before = history.trials
        self._own: dict[int, Trial] = {}
        self._count = len(history.trials)
        self._front: Front | None = None  # from when a trial gets a result

    def trial(self, number: int, state: TrialState | None = None) -> Trial:
        """The trial of that number, to be amended. Raises JournalError if it does not exist or is not in `state`."""
        trial = self._own.get(number)
        if trial is None:
            if not 0 <= number < self._count:
                raise JournalError(f"there is no trial {number}")
            trial = self._own[number] = _own_copy(self._before[number])
        if state is not None and trial.state is not state:
            raise JournalError(f"trial {number} is {trial.state.value}, not {state.value}")
        return trial

    def latest_attempt(self, trial: Trial, number: int) -> Attempt:
        """The trial's attempt of that number, to be amended. Raises JournalError if it is not the latest."""
        if number != len(trial.attempts):
            raise JournalError(f"trial {trial.id}: attempt {number} is not the latest ({len(trial.attempts)})")
        return trial.attempts[-1]

    def add(self, trial: Trial) -> None:
        """A new trial, which is from now on the draft's own. Raises JournalError if its id is not the next one."""
        if trial.id != self._count:
            raise JournalError(f"trial {trial.id} proposed where {self._count} is next")
        self._own[trial.id] = trial
        self._count += 1

    def result(self, trial: Trial, result: Result) -> None:
        """A trial of the draft's own gets another result."""
        if self._front is None:
            self._front = Front(self.study)
        first = not trial.results
        amend(trial, results=(*trial.results, result))
        self._front.join(trial, first=first)

    def frozen(self) -> History:
        """The history that it has come to. The draft must not be changed after that."""
        trials = self._before
        if trials:
            for trial in self._own.values():
                trials = trials.put(trial)
        else:
            trials = TrialTable(list(self._own.values()))  # proposed in the order of their ids
        front = self._front.fields() if self._front is not None else {}
        found = moved(self.study, self._own.values()) if self._own else {}
        return changed(self.study, trials=trials, events=self.events, last_at=self.last_at, **found, **front)


def _own_copy(trial: Trial) -> Trial:
    if not trial.attempts:
        return changed(trial)
    return changed(trial, attempts=(*trial.attempts[:-1], changed(trial.attempts[-1])))
