"""Successive halving as a function of history: what each rung of each bracket has had, and the answers made of it.

A searcher of this family decides which run comes next (`Halving.runs`), and nothing else. What becomes of the decision
that a trial is promoted is said once, in `Halving.promotion`. Some trials of a study may be carried on and others
repeated: a rung has results, whosever they are. One that fails or is ended in its run on a rung has no place in the
next; it keeps its results on the rungs below, and is not promoted from there a second time.

Each trial's note has its place, {"bracket": 0, "rung": 1, "place": 2}; that of the first trial of one of Hyperband's
brackets also has the bracket's `layout`, [[trials, resource], ...], so that a changed budget changes later brackets
only. Nothing else is stored: after a crash the next engine computes the same. Trials without such a note do no harm.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from hpo_engine.plugins.card import Option
from hpo_engine.searchers import Searcher
from hpo_engine.searchers.brackets import Bracket, HyperbandPlan, Rung, in_words, trained_once
from hpo_engine.searchers.fates import Fate, fate
from hpo_engine.searchers.sources import ConfigurationSource, RandomSource
from hpo_engine.space.params import key, plain
from hpo_engine.study.table import TrialTable
from hpo_engine.study.trial import Proposal, Trial

if TYPE_CHECKING:
    from hpo_engine.study.history import History
    from hpo_engine.study.spec import Resource, StudySpec

ETA = Option("one in eta configurations is promoted, to eta times as much of the resource", float, 3.0, least=1.01)

Entry = tuple[float, int]
"""A loss and the id of its trial."""


class Halving(Searcher):
    """A searcher that gives many configurations little of the resource, and promotes the best of them to more.

    Args:
        alike: whether all brackets have the rungs of the longest one; if not, each has a layout of its own.
        promotions: the most of the longest one; None: as many as the resource has room for.
    """

    def __init__(self, spec: StudySpec, eta: float, *, alike: bool, promotions: int | None = None) -> None:
        self._spec, self.resource = spec, rationed(spec)
        self.traits = replace(self.traits, carries_on=self.resource.resume != "never")
        self.plan = HyperbandPlan(self.resource.max, self.resource.min, eta)
        longest = self.plan.deepest if promotions is None else min(promotions, self.plan.deepest)
        self.layout: Bracket = self.plan.bracket(longest) if alike else ()
        self.source: ConfigurationSource = RandomSource(spec)
        self._past = BracketHistory(self.layout, keyed=spec.space.size is not None)

    def runs(self, history: History, brackets: dict[int, BracketState], fresh: bool) -> Iterator[Run]:
        """The runs that can start now, one after the other, from `BracketState.begin` and `BracketState.promote`: each
        counts as a running trial when the next one is chosen. Those that nobody takes are not chosen.

        Args:
            brackets: those that have begun, by number; what is added to it is forgotten.
            fresh: whether there are new configurations.
        """
        raise NotImplementedError

    def ask(self, history: History, count: int) -> list[Proposal]:
        return self._proposals(history, count, fresh=True)

    def why(self, before: History, trial: Trial) -> str:
        note, spec = trial.proposal.note or {}, self.resource
        if "rung" not in note:
            return ""
        first = trial.attempts[0].resource if trial.attempts else trial.proposal.resource
        where = f" in bracket {note['bracket']}" if note.get("bracket") else ""
        return f"a new configuration{where}, which begins with {first} of {spec.max} {spec.name}"

    def promote_waiting(self, history: History, count: int) -> list[Proposal]:
        return self._proposals(history, count, fresh=False)

    def promotable(self, history: History) -> Collection[int]:
        """Those that wait in a rung below the last one, and that are not behind as many as can be promoted from it at
        the most: others only join them."""
        if not self.traits.carries_on:
            return ()
        found: set[int] = set()
        for bracket in self._kept.read(history.trials).values():
            for rung, state in enumerate(bracket.rungs[:-1]):
                within = set(state.done[: self._most_promoted(bracket, rung)])
                found |= {number for loss, number in state.waiting if (loss, number) in within}
        return found

    def _most_promoted(self, bracket: BracketState, rung: int) -> int | None:
        """From a rung, whatever is still to come; None: there is no bound."""
        if not self.layout:
            return bracket.layout[rung + 1].size
        trials = self._spec.budget.trials
        return None if trials is None else math.ceil(trials / self.plan.eta)

    @cached_property
    def _kept(self) -> BracketHistory:
        return BracketHistory(self.layout, keyed=False)

    def promotion(self, trial: Trial, resource: int, note: Mapping[str, Any]) -> Proposal:
        """What it means that a trial is promoted: it is carried on from the files that it left, or, if there is nothing
        to go on from, a new trial runs its configuration from the beginning (`resource.resume`)."""
        if can_go_on(trial, self.resource):
            whole = {**(trial.proposal.note or {}), **note}  # the first one of a bracket keeps the layout
            return Proposal(plain(trial.params), resource, carry_on=trial.id, note=whole)
        return Proposal(plain(trial.params), resource, note=note, repeats=trial.id)

    def in_words(self, counts: Counter[int], starts: Counter[int], about: str = "") -> str:
        """The planned runs, and the resource that they take in each way of promoting that may happen.

        Args:
            starts: those of the runs that begin a configuration.
        """
        name, resume = self.resource.name, self.resource.resume
        once = trained_once(counts, starts)
        if resume == "always":
            return in_words(counts, name, about, once)
        text = in_words(counts, name, about)
        goes_on = resume == "auto" and once < sum(amount * runs for amount, runs in counts.items())
        return f"{text}, or {about}{once:,} if promoted trials leave checkpoints to go on from" if goes_on else text

    def _proposals(self, history: History, count: int, fresh: bool) -> list[Proposal]:
        brackets, runs = dict(self._past.read(history.trials)), list[Run]()
        try:
            runs.extend(islice(self.runs(history, brackets, fresh), count))
        finally:
            for run in runs:
                run.bracket.take_back(run)
        # Numbered by their order among themselves, which is the same for any number of workers.
        new = sum(run.promoted is None for run in runs)
        configurations = iter(self.source.suggest(history, self._past.begun, new, self._past.keys) if new else [])
        return [
            Proposal(dict(next(configurations)), run.resource, note=self._note(run))
            if run.promoted is None
            else self.promotion(history.trials[run.promoted[1]], run.resource, self._note(run))
            for run in runs
        ]

    def _note(self, run: Run) -> dict[str, Any]:
        note: dict[str, Any] = {"bracket": run.bracket.number, "rung": run.rung, "place": run.place}
        if run.rung == run.place == 0 and not self.layout:
            note["layout"] = [[rung.size, rung.resource] for rung in run.bracket.layout]
        return note


def can_go_on(trial: Trial, resource: Resource) -> bool:
    """Whether a promoted trial is carried on: always, or if the run of its latest result left a checkpoint."""
    if resource.resume == "auto":
        return trial.results[-1].checkpoint is not None
    return resource.resume == "always"


def rationed(spec: StudySpec) -> Resource:
    """The resource of a study that has one."""
    assert spec.resource is not None
    return spec.resource


@dataclass(frozen=True)
class Run:
    """A decision: the run number `place` of a rung is that of a new configuration, or of one that is `promoted`."""

    bracket: BracketState
    rung: int
    place: int
    promoted: Entry | None = None
    source: int = 0  # the rung from which it is promoted

    @property
    def resource(self) -> int:
        return self.bracket.layout[self.rung].resource


class RungState:
    """One rung of a bracket at present."""

    def __init__(self) -> None:
        self.begun = 0  # runs, those that have ended included
        self.open = 0  # runs that have not ended
        self.done: list[Entry] = []  # results, best first
        self.waiting: list[Entry] = []  # those of trials that may still be promoted


class BracketState:
    """One bracket at present.

    Attributes:
        layout: its rungs, from the least of the resource. begun: how many configurations began in it.
        exhausted: nothing more will come of it, and nothing has changed since that was found; kept by Hyperband.
    """

    def __init__(self, number: int, layout: Bracket) -> None:
        self.number, self.layout = number, layout
        self.rungs = [RungState() for _ in layout]
        self.begun = 0
        self.exhausted = False
        self._rung_of = {rung.resource: state for rung, state in zip(layout, self.rungs, strict=True)}
        self._promoted: set[int] = set()

    # -- decisions: what an answer in the making adds ------------------------------------------------------------------

    def begin(self, rung: int) -> Run:
        """A new configuration begins."""
        self.begun += 1
        return self._start(rung, None, 0)

    def promote(self, source: int, rung: int | None = None) -> Run:
        """The best waiting trial of rung `source` is promoted to the next one, or to `rung`."""
        return self._start(source + 1 if rung is None else rung, self.rungs[source].waiting.pop(0), source)

    def _start(self, rung: int, entry: Entry | None, source: int) -> Run:
        state = self.rungs[rung]
        state.begun, state.open = state.begun + 1, state.open + 1
        return Run(self, rung, state.begun - 1, entry, source)

    def take_back(self, run: Run) -> None:
        """Undoes a decision."""
        state = self.rungs[run.rung]
        state.begun, state.open = state.begun - 1, state.open - 1
        if run.promoted is None:
            self.begun -= 1
        else:
            insort(self.rungs[run.source].waiting, run.promoted)

    # -- what has happened ---------------------------------------------------------------------------------------------

    def enter(self, parent: Trial | None) -> None:
        """A new trial, which runs a new configuration, or that of `parent`."""
        if parent is None:
            self.begun += 1
            return
        self._promoted.add(parent.id)
        for result in parent.results[-1:]:
            _discard(self._rung_of[result.resource or 0].waiting, (result.losses[0], parent.id))

    def count(self, trial: Trial, step: int) -> None:
        """Counts a trial as it is (`step` 1), or no longer as it was (-1)."""
        self.exhausted = False
        now = trial.proposal.resource or 0
        for amount in {now, *(result.resource or 0 for result in trial.results)}:
            self._rung_of[amount].begun += step
        if fate(trial) is Fate.RUNNING:
            self._rung_of[now].open += step
        change = insort if step > 0 else _discard
        for result in trial.results:
            rung, entry = self._rung_of[result.resource or 0], (result.losses[0], trial.id)
            change(rung.done, entry)
            if result.resource == now and trial.id not in self._promoted:
                change(rung.waiting, entry)


def _discard(entries: list[Entry], entry: Entry) -> None:
    if (at := bisect_left(entries, entry)) < len(entries) and entries[at] == entry:
        del entries[at]


class BracketHistory:
    """Histories of a study -> the brackets that have begun, by number.

    Keeps them between calls and reads only the trials that have changed; dropping that changes no answer. `placed`: how
    many trials have a place; `begun`: how many of them were new configurations; `keys`: of all that was tried, whoever
    proposed it, if `keyed`.

    Args:
        layout: of the brackets, if all have the same one.
    """

    def __init__(self, layout: Bracket = (), *, keyed: bool) -> None:
        self._keyed, self._layout = keyed, layout
        self._seen: TrialTable | None = None  # None: nothing, or a reading that an error ended

    def read(self, trials: TrialTable) -> dict[int, BracketState]:
        """Callers leave the brackets as they are, or take back what they did to them."""
        seen, self._seen = self._seen, None
        if seen is None or len(trials) < len(seen):
            seen = self._anew()
        for trial in trials.changed(seen):
            old = seen[trial.id] if trial.id < len(seen) else None
            if old is not None and not _same_past(old, trial):
                return self.read(trials)
            self._put(trial, old, trials)
        self._seen = trials
        return self.brackets

    def _anew(self) -> TrialTable:
        self.brackets: dict[int, BracketState] = {}
        self.keys: set[Any] = set()
        self.placed = self.begun = 0
        return TrialTable()

    def _put(self, trial: Trial, old: Trial | None, trials: Sequence[Trial]) -> None:
        proposal = trial.proposal
        if old is None and self._keyed:
            self.keys.add(key(trial.params))
        if proposal.note is None or "rung" not in proposal.note:
            return
        bracket = self._bracket(proposal.note)
        if old is None:
            bracket.enter(None if proposal.repeats is None else trials[proposal.repeats])
            self.placed += 1
            self.begun += proposal.repeats is None
        else:
            bracket.count(old, -1)
        bracket.count(trial, 1)

    def _bracket(self, note: Mapping[str, Any]) -> BracketState:
        number = note["bracket"]
        if number not in self.brackets:
            own = tuple(Rung(size, resource) for size, resource in note.get("layout", ()))
            self.brackets[number] = BracketState(number, own or self._layout)
        return self.brackets[number]


def _same_past(old: Trial, trial: Trial) -> bool:
    """Whether a trial can have become this one; if not, it is another study's, or that of another past."""
    proposal = trial.proposal
    return old.proposal is proposal or old.proposal == proposal or proposal.carry_on == trial.id
