"""A searcher that carries trials on, as a plugin would be written: this file is copied into studies by its name, too."""

from __future__ import annotations

from collections.abc import Sequence

from hpo_engine.searchers import Searcher, Traits
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Proposal, Trial, TrialState


class Doubling(Searcher):
    """Begins `begin` trials with resource 1; whenever all have ended, the better half is carried on with twice as much.

    When the best one gets the most, a new trial starts from what it had before that, too.
    """

    traits = Traits(quick=True, carries_on=True, needs_resource=True)

    def __init__(self, spec: StudySpec, *, begin: int = 4) -> None:
        self._begin, self._most = begin, spec.full_resource or 1

    def ask(self, history: History, count: int) -> Sequence[Proposal]:
        if history.next_id < self._begin:
            ids = range(history.next_id, min(self._begin, history.next_id + count))
            return [Proposal({"x": float(i)}, 1) for i in ids]
        if history.open_ids:
            return []
        level, size = 1, self._begin
        while level < self._most:
            mine = [t for t in history.trials if t.id < self._begin]
            reached = [t for t in mine if (t.proposal.resource or 0) > level]
            size = max(1, size // 2)
            ready = [t for t in mine if t.state is TrialState.COMPLETED and t.trained == level]
            waiting = sorted(ready, key=_loss)
            if len(reached) < size and waiting:
                return self._promoted(waiting[: size - len(reached)], level, history)[:count]
            level = min(2 * level, self._most)
        return []

    def _promoted(self, trials: Sequence[Trial], level: int, history: History) -> list[Proposal]:
        more = min(2 * level, self._most)
        out = [Proposal(dict(t.params), more, carry_on=t.id, note={"level": level}) for t in trials]
        if more == self._most and history.next_id == self._begin:
            changed = {"x": trials[0].params["x"] + 0.5}
            out.insert(0, Proposal(changed, more, start_from=trials[0].id))
        return out


def _loss(trial: Trial) -> float:
    assert trial.loss is not None
    return trial.loss
