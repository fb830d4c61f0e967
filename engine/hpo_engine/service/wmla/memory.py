"""What the dialect remembers between two requests: encoded answers, and which study an application id names."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from fastapi import Request

T = TypeVar("T")
Body = bytes
_MOST_BYTES = 64 << 20
_MOST_WITH_PARTS = 32


class Memory:
    """May be used from several threads; losing any of it costs only time."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._bodies: OrderedDict[Hashable, tuple[Hashable, Body]] = OrderedDict()
        self._bytes, self._most = 0, most_bytes
        self._lock = threading.Lock()
        self._parts: OrderedDict[Hashable, dict[int, Any]] = OrderedDict()
        self._facts: dict[Hashable, Any] = {}
        self.names: dict[int, str] = {}
        """Name of the study by its start in microseconds; one that was removed may still be here."""

    def parts(self, key: Hashable) -> dict[int, Any]:
        """Parts of an answer by number, to be kept there; those of few answers are."""
        with self._lock:
            found = self._parts.setdefault(key, {})
            self._parts.move_to_end(key)
            while len(self._parts) > _MOST_WITH_PARTS:
                self._parts.popitem(last=False)
            return found

    def fact(self, key: Hashable, find: Callable[[], T]) -> T:
        """What never changes."""
        if key not in self._facts:
            self._facts[key] = find()
        found: T = self._facts[key]
        return found

    def body(self, key: Hashable, version: Hashable, make: Callable[[], Body]) -> Body:
        """The answer of that version; made if it is not the one that is remembered."""
        with self._lock:
            known = self._bodies.get(key)
            if known is not None and known[0] == version:
                self._bodies.move_to_end(key)
                return known[1]
        body = make()
        with self._lock:
            before = self._bodies.pop(key, None)
            self._bytes += len(body) - (0 if before is None else len(before[1]))
            self._bodies[key] = version, body
            while self._bytes > self._most and len(self._bodies) > 1:
                self._bytes -= len(self._bodies.popitem(last=False)[1][1])
        return body


def memory_of(request: Request) -> Memory:
    """For routes: `memory: Annotated[Memory, Depends(memory_of)]`."""
    memory: Memory = request.app.state.wmla
    return memory
