"""Hyperband: many configurations begin with little of a resource, and only the best are promoted to more of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from heapq import merge
from itertools import pairwise

from hpo_engine.plugins.card import Card, Option
from hpo_engine.searchers import Traits
from hpo_engine.searchers.brackets import Bracket, HyperbandPlan, number_of_runs, runs_of, starts_of
from hpo_engine.searchers.halving import ETA, BracketHistory, BracketState, Halving, Run
from hpo_engine.space.searchspace import MAX_WALK
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec
from hpo_engine.text.tables import counted

OPTIONS = {
    "eta": ETA,
    "rounds": Option(
        "full sets of brackets (default: until the trials are used up; if unlimited: one, a small space whole)",
        int,
        None,
        least=1,
    ),
}


class Hyperband(Halving):
    """Synchronous Hyperband. A rung's best trials are promoted when all of the rung has ended; while one is
    still running, the next bracket begins, so that workers stay busy. Brackets and promotions depend on results alone
    and not on the number of workers.

    Where the rest of the study's `trials` (configurations) or `runs` is too few for a bracket, it becomes smaller, or a
    shorter one takes its place (`HyperbandPlan.next`), so that every bracket ends with a trial that gets the most. If
    failures leave too few, the next rung is smaller; the runs which that saves are used for more brackets at the end.

    In a finite space each configuration begins once. When all have begun, the brackets have ended and `trials` allows
    more, those that were left behind are promoted as well, the best of the highest rung first, until all have had the
    most.

    Args:
        eta: from 1.01 on. rounds: None until the trials or the runs are used up; if both are unlimited, 1, or in a
            finite space until all configurations have had the most.

    Source: Li et al., JMLR 2018.
    """

    traits = Traits(
        card=Card(
            summary="many short runs, the best of them longer; needs `resource`",
            suits="trainings whose quality shows early, and too many configurations to train each to the end",
            cost="0.2 ms, 0.4 ms after 10,000 trials",
            source="Li et al., Hyperband, JMLR 2018",
            options=OPTIONS,
        ),
        quick=True,
        needs_resource=True,
        rations=True,
    )

    def __init__(self, spec: StudySpec, *, eta: float = 3.0, rounds: int | None = None) -> None:
        super().__init__(spec, eta, alike=False)
        self._rounds = rounds
        self.traits = replace(self.traits, size=self._size, usual_trials=self._round_size)

    def runs(self, history: History, brackets: dict[int, BracketState], fresh: bool) -> Iterator[Run]:
        planned = self._planned(history, brackets, fresh)
        first = next(planned, None)
        if first is not None:
            yield first
            yield from planned
        elif self._rounds is None and history.trials_left != 0 and (not fresh or self._unbegun(brackets) == 0):
            yield from _left_over(brackets.values())

    def _planned(self, history: History, brackets: dict[int, BracketState], fresh: bool) -> Iterator[Run]:
        for bracket in brackets.values():
            yield from _due(bracket, fresh)
        while fresh and (layout := self._next_layout(history, brackets)):
            brackets[len(brackets)] = bracket = BracketState(len(brackets), layout)
            yield from _due(bracket, fresh)

    def _unbegun(self, brackets: Mapping[int, BracketState]) -> int | None:
        """How many configurations have no place yet; None if their number is unlimited."""
        if self._configurations is None:
            return None
        others = len(self._past.keys) - self._past.begun
        return max(0, self._configurations - others - sum(bracket.layout[0].size for bracket in brackets.values()))

    @property
    def _configurations(self) -> int | None:
        return self._spec.space.allowed_size

    def _next_layout(self, history: History, brackets: Mapping[int, BracketState]) -> Bracket | None:
        """The layout of the bracket after those that have begun; None if none may begin now, or ever."""
        layouts = [brackets[number].layout for number in sorted(brackets)]
        budget, runs, new = history.spec.budget, None, self._unbegun(brackets)
        # By what is planned, not by what has happened, so that a layout does not depend on which trial is faster.
        if budget.runs is not None:
            runs = budget.runs - (history.next_id - self._past.placed) - sum(map(number_of_runs, layouts))
            if runs <= 0 and all(bracket.exhausted for bracket in brackets.values()):
                runs = history.runs_left  # saved by trials that failed
        if budget.trials is not None:
            allowed = budget.trials - (history.begun - self._past.begun) - sum(layout[0].size for layout in layouts)
            new = allowed if new is None else min(new, allowed)
        layout = self.plan.next(len(layouts[-1]) - 1 if layouts else None, runs, new)
        rounds = 1 if self._rounds is None and self._unlimited and self._endless else self._rounds
        if layout is not None and rounds is not None and _rounds([*layouts, layout]) > rounds:
            return None
        return layout

    @property
    def _unlimited(self) -> bool:
        """Whether the budget sets no limit to what begins."""
        return self._spec.budget.trials is None and self._spec.budget.runs is None

    @property
    def _endless(self) -> bool:
        """Whether there are too many configurations to try all of them."""
        return self._configurations is None or self._configurations > MAX_WALK

    # -- the plan in words ----------------------------------------------------------------------------------------

    @property
    def _size(self) -> int | None:
        """How many configurations begin where the search ends by itself."""
        if self._rounds is None and not (self._unlimited and self._endless):
            return None
        return (self._rounds or 1) * self._round_size

    @property
    def _round_size(self) -> int:
        """How many configurations begin in a round."""
        return sum(bracket[0].size for bracket in self.plan.round(self._configurations))

    def about(self) -> str:
        brackets, budget = self.plan.round(self._configurations), self._spec.budget
        runs, name = sum(map(number_of_runs, brackets)), self.resource.name
        few = [(budget.trials, self._round_size, "trial"), (budget.runs, runs, "run")]
        less = [counted(limit, word) for limit, whole, word in few if limit is not None and limit < whole]
        part = f"; {' and '.join(less)} are less: its brackets are smaller" if less else ""
        return (
            f"a round is {len(brackets)} brackets, {self._round_size} trials with {runs} runs of "
            f"{self.plan.amounts[0]} to {self.plan.amounts[-1]} {name}{part}"
        )

    def planned(self) -> str:
        return self.in_words(self.planned_runs(), self._planned_of(starts_of))

    def planned_runs(self) -> Counter[int]:
        return self._planned_of(runs_of)

    def _planned_of(self, count: Callable[[Iterable[Bracket]], Counter[int]]) -> Counter[int]:
        """What is planned of the budget; `count`: runs, or those of them that begin a configuration."""
        budget, space = self._spec.budget, self._configurations
        if space is not None and self._searches_all(space):
            if count is runs_of:
                return self.plan.planned_whole(budget.runs, space)
            return count(self.plan.following(None, budget.runs, space))
        limits = [limit for limit in (budget.trials, self._size, space) if limit is not None]
        return self.plan.planned(budget.runs, min(limits, default=None), count)

    def _searches_all(self, space: int) -> bool:
        """Whether the budget allows more than the brackets of a space of so many configurations."""
        if self._rounds is not None or (self._unlimited and self._endless):
            return False
        return all(limit is None or limit > space for limit in (self._spec.budget.trials, self._spec.budget.runs))


def _due(bracket: BracketState, fresh: bool) -> Iterator[Run]:
    """The bracket's runs that can start now, lowest rung first. A rung's best are promoted when all of it has ended; if
    too few have a loss, fewer are."""
    if bracket.exhausted:
        return
    while fresh and bracket.rungs[0].begun < bracket.layout[0].size:
        yield bracket.begin(0)
    for k, (rung, above) in enumerate(pairwise(bracket.rungs)):
        size = min(bracket.layout[k + 1].size, len(rung.done))
        if not rung.open:
            while above.begun < size and rung.waiting:
                yield bracket.promote(k)
        if rung.open or above.begun < size:
            return
    bracket.exhausted = fresh and not bracket.rungs[-1].open


def _left_over(brackets: Collection[BracketState]) -> Iterator[Run]:
    """Promotes the trials that the plan left behind, the best of the highest rung first; none while a plan waits for
    results."""
    if any(_waits(bracket) for bracket in brackets):
        return
    waiting = [
        [(-rung.resource, *entry, k, bracket) for entry in state.waiting]
        for bracket in brackets
        for k, (rung, state) in enumerate(zip(bracket.layout[:-1], bracket.rungs, strict=False))
    ]
    for _, _, _, k, bracket in merge(*waiting):
        yield bracket.promote(k)


def _waits(bracket: BracketState) -> bool:
    """Whether trials are running whose losses decide its planned promotions."""
    pairs = zip(pairwise(bracket.rungs), bracket.layout[1:], strict=False)
    return any(rung.open and above.begun < planned.size for (rung, above), planned in pairs)


def _rounds(layouts: list[Bracket]) -> int:
    """How many rounds have begun: within one, brackets become shorter."""
    lengths = [len(layout) for layout in layouts]
    return 1 + sum(after >= before for before, after in zip(lengths, lengths[1:], strict=False))


def amounts_to_come(history: History) -> list[tuple[int, int]]:
    """Of the next runs of a study by Hyperband the amounts of the resource, each with the one before it (0: it is the
    first of its trial): first what the brackets that have begun still need, then the brackets after them, as far as the
    budget allows; [] for a study by another algorithm, or without a bracket."""
    spec, budget = history.spec, history.spec.budget
    begun = BracketHistory(keyed=False).read(history.trials) if spec.algorithm.name == "hyperband" else {}
    if spec.resource is None or not begun:
        return []
    out: list[tuple[int, int]] = []
    for _, bracket in sorted(begun.items()):
        for before, rung, state in zip((0, *_amounts(bracket.layout)), bracket.layout, bracket.rungs, strict=False):
            out += [(before, rung.resource)] * (rung.size - state.begun)
    plan = HyperbandPlan(spec.resource.max, spec.resource.min, float(spec.algorithm.options.get("eta", 3.0)))
    last = len(begun[max(begun)].layout) - 1
    runs = None if history.runs_left is None else history.runs_left - len(out)
    new = None if budget.trials is None else budget.trials - sum(b.layout[0].size for b in begun.values())
    for layout in plan.following(last, runs, new) if (runs, new) != (None, None) else ():
        for before, rung in zip((0, *_amounts(layout)), layout, strict=False):
            out += [(before, rung.resource)] * rung.size
    return out


def _amounts(layout: Bracket) -> tuple[int, ...]:
    return tuple([rung.resource for rung in layout])
