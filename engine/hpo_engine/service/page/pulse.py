"""Tells pages that something has changed: one look at the studies a second for each user who has a page open, however
many pages that are."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Depends, Request, Response
from sse_starlette import EventSourceResponse

from hpo_engine.service.dependencies import caller_of, desk_of
from hpo_engine.service.desk import Caller, Desk

_EVERY_S = 1.0
_PING_S = 20
router = APIRouter()


@dataclass
class _Watch:
    """What one user's pages wait for. `versions`: of each study that the user sees; `seen`: the number of the latest
    change; `pages`: how many wait."""

    versions: Mapping[str, str] = field(default_factory=dict)
    seen: int = 0
    pages: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)


class Pulse:
    """The watches of one desk, by user. Used from the event loop only."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._watches: dict[tuple[str, bool], _Watch] = {}

    async def changes(self, caller: Caller) -> AsyncIterator[list[str]]:
        """The names of studies that have changed, appeared or gone, again and again."""
        key = (caller.name, caller.admin)
        watch = self._watches.get(key)
        if watch is None:
            watch = self._watches[key] = _Watch()
            watch.versions = await self._look(caller)
            task = asyncio.create_task(self._watch(key, caller, watch))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        watch.pages += 1
        try:
            known, seen = watch.versions, watch.seen
            while True:
                async with watch.changed:
                    while watch.seen == seen:
                        await watch.changed.wait()
                now, seen = watch.versions, watch.seen
                yield sorted(name for name in {*known, *now} if known.get(name) != now.get(name))
                known = now
        finally:
            watch.pages -= 1

    async def _watch(self, key: tuple[str, bool], caller: Caller, watch: _Watch) -> None:
        """Looks until no page waits any more."""
        try:
            while True:
                await asyncio.sleep(_EVERY_S)
                if not watch.pages:
                    return
                found = await self._look(caller)
                if found != watch.versions:
                    watch.versions, watch.seen = found, watch.seen + 1
                    async with watch.changed:
                        watch.changed.notify_all()
        finally:
            self._watches.pop(key, None)

    async def _look(self, caller: Caller) -> dict[str, str]:
        with contextlib.suppress(Exception):  # what is wrong is said by the page that asks for it
            views = await anyio.to_thread.run_sync(self._desk.views, caller)
            return {view.name: view.version for view in views}
        return {}


def pulse_of(request: Request) -> Pulse:
    """The one of the application."""
    state = request.app.state
    if not hasattr(state, "pulse"):
        state.pulse = Pulse(state.desk)
    found: Pulse = state.pulse
    return found


@router.get("/events")
async def events(
    request: Request,
    desk: Annotated[Desk, Depends(desk_of)],
    caller: Annotated[Caller, Depends(caller_of)],
    study: str = "",
) -> Response:
    """Events for pages: `studies` with the names of those that have changed. `study`: only of this one."""
    if study:
        await anyio.to_thread.run_sync(desk.view, caller, study)
    return EventSourceResponse(_told(pulse_of(request), caller, study), ping=_PING_S)


async def _told(pulse: Pulse, caller: Caller, study: str) -> AsyncIterator[dict[str, str]]:
    yield {"comment": "connected"}
    async for names in pulse.changes(caller):
        if not study or study in names:
            yield {"event": "studies", "data": json.dumps({"studies": [study] if study else names})}
