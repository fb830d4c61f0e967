"""The vectors that no other one of a growing set dominates (all minimised), kept up to date at little cost.

Plain Python: a study's history keeps its front with this, and must not import numpy for it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from operator import le

Vector = tuple[float, ...]
Member = tuple[Vector, int]
"""A vector and the number of its owner."""


def joined(front: Sequence[Member], new: Member) -> tuple[Member, ...]:
    """The front of the members and the new one, in the order of their vectors; of equal vectors the lowest number.

    One vector dominates another if it is nowhere worse and somewhere better. In this order, only earlier vectors can
    dominate the new one, and it can only dominate later ones.
    """
    vector, number = new
    place = bisect_left(front, (vector,))
    equal = place < len(front) and front[place][0] == vector
    if equal:
        return tuple(front) if front[place][1] <= number else (*front[:place], new, *front[place + 1 :])
    for other, _ in reversed(front[:place]):
        if all(map(le, other, vector)):
            return tuple(front)
    later = [m for m in front[place:] if not all(map(le, vector, m[0]))]
    return (*front[:place], new, *later)
