"""How the rows of a resumed attempt continue the earlier ones, and whether it resumed at all.

A script that has loaded a checkpoint may count its steps on, or from the beginning again. One that ignores it trains
everything once more, and counts from the beginning, too. How far it gets distinguishes the two: the former adds what is
missing to the amount in all, the latter repeats what was there before. Until then nothing is certain.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from hpo_engine.study.objective import Row
from hpo_engine.study.rows import added, same_row


class Added(NamedTuple):
    """What an attempt has added, with steps as the trial counts them.

    `anew`: it began from the beginning, so its rows replace all earlier ones. `certain`: no later row can change that.
    """

    rows: tuple[Row, ...]
    anew: bool = False
    certain: bool = True


@dataclass(frozen=True)
class Past:
    """The training that an attempt goes on from, as its rows show it.

    `base`: the rows of the trial's latest result. `before`: those with which the attempt began; more than `base` if an
    attempt was interrupted since. `growth`: the resource that it is to have had in all, as a multiple of what had gone
    into the result (None: unknown). `judged`: the metrics that are searched for.
    """

    base: Sequence[Row] = ()
    before: Sequence[Row] = ()
    growth: float | None = None
    judged: frozenset[str] = frozenset()

    def added(self, rows: Sequence[Row], *, ended: bool) -> Added:
        """Of the rows in a trial's files those that are not of the past. `ended`: there will be no more."""
        if not self.base:
            return Added(tuple(rows))
        new = added(self.base, rows, self._same)
        if not new or not began_anew(self.base, new):
            return Added(new)
        anew, certain = self._begins_anew(new, ended)
        return Added(new, True, certain) if anew else Added(self._counted_on(new), False, certain)

    def _same(self, row: Row, old: Row) -> bool:
        """Whether a row is one of before, which a script writes again with the new ones, at another time of day."""
        both = [metric for metric in self.judged if metric in row.values and metric in old.values]
        if not both:
            return same_row(row, old)
        pairs = [(row.values[metric], old.values[metric]) for metric in both]
        return all(a == b or (a != a and b != b) for a, b in pairs)

    def _begins_anew(self, new: Sequence[Row], ended: bool) -> tuple[bool, bool]:
        """Whether rows that count from the beginning repeat the whole training, and whether that is certain."""
        gap = _gap(self.base, new)
        looks = self._looks_anew(new[0])
        if self.growth is None:
            return looks, ended
        all_in_all = self.growth * _length(self.base, gap)
        left = max(0.0, all_in_all - _length(self.before or self.base, gap))
        length = _length(new, gap)
        if length > (left + all_in_all) / 2:
            return True, True
        return looks and abs(length - left) > gap / 2, ended

    def _looks_anew(self, first: Row) -> bool:
        """Whether the first row is more like the first one of before than like the last one."""
        begun, last = self.base[0].values, self.base[-1].values
        names = [m for m in self.judged or first.values if m in first.values and m in begun and m in last]
        nearer = [abs(first.values[m] - begun[m]) < abs(first.values[m] - last[m]) for m in names]
        return 2 * sum(nearer) > len(nearer)

    def _counted_on(self, new: Sequence[Row]) -> tuple[Row, ...]:
        last = max(row.step for row in self.before or self.base)
        shift = last + _gap(self.base, new) - min(row.step for row in new)
        return tuple([Row(row.step + shift, row.values) for row in new])


def began_anew(base: Sequence[Row], rows: Sequence[Row]) -> bool:
    """Whether rows that an attempt has added to `base` replace all of it."""
    return bool(base) and bool(rows) and min(row.step for row in rows) <= min(row.step for row in base)


def _gap(*curves: Sequence[Row]) -> float:
    """The steps between two rows; between the first one and the beginning if there are no two."""
    for rows in curves:
        steps = sorted({row.step for row in rows})
        if len(steps) > 1:
            return min(b - a for a, b in pairwise(steps))
    return abs(curves[0][0].step) or 1


def _length(rows: Sequence[Row], gap: float) -> float:
    """How many steps the rows are the training of."""
    steps: Collection[float] = [row.step for row in rows]
    return max(steps) - min(steps) + gap
