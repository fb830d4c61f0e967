"""The page on which studies are submitted: a text that is checked while it is written, and a folder dragged in."""

from __future__ import annotations

from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from hpo_engine.errors import EngineError, SpecError
from hpo_engine.reports.objects import dump
from hpo_engine.service.checking import checked
from hpo_engine.service.dependencies import caller_of, desk_of, spool_of
from hpo_engine.service.desk import Caller, Desk, View
from hpo_engine.service.intake import Limits, received
from hpo_engine.service.page.rendering import HEADERS, PageRoute, done, render, segment, wants_json
from hpo_engine.service.statuses import status_of

router = APIRouter(route_class=PageRoute)
_MOST_TEXT = 1 << 20
EXAMPLE = """\
name: digits
command: python train.py
space:
  lr: {float: [0.0001, 0.1], log: true}
  layers: {int: [1, 4]}
  optimizer: {choice: [adam, sgd]}
objective: {metric: loss, goal: minimize}
algorithm: tpe
trials: 30
parallel: 2
"""


@router.get("/submit")
def submit_page(
    request: Request,
    desk: Annotated[Desk, Depends(desk_of)],
    caller: Annotated[Caller, Depends(caller_of)],
    like: str = "",
) -> Response:
    """The form, empty or with the study file of a study."""
    return _form(request, _file_of(desk.view(caller, like)) if like else "")


def _file_of(view: View) -> str:
    """The study file as it is now."""
    from hpo_engine.control.editing import StudyFile

    if view.paths is None or view.history is None:
        return ""
    return StudyFile.of(view.paths, view.history).text


def _form(request: Request, text: str, error: EngineError | None = None) -> Response:
    problems = error.problems if isinstance(error, SpecError) else []
    return render(
        request, "submit/form.html", 200 if error is None else status_of(error), text=text, example=EXAMPLE,
        problems=problems, message="" if error is None or problems else str(error), limits=Limits(),
    )  # fmt: skip


class Check(BaseModel):
    """A text that is being written, and of the chosen folder the files that it may name, by their paths. `folder`: one
    was chosen; without one, the script is looked for where the server would."""

    text: str = Field(max_length=_MOST_TEXT)
    files: dict[str, str] = Field(default_factory=dict, max_length=200)
    folder: bool = False


@router.post("/submit/check")
def check(
    desk: Annotated[Desk, Depends(desk_of)],
    caller: Annotated[Caller, Depends(caller_of)],
    given: Check,
) -> Response:
    """What is wrong with a text, in the words of the command line."""
    try:
        answer = checked(desk, given.text, files=given.files if given.folder else None)
    except EngineError as error:
        answer = {"ok": False, "problems": [{"path": "", "text": str(error)}]}
    return Response(dump(answer), headers=HEADERS, media_type="application/json")


@router.post("/submit")
async def submit(
    request: Request,
    desk: Annotated[Desk, Depends(desk_of)],
    caller: Annotated[Caller, Depends(caller_of)],
) -> Response:
    """Takes a study in: the parts `data`, and maybe `model`, a folder as a tar or a script."""
    text = ""
    try:
        async with received(request, spool_of(request)) as upload:
            text = next(iter(upload.texts.get("data", ())), "")
            model = upload.model if upload.model is not None and upload.model.size else None
            view = await anyio.to_thread.run_sync(desk.submit, caller, upload.text(), model)
    except EngineError as error:
        if wants_json(request):
            raise
        return await anyio.to_thread.run_sync(_form, request, text, error)
    return done(request, f"{view.name} is submitted.", f"/studies/{segment(view.name)}")
