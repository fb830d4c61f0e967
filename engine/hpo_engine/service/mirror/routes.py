"""Routes of a study's copy: its event log row by row, and what its trials have printed."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import time
from typing import TYPE_CHECKING, Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Depends, Path, Query, Request, Response

from hpo_engine.errors import JournalError, StudyNotFound
from hpo_engine.service.dependencies import caller_of, desk_of
from hpo_engine.service.desk import Caller, Desk, View

if TYPE_CHECKING:
    from hpo_engine.store.lock import Holder

router = APIRouter(prefix="/api/v1", tags=["copies"])
_LOOK_S = 0.25
_LONGEST_S = 25.0
_AT_ONCE = 1 << 20  # bytes of output
_LARGE = 1024  # bytes of an answer that is worth compressing
_LED = ("queued", "running")  # an engine runs the study, or is about to

Study = Annotated[str, Path(description="The study's name.", min_length=1, max_length=255, pattern=r"^[^/\x00]+$")]
Trial = Annotated[int, Path(description="The trial's number, from 0.", ge=0, le=10_000_000)]
Asked = Annotated[Desk, Depends(desk_of)]
By = Annotated[Caller, Depends(caller_of)]


@router.get("/studies/{study}/copy", summary="Get the event log for a copy of it, row by row")
async def rows(
    request: Request,
    desk: Asked,
    caller: By,
    study: Study,
    after: Annotated[int, Query(ge=0, le=2**53, description="Only the events after this one.")] = 0,
    crc: Annotated[int, Query(ge=0, le=2**32, description="That event's checksum.")] = 0,
    led: Annotated[str, Query(max_length=300, description="`led` of the last answer.")] = "-",
    wait: Annotated[float, Query(ge=0, le=_LONGEST_S, description="Seconds to wait for news.")] = 0.0,
) -> Response:
    """`rows`: number, time, kind, checksum, summary and body of each event, so that a copy is the same log; `more`:
    others follow at once. `other`: the study has another log than the one of which `after` and `crc` are. `led`: the
    engine that runs it, "" if none does. `state`, `folder`: as of the study.

    With `wait`, the answer comes when there is news of the log or of the engine, or after these seconds.
    """
    until = time.monotonic() + wait
    while True:
        found = await anyio.to_thread.run_sync(_looked, desk, caller, study, after, crc)
        news = found["rows"] or found["other"] or found["led"] != led
        if news or time.monotonic() >= until or await request.is_disconnected():
            return await anyio.to_thread.run_sync(_answered, request, found)
        await asyncio.sleep(_LOOK_S)


@router.get("/studies/{study}/trials/{trial}/output", summary="Get the files of a trial's output")
def output(desk: Asked, caller: By, study: Study, trial: Trial) -> dict[str, Any]:
    """`attempt`: the latest one, None if the trial has not started. `parts`: the files that hold its output, oldest
    first, each with name, size, and an id that changes when it is begun anew."""
    view = _with_log(desk.view(caller, study))
    assert view.history is not None and view.paths is not None
    if trial not in range(view.history.next_id):
        raise StudyNotFound(f"{study} has no trial {trial}; it has {view.history.next_id} (from 0)")
    from hpo_engine.contract.outputlog import logfiles

    attempt = view.history.trials[trial].attempt
    parts = []
    if attempt is not None:
        for path in logfiles.parts(view.paths.trial(trial).attempt(attempt.number)):
            seen = os.stat(path)
            parts.append(
                {"name": os.path.basename(path), "size": seen.st_size, "id": f"{attempt.number}-{seen.st_ino}"}
            )
    return {"attempt": None if attempt is None else attempt.number, "parts": parts}


@router.get("/studies/{study}/trials/{trial}/output/{part}", summary="Get a piece of a trial's output, as bytes")
def output_part(
    desk: Asked,
    caller: By,
    study: Study,
    trial: Trial,
    part: Annotated[str, Path(pattern=r"^output\.(log|tail\.[01])$")],
    attempt: Annotated[int, Query(ge=1, le=1_000_000)],
    after: Annotated[int, Query(ge=0, le=2**53, description="Bytes to leave out.")] = 0,
) -> Response:
    """At most 1 MiB."""
    view = _with_log(desk.view(caller, study))
    assert view.paths is not None
    path = f"{view.paths.trial(trial).attempt(attempt)}/{part}"
    try:
        with open(path, "rb") as file:
            file.seek(after)
            data = file.read(_AT_ONCE)
    except OSError:
        raise StudyNotFound(f"trial {trial} of {study} has no {part}") from None
    return Response(data, media_type="application/octet-stream", headers=_UNTOUCHED)


_UNTOUCHED = {"X-Content-Type-Options": "nosniff", "Content-Disposition": "attachment", "Cache-Control": "no-store"}


def _looked(desk: Desk, caller: Caller, study: str, after: int, crc: int) -> dict[str, Any]:
    from hpo_engine.store.copying import piece_after
    from hpo_engine.store.lock import who_leads

    view = desk.view(caller, study)
    found: dict[str, Any] = {"state": view.state, "rows": [], "more": False, "other": False, "folder": "", "led": ""}
    # First who leads, then the log: of a study that nobody leads, it is whole.
    holder = None if view.paths is None else who_leads(view.paths.lock)
    if holder is not None or view.state in _LED or view.recovery == "pending":
        found["led"] = json.dumps(_named(holder))
    if view.paths is not None and os.path.lexists(view.paths.db):
        piece = piece_after(view.paths.db, after, crc)
        found |= {"rows": piece.rows, "more": piece.more, "other": piece.other, "folder": view.paths.root}
    elif view.state != "queued":
        _with_log(view)
    return found


def _named(holder: Holder | None) -> list[Any]:
    return [0, "", 0.0] if holder is None else [holder.pid, holder.host, holder.since]


def _with_log(view: View) -> View:
    """Raises StudyNotFound, JournalError if it has none."""
    if view.paths is None or view.history is None:
        if view.problem:
            raise JournalError(view.problem)
        raise StudyNotFound(f"{view.name} has not begun yet")
    return view


def _answered(request: Request, found: dict[str, Any]) -> Response:
    body = json.dumps(found, allow_nan=False, separators=(",", ":")).encode()
    headers = {"Cache-Control": "no-store"}
    if len(body) >= _LARGE and "gzip" in request.headers.get("accept-encoding", ""):
        body, headers["Content-Encoding"] = gzip.compress(body, 4, mtime=0), "gzip"
    return Response(body, 200, headers, "application/json")
