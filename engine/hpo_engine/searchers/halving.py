"""Successive halving as a function of history: which places of which brackets are taken, and which can be filled.

Each trial's note has its place: {"bracket": 0, "rung": 1, "place": 2}; that of the first trial of a bracket also has
the bracket's `layout`, [[trials, resource], ...], so that a changed budget changes later brackets only. Nothing else is
stored: after a crash the next engine computes the same places. Trials without such a note do no harm here.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from hpo_engine.searchers.brackets import Bracket, Rung
from hpo_engine.searchers.fates import Fate, fate
from hpo_engine.space.params import key, plain
from hpo_engine.study.table import TrialTable
from hpo_engine.study.trial import Proposal, Trial

if TYPE_CHECKING:
    from hpo_engine.study.spec import Resource, StudySpec


@dataclass(frozen=True)
class Slot:
    """A place to fill: with a new configuration, or (`parent`) with one that is promoted to more of the resource."""

    bracket: int
    rung: int
    place: int
    resource: int
    parent: Trial | None = None
    layout: Bracket | None = None  # of the bracket that it begins

    def note(self) -> dict[str, Any]:
        """What the trial keeps."""
        note: dict[str, Any] = {"bracket": self.bracket, "rung": self.rung, "place": self.place}
        if self.layout is not None:
            note["layout"] = [[rung.size, rung.resource] for rung in self.layout]
        return note


class RungState:
    """The present state of one rung of a bracket."""

    def __init__(self) -> None:
        self.places: set[int] = set()
        self.open = 0  # trials that have not ended
        self.done: list[tuple[float, int]] = []  # (loss, trial id) of those with a loss, best first
        self.waiting: list[tuple[float, int]] = []  # those of them that may not be promoted yet


class BracketState:
    """The present state of one bracket. `promoted`: ids of promoted trials. `begun`: how many
    configurations began in it."""

    def __init__(self, number: int, layout: Bracket = (), depth: int = 0) -> None:
        self.number, self.layout = number, layout
        self.levels = [RungState() for _ in range(max(depth, len(layout)))]
        self.promoted: set[int] = set()
        self.begun = 0
        self.exhausted = False  # known to be; nothing has changed since

    def put(self, trial: Trial, old: Trial | None = None) -> None:
        """The trial as it is now; `old` as it was, of the same proposal."""
        note: Any = trial.proposal.note
        self.exhausted = False
        if old is None:
            self._enter(trial.proposal.repeats, note)
        level = self.levels[note["rung"]]
        for was, step in ((old, -1), (trial, 1)):
            if was is not None and fate(was) is Fate.RUNNING:
                level.open += step
        before, now = None if old is None else _entry(old), _entry(trial)
        if before == now:
            return
        for entries in (level.done, level.waiting):
            if before is not None and (at := bisect_left(entries, before)) < len(entries) and entries[at] == before:
                del entries[at]
        if now is not None:
            insort(level.done, now)
            if trial.id not in self.promoted:
                insort(level.waiting, now)

    def _enter(self, parent: int | None, note: Any) -> None:
        if "layout" in note:
            self.layout = tuple(Rung(size, resource) for size, resource in note["layout"])
        self.levels += [RungState() for _ in range(max(len(self.layout), note["rung"] + 1) - len(self.levels))]
        self.levels[note["rung"]].places.add(note["place"])
        if parent is None:
            self.begun += 1
        else:
            self.promoted.add(parent)

    def going(self, rung: int) -> Iterator[tuple[float, int]]:
        """(loss, trial id) of the rung's unpromoted trials with a loss, best first."""
        waiting = self.levels[rung].waiting
        gone = next((k for k, (_, number) in enumerate(waiting) if number not in self.promoted), len(waiting))
        del waiting[:gone]
        return (entry for entry in waiting if entry[1] not in self.promoted)

    def free(self, trials: Sequence[Trial], fresh: bool = True) -> tuple[list[Slot], bool]:
        """The places that can be filled now, lowest rung first; and whether the bracket is exhausted: nothing more will
        come of it. A rung's best are promoted when all of it has ended; if too few have a loss, fewer are.

        Args:
            fresh: whether there are new configurations; if not, the lowest rung stays as it is.
        """
        if self.exhausted or not self.layout:
            return [], True
        first = self._missing(0, self.layout[0].size) if fresh else []
        if first:
            return [self._slot(0, place) for place in first], False
        for k, level in enumerate(self.levels[: len(self.layout)]):
            if level.open:
                return [], False
            if k + 1 == len(self.layout):
                break
            missing = self._missing(k + 1, min(self.layout[k + 1].size, len(level.done)))
            if missing:
                going = zip(missing, self.going(k), strict=False)
                return [self._slot(k + 1, place, trials[parent]) for place, (_, parent) in going], False
        self.exhausted = fresh
        return [], True

    @property
    def empty(self) -> int:
        """How many places of the lowest rung are left for new configurations."""
        return len(self._missing(0, self.layout[0].size)) if self.layout else 0

    @property
    def waits(self) -> bool:
        """Whether trials are running whose losses decide the planned promotions."""
        pairs = zip(self.levels, self.levels[1:], self.layout[1:], strict=False)
        return any(level.open and len(above.places) < rung.size for level, above, rung in pairs)

    def left_over(self, count: int) -> Iterator[tuple[int, float, int, int]]:
        """(resource, loss, trial id, rung) of unpromoted trials, at most `count` of each rung."""
        for k, rung in enumerate(self.layout[:-1]):
            for loss, number in islice(self.going(k), count):
                yield rung.resource, loss, number, k

    def beyond(self, rung: int, parent: Trial, given: int) -> Slot:
        """A place on the next rung, whatever the plan says; `given`: how many such were given there just now."""
        taken = self.levels[rung + 1].places
        free = (place for place in range(len(taken) + given + 1) if place not in taken)
        return self._slot(rung + 1, next(islice(free, given, None)), parent)

    def _missing(self, rung: int, size: int) -> list[int]:
        taken = self.levels[rung].places
        return [] if len(taken) >= size else [place for place in range(size) if place not in taken]

    def _slot(self, rung: int, place: int, parent: Trial | None = None) -> Slot:
        begins = self.layout if rung == 0 and place == 0 else None
        return Slot(self.number, rung, place, self.layout[rung].resource, parent, begins)


def _entry(trial: Trial) -> tuple[float, int] | None:
    return (trial.loss, trial.id) if fate(trial) is Fate.FINISHED and trial.loss is not None else None


class BracketHistory:
    """Histories of a study -> the brackets that have begun, by number; each with at least `depth` rungs.

    Keeps them between calls and reads only the trials that have changed; dropping that changes no answer. `placed`: how
    many trials have a place; `begun`: how many of them were new configurations; `keys`: of all that was tried, whoever
    proposed it, if `keyed`. What is given out stays as it is until the next call; callers leave it so.
    """

    def __init__(self, depth: int = 0, *, keyed: bool) -> None:
        self._keyed, self._depth = keyed, depth
        self._seen: TrialTable | None = None  # None: nothing, or a reading that an error ended

    def read(self, trials: TrialTable) -> dict[int, BracketState]:
        seen, self._seen = self._seen, None
        if seen is None or len(trials) < len(seen):
            seen = self._anew()
        for trial in trials.changed(seen):
            old = seen[trial.id] if trial.id < len(seen) else None
            if old is not None and old.proposal is not trial.proposal and old.proposal != trial.proposal:
                return self.read(trials)  # another study's history, or another past
            self._put(trial, old)
        self._seen = trials
        return self.ladders

    def _anew(self) -> TrialTable:
        self.ladders: dict[int, BracketState] = {}
        self.keys: set[Any] = set()
        self.placed = self.begun = 0
        return TrialTable()

    def _put(self, trial: Trial, old: Trial | None) -> None:
        note = trial.proposal.note
        if old is None and self._keyed:
            self.keys.add(key(trial.params))
        if note is None or "rung" not in note:
            return
        ladder = self.ladders.get(note["bracket"])
        if ladder is None:
            ladder = self.ladders[note["bracket"]] = BracketState(note["bracket"], depth=self._depth)
        ladder.put(trial, old)
        if old is None:
            self.placed += 1
            self.begun += trial.proposal.repeats is None


def rationed(spec: StudySpec) -> Resource:
    """The resource of a study that has one."""
    assert spec.resource is not None
    return spec.resource


def proposals(slots: Sequence[Slot], fresh: Sequence[Mapping[str, Any]]) -> list[Proposal]:
    """The slots' trials, in order; `fresh` for those that need a new configuration."""
    new = iter(fresh)
    params = (dict(next(new)) if slot.parent is None else plain(slot.parent.params) for slot in slots)
    return [
        Proposal(p, slot.resource, note=slot.note(), repeats=None if slot.parent is None else slot.parent.id)
        for slot, p in zip(slots, params, strict=True)
    ]
