"""The line of studies that wait for an engine. No I/O, no time.

Users are served in turn: what becomes free goes to the user who has the fewest studies running; among equals, to the
one who has waited longest since a study of theirs was started. A user's own studies keep their order.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping


class Line:
    def __init__(self) -> None:
        self._waiting: dict[str, tuple[str, float]] = {}  # name -> owner, turn
        self._heaps: dict[str, list[tuple[float, str]]] = {}  # owner -> those of the user, some of them gone by now
        self._served: dict[str, int] = {}  # owner -> when a study of theirs was last taken out
        self._count = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, name: str) -> bool:
        return name in self._waiting

    def add(self, name: str, owner: str, turn: float) -> None:
        """`turn`: smaller ones of the same user go first."""
        self._waiting[name] = owner, turn
        heapq.heappush(self._heaps.setdefault(owner, []), (turn, name))

    def remove(self, name: str) -> bool:
        """Whether it was in the line."""
        return self._waiting.pop(name, None) is not None

    def take(self, running: Mapping[str, int]) -> str | None:
        """The study whose turn it is, which leaves the line; None: none waits.

        Args:
            running: how many studies of each user run.
        """
        owners = [owner for owner in list(self._heaps) if self._first(owner) is not None]
        if not owners:
            return None
        owner = min(owners, key=lambda each: (running.get(each, 0), self._served.get(each, 0)))
        name = self._first(owner)
        assert name is not None
        del self._waiting[name]
        self._count += 1
        self._served[owner] = self._count
        return name

    def _first(self, owner: str) -> str | None:
        heap = self._heaps[owner]
        while heap:
            turn, name = heap[0]
            if self._waiting.get(name) == (owner, turn):
                return name
            heapq.heappop(heap)
        del self._heaps[owner]
        return None
