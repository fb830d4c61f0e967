"""The output of a trial's attempts: the end of it, as a terminal would show it, once or as it grows."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Annotated, NamedTuple

import anyio.to_thread
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse
from sse_starlette import EventSourceResponse

from hpo_engine.contract.outputlog import logfiles
from hpo_engine.errors import EngineError, StudyNotFound
from hpo_engine.reports.objects import dump
from hpo_engine.service.dependencies import caller_of, desk_of
from hpo_engine.service.desk import Caller, Desk
from hpo_engine.service.page.rendering import HEADERS, PageRoute
from hpo_engine.service.page.trials.finding import Found, found
from hpo_engine.study.trial import Trial, TrialState
from hpo_engine.text.tables import safe_text

router = APIRouter(route_class=PageRoute)
TAIL_BYTES = 1 << 17
MOST_LINES = 1_000
_LINE = 4_000  # characters
_EVERY_S, _PING_S = 0.7, 20


class Output(NamedTuple):
    """The last lines of an attempt's output. `cut`: there was more before them. `size`: bytes of all that is kept."""

    lines: list[str]
    cut: bool
    size: int


def output(study: Found, trial: Trial, number: int | None = None, most: int = MOST_LINES) -> Output:
    """Of an attempt (None: the latest). Raises StudyNotFound: there is no such attempt."""
    if not trial.attempts and number is None:
        return Output([], False, 0)
    number = len(trial.attempts) if number is None else number
    if not 1 <= number <= len(trial.attempts):
        raise StudyNotFound(f"trial {trial.id} has no attempt {number}; it has {len(trial.attempts)}")
    folder = study.paths.trial(trial.id).attempt(number)
    size = _size(folder)
    lines = [safe_text(line.replace("\t", "    "))[:_LINE] for line in logfiles.lines(folder, TAIL_BYTES)]
    while lines and not lines[-1].strip():
        lines.pop()
    return Output(lines[-most:], size > TAIL_BYTES or len(lines) > most, size)


def _size(folder: str) -> int:
    total = 0
    for path in logfiles.parts(folder):
        try:
            total += os.stat(path).st_size
        except OSError:  # a tail that has just been joined to the head
            continue
    return total


def _stamp(folder: str) -> tuple[tuple[str, int, int], ...]:
    found = []
    for path in logfiles.parts(folder):
        try:
            at = os.stat(path)
        except OSError:
            continue
        found.append((path, at.st_size, at.st_mtime_ns))
    return tuple(found)


@router.get("/studies/{name}/trials/{number:int}/log")
def log(
    name: str,
    number: int,
    desk: Annotated[Desk, Depends(desk_of)],
    caller: Annotated[Caller, Depends(caller_of)],
    attempt: int | None = None,
) -> Response:
    """All that is kept of an attempt's output, as a file."""
    study = found(desk, caller, name)
    trial = study.trial(number)
    last = len(trial.attempts) if attempt is None else attempt
    if not 1 <= last <= len(trial.attempts):
        raise StudyNotFound(f"trial {number} has no output yet")
    folder = study.paths.trial(number).attempt(last)
    headers = {
        **HEADERS, "Content-Disposition": f'attachment; filename="trial-{number}-attempt-{last}.log"',
    }  # fmt: skip
    return StreamingResponse(logfiles.Follower(folder).fresh(), headers=headers, media_type="application/octet-stream")


@router.get("/studies/{name}/trials/{number:int}/log/events")
async def follow_log(
    request: Request,
    name: str,
    number: int,
    desk: Annotated[Desk, Depends(desk_of)],
    caller: Annotated[Caller, Depends(caller_of)],
) -> Response:
    """Events: `log` with the last lines whenever there are others."""
    study = await anyio.to_thread.run_sync(found, desk, caller, name)
    study.trial(number)
    return EventSourceResponse(_told(desk, caller, name, number), ping=_PING_S)


async def _told(desk: Desk, caller: Caller, name: str, number: int) -> AsyncIterator[dict[str, str]]:
    yield {"comment": "connected"}
    before: object = None
    while True:
        try:
            stamp, text, over = await anyio.to_thread.run_sync(_look, desk, caller, name, number, before)
        except EngineError:  # the study was removed, or cannot be read any more: the page says so when it is loaded
            return
        if stamp != before:
            before = stamp
            yield {"event": "log", "data": text}
        if over:
            yield {"event": "over", "data": "{}"}
            return
        await asyncio.sleep(_EVERY_S)


def _look(desk: Desk, caller: Caller, name: str, number: int, before: object) -> tuple[object, str, bool]:
    """What the output's files are now, the lines as JSON if they are others than before, and whether no more come."""
    study = found(desk, caller, name)
    trial = study.trial(number)
    over = trial.state.ended
    attempts = len(trial.attempts)
    stamp = (attempts, trial.state is TrialState.RUNNING, _stamp(study.paths.trial(number).attempt(attempts or 1)))
    if stamp == before:
        return stamp, "", over
    one = output(study, trial)
    return stamp, dump({"attempt": attempts, "lines": one.lines, "cut": one.cut, "size": one.size}), over
