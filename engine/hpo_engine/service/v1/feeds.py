"""News that many listen to and that are read once: no thread per listener, bounded queues, slow listeners are cut off.

Everything here runs in the event loop, but for `Source.news`, which is called in a worker thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import anyio.to_thread

from hpo_engine.errors import EngineError, StudyGone, StudyNotFound
from hpo_engine.reports.objects import dump

_log = logging.getLogger(__name__)
WAITING = 64
"""Messages that may wait for one listener; one for which more would wait is cut off, and may come again."""
MOST_LISTENERS = 2000


@dataclass(frozen=True)
class Message:
    """`event`: its kind; `data`: a JSON text; `id`: by which a listener can go on after it ("": it cannot). `last`: no
    other one follows."""

    event: str
    data: str
    id: str = ""
    last: bool = False


BROKEN = Message("", "", last=True)
"""The stream ends without a word."""


class Source(Protocol):
    def news(self) -> Sequence[Message]:
        """What is new since the last call. Raises EngineError if there will never be any again."""

    def position(self) -> Any:
        """Where it stands: what is new after this is yet to come."""


class TooMany(EngineError):
    """Nobody else can listen at present."""


class Listener:
    def __init__(self) -> None:
        self._queue: asyncio.Queue[Message] = asyncio.Queue(WAITING)
        self.cut = False

    def put(self, message: Message) -> None:
        try:
            self._queue.put_nowait(message)
        except asyncio.QueueFull:
            self.cut = True

    async def next(self) -> Message | None:
        """The next message; None: it was too slow, and has missed some."""
        message = await self._queue.get()
        return None if self.cut and self._queue.empty() else message


class Feed:
    """One source and all who listen to it. It is read only while somebody does."""

    def __init__(self, source: Source, every_s: float, over: Callable[[], None]) -> None:
        self.source, self._every_s, self._over = source, every_s, over
        self.listeners: set[Listener] = set()
        self._task: asyncio.Task[None] | None = None

    def join(self, listener: Listener) -> None:
        self.listeners.add(listener)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            while self.listeners:
                for message in await anyio.to_thread.run_sync(self._news):
                    for listener in list(self.listeners):
                        listener.put(message)
                    if message.last:
                        return
                await asyncio.sleep(self._every_s)
        finally:
            self._over()

    def _news(self) -> Sequence[Message]:
        try:
            return self.source.news()
        except (StudyNotFound, StudyGone) as error:
            return [Message("removed", dump({"reason": str(error)}), last=True)]
        except Exception:  # clients connect again, and then are told what is wrong
            _log.warning("a stream of events breaks off", exc_info=True)
            return [BROKEN]


class Feeds:
    """All feeds of an application, by what they are about."""

    def __init__(self) -> None:
        self._feeds: dict[Hashable, Feed] = {}

    @property
    def count(self) -> int:
        """How many listen."""
        return sum(len(feed.listeners) for feed in self._feeds.values())

    @asynccontextmanager
    async def listening(
        self, key: Hashable, source: Callable[[], Source], every_s: float
    ) -> AsyncIterator[tuple[Listener, Any]]:
        """A listener, and where its source stood when it joined.

        Args:
            key: what it is about. source: makes what is read if nobody listens yet, in a worker thread.

        Raises:
            TooMany. EngineError: as `source` does.
        """
        if self.count >= MOST_LISTENERS:
            raise TooMany(f"{MOST_LISTENERS} clients listen to events already; try again later")
        feed = self._feeds.get(key)
        if feed is None:
            made = await anyio.to_thread.run_sync(source)
            if (feed := self._feeds.get(key)) is None:
                feed = Feed(made, every_s, lambda: self._forget(key, made))
                self._feeds[key] = feed
        listener = Listener()
        feed.join(listener)
        try:
            yield listener, feed.source.position()
        finally:
            feed.listeners.discard(listener)

    def _forget(self, key: Hashable, source: Source) -> None:
        if (feed := self._feeds.get(key)) is not None and feed.source is source:
            del self._feeds[key]
