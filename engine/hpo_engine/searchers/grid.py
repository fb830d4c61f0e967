"""Grid search: every combination once, by index, never a list of them. Also runs a study's own list of experiments."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from hpo_engine.errors import SpecError
from hpo_engine.plugins.card import Card, Option
from hpo_engine.searchers import Searcher, Traits
from hpo_engine.space.params import key, plain
from hpo_engine.study.history import History
from hpo_engine.study.spec import Params, StudySpec
from hpo_engine.study.trial import Proposal, Trial

_COUNT = 10_000  # points that are checked against the constraints one by one to count them
_SKIPPED = 100_000  # forbidden points in a row after which a grid is given up, if the constraints are short
_PLACE = "place"


class Grid(Searcher):
    """Proposes the grid points in order, and nothing more after the last one. A trial's note has its `place`.

    Args:
        levels: points of a continuous axis, from low to high (1: its middle); choices, whole numbers and steps
            always take all their values.
        shuffle: visits the grid in an order that the seed decides, so that a search that is
            cut short has covered all of it.
    """

    traits = Traits(
        card=Card(
            summary="every combination once, in order; or the study's own list of experiments",
            suits="few parameters with few values, and results that must be complete",
            cost="0.05 ms",
            source="-",
            options={
                "levels": Option("points of a continuous parameter, from low to high (1: its middle)", int, 5, least=1),
                "shuffle": Option("in an order that the seed decides", bool, False),
            },
        ),
        quick=True,
        listed=True,
        many_objectives=True,
    )

    def __init__(self, spec: StudySpec, *, levels: int = 5, shuffle: bool = False) -> None:
        self._points: Sequence[Params]
        if spec.experiments:
            self._points, self._length = spec.experiments, len(spec.experiments)
        else:
            grid = spec.space.grid(levels)
            self._points, self._length = grid, grid.size
        self._spec, self._shuffle = spec, shuffle
        self._allows = spec.space.allows if spec.space.rules and not spec.experiments else None
        few = self._length <= spec.space.tries(_COUNT)
        size = self._length if self._allows is None else sum(map(self._allows, self._points)) if few else None
        # With constraints, points are skipped, perhaps many.
        self.traits = replace(self.traits, quick=self._allows is None, size=size)

    def ask(self, history: History, count: int) -> list[Proposal]:
        return list(islice(self._from(self._next_place(history), history), count))

    def why(self, before: History, trial: Trial) -> str:
        place = (trial.proposal.note or {}).get(_PLACE)
        return (
            ""
            if place is None
            else f"point {place + 1:,} of the {self._length:,} of the grid; results have no influence"
        )

    def over(self, history: History) -> str:
        if self._spec.experiments:
            return ""
        done = next(self._from(self._next_place(history), history), None) is None
        return "searched it all: every point of the grid was tried" if done else ""

    def _next_place(self, history: History) -> int:
        """The place after that of the last trial from the list."""
        notes = (history.trials[i].proposal.note or {} for i in range(history.next_id - 1, -1, -1))
        return next((note[_PLACE] + 1 for note in notes if _PLACE in note), 0)

    def _from(self, place: int, history: History) -> Iterator[Proposal]:
        """The points from a place on, without forbidden ones and those that were tried from the queue."""
        queued = [trial for trial in history.trials if trial.proposal.queued] if history.queued else []
        tried = {key(dict(trial.params)) for trial in queued}
        most = self._spec.space.tries(_SKIPPED)
        for i in range(place, self._length):
            params = plain(self._points[self._order(i)])
            if (self._allows is None or self._allows(params)) and key(params) not in tried:
                place = i
                yield Proposal(params, note={_PLACE: i})
            elif i - place > most:
                raise SpecError(f"require: {most:,} points of the grid in a row break it; use another algorithm")

    def _order(self, i: int) -> int:
        return shuffled(i, self._length, self._spec.seed or 0) if self._shuffle else i


def shuffled(i: int, n: int, seed: int) -> int:
    """The position of i in a permutation of range(n) that depends on the seed, without storing n numbers.

    A Feistel network permutes the 2^(2h) >= n numbers of 2h bits; it is applied again until the result is in range(n).

    Source: Black and Rogaway, Ciphers with arbitrary finite domains (2002): cycle walking.
    """
    half = max(1, ((n - 1).bit_length() + 1) // 2)
    while True:
        left, right = i >> half, i & ((1 << half) - 1)
        for turn in range(6):
            left, right = right, left ^ _mixed(right, turn, seed, half)
        i = left << half | right
        if i < n:
            return i


def _mixed(value: int, turn: int, seed: int, bits: int) -> int:
    """A pseudorandom number of `bits` bits that is a function of the arguments."""
    mixed = hashlib.shake_128(f"{seed}/{turn}/{value}".encode()).digest((bits + 7) // 8)
    return int.from_bytes(mixed, "big") >> -bits % 8
