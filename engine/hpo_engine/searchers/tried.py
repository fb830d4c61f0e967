"""Which configurations a study has tried, by `params.key`; only new trials are read, which changes no answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hpo_engine.space.params import key
from hpo_engine.study.history import History
from hpo_engine.study.spec import Params
from hpo_engine.study.trial import Proposal

Key = tuple[Any, int | None]
"""A configuration and its amount of the resource (None: another amount does not make it another configuration)."""


def key_of(params: Params, resource: int | None) -> Key:
    try:
        hash(resource)
    except TypeError:  # not a number: the loop will refuse it
        resource = None
    try:
        return key(dict(params)), resource
    except (TypeError, ValueError):  # not JSON: the loop will refuse it
        return None, resource


class Tried:
    """The keys of a history's trials, and of what an answer in the making adds."""

    def __init__(self, before: set[Key]) -> None:
        self._before, self._now = before, set[Key]()

    def add(self, key: Key) -> None:
        if key not in self._before:
            self._now.add(key)

    def __contains__(self, key: Key) -> bool:
        return key in self._before or key in self._now

    def __len__(self) -> int:
        return len(self._before) + len(self._now)

    def __iter__(self) -> Iterator[Key]:
        yield from self._before
        yield from self._now


class TriedReader:
    """Histories of one study -> what they have tried.

    Args:
        by_resource: whether the same configuration with another amount of the resource is another one.
    """

    def __init__(self, *, by_resource: bool) -> None:
        self._by_resource = by_resource
        self._keys: set[Key] = set()
        self._read = 0
        self._last: Proposal | None = None  # identifies a history: each proposal is made once

    def read(self, history: History) -> Tried:
        trials = history.trials
        if self._read > len(trials) or (self._read and trials[self._read - 1].proposal is not self._last):
            self._keys, self._read, self._last = set(), 0, None
        for i in range(self._read, len(trials)):
            self._last = trials[i].proposal
            if not self._last.params:  # its configuration is not in the space as it is now
                continue
            self._keys.add(key_of(self._last.params, self._last.resource if self._by_resource else None))
        self._read = len(trials)
        return Tried(self._keys)
