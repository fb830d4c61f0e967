"""ASHA: successive halving that never waits, for many workers and trials of very different length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from hpo_engine.plugins.card import Card, Option
from hpo_engine.searchers import Traits
from hpo_engine.searchers.halving import ETA, BracketState, Halving, Run
from hpo_engine.space.searchspace import MAX_WALK
from hpo_engine.study.history import History
from hpo_engine.study.spec import Budget, StudySpec

OPTIONS = {
    "eta": ETA,
    "brackets": Option("how many different starting amounts of the resource new configurations get", int, 1, least=1),
    "keep": Option("the best 1 in keep of a rung is promoted (default: eta)", float, None, least=1.01),
}

_TRIES_AT_TOP = 3


class Asha(Halving):
    """Whenever a worker is free, the best trial of the highest rung with an unpromoted one among its best 1/`keep` is
    promoted; if there is no such rung, a new configuration begins. A promoted trial gets more of the resource
    (`Halving.promotion`).

    Rungs are the plan's amounts of the resource, numbered from the least. Bracket b begins at rung b; configurations
    are distributed over brackets as Hyperband's plan would. If the study has too few trials or runs for the longest
    bracket, the lowest rungs are left out.

    A search that ends has a trial with the most, unless trials fail. The last few of a limited number of runs are
    reserved for taking the best up to it, and wait for results if they must. When all trials have begun, their
    promotions follow; if these come to no trial with the most, the best one is taken up, if need be up to three. In
    a finite space with fewer configurations than `trials`, the best unpromoted trial of the highest rung is
    promoted (`promote_waiting`), until all have had the most.

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
        super().__init__(spec, eta, alike=True)
        self._top, self._keep = self.plan.deepest, eta if keep is None else keep
        self._brackets = min(brackets, self._top + 1)
        self.traits = replace(self.traits, usual_trials=self.layout[0].size)

    def runs(self, history: History, brackets: dict[int, BracketState], fresh: bool) -> Iterator[Run]:
        base, shares = self._begin(history.spec.budget)
        own = [brackets.get(b) or BracketState(b, self.layout) for b in range(len(shares))]
        runs, trials = history.runs_left, history.trials_left
        while run := self._next(own, base, runs, trials, fresh):
            runs = None if runs is None else runs - 1
            trials = None if trials is None else trials - (run.promoted is None)
            yield run

    def _next(
        self, brackets: Sequence[BracketState], base: int, runs: int | None, trials: int | None, fresh: bool
    ) -> Run | None:
        """The next run; None: wait for a result, or nothing is left to do.

        Args:
            runs, trials: how many more of them are allowed (None: no limit). fresh: see `Halving.runs`.
        """
        if runs is not None:
            if runs <= 0:
                return None
            if self._last_chance(brackets, base, runs):
                return self._take_up(brackets, base, runs, fresh and trials != 0)
        if promotion := self._promotion(brackets):
            return promotion
        if trials == 0:
            return self._best_to_top(brackets)
        return self._new(brackets, base) if fresh else self._best_left(brackets)

    def _promotion(self, brackets: Sequence[BracketState]) -> Run | None:
        for k in reversed(range(self._top)):
            for bracket in brackets:
                rung = bracket.rungs[k]
                most = int(len(rung.done) / self._keep * (1 + 1e-12))
                if most and rung.waiting and rung.waiting[0] <= rung.done[most - 1]:
                    return bracket.promote(k)
        return None

    def _best_left(self, brackets: Sequence[BracketState]) -> Run | None:
        """The best unpromoted trial of the highest rung that has one is promoted."""
        for k in reversed(range(self._top)):
            if bracket := _with_best(brackets, k):
                return bracket.promote(k)
        return None

    def _new(self, brackets: Sequence[BracketState], base: int) -> Run:
        """In the bracket that is furthest behind its share."""

        def load(bracket: BracketState) -> float:
            return (bracket.begun + 1) / self.plan.size(self._top - base - bracket.number)

        bracket = min(brackets, key=load)
        return bracket.begin(base + bracket.number)

    # -- the end of the budget -----------------------------------------------------------------------------------------

    def _best_to_top(self, brackets: Sequence[BracketState]) -> Run | None:
        """Promotes the best of the highest rung, if no trial has had the most; None: one has, or wait for results, or
        so many have failed there that the script is likely not to get there."""
        if any(rung.open for bracket in brackets for rung in bracket.rungs) or _some_at_top(brackets):
            return None
        if sum(bracket.rungs[-1].begun for bracket in brackets) >= _TRIES_AT_TOP:
            return None
        return self._best_left(brackets)

    def _last_chance(self, brackets: Sequence[BracketState], base: int, runs: int) -> bool:
        """Whether the remaining runs are just enough to take the best one to the top rung, if none is there yet."""
        return not _some_at_top(brackets) and runs <= self._top - _height(brackets, base)

    def _take_up(self, brackets: Sequence[BracketState], base: int, runs: int, fresh: bool) -> Run | None:
        """Promotes the best of the highest rung, skipping rungs if too few runs are left; None: wait for a result."""
        height, target = _height(brackets, base), self._top + 1 - runs
        if height < base:
            return brackets[0].begin(max(target, base)) if fresh else None
        if any(bracket.rungs[height].open for bracket in brackets):
            return None
        best = _with_best(brackets, height)
        return None if best is None else best.promote(height, max(target, height + 1))

    # -- the plan in words ----------------------------------------------------------------------------------------

    def about(self) -> str:
        return f"runs of {', '.join(map(str, self.plan.amounts))} {self.resource.name}"

    def planned(self) -> str:
        # Likely ones: which trials are promoted is known only when there are results.
        if runs := self.planned_runs():
            return self.in_words(runs, self._starts(runs), "about ")
        each = self.likely(100)
        return f"no end is set; for each {self.in_words(each, self._starts(each), 'about ')}"

    def _starts(self, runs: Counter[int]) -> Counter[int]:
        """Those of the runs that are likely to begin a configuration, by amount."""
        base, shares = self._shares()
        _, begin = self._begin(self._spec.budget)
        most = runs.total() if self._spec.space.allowed_size is None else self._spec.space.allowed_size
        number = min(most, runs.total() / sum(shares))
        return Counter({self.plan.amounts[base + b]: round(number * share) for b, share in enumerate(begin)})

    def planned_runs(self) -> Counter[int]:
        budget, space, whole = self._spec.budget, self._spec.space.allowed_size, self._whole()
        if whole is not None and space is not None and (budget.trials is None or budget.trials > space):
            return whole if budget.runs is None or budget.runs >= whole.total() else self.likely(budget.runs)
        limits = [trials for trials in (budget.trials, space) if trials is not None and budget.trials is not None]
        likely = self._likely_of(min(limits)) if limits else Counter[int]()
        if budget.runs is None or (limits and likely.total() <= budget.runs):
            return likely
        return self.likely(budget.runs)

    def _whole(self) -> Counter[int] | None:
        """The runs until all configurations of a small space have had the most; None if the space is too large."""
        number = self._spec.space.allowed_size
        if number is None or number > MAX_WALK:
            return None
        base, shares = self._begin(self._spec.budget)
        begin = [round(number * share) for share in shares]
        begin[0] += number - sum(begin)
        amounts = self.plan.amounts[base:]
        return +Counter({amount: sum(begin[: k + 1]) for k, amount in enumerate(amounts)})

    def _begin(self, budget: Budget) -> tuple[int, list[float]]:
        """The least rung that configurations begin at, that of the longest bracket for which the budget is enough; and
        the share of them that begins there, one higher, ..."""
        runs, trials = budget.runs, budget.trials
        base = self._top - next((s for s in range(self._top, 0, -1) if self.plan.within(s, runs, trials)), 0)
        brackets = range(min(self._brackets, self._top - base + 1))
        sizes = [self.plan.size(self._top - base - b) for b in brackets]
        return base, [size / sum(sizes) for size in sizes]

    def likely(self, runs: int) -> Counter[int]:
        """What so many runs are, by amount, if at every rung one in `keep` is promoted; in a small space more
        of them, as there are no others."""
        top, amounts = self._top, self.plan.amounts
        base, shares = self._shares()
        number = self._spec.space.allowed_size
        if number is not None and number < runs / sum(shares):
            more = (runs / number - sum(shares)) / (top - base)
            shares = [share + more * (base < k) for k, share in enumerate(shares)]
        counts = Counter({amounts[k]: round(runs * shares[k] / sum(shares)) for k in range(base + 1, top + 1)})
        if runs and not counts[amounts[top]]:  # the end of the budget sees to one
            counts[amounts[top]] = 1
        counts[amounts[base]] += runs - counts.total()
        return +counts

    def _likely_of(self, trials: int) -> Counter[int]:
        """The runs that so many configurations come to, by amount; see `likely`."""
        base, shares = self._shares()
        amounts = self.plan.amounts
        counts = Counter({amounts[k]: round(trials * shares[k]) for k in range(base, self._top + 1)})
        for k in range(base + 1, self._top + 1) if trials and not counts[amounts[-1]] else ():
            counts[amounts[k]] = max(1, counts[amounts[k]])  # the best one is taken to the top
        return +counts

    def _shares(self) -> tuple[int, list[float]]:
        """The least rung that configurations begin at, and by rung how many runs there are for each configuration."""
        base, begin = self._begin(self._spec.budget)
        shares = [0.0] * (self._top + 1)
        for b, share in enumerate(begin):
            for k in range(base + b, self._top + 1):
                shares[k] += share / self._keep ** (k - base - b)
        return base, shares


def _some_at_top(brackets: Sequence[BracketState]) -> bool:
    """Whether a trial has had the most, or is in its run with it."""
    return any(bracket.rungs[-1].done or bracket.rungs[-1].open for bracket in brackets)


def _with_best(brackets: Sequence[BracketState], rung: int) -> BracketState | None:
    """The bracket that has the best unpromoted trial of the rung; None if none has one."""
    waiting = [bracket for bracket in brackets if bracket.rungs[rung].waiting]
    return min(waiting, key=lambda bracket: bracket.rungs[rung].waiting[0], default=None)


def _height(brackets: Sequence[BracketState], base: int) -> int:
    """The highest rung with a running or unpromoted trial; one below the lowest if there is none."""
    used = (k for b in brackets for k, rung in enumerate(b.rungs) if rung.open or rung.waiting)
    return max(used, default=base - 1)
