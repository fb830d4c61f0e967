"""Streams of server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Header, Query, Request, Response
from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import EventSourceResponse

from hpo_engine.service.v1.asking import Ask, Number, Study
from hpo_engine.service.v1.feeds import BROKEN, Feeds, Listener, Message
from hpo_engine.service.v1.news import (
    ListNews,
    OutputNews,
    StudyNews,
    all_studies,
    events_of,
    missed,
    reset,
)

if TYPE_CHECKING:
    from hpo_engine.service.desk import View

router = APIRouter(tags=["events"])
_STUDY_S, _LIST_S, _OUTPUT_S = 0.5, 1.0, 0.5  # from one look to the next
_PING_S = 15
_SEND_S = 30.0  # a client that takes nothing for so long is cut off
_STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}
LastEventId = Annotated[str | None, Header(max_length=100, description="The id of the last event that is known.")]


@router.get("/events", summary="Follow all studies", responses=_STREAM, response_class=EventSourceResponse)
async def follow_studies(ask: Ask) -> Response:
    """Events `studies` with the data {studies: [as in the list], removed: [names]}: first all that the caller may see
    (`all` is true), then those that change. A comment comes every 15 s, so that a dead connection is noticed."""
    feeds, caller = feeds_of(ask.request), ask.caller

    async def messages() -> AsyncIterator[Message]:
        source = partial(ListNews, ask.desk, caller)
        async with feeds.listening(("list", caller.name, caller.admin), source, _LIST_S) as (listener, _):
            yield await anyio.to_thread.run_sync(all_studies, ask.desk, caller)
            async for message in _coming(listener):
                yield message

    return await _streamed(messages())


@router.get("/studies/{study}/events", summary="Follow a study", responses=_STREAM, response_class=EventSourceResponse)
async def follow_study(
    ask: Ask,
    study: Study,
    after: Annotated[
        int | None, Query(ge=0, le=10**11, description="The `events` of an answer that the client has.")
    ] = None,
    last_event_id: LastEventId = None,
) -> Response:
    """Events `update`: the study in short (state, best, counts, done), `trials` that are new or have changed, `rows`
    that were reported, and `events`, the number of the last event of the log that is in it.

    A client that knows the study up to some event gets all that came since, by `after` or, when it connects again, by
    Last-Event-ID. `reset`: it lacks too much, or another study has the name; it loads the study again. `removed`: the
    study is gone. A client that is too slow is cut off, and may connect again.
    """
    view: View = await anyio.to_thread.run_sync(ask.view, study)
    known = after if last_event_id is None else events_of(last_event_id, view)
    lost = last_event_id is not None and known is None
    feeds = feeds_of(ask.request)

    async def messages() -> AsyncIterator[Message]:
        source = partial(StudyNews, ask.desk, study)
        async with feeds.listening(("study", study), source, _STUDY_S) as (listener, position):
            if lost:
                yield reset(await anyio.to_thread.run_sync(ask.view, study))
            else:
                first = position if known is None else known
                for message in await anyio.to_thread.run_sync(missed, ask.desk, study, first, position):
                    yield message
            async for message in _coming(listener):
                yield message

    return await _streamed(messages())


@router.get(
    "/studies/{study}/trials/{trial}/log/events",
    summary="Follow a trial's output",
    responses=_STREAM,
    response_class=EventSourceResponse,
)
async def follow_output(ask: Ask, study: Study, trial: Number) -> Response:
    """Events `output` {attempt, text}, from the beginning of what is kept, until `end` {state, reason}. `attempt`:
    another one has begun, whose output follows. The first event is `open` {state}."""
    known = await anyio.to_thread.run_sync(ask.study, study)
    state = known.trial(trial).state.value

    async def messages() -> AsyncIterator[Message]:
        # Each listener wants it from the beginning, so that nothing is shared but the worker threads.
        news = OutputNews(ask.desk, study, trial)
        yield Message("open", f'{{"state": "{state}"}}')
        while True:
            for message in await anyio.to_thread.run_sync(news.news):
                yield message
                if message.last:
                    return
            await anyio.sleep(_OUTPUT_S)

    return await _streamed(messages())


def feeds_of(request: Request) -> Feeds:
    """Those of the application."""
    state = request.app.state
    if not hasattr(state, "feeds"):
        state.feeds = Feeds()
    feeds: Feeds = state.feeds
    return feeds


async def _coming(listener: Listener) -> AsyncIterator[Message]:
    while True:
        message = await listener.next()
        if message is None:
            return
        yield message
        if message.last:
            return


async def _streamed(messages: AsyncIterator[Message]) -> EventSourceResponse:
    """The stream. What goes wrong before the first message is an error as of any other route."""
    first = await anext(messages, None)

    async def events() -> AsyncIterator[ServerSentEvent]:
        message = first
        while message is not None and message is not BROKEN:
            yield ServerSentEvent(message.data, event=message.event, id=message.id or None, sep="\n")
            if message.last:
                return
            message = await anext(messages, None)

    return EventSourceResponse(events(), ping=_PING_S, send_timeout=_SEND_S, sep="\n")
