"""Random search: every trial is an independent draw from the space. Knows the past only to avoid plain repeats."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from engine.params import key
from engine.searchers.card import Card
from engine.study import History, Params, Proposal, StudySpec

_SMALL = 10_000  # configurations: above this a repeat is too rare to look for
_TRIES = 20


class Random:
    """Independent draws; in a small finite space a configuration that was proposed before is drawn again, up to 20
    times. A space with everything tried goes on with repeats: scripts have noise, and the budget ends the search."""

    card = Card(
        summary="independent draws",
        suits="a baseline, very many workers, or values that are mostly noise",
        cost="0.05 ms",
        source="Bergstra and Bengio, Random Search for Hyper-Parameter Optimization, JMLR 2012",
    )

    quick = True

    def __init__(self, spec: StudySpec) -> None:
        self._spec = spec
        self._size = spec.space.size
        self._known: list[Params] = []  # the parameter sets behind _taken, by trial id
        self._taken: set[Any] = set()

    def ask(self, history: History, count: int) -> list[Proposal]:
        first = history.next_id
        if self._size is None or self._size > _SMALL or first >= self._size:
            return [Proposal(self._draw(trial_id)) for trial_id in range(first, first + count)]
        taken = set(self._taken_in(history))
        out = []
        for trial_id in range(first, first + count):
            params = self._draw(trial_id, taken)
            taken.add(key(params))
            out.append(Proposal(params))
        return out

    def _draw(self, trial_id: int, taken: set[Any] | None = None) -> dict[str, Any]:
        # The standard library's generator, seeded by (seed, trial id): a draw costs a fortieth of what making one of
        # numpy's does, and a study by random search never has to import numpy.
        rng = random.Random(f"{self._spec.seed or 0}/{trial_id}")
        params = self._sample(rng)
        if taken and len(taken) < (self._size or 0):
            for _ in range(_TRIES):
                if key(params) not in taken:
                    break
                params = self._sample(rng)
        return params

    def _sample(self, rng: random.Random) -> dict[str, Any]:
        space = self._spec.space
        return space.decode([rng.random() for _ in space.dimensions])

    def _taken_in(self, history: History) -> set[Any]:
        """The keys of all configurations in the history; kept between calls, as far as it is the same history."""
        trials: Sequence[Params] = [trial.params for trial in history.trials]
        if len(trials) < len(self._known) or any(a is not b for a, b in zip(self._known, trials, strict=False)):
            self._known, self._taken = [], set()
        self._taken.update(key(params) for params in trials[len(self._known) :])
        self._known = list(trials)
        return self._taken
