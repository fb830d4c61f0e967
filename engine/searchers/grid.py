"""Grid search: every combination once, by index, never a list of them. Also runs a study's own list of experiments."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from engine.params import plain
from engine.searchers.card import Card, Option
from engine.study import History, Params, Proposal, StudySpec


class Grid:
    """Proposes grid point i as trial i, and nothing more when all are out.

    Args:
        levels: points of a continuous axis, from low to high (1: its middle); choices, whole numbers and steps
            always take all their values.
        shuffle: goes through the grid in an order that the seed decides, so that a search cut short has seen some
            of everything.
    """

    card = Card(
        summary="every combination once, in order; or the study's own list of experiments",
        suits="few parameters with few values, and results that must be complete",
        cost="0.05 ms",
        source="-",
        options={
            "levels": Option("points of a continuous parameter, from low to high (1: its middle)", int, 5, least=1),
            "shuffle": Option("in an order that the seed decides", bool, False),
        },
    )

    quick = True

    def __init__(self, spec: StudySpec, *, levels: int = 5, shuffle: bool = False) -> None:
        self._points: Sequence[Params]
        if spec.experiments:
            self._points, self.size = spec.experiments, len(spec.experiments)
        else:
            grid = spec.space.grid(levels)
            self._points, self.size = grid, grid.size
        self._seed = spec.seed or 0
        self._shuffle = shuffle

    def ask(self, history: History, count: int) -> list[Proposal]:
        first = history.next_id
        places = range(first, min(first + count, self.size))
        return [Proposal(plain(self._points[self._order(i)])) for i in places]

    def _order(self, i: int) -> int:
        return shuffled(i, self.size, self._seed) if self._shuffle else i


def shuffled(i: int, n: int, seed: int) -> int:
    """Where i of range(n) goes in a shuffle that the seed decides; one to one, without ever holding n numbers.

    A Feistel network permutes the 2^(2h) >= n numbers of 2h bits; steps outside range(n) are walked on from.

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
    """A number of `bits` bits that looks unrelated to the ones it is made from."""
    digest = hashlib.shake_128(f"{seed}/{turn}/{value}".encode()).digest((bits + 7) // 8)
    return int.from_bytes(digest, "big") >> -bits % 8
