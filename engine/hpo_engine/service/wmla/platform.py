"""What the platform says of itself, and the scheduler's view of jobs: their logs."""

from __future__ import annotations

import os
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from hpo_engine.service.dependencies import caller_of, desk_of
from hpo_engine.service.desk import Caller, Desk
from hpo_engine.service.wmla import jobs, logs
from hpo_engine.service.wmla.answers import json_answer
from hpo_engine.service.wmla.asking import generation_of
from hpo_engine.service.wmla.execs import job_of, url_of
from hpo_engine.service.wmla.memory import Memory, memory_of
from hpo_engine.version import __version__

router = APIRouter()
_Desk = Annotated[Desk, Depends(desk_of)]
_Caller = Annotated[Caller, Depends(caller_of)]
_Memory = Annotated[Memory, Depends(memory_of)]
_Job = Annotated[jobs.Job, Depends(job_of)]
_Url = Annotated[str, Depends(url_of)]

_MOST_LINES = 1_000_000


@router.get("/conf")
def get_conf(desk: _Desk, url: _Url) -> Response:
    """The settings that clients look up, all of them texts."""
    return json_answer(
        {
            "CwS_REST_URL": url,
            "DLI_DATA_FS": os.environ.get("DLI_DATA_FS", ""),
            "DLI_RESULT_FS": desk.root,
            "MSD_ENABLED": "true",
            "VERSION": __version__,
        }
    )


@router.get("/status")
def get_status() -> Response:
    return json_answer({"status": "OK", "version": __version__})


@router.get("/scheduler/applications")
def list_applications(
    desk: _Desk, caller: _Caller, memory: _Memory, url: _Url, applicationid: str | None = None
) -> Response:
    """Jobs as the scheduler knows them; `applicationid`: only that one."""
    if applicationid is not None:
        found = [jobs.find(desk, memory, caller, applicationid)]
    else:
        found = [job for view in desk.views(caller) for job in jobs.jobs_of(memory, view)]
    return json_answer([_application(jobs.job_object(job, generation_of(caller), url)) for job in found])


@router.get("/scheduler/applications/{app_id}/executor/{executor}/logs/{kind}")
def get_executor_log(
    job: _Job, executor: str, kind: str, lastlines: Annotated[int | None, Query(ge=0)] = None
) -> Response:
    """What a job has printed, as text; `lastlines`: only so many lines of it. A job has one executor here."""
    return _log(job, lastlines)


@router.get("/scheduler/applications/{app_id}/driver/logs/{kind}")
def get_driver_log(job: _Job, kind: str, lastlines: Annotated[int | None, Query(ge=0)] = None) -> Response:
    """The same: the driver of a job is its script."""
    return _log(job, lastlines)


def _log(job: jobs.Job, lines: int | None) -> Response:
    lines = _MOST_LINES if lines is None else min(lines, _MOST_LINES)
    return logs.answer(logs.last_lines(job, lines), plain=True)


def _application(job: dict[str, Any]) -> dict[str, Any]:
    return {
        "applicationid": job["appId"],
        "applicationname": job["appName"],
        "state": job["state"],
        "username": job["userName"],
        "sigName": job["sigName"],
        "dltype": job["framework"],
        "masterUrl": job["masterUrl"],
        "task12n": [{"id": 1, "state": job["state"]}],
    }
