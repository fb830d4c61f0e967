"""Answers that were made a moment ago are given again: notebooks and pages poll, and a thousand of them ask for the
same.

Whatever is changed through the service is in the next answer; what changes by itself may be in it a moment later. Of
one answer only one is made at a time: who asks meanwhile waits for it, or for the next one if it was begun long ago.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

_Message = MutableMapping[str, Any]
_Send = Callable[[_Message], Awaitable[None]]
_MOMENT_S = 0.05
_MOST = 256  # answers
_MOST_BYTES = 256 << 10  # of one that is given again
_SAFE = ("GET", "HEAD")
_TOLD = frozenset({b"host", b"accept", b"accept-encoding", b"if-none-match"})
"""Headers on which an answer depends, beside those that tell who asks."""
_AGAIN = (200, 304)


@dataclass
class _Answer:
    """`at`: when it was begun, by the monotonic clock; `changes`: how many there had been then. `done`: it is complete,
    or will never be."""

    at: float
    changes: int
    messages: list[_Message] = field(default_factory=list)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    complete: bool = False

    async def take(self, message: _Message) -> None:
        self.messages.append(message)

    async def send(self, send: _Send) -> None:
        for message in self.messages:
            copied = dict(message)
            if "headers" in copied:
                copied["headers"] = list(copied["headers"])  # layers outside add theirs
            await send(copied)

    def serves(self, asked: float, changes: int) -> bool:
        """Whether it is new enough for a request of that time."""
        return self.complete and self.changes == changes and asked - self.at < _MOMENT_S

    @property
    def is_kept(self) -> bool:
        size = sum(len(message.get("body", b"")) for message in self.messages)
        return self.messages[0].get("status") in _AGAIN and size <= _MOST_BYTES


class Recent:
    """An ASGI layer in front of the routes.

    Args:
        paths: what the addresses begin with whose answers may be given again: `BEGINNING` itself, and
        `BEGINNING/NAME`. parts: what may follow the name, as in `BEGINNING/NAME/trials`. None of them may stream.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], paths: Iterable[str], parts: Iterable[str] = ()) -> None:
        self._app, self._paths, self._parts = app, frozenset(paths), frozenset(parts)
        self._answers: dict[Hashable, _Answer] = {}
        self._making: dict[Hashable, _Answer] = {}
        self._changes = 0

    async def __call__(self, scope: _Message, receive: Any, send: _Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["method"] not in _SAFE:
            await self._changed(scope, receive, send)
        elif (key := self._key(scope)) is None:
            await self._app(scope, receive, send)
        else:
            await (await self._answer(key, scope, receive)).send(send)

    async def _changed(self, scope: _Message, receive: Any, send: _Send) -> None:
        async def answer(message: _Message) -> None:
            self._forget()  # before the client knows of the change
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            self._forget()

    def _forget(self) -> None:
        self._changes += 1
        self._answers.clear()

    def _key(self, scope: _Message) -> Hashable | None:
        """What an answer depends on; None if it is not given again."""
        path: str = scope["path"]
        if not self._has(path):
            return None
        caller = scope.get("state", {}).get("caller")
        if caller is None:
            return None
        told = tuple(header for header in map(tuple, scope["headers"]) if header[0] in _TOLD)
        return path, scope["query_string"], scope["method"], told, caller

    def _has(self, path: str) -> bool:
        folder, _, last = path.rpartition("/")
        if path in self._paths or folder in self._paths:
            return True
        return last in self._parts and folder.rpartition("/")[0] in self._paths

    async def _answer(self, key: Hashable, scope: _Message, receive: Any) -> _Answer:
        asked = time.monotonic()
        while True:
            known = self._answers.get(key)
            if known is not None and known.serves(asked, self._changes):
                return known
            made = self._making.get(key)
            if made is None or made.changes != self._changes:
                return await self._made(key, scope, receive)
            await made.done.wait()
            if made.serves(asked, self._changes):  # also a refusal, or one that is too large to be kept
                return made

    async def _made(self, key: Hashable, scope: _Message, receive: Any) -> _Answer:
        made = self._making[key] = _Answer(time.monotonic(), self._changes)
        try:
            await self._app(scope, receive, made.take)
            made.complete = True
            if made.is_kept and made.changes == self._changes:
                if len(self._answers) >= _MOST:
                    self._answers.clear()
                self._answers[key] = made
        finally:
            if self._making.get(key) is made:
                del self._making[key]
            made.done.set()
        return made
