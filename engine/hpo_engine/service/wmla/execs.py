"""The calls for jobs ("execs"): each trial of a search, and trainings without a search."""

from __future__ import annotations

import json
import random
import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from hpo_engine.control.trials import stop_trials
from hpo_engine.errors import SpecError, StudyLocked
from hpo_engine.service.dependencies import caller_of, desk_of, spool_of
from hpo_engine.service.desk import Caller, Desk
from hpo_engine.service.intake import Upload, received
from hpo_engine.service.wmla import jobs, logs
from hpo_engine.service.wmla.answers import json_answer, json_body, nothing, refusal
from hpo_engine.service.wmla.asking import form, generation_of, key_of, plain_text
from hpo_engine.service.wmla.frameworks import frameworks
from hpo_engine.service.wmla.hypersearch import remove_all
from hpo_engine.service.wmla.memory import Memory, memory_of
from hpo_engine.service.wmla.results import ResultZip
from hpo_engine.service.wmla.tasks import is_training, list_body
from hpo_engine.studyfile import wmla
from hpo_engine.studyfile.document import read_document

router = APIRouter(prefix="/execs")
_Desk = Annotated[Desk, Depends(desk_of)]
_Caller = Annotated[Caller, Depends(caller_of)]
_Memory = Annotated[Memory, Depends(memory_of)]


def url_of(request: Request) -> str:
    return str(request.base_url).rstrip("/")


_Url = Annotated[str, Depends(url_of)]


def job_of(desk: _Desk, memory: _Memory, caller: _Caller, app_id: str) -> jobs.Job:
    return jobs.find(desk, memory, caller, app_id)


_Job = Annotated[jobs.Job, Depends(job_of)]


@router.get("")
def list_jobs(desk: _Desk, caller: _Caller, memory: _Memory, url: _Url) -> Response:
    """All jobs that the caller may see: the trials of searches, and trainings."""
    views = sorted(desk.views(caller), key=lambda view: view.created)
    bodies = [jobs.jobs_body(memory, view, generation_of(caller), url) for view in views]
    return json_body(list_body(body for body in bodies if body))


_ZIP = "application/zip; charset=ISO-8859-1"  # else the SDK would guess how the bytes are text, a second per 20 MB
_FORM = form(file="The model: a tar, or one script.")


@router.post("", openapi_extra=_FORM)
async def start_training(
    request: Request,
    desk: _Desk,
    caller: _Caller,
    memory: _Memory,
    url: _Url,
    args: str = "",
    sig_name: Annotated[str | None, Query(alias="sigName")] = None,
) -> Response:
    """Starts one training without a search."""

    def start(upload: Upload) -> Response:
        if upload.model is None:
            raise SpecError("the body has no model: send the script, or a tar of its folder, as a part")
        name = wmla.new_name(caller.name, time.time(), random.Random(), "exec")
        wanted = json.dumps(wmla.training_request(args or _args(upload), sig_name))
        view = desk.submit(caller, wanted, upload.model, name=name, key=key_of(request))
        (job,) = jobs.jobs_of(memory, view)
        return json_answer(jobs.job_object(job, generation_of(caller), url))

    async with received(request, spool_of(request)) as upload:
        return await run_in_threadpool(start, upload)


@router.delete("")
def remove_trainings(desk: _Desk, caller: _Caller, memory: _Memory) -> Response:
    """Removes all trainings of the caller; none of them if one has not ended. Searches stay."""
    own = (view for view in desk.views(caller) if view.owner == caller.name)
    remove_all(desk, caller, [view for view in own if is_training(memory, view)])
    return nothing()


@router.get("/frameworks")
def list_frameworks() -> Response:
    """What --exec-start may name."""
    return json_answer(frameworks())


@router.get("/{app_id}")
def get_job(memory: _Memory, caller: _Caller, url: _Url, job: _Job) -> Response:
    """One job, in flat scalars."""
    return json_body(jobs.job_body(memory, job, generation_of(caller), url))


@router.delete("/{app_id}")
def remove_job(desk: _Desk, caller: _Caller, job: _Job) -> Response:
    """Removes a training and its files; an experiment goes with its search only."""
    if not job.is_training:
        raise StudyLocked(f"it is experiment {job.number} of {job.view.name}, which is removed as a whole")
    desk.remove(caller, job.view.name)
    return nothing()


@router.post("/{app_id}/stop")
def stop_job(desk: _Desk, caller: _Caller, job: _Job, app_id: str) -> Response:
    """Stops a training, or one experiment of a search, which goes on."""
    if job.ended:
        return refusal(400, f"Job {app_id} is already stopped.")
    if job.is_training:
        desk.stop(caller, job.view.name)
    elif job.view.paths is not None:
        stop_trials(job.view.paths, [range(job.number, job.number + 1)], wait=False)
    return nothing()


@router.get("/{app_id}/log")
def get_log(request: Request, job: _Job) -> Response:
    """What the job has printed: a JSON string, or with Accept: text/plain a text. Whatever logType is asked for,
    standard output and errors come as one."""
    return logs.answer(logs.output(job), plain=plain_text(request))


@router.get("/{app_id}/result")
def get_result(job: _Job, app_id: str) -> Response:
    """A zip of the job's RESULT_DIR."""
    if job.paths is None or job.trial is None:
        return refusal(400, f"Job {app_id} has no result yet.")
    try:
        archive = ResultZip(job.paths.result_dir)
    except OSError:
        return refusal(400, f"Job {app_id} has no result.")
    size = archive.size
    headers = {
        # Without blanks: clients look for "filename=" at the beginning of a field, and split the rest at "size=".
        "Content-Disposition": f"attachment;filename={app_id}.zip;size={size}",
        "Content-Length": str(size),
        "X-Content-Type-Options": "nosniff",
    }
    return StreamingResponse(archive.chunks(), media_type=_ZIP, headers=headers)


def _args(upload: Upload) -> str:
    """The arguments in the part `data`, where later clients put them."""
    text = upload.text() if upload.texts.get("data") else ""
    data: Any = read_document(text, "data").data if text else {}
    args = data.get("args") if isinstance(data, dict) else None
    if not isinstance(args, str) or not args.strip():
        raise SpecError("args is missing: what to run, as in ?args=--exec-start PyTorch --model-main train.py")
    return args
