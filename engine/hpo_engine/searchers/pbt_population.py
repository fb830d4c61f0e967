"""A population as a function of history: which trial stands for each member, and how members compare at equal resource.

A trial's note names its member, {"member": 3}; the latest such trial is the member's present one. Trials without such
a note do no harm.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import TYPE_CHECKING

from hpo_engine.searchers.fates import Fate, fate
from hpo_engine.study.spec import Params, Resource
from hpo_engine.study.trial import Result, StopCause, Trial, TrialState

if TYPE_CHECKING:
    from hpo_engine.study.history import History

DECISIONS = 10
"""So many are made of a whole training, unless the study says how far apart they are."""

_FAILURES = 3  # in a row, without a result, after which a member is given up


def usual_interval(resource: Resource) -> int:
    """The resource from one decision to the next."""
    return max(resource.min, -(-resource.max // DECISIONS))


@dataclass(frozen=True)
class Population:
    """`members`: the present trial of each member, None if it has never begun. `trials`: all that ever were one's."""

    members: tuple[Trial | None, ...]
    trials: tuple[Trial, ...]

    @classmethod
    def of(cls, history: History, size: int) -> Population:
        members: list[Trial | None] = [None] * size
        trials = [trial for trial in history.trials if _number(trial) is not None]
        for trial in trials:
            if (number := _number(trial)) is not None and number < size:
                members[number] = trial
        return cls(tuple(members), tuple(trials))

    def member(self, trial: Trial) -> int:
        number = _number(trial)
        assert number is not None
        return number

    @property
    def present(self) -> Iterable[Trial]:
        return (trial for trial in self.members if trial is not None)

    @property
    def furthest(self) -> int:
        """The most of the resource that any trial was to have."""
        return max((trial.proposal.resource or 0 for trial in self.trials), default=0)

    def complete(self, level: int) -> bool:
        """Whether every member that is left has had this amount."""
        left = [trial for trial in self.present if not is_lost(trial) and not _removed(trial)]
        return all(t.trained >= level if t.state.ended else (t.proposal.resource or 0) > level for t in left)

    def ready(self, most: int) -> list[Trial]:
        """The trials of members that have had their amount and can get more."""
        return [t for t in self.present if fate(t) is Fate.FINISHED and not is_lost(t) and t.trained < most]

    @property
    def lost(self) -> list[Trial]:
        """The trials of members that need to be replaced; not of those whose copies fail again and again."""
        return [trial for trial in self.present if is_lost(trial) and self._failures(trial) < _FAILURES]

    def _failures(self, trial: Trial) -> int:
        """How many trials of its member have failed one after the other, without a result."""
        own = [t for t in self.trials if self.member(t) == self.member(trial)]
        return len(list(takewhile(lambda t: is_lost(t) and not t.results, reversed(own))))

    # -- comparisons at equal resource ---------------------------------------------------------------------------------

    @cached_property
    def levels(self) -> list[int]:
        """The amounts of the resource with which there are results, ascending."""
        return sorted(self._results)

    def ends(self, level: int, share: float) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The best `share` of the trials with this amount and the worst, which do not overlap. A trial as good as the
        worst of the best is not among the worst."""
        order = self.order(level)
        number = min(int(share * len(order) * (1 + 1e-12)), len(order) // 2)
        best, worst = order[:number], order[len(order) - number :]
        scores = self._scores(level)
        return best, tuple([i for i in worst if scores[i] > scores[best[-1]]])

    def leaders(self, level: int, share: float) -> tuple[int, ...]:
        """The best `share` of the trials with this amount, at least one."""
        order = self.order(level)
        return order[: max(1, int(share * len(order) * (1 + 1e-12)))]

    def order(self, level: int) -> tuple[int, ...]:
        """The trials that have had this amount, the best first, equal ones by their ids."""
        scores = self._scores(level)
        return tuple(sorted(scores, key=lambda i: (scores[i], i)))

    def startable(self, ids: Iterable[int]) -> list[Trial]:
        """Those of the trials that are still members, and whose files can be copied."""
        present = {trial.id: trial for trial in self.present}
        found = [present[i] for i in ids if i in present]
        return [trial for trial in found if trial.startable is not None and not is_lost(trial) and not _removed(trial)]

    def _scores(self, level: int) -> dict[int, float]:
        """Trial id -> loss with this amount; with several objectives, numbers that order trials like losses."""
        found = self._results.get(level, {})
        if all(len(losses) == 1 for losses in found.values()):
            return {i: losses[0] for i, losses in found.items()}
        import numpy as np

        from hpo_engine.maths import pareto

        return dict(zip(found, pareto.scores(np.array(list(found.values()))).tolist(), strict=True))

    @cached_property
    def _results(self) -> dict[int, dict[int, Sequence[float]]]:
        out: dict[int, dict[int, Sequence[float]]] = {}
        for trial in self.trials:
            for result in trial.results:
                if is_sound(trial, result):
                    out.setdefault(result.resource or 0, {})[trial.id] = result.now
        return out


def result_params(trial: Trial) -> Params:
    """What the trial was trained with to its latest result."""
    attempt = trial.attempt_of(trial.results[-1]) if trial.results else None
    return trial.params if attempt is None else attempt.params


def is_sound(trial: Trial, result: Result) -> bool:
    """Whether what the run of the result left is worth anything: it ended by itself, and its last losses are finite.

    One that diverged may have had a good value before.
    """
    return bool(result.now) and trial.by_itself(result)


def is_lost(trial: Trial) -> bool:
    """Whether the trial has ended without what it should have had, and not because the user stopped it."""
    if not trial.state.ended or _removed(trial):
        return False
    return fate(trial) is not Fate.FINISHED or not is_sound(trial, trial.results[-1])


def _removed(trial: Trial) -> bool:
    """Whether the user stopped the trial."""
    by_user = trial.stop is not None and trial.stop.cause is StopCause.USER
    return trial.state is TrialState.STOPPED and by_user


def _number(trial: Trial) -> int | None:
    note = trial.proposal.note
    number = note.get("member") if note is not None else None
    return number if type(number) is int and number >= 0 else None
