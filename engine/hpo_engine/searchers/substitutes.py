"""Substitutes for a configuration that cannot be tried: near it, or anywhere in the space.

Knows nothing of trials: the caller passes a function that says which configurations are known.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from hpo_engine.space.searchspace import SearchSpace
from hpo_engine.study.spec import Params

_NEAR, _FAR = 48, 200  # tries, before a finite space is enumerated
_STRICT = 20_000  # tries if the rules exclude most configurations
_WALK = 200_000  # configurations that are enumerated if draws find nothing new

Known = Callable[[Params], bool]


class Substitutes:
    """Substitutes in one space; each call depends only on its arguments and the state of `rng`."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space

    def near(self, params: Params, known: Known, rng: random.Random) -> dict[str, Any] | None:
        """The nearest of some configurations around `params` that is allowed and not known; None if none is."""
        space = self._space
        if not space.dimensions:
            return None
        around = [_moved(space.vector(params), space.cells, rng, (i + 1) / _NEAR) for i in range(_NEAR)]
        others = (space.decode(vector) for _, vector in sorted(around))
        return next((p for p in others if space.allows(p) and not known(p)), None)

    def anywhere(self, known: Known, rng: random.Random) -> dict[str, Any] | None:
        """The first of some draws that is allowed and not known, else of all configurations of a small space."""
        space = self._space
        drawn = (space.decode(self._draw(rng)) for _ in range(space.tries(_STRICT) if space.rules else _FAR))
        found = next((p for p in drawn if space.allows(p) and not known(p)), None)
        return space.unlike(known, rng.random(), _WALK) if found is None else found

    def allowed(self, known: Known, rng: random.Random) -> dict[str, Any] | None:
        """An allowed configuration, after a longer search; None if it is known.

        Raises:
            SpecError: none was found.
        """
        params = self._space.draw(lambda: self._draw(rng))
        return None if known(params) else params

    def _draw(self, rng: random.Random) -> list[float]:
        return [rng.random() for _ in self._space.dimensions]


def _moved(
    vector: Sequence[float], cells: Sequence[int | None], rng: random.Random, far: float
) -> tuple[float, list[float]]:
    """The squared distance of a point near another, and that point: some coordinates moved by up to `far` (0 to 1)."""
    out, distance = [], 0.0
    chosen = rng.randrange(len(vector))
    share = max(far, 1.5 / len(vector))
    for i, (u, n) in enumerate(zip(vector, cells, strict=True)):
        if u != u:  # inactive there, but may be active here
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
