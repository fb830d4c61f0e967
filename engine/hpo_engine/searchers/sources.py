"""Where new configurations come from, for searchers whose own business is how much of a resource each gets."""

from __future__ import annotations

import random
from collections.abc import Set
from typing import Any, Protocol

from hpo_engine.space.params import key
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec

_TRIES, _FEW_TRIES = 20, 2


class ConfigurationSource(Protocol):
    def suggest(self, history: History, first: int, count: int, known: Set[Any]) -> list[dict[str, Any]]:
        """The study's new configurations number first, first + 1, ...; if possible, others than those known, by their
        `params.key` (only passed if the space is finite)."""


class RandomSource:
    """Independent draws, among what the study's rules allow. In a finite space those that are known are drawn again, up
    to 20 times; then the next one on a walk through a small space is taken."""

    def __init__(self, spec: StudySpec) -> None:
        self._spec, self._finite = spec, spec.space.size is not None

    def suggest(self, history: History, first: int, count: int, known: Set[Any]) -> list[dict[str, Any]]:
        new: set[Any] = set()
        out = []
        for number in range(first, first + count):
            params = self._draw(number, known, new)
            if self._finite:
                new.add(key(params))
            out.append(params)
        return out

    def _draw(self, number: int, known: Set[Any], new: Set[Any]) -> dict[str, Any]:
        # The standard library's generator: making one of numpy's costs forty times a draw.
        rng = random.Random(f"{self._spec.seed or 0}/{number}")
        space = self._spec.space
        # If rules exclude nearly all of a large space, a draw takes long; the caller may search further.
        for _ in range(_TRIES if space.allowed_size is not None or not self._finite else _FEW_TRIES):
            params = space.draw(lambda: [rng.random() for _ in space.dimensions])
            if not self._finite or ((name := key(params)) not in known and name not in new):
                return params
        return space.unlike(lambda p: (name := key(p)) in known or name in new, rng.random()) or params
