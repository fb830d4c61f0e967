"""All routes of `/api/v1` on one router."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from hpo_engine.service.v1 import changes, figures, files, info, streams, studies, trials
from hpo_engine.service.v1.models import ErrorModel

_WHY = {
    400: "The input is wrong; `problems` says where.",
    401: "Credentials are missing or wrong.",
    404: "There is no such thing, or the caller may not see it.",
    409: "It cannot be done as things stand.",
    503: "The machine or the study's log is in trouble; the text says how.",
}
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorModel, "description": text} for status, text in _WHY.items()
}


def router() -> APIRouter:
    whole = APIRouter(prefix="/api/v1", responses=_ERRORS)
    for room in (studies, trials, changes, figures, files, streams, info):
        whole.include_router(room.router)
    return whole
