"""Hyperband: many configurations begin with little of a resource, and only the best are promoted to more of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hpo_engine.plugins.card import Card, Option
from hpo_engine.searchers import Searcher, Traits
from hpo_engine.searchers.brackets import Bracket, HyperbandPlan, in_words, spent_by, trials_of
from hpo_engine.searchers.halving import BracketHistory, BracketState, Slot, proposals, rationed
from hpo_engine.searchers.sources import ConfigurationSource, RandomSource
from hpo_engine.space.searchspace import MAX_WALK
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Proposal, Trial

OPTIONS = {
    "eta": Option(
        "one in eta configurations is promoted, to eta times as much of the resource", float, 3.0, least=1.01
    ),
    "rounds": Option(
        "full sets of brackets (default: until the trials are used up; if unlimited: one, a small space whole)",
        int,
        None,
        least=1,
    ),
}


class Hyperband(Searcher):
    """Synchronous Hyperband. A rung's best trials are promoted when all of the rung has ended; while one is
    still running, the next bracket begins, so that workers stay busy. Brackets and promotions depend on results alone
    and not on the number of workers.

    A promoted trial runs again from the beginning with more of the resource. `trials` of the study counts runs.
    Where the rest of them is too few for a bracket, it becomes smaller, or a shorter one takes its place
    (`HyperbandPlan.next`), so that every bracket ends with a trial that gets the most. If failures leave too few, the
    next rung is smaller; what that saves is used for more brackets at the end.

    In a finite space each configuration begins once. When all have begun and the brackets have ended, those that were
    left behind are promoted as well, the best of the highest rung first, until all have had the most.

    Args:
        eta: from 1.01 on. rounds: None until the trials are used up; if these are unlimited, 1, or in a finite space
            until all configurations have had the most.

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
        self.resource = rationed(spec)
        self.plan = HyperbandPlan(self.resource.max, self.resource.min, eta)
        self._spec, self._rounds = spec, rounds
        self.source: ConfigurationSource = RandomSource(spec)
        self._fold = BracketHistory(keyed=spec.space.size is not None)
        self.traits = replace(self.traits, size=self._size, usual_trials=self._round_trials)

    def ask(self, history: History, count: int) -> list[Proposal]:
        return self._proposals(history, count)

    def promote_waiting(self, history: History, count: int) -> list[Proposal]:
        return self._proposals(history, count, fresh=False)

    def _proposals(self, history: History, count: int, fresh: bool = True) -> list[Proposal]:
        begun = dict(self._fold.read(history.trials))
        slots: list[Slot] = []
        exhausted = True
        for ladder in begun.values():
            free, over = ladder.free(history.trials, fresh)
            slots += free[: count - len(slots)]
            exhausted = exhausted and over
        while fresh and len(slots) < count and (layout := self._next_layout(history, begun, exhausted)):
            ladder = BracketState(len(begun), layout)
            begun[ladder.number] = ladder
            slots += ladder.free(history.trials)[0][: count - len(slots)]
            exhausted = False
        if not slots and self._rounds is None and (not fresh or self._unbegun(begun) == 0):
            slots = _left_over(begun, history.trials, count)
        # Numbered by their order among themselves, which is the same for any number of workers.
        new = sum(slot.parent is None for slot in slots)
        return proposals(slots, self.source.suggest(history, self._fold.begun, new, self._fold.keys) if new else [])

    def _unbegun(self, begun: dict[int, BracketState]) -> int | None:
        """How many configurations have no place yet; None if their number is unlimited."""
        if self._configurations is None:
            return None
        return max(0, self._configurations - len(self._fold.keys) - sum(ladder.empty for ladder in begun.values()))

    @property
    def _configurations(self) -> int | None:
        return self._spec.space.allowed_size

    def _next_layout(self, history: History, begun: dict[int, BracketState], exhausted: bool) -> Bracket | None:
        """The layout of the bracket after those that have begun; None if none may begin now, or ever."""
        layouts = [begun[number].layout for number in sorted(begun) if begun[number].layout]
        last = len(layouts[-1]) - 1 if layouts else None
        trials = history.spec.budget.trials
        rest = None
        if trials is not None:
            # By what is planned, not by what has happened, so that a layout does not depend on which trial is faster.
            rest = trials - (history.next_id - self._fold.placed) - sum(map(trials_of, layouts))
            if rest <= 0 and exhausted:
                rest = trials - history.next_id  # saved by trials that failed
        layout = self.plan.next(last, rest, self._unbegun(begun))
        rounds = self._rounds if self._rounds is not None else 1 if trials is None and self._endless else None
        if layout is not None and rounds is not None and _rounds([*layouts, layout]) > rounds:
            return None
        return layout

    @property
    def _endless(self) -> bool:
        """Whether there are more configurations than anybody would try out."""
        return self._configurations is None or self._configurations > MAX_WALK

    # -- what it says of itself ----------------------------------------------------------------------------------------

    @property
    def _size(self) -> int | None:
        """Runs in all, where the search ends by itself."""
        if self._rounds is None and (self._spec.budget.trials is not None or not self._endless):
            return None
        return (self._rounds or 1) * self._round_trials

    @property
    def _round_trials(self) -> int:
        return sum(map(trials_of, self.plan.round(self._configurations)))

    def about(self) -> str:
        brackets = self.plan.round(self._configurations)
        runs, name, trials = sum(map(trials_of, brackets)), self.resource.name, self._spec.budget.trials
        part = "" if trials is None or trials >= runs else f"; {trials} trials are less: its brackets are smaller"
        return (
            f"a round is {len(brackets)} brackets, {runs} runs of {self.plan.amounts[0]} to {self.plan.amounts[-1]} "
            f"{name}, {sum(map(spent_by, brackets))} {name} in all{part}"
        )

    def planned(self) -> str:
        limits = [limit for limit in (self._spec.budget.trials, self._size) if limit is not None]
        counts = self.plan.planned(min(limits, default=None), self._configurations)
        return in_words(counts, self.resource.name)


def _left_over(begun: dict[int, BracketState], trials: Sequence[Trial], count: int) -> list[Slot]:
    """Places for those whom the plan left behind, of the highest rung first; none while a plan waits for results."""
    if any(ladder.waits for ladder in begun.values()):
        return []
    waiting = [(-entry[0], *entry[1:], number) for number, b in begun.items() for entry in b.left_over(count)]
    slots: list[Slot] = []
    for _, _, trial_id, rung, number in sorted(waiting)[:count]:
        given = sum((slot.bracket, slot.rung) == (number, rung + 1) for slot in slots)
        slots.append(begun[number].beyond(rung, trials[trial_id], given))
    return slots


def _rounds(layouts: list[Bracket]) -> int:
    """How many rounds have begun: within one, brackets become shorter."""
    lengths = [len(layout) for layout in layouts]
    return 1 + sum(after >= before for before, after in zip(lengths, lengths[1:], strict=False))


def amounts_to_come(history: History, count: int) -> list[int]:
    """The amounts of the resource of the next `count` trials of a study by Hyperband: first what the brackets that
    have begun still need, then the brackets after them; [] for a study by another algorithm, or without a bracket."""
    spec = history.spec
    begun = BracketHistory(keyed=False).read(history.trials) if spec.algorithm.name == "hyperband" else {}
    if spec.resource is None or not begun:
        return []
    out: list[int] = []
    for _, bracket in sorted(begun.items()):
        for rung, level in zip(bracket.layout, bracket.levels, strict=False):
            out += [rung.resource] * (rung.size - len(level.places))
    plan = HyperbandPlan(spec.resource.max, spec.resource.min, float(spec.algorithm.options.get("eta", 3.0)))
    last = len(begun[max(begun)].layout) - 1
    while (rest := count - len(out)) > 0 and (layout := plan.next(last, rest)):
        out += [rung.resource for rung in layout for _ in range(rung.size)]
        last = len(layout) - 1
    return out
