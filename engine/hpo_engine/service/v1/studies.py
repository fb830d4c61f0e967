"""Studies: the list, one of them, and what is done to it as a whole."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request, Response

from hpo_engine.errors import EngineError, Problem, SpecError
from hpo_engine.service.dependencies import spool_of
from hpo_engine.service.intake import received
from hpo_engine.service.v1 import models
from hpo_engine.service.v1.answers import answered, tag_of, unchanged, view_tag
from hpo_engine.service.v1.asking import Ask, Asking, Study
from hpo_engine.service.v1.objects import brief_object, study_object

router = APIRouter(tags=["studies"])
_SORTS = Literal["name", "-name", "created", "-created", "last_at", "-last_at", "state", "-state"]


@router.get("/studies", response_model=models.Studies, summary="List studies")
def list_studies(
    ask: Ask,
    state: Annotated[list[str] | None, Query(description="Only those in one of these states.", max_length=20)] = None,
    owner: Annotated[str | None, Query(max_length=255, description="Only those of this user.")] = None,
    q: Annotated[str, Query(max_length=255, description="Must occur in the name, the algorithm or a metric.")] = "",
    sort: Annotated[_SORTS, Query(description="A minus turns the order round.")] = "name",
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """Those that the caller may see. They may be polled: an unchanged answer is a 304."""
    views = ask.desk.views(ask.caller)
    tag = tag_of(ask.request, *[(view.name, view.created, view.version, view.owner) for view in views])
    if (same := unchanged(ask.request, tag)) is not None:
        return same
    briefs = [brief_object(view) for view in views if owner is None or view.owner == owner]
    found = [b for b in briefs if (not state or b["state"] in state) and _has(b, q.lower())]
    key = sort.removeprefix("-")
    found.sort(key=lambda b: b["study"])
    if key != "name":
        found.sort(key=lambda b: b[key], reverse=sort.startswith("-"))
    elif sort.startswith("-"):
        found.reverse()
    page = {"total": len(found), "offset": offset, "studies": found[offset : offset + limit]}
    return answered(ask.request, page, tag=tag)


def _has(brief: dict[str, Any], text: str) -> bool:
    words = [brief["study"], brief["algorithm"] or "", brief["owner"], *brief["metrics"]]
    return any(text in str(word).lower() for word in words)


_PARTS = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "required": ["data"],
            "properties": {
                "data": {"type": "string", "description": "A study file, or a WMLA request."},
                "name": {"type": "string", "description": "In place of the name in it."},
                "model": {
                    "type": "string",
                    "format": "binary",
                    "description": "The model folder as a tar (plain or gzip), or a single script.",
                },
            },
        }
    }
}


@router.post(
    "/studies",
    status_code=201,
    response_model=models.StudyModel,
    summary="Submit a study",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/Submission"}},
                **_PARTS,
            },
        }
    },
)
async def submit_study(
    ask: Ask,
    idempotency_key: Annotated[
        str | None, Header(min_length=1, max_length=255, description="The client's own name for the request.")
    ] = None,
) -> Response:
    """When it is answered, nothing loses the study any more. A name that is taken is a 409.

    As JSON, without a model: the command must be one that the server has. As a form with the parts `data` and `model`:
    the folder that trials run in.

    With the header `Idempotency-Key`, a text of the client's own making, the same request sent again is the same study:
    a client that has lost the answer may send it again.
    """
    import anyio.to_thread

    request = ask.request
    submit = partial(ask.desk.submit, key=idempotency_key)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        async with received(request, spool_of(request), texts=("data", "name")) as upload:
            name = upload.text("name") if "name" in upload.texts else None
            text = _named(upload.text(), name)
            view = await anyio.to_thread.run_sync(partial(submit, model=upload.model), ask.caller, text)
    else:
        given = _submission(await _whole_body(request))
        text = _named(given.text, given.name)
        view = await anyio.to_thread.run_sync(submit, ask.caller, text)
    answer = answered(request, study_object(view), status=201)
    answer.headers["Location"] = str(request.url_for("get_study", study=view.name))
    return answer


async def _whole_body(request: Request) -> bytes:
    """The body, if it is of sound size."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > 8 * models.MOST_TEXT:
            raise SpecError(f"the body is larger than {8 * models.MOST_TEXT} bytes")
    return bytes(body)


def _submission(body: bytes) -> models.Submission:
    from pydantic import ValidationError

    from hpo_engine.service.v1.refusals import problems_of

    try:
        return models.Submission.model_validate_json(body)
    except ValidationError as error:
        raise SpecError(problems_of(error.errors())) from None
    except ValueError:
        raise SpecError("the body is not JSON") from None


def _named(text: str, name: str | None) -> str:
    """The text with another name in it."""
    if name is None:
        return text
    from hpo_engine.studyfile import document
    from hpo_engine.studyfile.common import is_wmla, study_name_problem
    from hpo_engine.studyfile.edits import rewritten

    if problem := study_name_problem(name):
        raise SpecError([Problem("name", problem)])
    read = document.read_document(text, "request")
    if not isinstance(read.data, dict):
        return text
    return rewritten(read, text, {**read.data, ("hpoName" if is_wmla(read.data) else "name"): name})


@router.get("/studies/{study}", response_model=models.StudyModel, summary="Get a study")
def get_study(ask: Ask, study: Study) -> Response:
    """How it stands. It may be polled: an unchanged answer is a 304."""
    view = ask.view(study)
    tag = view_tag(ask.request, view)
    return unchanged(ask.request, tag) or answered(ask.request, study_object(view), tag=tag)


@router.delete("/studies/{study}", status_code=204, summary="Remove a study")
def remove_study(
    ask: Ask, study: Study, force: Annotated[bool, Query(description="Stop it first if it runs.")] = False
) -> Response:
    """Deletes its folder and all results in it. One that runs is a 409, unless it is forced."""
    ask.desk.remove(ask.caller, study, force=force)
    return Response(None, 204)


@router.post("/studies/{study}/stop", response_model=models.StudyModel, summary="Stop a study", status_code=202)
def stop_study(ask: Ask, study: Study, given: models.Kill | None = None) -> Response:
    """It can be resumed. The answer does not wait for trials to end, which may take their grace period."""
    return _stands(ask, ask.desk.stop(ask.caller, study, kill=given is not None and given.kill).name, 202)


@router.post("/studies/{study}/resume", response_model=models.StudyModel, summary="Resume a study")
def resume_study(ask: Ask, study: Study, given: models.Limit | None = None) -> Response:
    """Goes on where it stood, with new limits if any are given."""
    from hpo_engine.control.changes import new_limits, refuse_fewer

    limits = given or models.Limit()
    numbers = {"trials": limits.trials, "runs": limits.runs, "parallel": limits.parallel}
    changes = new_limits(numbers, limits.time_limit, "time_limit")
    view = ask.view(study)
    if view.history is not None:
        refuse_fewer(view.history, changes, "{}: ")
    ask.desk.restart(ask.caller, study, changes)
    return _stands(ask, study)


@router.post("/studies/{study}/retry", response_model=list[models.Done], summary="Retry failed trials")
def retry_study(ask: Ask, study: Study) -> Response:
    """Runs trials again that failed, timed out or were lost."""
    from hpo_engine.control.trials import retry_trials
    from hpo_engine.study.trial import BAD

    known = ask.study(study)
    failed = [range(trial.id, trial.id + 1) for trial in known.history.trials if trial.state in BAD]
    if not failed:
        raise EngineError(f"nothing to retry: no trial of {study} failed")
    answers, led = retry_trials(known.paths, failed)
    if not led:
        ask.desk.restart(ask.caller, study)
    return answered(ask.request, [answer.__dict__ for answer in answers])


def _stands(ask: Asking, name: str, status: int = 200) -> Response:
    return answered(ask.request, study_object(ask.view(name)), status=status)
