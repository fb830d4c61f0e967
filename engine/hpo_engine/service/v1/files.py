"""A trial's output and its files, which are named by ids that a list has made, never by paths."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import StreamingResponse

from hpo_engine.service.v1 import models
from hpo_engine.service.v1.answers import answered
from hpo_engine.service.v1.asking import Ask, Known, Number, Study, TrialNotFound
from hpo_engine.service.v1.listing import Listed, listed, opened

if TYPE_CHECKING:
    from hpo_engine.contract.paths import TrialPaths

router = APIRouter(tags=["files"])
_CHUNK = 1 << 18
_PER_LINE = 400  # bytes that are read for a line of the tail
_LEAST, _MOST = 1 << 16, 4 << 20
Attempt = Annotated[int | None, Query(ge=1, le=10_000, description="Which of its attempts; default: the last.")]
_PLAIN: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}


@router.get("/studies/{study}/trials/{trial}/log", response_model=models.Log, summary="Get a trial's output")
def trial_log(
    ask: Ask,
    study: Study,
    trial: Number,
    tail: Annotated[int, Query(ge=1, le=10_000, description="Lines, from the end.")] = 200,
    attempt: Attempt = None,
) -> Response:
    """The end of what it printed, as a terminal would show it."""
    from hpo_engine.contract.outputlog import logfiles

    number, folder = _attempt(ask.study(study), trial, attempt)
    found = logfiles.lines(folder, max(_LEAST, min(_MOST, tail * _PER_LINE))) if folder else []
    size = sum(os.path.getsize(path) for path in logfiles.parts(folder) if os.path.exists(path)) if folder else 0
    return answered(
        ask.request, {"study": study, "trial": trial, "attempt": number, "lines": found[-tail:], "size": size}
    )


@router.get(
    "/studies/{study}/trials/{trial}/log.txt",
    summary="Get a trial's output as it was",
    responses=_PLAIN,
    response_class=Response,
)
def trial_log_text(
    ask: Ask,
    study: Study,
    trial: Number,
    last: Annotated[int, Query(ge=1, le=64 << 20, description="Bytes, from the end.")] = 1 << 20,
    attempt: Attempt = None,
) -> Response:
    """The bytes that it printed, as text."""
    from hpo_engine.contract.outputlog import logfiles

    _, folder = _attempt(ask.study(study), trial, attempt)
    text = logfiles.tail(folder, last).decode("utf-8", "replace") if folder else ""
    return Response(text, media_type="text/plain; charset=utf-8", headers={"X-Content-Type-Options": "nosniff"})


def _attempt(known: Known, number: int, attempt: int | None) -> tuple[int | None, str]:
    """The attempt's number and folder; None and "" if the trial has not started."""
    found = known.trial(number)
    if attempt is not None and attempt not in range(1, len(found.attempts) + 1):
        raise TrialNotFound(f"trial {number} has {len(found.attempts)} attempts; there is no attempt {attempt}")
    which = attempt or len(found.attempts)
    return (which, known.paths.trial(number).attempt(which)) if which else (None, "")


@router.get("/studies/{study}/trials/{trial}/files", response_model=models.Files, summary="List a trial's files")
def trial_files(ask: Ask, study: Study, trial: Number) -> Response:
    """What is in its folders, with the id by which each is fetched. Links are left out."""
    files, more = listed(_folders(ask.study(study), trial))
    objects = [{"id": f.id, "name": f.name, "size": f.size, "modified": f.modified} for f in files]
    return answered(ask.request, {"study": study, "trial": trial, "files": objects, "more": more})


@router.get(
    "/studies/{study}/trials/{trial}/files/{file}",
    summary="Get a file of a trial",
    responses={200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}},
    response_class=Response,
)
def trial_file(
    ask: Ask,
    study: Study,
    trial: Number,
    file: Annotated[str, Path(pattern="^[0-9a-f]{24}$", description="An id of the list.")],
) -> Response:
    folders = _folders(ask.study(study), trial)
    found = next((one for one in listed(folders)[0] if one.id == file), None)
    if found is None:
        raise TrialNotFound(f"trial {trial} has no file with the id {file} any more; list them again")
    return _download(folders, found)


def _folders(known: Known, number: int) -> TrialPaths:
    known.trial(number)
    return known.paths.trial(number)


def _download(folders: TrialPaths, found: Listed) -> Response:
    fd, size = opened(folders, found)

    def chunks() -> Iterator[bytes]:
        left = size
        with open(fd, "rb", closefd=True) as file:
            while left and (data := file.read(min(_CHUNK, left))):
                left -= len(data)
                yield data
            if left:  # it shrank: a body that is shorter than announced is an error for the client, as it should be
                return

    name = quote(found.path.rpartition("/")[2].encode("utf-8", "surrogateescape"), safe="")
    headers = {
        "Content-Length": str(size),
        "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
        "X-Content-Type-Options": "nosniff",
    }
    return StreamingResponse(chunks(), media_type="application/octet-stream", headers=headers)
