"""Answers that were made a moment ago are given again: notebooks poll, and a thousand of them ask for the same.

Whatever is changed through the service is in the next answer; what changes by itself may be in it a moment later.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Hashable, Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from hpo_engine.service.wmla.asking import generation_of

_Message = MutableMapping[str, Any]
_Send = Callable[[_Message], Awaitable[None]]
_MOMENT_S = 0.05
_MOST = 256  # answers
_MOST_BYTES = 256 << 10  # of one that is given again
_SAFE = ("GET", "HEAD")


@dataclass
class _Answer:
    """`at`: when it was asked for, by the monotonic clock."""

    at: float
    changes: int
    start: _Message | None = None
    body: list[bytes] = field(default_factory=list)


class Recent:
    """An ASGI layer in front of the routes.

    Args:
        paths: what the addresses begin with whose answers may be given again: `BEGINNING` itself, and
        `BEGINNING/NAME`.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], paths: Iterable[str]) -> None:
        self._app, self._paths = app, tuple(paths)
        self._answers: dict[Hashable, _Answer] = {}
        self._changes = 0

    async def __call__(self, scope: _Message, receive: Any, send: _Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["method"] not in _SAFE:
            await self._changed(scope, receive, send)
        elif (key := self._key(scope)) is None:
            await self._app(scope, receive, send)
        else:
            await self._answer(key, scope, receive, send)

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
        folder, _, _ = path.rpartition("/")
        if path not in self._paths and folder not in self._paths:
            return None
        caller = scope.get("state", {}).get("caller")
        if caller is None:
            return None
        host = next((value for name, value in scope["headers"] if name == b"host"), b"")
        return path, scope["query_string"], scope["method"], host, caller.name, caller.admin, generation_of(caller)

    async def _answer(self, key: Hashable, scope: _Message, receive: Any, send: _Send) -> None:
        now, known = time.monotonic(), self._answers.get(key)
        if known is not None and now - known.at < _MOMENT_S and known.start is not None:
            await send({**known.start, "headers": list(known.start["headers"])})
            await send({"type": "http.response.body", "body": b"".join(known.body)})
            return
        made = _Answer(now, self._changes)

        async def record(message: _Message) -> None:
            if message["type"] == "http.response.start":
                made.start = dict(message)
            elif message["type"] == "http.response.body":
                made.body.append(message.get("body", b""))
                if not message.get("more_body"):
                    self._keep(key, made)
            await send(message)

        await self._app(scope, receive, record)

    def _keep(self, key: Hashable, made: _Answer) -> None:
        if made.changes != self._changes or made.start is None or made.start["status"] != 200:
            return
        if sum(map(len, made.body)) > _MOST_BYTES:
            return
        if len(self._answers) >= _MOST:
            self._answers.clear()
        self._answers[key] = made
