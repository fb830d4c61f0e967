"""What is tried next: queued configurations first, then the searcher's proposals.

A pure function of the history, like a searcher. Knows no executor and no log.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hpo_engine.searchers.filter import ProposalFilter
from hpo_engine.searchers.interface import Searcher
from hpo_engine.searchers.tried import Tried, TriedReader
from hpo_engine.space.params import key
from hpo_engine.space.partial import allowed_completion, is_whole
from hpo_engine.study.history import History
from hpo_engine.study.projection import Projection
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Proposal, Queued
from hpo_engine.study.values import changed

if TYPE_CHECKING:
    from hpo_engine.searchers.observations import Observer

_CONTRADICTED = 0.25  # the relevance of an earlier study below which its configurations are not tried


class TrialQueue:
    """The next trials of one study.

    Queued configurations come first, in order. Those of earlier studies alternate with the searcher's own proposals, as
    long as the trials so far do not contradict the earlier study.
    """

    def __init__(self, spec: StudySpec, searcher: Searcher) -> None:
        self._spec, self._space = spec, spec.space
        self._filter = searcher if isinstance(searcher, ProposalFilter) else ProposalFilter(spec, searcher)
        self._keys: dict[int, Any] = {}  # by the number of a whole entry
        self._reader: Observer | None = None
        self._tried = TriedReader(by_resource=not self._filter.traits.rations)
        self._projection = Projection()

    def ready(self, history: History, count: int) -> list[Proposal]:
        """The first queued configurations that need no searcher: whole ones that are new."""
        if self._spec.resource is not None:
            return []
        history = self._projection.of(history)
        out: list[Proposal] = []
        tried: Tried | None = None  # not that of the filter, which may be at work in the searcher's thread
        for entry in history.queue[: max(0, count)]:
            if entry.study is not None or (name := self._key(entry)) is None:
                break
            tried = self._tried.read(history) if tried is None else tried
            if (name, self._spec.full_resource) in tried:
                break
            out += self._filter.placed(entry, history, tried)
            history = _with(history, out[-1:])
        return out

    def ask(self, history: History, count: int) -> Sequence[Proposal]:
        """At most `count` proposals, as `Searcher.ask`."""
        history = self._projection.of(history)
        if not self._waiting(history):
            return self._filter.ask(history, count)
        out: list[Proposal] = []
        tried = self._filter.tried(history)
        while len(out) < count:
            entry = self._due(history)
            wanted = 1 if self._waiting(history) else count - len(out)
            if entry is None:
                found = self._filter.filtered(history, wanted, tried)
            else:
                found = self._filter.placed(entry, history, tried, self._behind(entry, history))
            out += found
            if len(found) < wanted:
                break
            history = _with(history, found)
        return out

    def over(self, history: History) -> str:
        """The searcher's own reason why the search is over, as `Searcher.over`."""
        return self._filter.over(self._projection.of(history))

    def _waiting(self, history: History) -> bool:
        """Whether something is queued. Nothing comes from earlier studies if the searcher has a list of its own."""
        if not self._filter.traits.listed:
            return bool(history.queue)
        return any(entry.study is None for entry in history.queue)

    def _due(self, history: History) -> Queued | None:
        """The entry to be tried next; None if it is the searcher's turn."""
        first = next((entry for entry in history.queue if entry.study is None), None)
        if first is not None or self._filter.traits.listed:
            return first
        begun = [trial.proposal for trial in history.trials if trial.proposal.repeats is None]
        own = sum(proposal.queued is None for proposal in begun)
        earlier = sum(proposal.queued is not None and proposal.queued.study is not None for proposal in begun)
        if own < earlier or not history.queue:
            return None
        relevance = self._relevance(history)
        return next((e for e in history.queue if e.study is not None and relevance[e.study] > _CONTRADICTED), None)

    def _relevance(self, history: History) -> list[float]:
        """Of each earlier study, in [0, 1]."""
        from hpo_engine.searchers.observations import Observer  # numpy: not without earlier studies
        from hpo_engine.searchers.relevance import relevance

        if self._reader is None:
            self._reader = Observer(self._space)
        found: list[float] = relevance(self._reader.read(history)).tolist()
        return found

    def _behind(self, entry: Queued, history: History) -> set[Any]:
        """The keys of complete configurations behind a partial one, which must not be completed to one of them."""
        if entry.study is None and self._key(entry) is not None:
            return set()
        keys = (self._key(other) for other in history.queue if other.study is None)
        return {name for name in keys if name is not None}

    def _key(self, entry: Queued) -> Any:
        """The key of a complete entry; None for a partial one."""
        if entry.number not in self._keys:
            params = allowed_completion(self._space, entry.params, {}, lambda: 0.0) if self._whole(entry) else None
            self._keys[entry.number] = None if params is None else key(params)
        return self._keys[entry.number]

    def _whole(self, entry: Queued) -> bool:
        return is_whole(self._space, entry.params)


def _with(history: History, proposals: Sequence[Proposal]) -> History:
    """The history after the proposals, without the queued configurations that they were made of."""
    taken = {proposal.queued.number for proposal in proposals if proposal.queued is not None}
    after = history.with_proposals(proposals)
    return changed(after, queue=tuple(e for e in history.queue if e.number not in taken)) if taken else after
