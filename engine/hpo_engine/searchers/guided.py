"""What holds for every searcher alike: the study's own points come first, no configuration is tried twice, rules hold.

Goes around a searcher, ours or anybody's: asks it, and puts another configuration in the place of one that was tried
before or that a rule forbids. Knows no searcher by name, and nothing of results.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hpo_engine.searchers import Searcher
from hpo_engine.space.params import key
from hpo_engine.space.partial import allowed_completion, is_whole
from hpo_engine.study.history import History
from hpo_engine.study.spec import Params, StudySpec
from hpo_engine.study.trial import Proposal, Trial, TrialState

if TYPE_CHECKING:
    from hpo_engine.searchers.evidence import Reader

_NEAR, _FAR = 48, 200  # tries, before a finite space is walked through
_STRICT = 20_000  # tries where rules forbid most
_WALK = 200_000  # configurations that are looked at one by one, when draws find nothing new

_CONTRADICTED = 0.25  # an earlier study's relevance

POINT, START, FROM = "point", "prior", "from"
"""Keys of a proposal's slot: the number of the study's point that it is, or of what earlier studies found good; the
trial that it carries on with."""


def _repeats(proposal: Proposal) -> bool:
    """Whether it is an earlier configuration with more of the resource, on purpose."""
    return proposal.carry_on is not None or FROM in (proposal.note or ())


class Guided(Searcher):
    """A searcher around another.

    A proposal whose slot has "from" carries an earlier configuration on with more of the resource, and stays as it is;
    so does all of a searcher that goes through a list of its own (`listed`). A searcher that rations a resource has
    `promote_waiting`, which is asked when no new configuration is left; with it a configuration begins only once.
    """

    def __init__(self, spec: StudySpec, inner: Searcher) -> None:
        self._spec, self._space, self.inner = spec, spec.space, inner
        self._listed, self._rations = inner.traits.listed, inner.traits.rations
        self.traits = replace(inner.traits, title=inner.traits.title or type(inner).__name__, size=self._size)
        self._past = _Past(once=self._rations)
        self._reader: Reader | None = None

    @property
    def _size(self) -> int | None:
        own = self.inner.traits.size
        if own is None:
            return None if self._spec.resource else self._total
        if not self._listed:
            return own
        whole = all(is_whole(self._space, point) for point in self._spec.points)
        return own + len(self._spec.points) if whole else None

    def about(self) -> str:
        return self.inner.about()

    def planned(self) -> str:
        return self.inner.planned()

    def ask(self, history: History, count: int) -> list[Proposal]:
        past = self._past.of(history)
        taken, point, started, others = _Taken(past.taken), past.points, set(past.starts), past.others
        out: list[Proposal] = []
        while len(out) < count:
            given, note, several = self._due(history, point, started, others)
            wanted = 1 if given is not None or not several else count - len(out)
            proposals = (
                self._asked(history, wanted, taken) if given is None else self._placed(given, note, history, taken)
            )
            out += proposals
            if len(proposals) < wanted:
                break
            if wanted == 1 and len(out) < count:
                slot = out[-1].note or {}
                point += POINT in slot
                started |= {slot[START]} if START in slot else set()
                others += not (POINT in slot or START in slot or _repeats(out[-1]))
                if out[-1].carry_on is None:
                    history = history.with_trial(Trial(history.next_id, out[-1]))
        return out

    def _due(
        self, history: History, point: int, started: set[int], others: int
    ) -> tuple[Params | None, dict[str, int], bool]:
        """What has to be tried next, with its note; None: the searcher's own, (True) as many as are wanted.

        The study's points come first; then what was good in earlier studies, taking turns with the searcher's own, as
        long as the study's trials do not contradict the earlier study.
        """
        if point < len(self._spec.points):
            return self._spec.points[point], {POINT: point}, False
        left = [i for i in range(len(self._starts)) if i not in started]
        if not left:
            return None, {}, True
        if others < len(started):
            return None, {}, False
        believed = self._relevance(history)
        i = next((i for i in left if believed[self._starts[i][0]] > _CONTRADICTED), None)
        return (None, {}, False) if i is None else (self._starts[i][1], {START: i}, False)

    @cached_property
    def _starts(self) -> list[tuple[int, dict[str, Any]]]:
        if not self._spec.prior or self._listed:
            return []
        from hpo_engine.searchers.prior import starts  # numpy: not without earlier studies

        draw = self._rng(0).random
        return [(k, given) for k, given in starts(self._spec) if allowed_completion(self._space, given, {}, draw)]

    def _relevance(self, history: History) -> Sequence[float]:
        from hpo_engine.searchers.evidence import Reader
        from hpo_engine.searchers.relevance import relevance

        if self._reader is None:
            self._reader = Reader(self._space)
        believed: list[float] = relevance(self._reader.read(history)).tolist()
        return believed

    def over(self, history: History) -> str:
        if (own := self.inner.over(history)) or self._listed:
            return own
        taken, most = self._past.of(history).taken, self._spec.full_resource
        tried = len(taken) if self._rations else sum(resource == most for _, resource in taken)
        done = self._total is not None and tried >= self._total and not (self._rations and _some_wait(history))
        return f"searched it all: all {tried} configurations were tried" if done else ""

    # -- proposals -----------------------------------------------------------------------------------------------------

    def _asked(self, history: History, count: int, taken: _Taken) -> list[Proposal]:
        """The searcher's proposals, each new and allowed. Fewer than asked for: there are no more now."""
        out: list[Proposal] = []
        none_new = self._rations and self._exhausted(taken)
        for proposal in [] if none_new else list(self.inner.ask(history, count))[:count]:
            begins = not _repeats(proposal)
            if none_new and begins:
                continue
            fitting = self._fitting(proposal, history.next_id + len(out), taken)
            if fitting is None:
                none_new = True
                continue
            if begins:
                taken.add(self._key(fitting))
            out.append(fitting)
        return self._promoted(history, count, out) if none_new else out

    def _promoted(self, history: History, count: int, out: list[Proposal]) -> list[Proposal]:
        """The proposals, and those that the searcher has when no new configuration is left."""
        if not self._rations or len(out) >= count:
            return out
        for proposal in [p for p in out if p.carry_on is None]:
            history = history.with_trial(Trial(history.next_id, proposal))
        return [*out, *self.inner.promote_waiting(history, count - len(out))][:count]

    def _exhausted(self, taken: _Taken) -> bool:
        return self._total is not None and len(taken) >= self._total

    def _placed(self, given: Params, note: dict[str, int], history: History, taken: _Taken) -> list[Proposal]:
        """What is given, filled in; or what has to go before it."""
        proposal = Proposal({})
        # The searcher has a say in what is left open, and in how much of the resource it gets.
        if self._spec.resource is not None or not (self._listed or is_whole(self._space, given)):
            asked = list(self.inner.ask(history, 1))[:1]
            if not asked or _repeats(asked[0]):
                return asked
            proposal = asked[0]
        rng, resource = self._rng(history.next_id), self._resource(proposal)
        later = set() if note.get(POINT) in self._whole_points else set(self._whole_points.values())

        def new(params: Params) -> bool:
            return (key(params), resource) not in taken

        def fill(good: Callable[[Params], bool]) -> dict[str, Any] | None:
            return allowed_completion(self._space, given, proposal.params, rng.random, good)

        params = fill(lambda p: new(p) and key(p) not in later) or (fill(new) if later else None)
        if params is None:  # all that it may be was tried: its neighbour is worth as much
            tried = fill(lambda p: True)
            params = self._nearby(tried, resource, taken, rng) if tried else None
            params = params or self._anywhere(resource, taken, rng)
        if params is None:
            return self._promoted(history, 1, [])
        found = replace(proposal, params=params, note={**(proposal.note or {}), **note})
        taken.add(self._key(found))
        return [found]

    @cached_property
    def _whole_points(self) -> dict[int, Any]:
        """The study's points that leave nothing open: number -> key of the configuration."""
        whole = {i: point for i, point in enumerate(self._spec.points) if is_whole(self._space, point)}
        return {i: key(allowed_completion(self._space, p, {}, self._rng(0).random) or p) for i, p in whole.items()}

    def _fitting(self, proposal: Proposal, trial_id: int, taken: _Taken) -> Proposal | None:
        """The proposal, or one like it that is new and that the rules allow; None: there is none."""
        if self._listed or _repeats(proposal) or self._space.misfit(proposal.params):
            return proposal  # (who leaves the space is told so by the loop)
        resource, rng = self._resource(proposal), self._rng(trial_id)
        allowed = self._space.allows(proposal.params)
        if allowed and (key(proposal.params), resource) not in taken:
            return proposal
        if (proposal.resource is None or self._rations) and self._exhausted(taken):
            return None
        params = None if allowed and self.traits.quick else self._nearby(proposal.params, resource, taken, rng)
        params = params or self._anywhere(resource, taken, rng)
        if params is None and not allowed:  # among strict rules, a longer look
            params = self._space.draw(self._points(rng))
            params = None if (key(params), resource) in taken else params
        return None if params is None else replace(proposal, params=params)

    def _nearby(self, params: Params, resource: int | None, taken: _Taken, rng: random.Random) -> dict[str, Any] | None:
        """The nearest of some around `params` that is new and allowed."""
        space = self._space
        if not space.dimensions:
            return None
        around = [_moved(space.vector(params), space.cells, rng, (i + 1) / _NEAR) for i in range(_NEAR)]
        others = (space.decode(vector) for _, vector in sorted(around))
        return next((p for p in others if space.allows(p) and (key(p), resource) not in taken), None)

    def _anywhere(self, resource: int | None, taken: _Taken, rng: random.Random) -> dict[str, Any] | None:
        """The first of some draws, then of all there are in a small space, that is new and allowed."""
        space, draw = self._space, self._points(rng)

        def known(params: Params) -> bool:
            return (key(params), resource) in taken

        drawn = (space.decode(draw()) for _ in range(space.tries(_STRICT) if space.rules else _FAR))
        found = next((p for p in drawn if space.allows(p) and not known(p)), None)
        return space.unlike(known, rng.random(), _WALK) if found is None else found

    @property
    def _total(self) -> int | None:
        """How many configurations there are that the rules allow; None where nobody counts them."""
        return self._space.allowed_size

    # -- helpers -------------------------------------------------------------------------------------------------------

    def _resource(self, proposal: Proposal) -> int | None:
        """What the trial will get: as the loop gives it, all there is where the searcher says nothing. None where
        another amount makes no other configuration."""
        if self._rations:
            return None
        return self._spec.full_resource if proposal.resource is None else proposal.resource

    def _key(self, proposal: Proposal) -> Any:
        return _key(proposal.params, self._resource(proposal))

    def _rng(self, trial_id: int) -> random.Random:
        """Chance of a trial that is no other searcher's chance. The standard library's, which costs next to nothing."""
        return random.Random(f"{self._spec.seed or 0}/{trial_id}/instead")

    def _points(self, rng: random.Random) -> Callable[[], list[float]]:
        return lambda: [rng.random() for _ in self._space.dimensions]


def guides(spec: StudySpec, inner: Searcher) -> bool:
    """Whether there is anything to guide: not where chance alone keeps trials apart and nothing else is asked for."""
    if spec.experiments:
        return False
    always = any(n is None and not p.when for n, p in zip(spec.space.cells, spec.space.dimensions, strict=True))
    listed, quick = inner.traits.listed, inner.traits.quick
    return bool(spec.points or spec.prior or (spec.space.rules and not listed) or not (listed or (quick and always)))


class _Taken:
    """Keys of what was tried, and of what this very answer has so far."""

    def __init__(self, before: set[Any]) -> None:
        self._before, self._now = before, set[Any]()

    def add(self, key: Any) -> None:
        if key not in self._before:
            self._now.add(key)

    def __contains__(self, key: Any) -> bool:
        return key in self._before or key in self._now

    def __len__(self) -> int:
        return len(self._before) + len(self._now)


class _Past:
    """What a history has tried; read anew only as far as it is new, which changes no answer.

    `taken`: keys of configurations with their resource (`once`: without). `points`: how many of the study's points were
    proposed. `starts`: which of the earlier studies' best. `others`: how many new configurations of the searcher's own.
    """

    def __init__(self, once: bool) -> None:
        self._once = once
        self.taken: set[Any] = set()
        self.points = self.others = 0
        self.starts: set[int] = set()
        self._read = 0
        self._last: Proposal | None = None  # tells histories apart: each proposal is made once

    def of(self, history: History) -> _Past:
        trials = history.trials
        if self._read > len(trials) or (self._read and trials[self._read - 1].proposal is not self._last):
            self.__init__(self._once)  # type: ignore[misc]
        for i in range(self._read, len(trials)):
            self._last = trials[i].proposal
            self.taken.add(_key(self._last.params, None if self._once else self._last.resource))
            slot = self._last.note or {}
            self.points += POINT in slot
            self.starts |= {slot[START]} if START in slot else set()
            self.others += not (POINT in slot or START in slot or FROM in slot)
        self._read = len(trials)
        return self


def _key(params: Params, resource: int | None) -> tuple[Any, int | None]:
    try:
        return key(dict(params)), resource
    except (TypeError, ValueError):  # no JSON: the loop will say so
        return None, resource


def _some_wait(history: History) -> bool:
    """Whether a configuration could go on to more of the resource."""
    gone = {(trial.proposal.note or {}).get(FROM) for trial in history.trials}
    most = history.spec.full_resource or 0
    return any(
        trial.state is TrialState.COMPLETED and (trial.proposal.resource or most) < most and trial.id not in gone
        for trial in history.trials
    )


def _moved(
    vector: Sequence[float], cells: Sequence[int | None], rng: random.Random, far: float
) -> tuple[float, list[float]]:
    """A point around another: some entries moved, by up to `far` of the cube; and how far away it is, squared."""
    out, distance = [], 0.0
    chosen = rng.randrange(len(vector))
    share = max(far, 1.5 / len(vector))
    for i, (u, n) in enumerate(zip(vector, cells, strict=True)):
        if u != u:  # it does not apply there; it may here
            out.append(rng.random())
        elif i == chosen or rng.random() < share:
            step = max(far / 2, 1.0 / n if n else 0.0)
            moved = u + rng.uniform(-step, step) * (1.5 if n else 1.0)
            moved = -moved if moved < 0 else 2 - moved if moved > 1 else moved
            distance += (moved - u) ** 2
            out.append(min(max(moved, 0.0), 1.0))
        else:
            out.append(u)
    return distance, out
