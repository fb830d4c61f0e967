"""ASHA: successive halving that never waits, for many workers and trials of very different length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from hpo_engine.plugins.card import Card, Option
from hpo_engine.searchers import Searcher, Traits
from hpo_engine.searchers.brackets import HyperbandPlan, in_words, trials_of
from hpo_engine.searchers.halving import BracketHistory, BracketState, Slot, proposals, rationed
from hpo_engine.searchers.sources import ConfigurationSource, RandomSource
from hpo_engine.space.searchspace import MAX_WALK
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Proposal

OPTIONS = {
    "eta": Option(
        "one in eta configurations is promoted, to eta times as much of the resource", float, 3.0, least=1.01
    ),
    "brackets": Option("how many different starting amounts of the resource new configurations get", int, 1, least=1),
    "keep": Option("the best 1 in keep of a rung is promoted (default: eta)", float, None, least=1.01),
}


class Asha(Searcher):
    """Whenever a worker is free, the best trial of the highest rung with an unpromoted one among its best 1/`keep` is
    promoted; if there is no such rung, a new configuration begins. A promoted trial runs again from the beginning with
    more of the resource.

    Rungs are the plan's amounts of the resource, numbered from the least. Bracket b begins at rung b; configurations
    are distributed over brackets as Hyperband's plan would. If the study has too few trials for the longest bracket,
    the lowest rungs are left out. The last few trials are reserved for taking the best up to the most, and wait for
    results if they must, so that a search that ends has a trial with the most, unless trials fail. When no new
    configurations are left, the best unpromoted trial of the highest rung is promoted (`promote_waiting`).

    Args:
        eta: from 1.01 on. brackets: at most the plan's. keep: as in the paper eta, if None.

    Source: Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020, Algorithm 2.
    """

    traits = Traits(
        card=Card(
            summary="like hyperband, but never waits; needs `resource`",
            suits="many workers, or trials that take very different times",
            cost="0.2 ms, 0.4 ms after 10,000 trials",
            source="Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020",
            options=OPTIONS,
        ),
        quick=True,
        needs_resource=True,
        rations=True,
    )

    def __init__(self, spec: StudySpec, *, eta: float = 3.0, brackets: int = 1, keep: float | None = None) -> None:
        self.resource = rationed(spec)
        self.plan = HyperbandPlan(self.resource.max, self.resource.min, eta)
        self.source: ConfigurationSource = RandomSource(spec)
        self._spec, self._brackets = spec, min(brackets, self.plan.deepest + 1)
        self._keep = eta if keep is None else keep
        self._fold = BracketHistory(self.plan.deepest + 1, keyed=spec.space.size is not None)
        self.traits = replace(self.traits, usual_trials=trials_of(self.plan.bracket(self.plan.deepest)))

    def ask(self, history: History, count: int) -> list[Proposal]:
        return self._proposals(history, count)

    def promote_waiting(self, history: History, count: int) -> list[Proposal]:
        return self._proposals(history, count, fresh=False)

    def _proposals(self, history: History, count: int, fresh: bool = True) -> list[Proposal]:
        climb = AshaState(self.plan, self._brackets, self._keep, history, self._fold.read(history.trials))
        slots: list[Slot] = []
        while len(slots) < count and (slot := climb.next(fresh)):
            slots.append(slot)
        new = sum(slot.parent is None for slot in slots)
        return proposals(slots, self.source.suggest(history, self._fold.begun, new, self._fold.keys) if new else [])

    def about(self) -> str:
        amounts = self.plan.amounts
        return f"runs of {', '.join(map(str, amounts))} {self.resource.name}"

    def planned(self) -> str:
        # Likely ones: which trials are promoted is known only when there are results.
        trials, name, whole = self._spec.budget.trials, self.resource.name, self._whole()
        if trials is None and whole is None:
            return f"no end is set; for each {in_words(self.likely(100), name, 'about ')}"
        if whole is not None and (trials is None or trials >= whole.total()):
            return in_words(whole, name, "about ")
        return in_words(self.likely(trials or 0), name, "about ")

    def _whole(self) -> Counter[int] | None:
        """The runs until all configurations of a small space have had the most; None if the space is too large."""
        number = self._spec.space.allowed_size
        if number is None or number > MAX_WALK:
            return None
        base, shares = self._begin()
        begin = [round(number * share) for share in shares]
        begin[0] += number - sum(begin)
        amounts = self.plan.amounts[base:]
        return +Counter({amount: sum(begin[: k + 1]) for k, amount in enumerate(amounts)})

    def _begin(self) -> tuple[int, list[float]]:
        """The least rung that configurations begin at, and the share of them that begins there, one higher, ..."""
        base = _base(self.plan, self._spec.budget.trials)
        brackets = range(min(self._brackets, self.plan.deepest - base + 1))
        sizes = [self.plan.size(self.plan.deepest - base - b) for b in brackets]
        return base, [size / sum(sizes) for size in sizes]

    def likely(self, trials: int) -> Counter[int]:
        """The runs that `trials` come to, by amount, if at every rung one in `keep` is promoted; in a small space more
        of them, as there are no others."""
        top, amounts = self.plan.deepest, self.plan.amounts
        base, begin = self._begin()
        shares = [0.0] * (top + 1)  # runs at each rung for each new configuration
        for b, share in enumerate(begin):
            for k in range(base + b, top + 1):
                shares[k] += share / self._keep ** (k - base - b)
        number = self._spec.space.allowed_size
        if number is not None and number < trials / sum(shares):
            more = (trials / number - sum(shares)) / (top - base)
            shares = [share + more * (base < k) for k, share in enumerate(shares)]
        counts = Counter({amounts[k]: round(trials * shares[k] / sum(shares)) for k in range(base + 1, top + 1)})
        if trials and not counts[amounts[top]]:  # the end of the budget sees to one
            counts[amounts[top]] = 1
        counts[amounts[base]] += trials - counts.total()
        return +counts


class AshaState:
    """The slots that come next, one after the other; those given out count as trials that run."""

    def __init__(
        self, plan: HyperbandPlan, brackets: int, keep: float, history: History, begun: Mapping[int, BracketState]
    ) -> None:
        self._plan, self._keep, self._top, self._trials = plan, keep, plan.deepest, history.trials
        trials = history.spec.budget.trials
        self._base = _base(plan, trials)
        self._brackets = range(min(brackets, self._top - self._base + 1))
        self._rest = None if trials is None else trials - history.next_id
        self._ladders = [begun.get(b) or BracketState(b, depth=self._top + 1) for b in self._brackets]
        # What this answer adds: ids of promoted trials; trials by bracket and rung; new configurations by bracket.
        self._gone: set[int] = set()
        self._given = [[0] * (self._top + 1) for _ in self._brackets]
        self._fresh = [0 for _ in self._brackets]

    def next(self, fresh: bool = True) -> Slot | None:
        """None: there is nothing to do, or a result is waited for.

        Args:
            fresh: whether there are new configurations.
        """
        if self._rest is not None:
            if self._rest <= 0:
                return None
            if self._last_chance():
                return self._take_up(fresh)
        return self._promotion() or (self._new() if fresh else self._best_left())

    def _promotion(self) -> Slot | None:
        for k in range(self._top - 1, -1, -1):
            for ladder in self._ladders:
                done = ladder.levels[k].done
                most = int(len(done) / self._keep * (1 + 1e-12))
                first = self._going(ladder, k) if most else None
                if first is not None and first <= done[most - 1]:
                    return self._slot(ladder, k + 1, first)
        return None

    def _best_left(self) -> Slot | None:
        """The best unpromoted trial of the highest rung that has one."""
        for k in range(self._top - 1, -1, -1):
            going = [(first, ladder) for ladder in self._ladders if (first := self._going(ladder, k))]
            if going:
                first, ladder = min(going, key=lambda item: item[0])
                return self._slot(ladder, k + 1, first)
        return None

    def _new(self) -> Slot:
        """In the bracket that is furthest behind its share."""

        def load(b: int) -> float:
            begun = self._ladders[b].begun + self._fresh[b]
            return (begun + 1) / self._plan.size(self._top - self._base - b)

        b = min(self._brackets, key=load)
        return self._slot(self._ladders[b], self._base + b, None)

    # -- the end of the budget -----------------------------------------------------------------------------------------

    def _last_chance(self) -> bool:
        """Whether the remaining trials are just enough to take the best one to the top rung, if none is there yet."""
        if any(ladder.levels[self._top].done or self._running(ladder, self._top) for ladder in self._ladders):
            return False
        return (self._rest or 0) <= self._top - self._height

    @property
    def _height(self) -> int:
        """The highest rung with a running or unpromoted trial; one below the lowest if there is none."""
        for k in range(self._top, -1, -1):
            if any(self._running(ladder, k) or self._going(ladder, k) for ladder in self._ladders):
                return k
        return self._base - 1

    def _take_up(self, fresh: bool) -> Slot | None:
        """Promotes the best of the highest rung, skipping rungs if too few trials are left; None: wait for a result."""
        height, target = self._height, self._top + 1 - (self._rest or 0)
        if height < self._base:
            return None if not fresh else self._slot(self._ladders[0], max(target, self._base), None)
        if any(self._running(ladder, height) for ladder in self._ladders):
            return None
        going = [(first, ladder) for ladder in self._ladders if (first := self._going(ladder, height))]
        first, ladder = min(going, key=lambda item: item[0])
        return self._slot(ladder, max(target, height + 1), first)

    def _going(self, ladder: BracketState, rung: int) -> tuple[float, int] | None:
        """(loss, trial id) of the rung's best unpromoted trial."""
        return next((entry for entry in ladder.going(rung) if entry[1] not in self._gone), None)

    def _running(self, ladder: BracketState, rung: int) -> int:
        return ladder.levels[rung].open + self._given[ladder.number][rung]

    def _slot(self, ladder: BracketState, rung: int, entry: tuple[float, int] | None) -> Slot:
        if entry is not None:
            self._gone.add(entry[1])
        else:
            self._fresh[ladder.number] += 1
        if self._rest is not None:
            self._rest -= 1
        b = ladder.number
        place = len(ladder.levels[rung].places) + self._given[b][rung]
        self._given[b][rung] += 1
        parent = None if entry is None else self._trials[entry[1]]
        return Slot(b, rung, place, self._plan.amounts[rung], parent)


def _base(plan: HyperbandPlan, trials: int | None) -> int:
    """The lowest rung: that of the longest bracket for which the trials are enough."""
    return plan.deepest - next((s for s in range(plan.deepest, 0, -1) if plan.within(s, trials)), 0)
