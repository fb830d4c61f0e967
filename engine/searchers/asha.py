"""ASHA: successive halving that waits for nobody, for many workers and trials of very different length."""

from __future__ import annotations

from typing import Any

from engine.searchers.brackets import Plan, trials_of
from engine.searchers.card import Card, Option
from engine.searchers.draws import Draws, Source
from engine.searchers.halving import Ladder, Slot, ladders, plan_of, proposals
from engine.study import History, Proposal, StudySpec

OPTIONS = {
    "eta": Option("one in eta configurations goes on, to eta times as much of the resource", float, 3.0, least=1.01),
    "brackets": Option("how many least amounts of the resource new configurations begin with", int, 1, least=1),
}


class Asha:
    """Whenever a slot is free: of the highest rung where one of the best 1/eta so far has not gone on, that one goes
    on; else a new configuration begins. A trial that goes on is run again from the beginning with more.

    Rungs are the plan's amounts of the resource, numbered from the least. Bracket b begins at rung b; configurations
    are shared out to brackets as Hyperband's plan would. Where the trials of the study are too few for the longest
    bracket, the lowest rungs are left out; the last few trials are kept for taking the best up to the most, and wait
    for results where they must. So a search that ends has a trial with the most, unless trials fail.

    Args:
        eta: from 1.01 on. brackets: at most the plan's.

    Source: Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020, Algorithm 2.
    """

    card = Card(
        summary="like hyperband, but never waits; needs `resource`",
        suits="many workers, or trials that take very different times",
        cost="0.3 ms; 3 ms after 1,000 trials, 30 ms after 10,000",
        source="Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020",
        options=OPTIONS,
    )

    quick = True

    def __init__(self, spec: StudySpec, *, eta: float = 3.0, brackets: int = 1) -> None:
        self.plan = plan_of(spec, eta)
        self.source: Source = Draws(spec)
        self._spec, self._brackets = spec, min(brackets, self.plan.deepest + 1)

    def ask(self, history: History, count: int) -> list[Proposal]:
        climb = _Climb(self.plan, self._brackets, history)
        slots: list[Slot] = []
        while len(slots) < count and (slot := climb.next()):
            slots.append(slot)
        new = [slot for slot in slots if slot.parent is None]
        fresh: list[dict[str, Any]] = []
        if new:
            known = [t.params for t in history.trials if _is_new(t.proposal.slot)]
            fresh = self.source.suggest(history, len(known), len(new), known)
        return proposals(slots, fresh)

    @property
    def size(self) -> int | None:
        """It never ends by itself."""
        return None

    @property
    def usual_trials(self) -> int:
        """Those of the longest bracket."""
        return trials_of(self.plan.bracket(self.plan.deepest))

    @property
    def about(self) -> str:
        amounts = self.plan.amounts
        return f"runs of {', '.join(map(str, amounts))} {self._spec.resource_name}"


def _is_new(note: Any) -> bool:
    return note is not None and "rung" in note and "from" not in note


class _Climb:
    """The slots that come next, one after the other; those given out count as trials that run."""

    def __init__(self, plan: Plan, brackets: int, history: History) -> None:
        self._plan, self._top = plan, plan.deepest
        trials = history.spec.budget.trials
        fitting = (s for s in range(self._top, 0, -1) if plan.within(s, trials))
        self._base = self._top - next(fitting, 0)
        self._brackets = range(min(brackets, self._top - self._base + 1))
        self._rest = None if trials is None else trials - history.next_id
        begun = ladders(history.trials, self._top + 1)
        self._ladders = [begun.get(b) or Ladder(b, depth=self._top + 1) for b in self._brackets]
        # Places of each rung that are taken, those of the present answer included.
        self._taken = [[len(rung) for rung in ladder.rungs] for ladder in self._ladders]
        self._running = [
            [sum(not t.state.ended for t in rung.values()) for rung in ladder.rungs] for ladder in self._ladders
        ]
        self._best = [[ladder.best(k) for k in range(self._top + 1)] for ladder in self._ladders]

    def next(self) -> Slot | None:
        if self._rest is not None:
            if self._rest <= 0:
                return None
            if self._last_chance():
                return self._take_up()
        return self._promotion() or self._new()

    def _promotion(self) -> Slot | None:
        for k in range(self._top - 1, -1, -1):
            for ladder in self._ladders:
                done = self._best[ladder.number][k]
                for trial in done[: int(len(done) / self._plan.eta * (1 + 1e-12))]:
                    if trial.id not in ladder.promoted:
                        return self._slot(ladder, k + 1, trial)
        return None

    def _new(self) -> Slot:
        """In the bracket that is furthest behind its share."""

        def load(b: int) -> float:
            begun = sum(self._taken[b]) - len(self._ladders[b].promoted)
            return (begun + 1) / self._plan.size(self._top - self._base - b)

        b = min(self._brackets, key=load)
        return self._slot(self._ladders[b], self._base + b, None)

    # -- the end of the budget -----------------------------------------------------------------------------------------

    def _last_chance(self) -> bool:
        """Whether the trials that are left are just enough to take the best one to the top, where none is yet."""
        if any(self._best[b][self._top] or self._running[b][self._top] for b in self._brackets):
            return False
        return (self._rest or 0) <= self._top - self._height

    @property
    def _height(self) -> int:
        """The highest rung with a trial that runs or may go on; one below the lowest where there is none."""
        for k in range(self._top, -1, -1):
            for ladder in self._ladders:
                if self._running[ladder.number][k] or self._going(ladder, k):
                    return k
        return self._base - 1

    def _take_up(self) -> Slot | None:
        """The best of the highest rung goes up, over rungs for which there is nothing left; None: wait for a result."""
        height, target = self._height, self._top + 1 - (self._rest or 0)
        if height < self._base:
            return self._slot(self._ladders[0], max(target, self._base), None)
        if any(self._running[b][height] for b in self._brackets):
            return None
        going = [(t.loss or 0.0, t.id, ladder) for ladder in self._ladders for t in self._going(ladder, height)]
        _, _, ladder = min(going, key=lambda item: item[:2])
        return self._slot(ladder, max(target, height + 1), self._going(ladder, height)[0])

    def _going(self, ladder: Ladder, rung: int) -> list[Any]:
        return [t for t in self._best[ladder.number][rung] if t.id not in ladder.promoted]

    def _slot(self, ladder: Ladder, rung: int, parent: Any) -> Slot:
        if parent is not None:
            ladder.promoted.add(parent.id)
        if self._rest is not None:
            self._rest -= 1
        b = ladder.number
        place = self._taken[b][rung]
        self._taken[b][rung] += 1
        self._running[b][rung] += 1
        return Slot(b, rung, place, self._plan.amounts[rung], parent)
