"""All that is known of a study: the fold of its events. Frozen; only `events.apply` makes new histories.

Losses are minimised, whatever the goals say.
"""

from __future__ import annotations

import enum
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from hpo_engine.maths import front
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.table import TrialTable
from hpo_engine.study.trial import Trial, TrialState
from hpo_engine.study.values import _names, changed


class StudyState(str, enum.Enum):
    """RUNNING until an engine closes it: FINISHED (a good trial), FAILED (none), STOPPED (asked to; can go on)."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class History:
    """All that is known of a study: the fold of its events. What a searcher sees, a stopper judges, a table shows.

    `open_ids`: trials that have not ended, in order. `counts`: trials by state. `members`: the COMPLETED trials that
    no other one dominates, by their losses (of equal ones the earliest); with one objective, the best one. Where trials
    get more or less of a resource, those count that got the most so far, because losses after one epoch and after fifty
    do not compare. `early`: the losses of the first ten COMPLETED.
    `spent_s`: seconds that earlier engines ran; `engine_at`: when this one began; `last_at`: the latest event.
    `path`, `folder`: where that engine found the study, and the folder's device and inode (empty: not known).
    `halted`: the rule that stopped the study, see `stoppers.Halt` (""; none did); `overruled`: the latest one after
    which the user let it go on. `counted_from`: failures before that do not count any more.
    """

    spec: StudySpec
    trials: TrialTable = field(default_factory=TrialTable)
    state: StudyState = StudyState.RUNNING
    reason: str = ""
    stop_asked: str | None = None
    open_ids: tuple[int, ...] = ()
    counts: Mapping[TrialState, int] = field(default_factory=dict)
    members: tuple[front.Member, ...] = ()
    early: tuple[tuple[float, ...], ...] = ()
    opened_at: float = 0.0
    engine_at: float | None = None
    spent_s: float = 0.0
    last_at: float = 0.0
    closed_at: float | None = None
    path: str = ""
    folder: tuple[int, ...] = ()
    halted: str = ""
    overruled: str = ""
    counted_from: float = 0.0

    @property
    def next_id(self) -> int:
        return len(self.trials)

    @cached_property
    def open(self) -> tuple[Trial, ...]:
        """Trials that have not ended."""
        return tuple(self.trials[i] for i in self.open_ids)

    @property
    def running(self) -> tuple[Trial, ...]:
        return tuple(t for t in self.open if t.state is TrialState.RUNNING)

    @property
    def pending(self) -> tuple[Trial, ...]:
        return tuple(t for t in self.open if t.state is TrialState.PENDING)

    @cached_property
    def finished(self) -> tuple[Trial, ...]:
        """Trials that ended, whichever way."""
        return tuple(t for t in self.trials if t.state.ended)

    @cached_property
    def front(self) -> tuple[int, ...]:
        """The ids of `members`, in order."""
        return tuple(sorted(number for _, number in self.members))

    @property
    def best_id(self) -> int | None:
        """Of the `members` the one with the lowest loss, with several objectives by the first of them."""
        return self.members[0][1] if self.members else None

    @property
    def best(self) -> Trial | None:
        return None if self.best_id is None else self.trials[self.best_id]

    @property
    def best_value(self) -> float | None:
        """The best trial's objective value (of the first objective), in the user's own sign."""
        best = self.best
        return None if best is None or best.loss is None else self.spec.objective.value(best.loss)

    def values(self, trial: Trial) -> tuple[float, ...]:
        """The trial's values in the user's own signs, one for each objective; none where it has none."""
        return tuple([aim.value(loss) for aim, loss in zip(self.spec.aims, trial.losses, strict=False)])

    @property
    def reference(self) -> tuple[float, ...]:
        """The losses that `hypervolume` is measured from: the worst of the first ten COMPLETED trials for each
        objective, and a tenth of their range more. It stays once they are there. Enormous losses do not count: next
        to them everything else would be the same."""
        return _reference(self.early)

    @property
    def hypervolume(self) -> float | None:
        """With several objectives, the volume that the front dominates below `reference`: it never shrinks (but where
        a trial is the first to get more of a resource, and the front begins anew, or where one of the first ten shows
        that a loss before it was enormous).

        None: one objective, no COMPLETED trial, beyond what numbers hold, or a front too large to be worth the time
        (4 objectives: over 150 trials, 5: 60, more: 30).
        """
        most = {2: 10_000, 3: 2_000, 4: 150, 5: 60}.get(len(self.spec.aims), 30)
        if not self.spec.objectives or not self.members or len(self.members) > most:
            return None
        return _hypervolume(tuple(vector for vector, _ in self.members), self.reference)

    @property
    def losses(self) -> dict[int, float]:
        """Trial id -> loss of the COMPLETED trials (of the first objective, where there are several)."""
        return {t.id: t.loss for t in self.trials if t.loss is not None and t.state is TrialState.COMPLETED}

    @property
    def ended_count(self) -> int:
        return len(self.trials) - len(self.open_ids)

    def elapsed_s(self, now: float) -> float:
        """Seconds that engines have run this study for; gaps between engines do not count."""
        if self.engine_at is None or self.closed_at is not None:
            return self.spent_s
        return self.spent_s + max(0.0, now - self.engine_at)

    def whole_config(self, trial: Trial) -> dict[str, Any]:
        """The content of the trial's config.json: what `base_config` had, with the trial's own over it."""
        return {**self.spec.base, **self.config(trial)}

    def config(self, trial: Trial) -> dict[str, Any]:
        """What the study decides of the trial's config.json: its parameters, and the resource under its name."""
        out = dict(trial.params)
        if trial.proposal.resource is not None and self.spec.resource_name:
            out[self.spec.resource_name] = trial.proposal.resource
        return out

    def with_trial(self, trial: Trial) -> History:
        """A history in which `trial` replaces the one of its id; indices kept in step."""
        old = self.trials[trial.id] if trial.id < len(self.trials) else None
        trials = self.trials.put(trial)
        return changed(self, trials=trials, **self._in_step(old, trial, trials))

    def _in_step(self, old: Trial | None, trial: Trial, trials: Sequence[Trial]) -> dict[str, Any]:
        """The indices that are others where `trial` stands for `old` in `trials`."""
        changes: dict[str, Any] = {}
        if old is None or old.state is not trial.state:
            counts = dict(self.counts)
            if old is not None:
                counts[old.state] -= 1
                if not counts[old.state]:
                    del counts[old.state]
            counts[trial.state] = counts.get(trial.state, 0) + 1
            changes["counts"] = counts
            was_open, is_open = old is not None and not old.state.ended, not trial.state.ended
            if is_open and not was_open:
                changes["open_ids"] = tuple(sorted((*self.open_ids, trial.id)))
            elif was_open and not is_open:
                changes["open_ids"] = tuple(i for i in self.open_ids if i != trial.id)
        counts_now = trial.losses if trial.state is TrialState.COMPLETED else ()
        if old is not None and old.state is TrialState.COMPLETED and old.losses not in ((), counts_now):
            changes["members"] = _front_of(trials)
        elif counts_now:
            changes["members"] = _with_member(self.members, self.trials, trial)
            if changes.get("counts", self.counts).get(TrialState.COMPLETED, 0) <= _EARLY:
                changes["early"] = (*self.early, counts_now)
        return changes


class Growing(History):
    """A history that changes in place: for the one who folds a long log and shows nobody what is in between."""

    trials: list[Trial]  # type: ignore[assignment]

    @classmethod
    def of(cls, history: History) -> Growing:
        new: Growing = object.__new__(cls)
        new.__dict__.update({name: getattr(history, name) for name in _names(History)})
        new.__dict__["trials"] = list(history.trials)
        return new

    def with_trial(self, trial: Trial) -> History:
        old = self.trials[trial.id] if trial.id < len(self.trials) else None
        if old is None:
            self.trials.append(trial)
        else:
            self.trials[trial.id] = trial
        self.__dict__.update(self._in_step(old, trial, self.trials))
        return self

    def grown(self) -> History:
        """The history that it has come to."""
        known = {name: self.__dict__[name] for name in _names(History)}
        return History(**{**known, "trials": TrialTable(self.trials)})


_EARLY = 10


def indices(trials: Sequence[Trial], done: Sequence[int]) -> dict[str, Any]:
    """The indices of a history of these trials, of which the `done` ones have COMPLETED, in this order."""
    counts: dict[TrialState, int] = {}
    for state in [trial.state for trial in trials]:
        counts[state] = counts.get(state, 0) + 1
    given = [trials[number].proposal.resource or 0 for number in done]
    most = max(given, default=0)
    members: tuple[front.Member, ...] = ()
    for number, resource in zip(done, given, strict=True):
        losses = trials[number].losses
        if resource == most and not (len(losses) == 1 and members and members[0][0] < losses):
            members = front.joined(members, (losses, number))
    early = tuple(trials[number].losses for number in done[:_EARLY])
    open_ids = tuple([trial.id for trial in trials if trial.state in (TrialState.PENDING, TrialState.RUNNING)])
    return {"open_ids": open_ids, "counts": counts, "members": members, "early": early}


def _front_of(trials: Sequence[Trial]) -> tuple[front.Member, ...]:
    members: tuple[front.Member, ...] = ()
    for trial in trials:
        if trial.state is TrialState.COMPLETED and trial.losses:
            members = _with_member(members, trials, trial)
    return members


def _with_member(members: tuple[front.Member, ...], trials: Sequence[Trial], trial: Trial) -> tuple[front.Member, ...]:
    """The front when this trial has completed; one that got less of the resource than its members does not count."""
    given = trial.proposal.resource or 0
    most = trials[members[0][1]].proposal.resource or 0 if members else given
    if given < most:
        return members
    return front.joined(members if given == most else (), (trial.losses, trial.id))


@lru_cache(maxsize=8)
def _reference(early: tuple[tuple[float, ...], ...]) -> tuple[float, ...]:
    if not early:
        return ()
    import numpy as np

    from hpo_engine.maths.transforms import reined

    losses = np.array(early, dtype=float)
    losses[np.abs(losses) < 1e-100] = 0.0  # next to these, anything would be enormous
    ends = [(float(column.min()), float(column.max())) for column in map(reined, losses.T)]
    return tuple(min(high + 0.1 * (high - low), sys.float_info.max) for low, high in ends)


@lru_cache(maxsize=8)
def _hypervolume(losses: tuple[tuple[float, ...], ...], reference: tuple[float, ...]) -> float | None:
    from hpo_engine.maths import pareto  # numpy: only studies with several objectives need it

    try:
        volume = pareto.hypervolume(losses, reference)
    except ValueError:  # the reference is beyond what numbers hold
        return None
    return volume if math.isfinite(volume) else None
