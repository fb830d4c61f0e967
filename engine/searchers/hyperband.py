"""Hyperband: many configurations begin with little of a resource, and only the best go on to more of it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from engine.searchers.brackets import Bracket, in_words, spent_by, trials_of
from engine.searchers.card import Card, Option
from engine.searchers.draws import Draws, Source
from engine.searchers.halving import Fold, Ladder, Slot, plan_of, proposals
from engine.study import History, Proposal, StudySpec

OPTIONS = {
    "eta": Option("one in eta configurations goes on, to eta times as much of the resource", float, 3.0, least=1.01),
    "rounds": Option(
        "full sets of brackets (default: until the trials are used up; one if they are unlimited)", int, None, least=1
    ),
}


class Hyperband:
    """Synchronous Hyperband. A rung's best go on when all of the rung has ended; while one is waited for, the next
    bracket begins, so that workers stay busy. Which places there are, and who goes on, depends on results alone and
    not on the number of workers.

    A trial that goes on is run again from the beginning with more of the resource. `trials` of the study counts runs.
    Where the rest of them is too few for a bracket, it becomes smaller, or a shorter one takes its place
    (`Plan.next`), so that every bracket ends with a trial that gets the most. A rung's failures make the next rung
    smaller where too few are left; what that saves is used for more brackets at the end. In a finite space a bracket
    begins with no more configurations than there are.

    Args:
        eta: from 1.01 on. rounds: None until the trials are used up; if these are unlimited, 1.

    Source: Li et al., JMLR 2018.
    """

    card = Card(
        summary="many short runs, the best of them longer; needs `resource`",
        suits="trainings whose quality shows early, and too many configurations to train each to the end",
        cost="0.2 ms, 0.4 ms after 10,000 trials",
        source="Li et al., Hyperband, JMLR 2018",
        options=OPTIONS,
    )

    quick = True

    def __init__(self, spec: StudySpec, *, eta: float = 3.0, rounds: int | None = None) -> None:
        self.plan = plan_of(spec, eta)
        self._spec, self._rounds = spec, rounds
        self.source: Source = Draws(spec)
        self._configurations = spec.space.size
        self._fold = Fold(spec.space)

    def ask(self, history: History, count: int) -> list[Proposal]:
        begun = dict(self._fold.read(history.trials))
        slots: list[Slot] = []
        through = True
        for ladder in begun.values():
            free, over = ladder.free(history.trials)
            slots += free[: count - len(slots)]
            through = through and over
        while len(slots) < count and (layout := self._next_layout(history, begun, through)):
            ladder = Ladder(len(begun), layout)
            begun[ladder.number] = ladder
            slots += ladder.free(history.trials)[0][: count - len(slots)]
            through = False
        return proposals(slots, self._fresh(history, slots, begun))

    def _fresh(self, history: History, slots: list[Slot], begun: dict[int, Ladder]) -> list[dict[str, Any]]:
        """New configurations for the slots that need one, in order: none twice in a bracket, as far as that can be.

        They are numbered from 0 by their order among themselves, which is the same for any number of workers.
        """
        numbers = [slot.bracket for slot in slots if slot.parent is None]
        first = self._fold.begun
        out: list[dict[str, Any]] = []
        for number in dict.fromkeys(numbers):
            out += self.source.suggest(history, first + len(out), numbers.count(number), begun[number].keys)
        return out

    def _next_layout(self, history: History, begun: dict[int, Ladder], through: bool) -> Bracket | None:
        """The layout of the bracket after those that have begun; None where none may begin now, or at all."""
        layouts = [begun[number].layout for number in sorted(begun) if begun[number].layout]
        last = len(layouts[-1]) - 1 if layouts else None
        trials = history.spec.budget.trials
        rest = None
        if trials is not None:
            # By what is planned, not by what has happened, so that a layout does not depend on who is quicker.
            rest = trials - (history.next_id - self._fold.placed) - sum(map(trials_of, layouts))
            if rest <= 0 and through:
                rest = trials - history.next_id  # saved where trials failed
        layout = self.plan.next(last, rest, self._configurations)
        rounds = self._rounds if self._rounds is not None else 1 if trials is None else None
        if layout is not None and rounds is not None and _rounds([*layouts, layout]) > rounds:
            return None
        return layout

    # -- what a study file that gives no number of trials gets ---------------------------------------------------------

    @property
    def size(self) -> int | None:
        """Runs in all, where the search ends by itself."""
        if self._rounds is None and self._spec.budget.trials is not None:
            return None
        return (self._rounds or 1) * self.usual_trials

    @property
    def usual_trials(self) -> int:
        """One round."""
        return sum(map(trials_of, self.plan.round(self._configurations)))

    @property
    def about(self) -> str:
        """What a round is."""
        brackets = self.plan.round(self._configurations)
        runs, name, trials = sum(map(trials_of, brackets)), self._spec.resource_name, self._spec.budget.trials
        part = "" if trials is None or trials >= runs else f"; {trials} trials are less: its brackets are smaller"
        return (
            f"a round is {len(brackets)} brackets, {runs} runs of {self.plan.amounts[0]} to {self.plan.amounts[-1]} "
            f"{name}, {sum(map(spent_by, brackets))} {name} in all{part}"
        )

    @property
    def planned(self) -> str:
        """The runs, and what they take, unless some fail."""
        limits = [limit for limit in (self._spec.budget.trials, self.size) if limit is not None]
        points = len(self._spec.points)
        counts = self.plan.planned(max(0, min(limits) - points), self._configurations)
        return in_words(counts + Counter({self.plan.amounts[-1]: points}), self._spec.resource_name or "")


def _rounds(layouts: list[Bracket]) -> int:
    """How many rounds have begun: within one, brackets become shorter."""
    lengths = [len(layout) for layout in layouts]
    return 1 + sum(after >= before for before, after in zip(lengths, lengths[1:], strict=False))
