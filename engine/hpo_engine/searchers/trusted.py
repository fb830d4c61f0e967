"""Successive halving in which a rung decides only as long as its order is that of full trainings."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hpo_engine.maths.concordance import concordance
from hpo_engine.searchers.halving import BracketState, Halving, Run, can_go_on
from hpo_engine.searchers.model_source import Model
from hpo_engine.searchers.projected import ProjectedSource
from hpo_engine.searchers.results import RungResults, reported
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec

_ETA = 3.0  # between rungs, and one in so many is promoted: as in ASHA
_PROMOTIONS = 2  # the least rung is a ninth of the most: below it, orders are seldom those of full trainings
_FREE = 8  # configurations that are trained to the end before any rung decides
_FREE_SHARE = 10  # later one in so many: each costs as much as three or more that begin short
_LEAST_PAIRS = 5  # of an early and a last loss, before a rung is trusted
_TRUSTED = 0.8  # concordance from which on a rung decides; 0.5 is chance
_LATEST = 60  # pairs that count
_SCREENED, _TO_THE_END = 0, 1  # the two brackets


class TrustedHalving(Halving):
    """Halving from a ninth and a third of the resource, for as long as these tell which configurations are good.

    The first configurations are trained to the end whatever their first rungs say. Then a rung is trusted while its
    losses order the configurations that were trained to the end unconditionally as their last losses do
    (`concordance`). New configurations begin at the lowest trusted rung, and its best third is promoted, as in ASHA;
    one in ten is still trained to the end, so that trust is tested on configurations that the rung has not selected.
    While no rung is trusted, all configurations get the most at once.

    A trial whose rows are counted in the resource has passed the lower rungs: its rows say what shorter runs would
    have shown. Only if trials report no such rows are configurations run on all rungs to learn it.

    Args:
        model: proposes new configurations, from losses of full trainings and from those that shorter ones predict.

    Source: rungs and promotions of Li et al., ASHA, MLSys 2020; that their order must agree with a higher one's, of
    Bohdal et al., PASHA: Efficient HPO and NAS with Progressive Resource Allocation, ICLR 2023.
    """

    def __init__(self, spec: StudySpec, model: Model) -> None:
        super().__init__(spec, _ETA, alike=True, promotions=_PROMOTIONS)
        self._top = len(self.layout) - 1
        self._results = RungResults([rung.resource for rung in self.layout], spec.objectives)
        self.source = ProjectedSource(spec, model, self._results)

    def runs(self, history: History, brackets: dict[int, BracketState], fresh: bool) -> Iterator[Run]:
        state = _State(
            brackets.get(_SCREENED) or BracketState(_SCREENED, self.layout),
            brackets.get(_TO_THE_END) or BracketState(_TO_THE_END, self.layout),
            self.base(history),
            reported(history),
        )
        runs, trials = history.runs_left, history.trials_left
        while runs != 0 and (run := self._next(state, runs, trials, fresh)):
            runs = None if runs is None else runs - 1
            trials = None if trials is None else trials - (run.promoted is None)
            yield run

    def base(self, history: History) -> int:
        """The lowest rung that is trusted; the highest of all if none below it is.

        Where promoted configurations begin anew, only the lowest of all rungs or the highest: those that begin with a
        third of the resource would take two thirds of it, the promoted third of them included.
        """
        lowest = next((k for k, trust in enumerate(self.trust(history)) if trust >= _TRUSTED), self._top)
        return lowest if lowest == 0 or self._goes_on(history) else self._top

    def _goes_on(self, history: History) -> bool:
        """Whether promoted trials are carried on: if that is not said, whether the first one with a result could be."""
        first = next((trial for trial in history.trials if trial.results), None)
        if first is None or self.resource.resume == "never":
            return False
        return first.cleared or can_go_on(first, self.resource)

    def trust(self, history: History) -> list[float]:
        """For each rung but the highest the concordance of its losses with the last ones; 0 if too few are known."""
        known = self._results.read(history)
        free = [i for i in known.full if _is_free(history, i)][-_LATEST:]
        out = []
        for early in known.early:
            pairs = [(early[i], known.full[i]) for i in free if i in early]
            low, last = np.array(pairs).reshape(-1, 2).T
            out.append(concordance(low, last) if len(pairs) >= _LEAST_PAIRS else 0.0)
        return out

    def _next(self, state: _State, runs: int | None, trials: int | None, fresh: bool) -> Run | None:
        """The next run; None: wait for a result, or nothing is left to do.

        Args:
            runs, trials: how many more of them are allowed (None: no limit). fresh: see `Halving.runs`.
        """
        few = runs is not None and runs <= self._top  # too few to pass every rung
        for k in reversed(range(self._top)):
            if state.free.rungs[k].waiting:
                return state.free.promote(k, self._top if few else None)
        for k in reversed(range(state.base, self._top)):
            if _among_best(state.screened, k):
                return state.screened.promote(k)
        if trials == 0:
            return None if state.some_at_top or state.some_open else self._best_left(state.screened)
        if not fresh:
            return self._best_left(state.screened)
        return self._new(state, few)

    def _new(self, state: _State, few: bool) -> Run:
        number = state.screened.begun + state.free.begun
        if number < _FREE:
            return state.free.begin(self._top if state.live or few else 0)
        if state.base == self._top:
            return state.free.begin(self._top)
        if number % _FREE_SHARE == _FREE_SHARE - 1:
            return state.free.begin(self._top if state.live else state.base)
        return state.screened.begin(state.base)

    def _best_left(self, screened: BracketState) -> Run | None:
        """When no new configuration is left: the best unpromoted trial of the highest rung that has one."""
        rungs = (k for k in reversed(range(self._top)) if screened.rungs[k].waiting)
        return next((screened.promote(k) for k in rungs), None)

    def _most_promoted(self, bracket: BracketState, rung: int) -> int | None:
        all_ = bracket.number == _TO_THE_END or self._spec.space.size is not None
        return None if all_ else super()._most_promoted(bracket, rung)

    # -- the plan in words ----------------------------------------------------------------------------------------

    def about(self) -> str:
        amounts = ", ".join(str(rung.resource) for rung in self.layout)
        return f"runs of {amounts} {self.resource.name}; short ones decide while their order is that of full ones"

    def planned(self) -> str:
        # Likely ones: which trials are promoted is known only when there are results.
        if runs := self.planned_runs():
            return self.in_words(runs, self._starts(runs), "about ")
        each = self._likely(100)
        return f"no end is set; for each {self.in_words(each, self._starts(each), 'about ')}"

    def planned_runs(self) -> Counter[int]:
        budget, space = self._spec.budget, self._spec.space.allowed_size
        limits = [limit for limit in (budget.trials, space) if limit is not None]
        likely = self._likely_of(min(limits)) if limits else Counter[int]()
        if budget.runs is None or (limits and likely.total() <= budget.runs):
            return likely
        return self._likely(budget.runs)

    def _likely(self, runs: int) -> Counter[int]:
        """What so many runs are, by amount."""
        trials = bisect_right(range(runs + 1), runs, key=lambda n: self._likely_of(n).total()) - 1
        out = self._likely_of(trials)
        out[self.layout[0 if trials > _FREE else -1].resource] += runs - out.total()
        return +out

    def _likely_of(self, trials: int) -> Counter[int]:
        """The runs that so many configurations come to, by amount, if all rungs are trusted and rows are reported."""
        free = min(trials, _FREE) + max(0, trials - _FREE) // _FREE_SHARE
        out = Counter({rung.resource: round((trials - free) / _ETA**k) for k, rung in enumerate(self.layout)})
        out[self.layout[-1].resource] += free
        return +out

    def _starts(self, runs: Counter[int]) -> Counter[int]:
        """Those of the runs that are likely to begin a configuration, by amount."""
        least, most = self.layout[0].resource, self.layout[-1].resource
        begun = runs[least] if self._top else 0
        return Counter({least: begun, most: runs[most] - (round(begun / _ETA**self._top) if self._top else 0)})


@dataclass(frozen=True)
class _State:
    """What the next run depends on. `base`: the lowest trusted rung. `live`: rows are counted in the resource."""

    screened: BracketState
    free: BracketState
    base: int
    live: bool

    @property
    def some_open(self) -> bool:
        return any(rung.open for bracket in (self.screened, self.free) for rung in bracket.rungs)

    @property
    def some_at_top(self) -> bool:
        tops = (self.screened.rungs[-1], self.free.rungs[-1])
        return any(top.done or top.open for top in tops)


def _is_free(history: History, trial_id: int) -> bool:
    note = history.trials[trial_id].proposal.note
    return note is not None and note.get("bracket") == _TO_THE_END


def _among_best(bracket: BracketState, k: int) -> bool:
    """Whether the best waiting trial of a rung is among its best third."""
    rung = bracket.rungs[k]
    most = int(len(rung.done) / _ETA)
    return bool(most and rung.waiting and rung.waiting[0] <= rung.done[most - 1])
