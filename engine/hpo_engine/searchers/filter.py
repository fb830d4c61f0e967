"""What holds for every searcher: no configuration is tried twice, and the constraints of the space hold.

A ProposalFilter wraps each searcher, ours or a plugin's, and replaces proposals that were tried before or that
a constraint forbids. Knows no searcher by name, and nothing of results.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

from hpo_engine.searchers.fates import Fate, fate
from hpo_engine.searchers.interface import Searcher
from hpo_engine.searchers.substitutes import Substitutes
from hpo_engine.searchers.tried import Key, Tried, TriedReader, key_of
from hpo_engine.space.params import key
from hpo_engine.space.partial import allowed_completion, is_whole
from hpo_engine.study.history import History
from hpo_engine.study.spec import Params, StudySpec
from hpo_engine.study.trial import Proposal, Queued, Trial


class ProposalFilter(Searcher):
    """A searcher around another.

    Only proposals that begin a new configuration (`Proposal.begins`) are replaced, and those of a searcher with a list
    of its own (`listed`) never are. If a searcher rations a resource, each configuration begins only once; when no new
    one is left, `promote_waiting` is asked.
    """

    def __init__(self, spec: StudySpec, inner: Searcher) -> None:
        self._spec, self._space, self.inner = spec, spec.space, inner
        self._listed, self._rations = inner.traits.listed, inner.traits.rations
        self._needed = _needed(spec, inner)
        self._reader, self._substitutes = TriedReader(by_resource=not self._rations), Substitutes(spec.space)
        self.traits = replace(inner.traits, title=inner.traits.title or type(inner).__name__, size=self._size)

    def ask(self, history: History, count: int) -> Sequence[Proposal]:
        if not self._needed:
            return list(self.inner.ask(history, count))[:count]
        return self.filtered(history, count, self.tried(history))

    def promote_waiting(self, history: History, count: int) -> Sequence[Proposal]:
        return self.inner.promote_waiting(history, count)

    def over(self, history: History) -> str:
        if (own := self.inner.over(history)) or self._listed or self._total is None:
            return own
        tried, most = self.tried(history), self._spec.full_resource
        whole = len(tried) if self._rations else sum(resource == most for _, resource in tried)
        done = whole >= self._total and not (self._rations and _some_wait(history))
        return f"searched it all: all {whole} configurations were tried" if done else ""

    def about(self) -> str:
        return self.inner.about()

    def promotable(self, history: History) -> Collection[int] | None:
        return self.inner.promotable(history)

    def planned(self) -> str:
        return self.inner.planned()

    def planned_runs(self) -> Mapping[int, int]:
        return self.inner.planned_runs()

    def why(self, before: History, trial: Trial) -> str:
        return self.inner.why(before, trial)

    def close(self) -> None:
        self.inner.close()

    # -- proposals -----------------------------------------------------------------------------------------------------

    def tried(self, history: History) -> Tried:
        """What `filtered` and `placed` keep away from; both add to it."""
        return self._reader.read(history)

    def filtered(self, history: History, count: int, tried: Tried) -> list[Proposal]:
        """The searcher's proposals, each new and allowed; fewer than `count` if there are no more now."""
        out: list[Proposal] = []
        none_new = self._rations and self._exhausted(tried)
        for proposal in [] if none_new else list(self.inner.ask(history, count))[:count]:
            if none_new and proposal.begins:
                continue
            new = sum(p.carry_on is None for p in out)
            fitting = self._fitting(proposal, history.next_id + new, tried)
            if fitting is None:
                none_new = True
                continue
            if proposal.begins:
                tried.add(self._key(fitting))
            out.append(fitting)
        return self._promoted(history, count, out) if none_new else out

    def placed(self, entry: Queued, history: History, tried: Tried, avoid: Set[Any] = frozenset()) -> list[Proposal]:
        """A trial for a queued configuration, with its open values filled in; or what has to come before it.

        The searcher proposes values for what is left open, and the amount of the resource. A configuration that was
        tried is replaced by one near it.

        Args:
            avoid: keys of configurations that are queued behind this one.
        """
        proposal = Proposal({})
        if not self._listed and (self._spec.resource is not None or not is_whole(self._space, entry.params)):
            asked = list(self.inner.ask(history, 1))[:1]
            if not asked or not asked[0].begins:
                return asked
            proposal = asked[0]
        rng, known = self._rng(history.next_id), self._known(proposal, tried)

        def fill(good: Callable[[Params], bool]) -> dict[str, Any] | None:
            return allowed_completion(self._space, entry.params, proposal.params, rng.random, good)

        params = fill(lambda p: not known(p) and key(p) not in avoid)
        if params is None and avoid:
            params = fill(lambda p: not known(p))
        if params is None:  # all its completions were tried: a neighbour is worth as much
            nearest = fill(lambda p: True)
            params = self._substitutes.near(nearest, known, rng) if nearest else None
            params = params or self._substitutes.anywhere(known, rng)
        if params is None:
            return self._promoted(history, 1, [])
        found = replace(proposal, params=params, queued=entry)
        tried.add(self._key(found))
        return [found]

    def _promoted(self, history: History, count: int, out: list[Proposal]) -> list[Proposal]:
        """The proposals, and those that the searcher has when no new configuration is left."""
        if not self._rations or len(out) >= count:
            return out
        return [*out, *self.inner.promote_waiting(history.with_proposals(out), count - len(out))][:count]

    def _fitting(self, proposal: Proposal, trial_id: int, tried: Tried) -> Proposal | None:
        """The proposal, or one like it that is new and allowed; None if there is none."""
        if self._listed or not proposal.begins or self._space.misfit(proposal.params):
            return proposal  # (the loop refuses one outside the space)
        if proposal.start_from is not None:  # other values need not fit the files that it starts from
            return proposal
        known, rng = self._known(proposal, tried), self._rng(trial_id)
        allowed = self._space.allows(proposal.params)
        if allowed and not known(proposal.params):
            return proposal
        if (proposal.resource is None or self._rations) and self._exhausted(tried):
            return None
        params = None if allowed and self.traits.quick else self._substitutes.near(proposal.params, known, rng)
        params = params or self._substitutes.anywhere(known, rng)
        if params is None and not allowed:
            params = self._substitutes.allowed(known, rng)
        return None if params is None else replace(proposal, params=params)

    # -- helpers -------------------------------------------------------------------------------------------------------

    @property
    def _total(self) -> int | None:
        return self._space.allowed_size

    @property
    def _size(self) -> int | None:
        own = self.inner.traits.size
        if own is None:
            return None if self._spec.resource or self._listed else self._total
        if not self._listed:
            return own
        whole = all(is_whole(self._space, point) for point in self._spec.points)
        return own + len(self._spec.points) if whole else None

    def _exhausted(self, tried: Tried) -> bool:
        return self._total is not None and len(tried) >= self._total

    def _known(self, proposal: Proposal, tried: Tried) -> Callable[[Params], bool]:
        resource = self._resource(proposal)
        return lambda params: key_of(params, resource) in tried

    def _key(self, proposal: Proposal) -> Key:
        return key_of(proposal.params, self._resource(proposal))

    def _resource(self, proposal: Proposal) -> int | None:
        if self._rations:
            return None
        return self._spec.full_resource if proposal.resource is None else proposal.resource

    def _rng(self, trial_id: int) -> random.Random:
        """Independent of the searchers' own generators; the standard library's, which is cheap to make."""
        return random.Random(f"{self._spec.seed or 0}/{trial_id}/instead")


def _needed(spec: StudySpec, inner: Searcher) -> bool:
    """Whether proposals can be repeated or forbidden at all: not if each has a continuous value drawn at random."""
    if spec.experiments or inner.traits.listed:
        return False
    continuous = any(n is None and not p.when for n, p in zip(spec.space.cells, spec.space.dimensions, strict=True))
    return bool(spec.space.rules) or not (inner.traits.quick and continuous)


def _some_wait(history: History) -> bool:
    """Whether a configuration could still be promoted to more of the resource."""
    promoted = {trial.proposal.repeats for trial in history.trials}
    most = history.spec.full_resource or 0
    return any(
        fate(trial) is Fate.FINISHED and (trial.proposal.resource or most) < most and trial.id not in promoted
        for trial in history.trials
    )
