"""The page on which studies are submitted: a text that is checked while it is written, and a folder dragged in."""

from __future__ import annotations

import os
import tempfile
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from hpo_engine.errors import EngineError, SpecError
from hpo_engine.reports.objects import dump
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
    """What is wrong with a text, in the words of the command line. As `/api/v1/check`, but files of a folder that is
    still to be sent are there: they are laid into an empty one."""
    try:
        with tempfile.TemporaryDirectory(prefix="hpo-engine-check-") as scratch:
            for path, content in given.files.items():
                _lay(scratch, path, content)
            answer = _checked(desk, given.text, scratch if given.folder else None)
    except OSError as error:
        answer = {"ok": False, "problems": [{"path": "", "text": f"the server cannot check it: {error.strerror}"}]}
    return Response(dump(answer), headers=HEADERS, media_type="application/json")


def _lay(scratch: str, path: str, content: str) -> None:
    from hpo_engine.studyfile.wmla.arguments import inside

    target = inside(scratch, path)
    if target is None or target == scratch or "\0" in path:
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if not os.path.lexists(target):
        with open(target, "w", encoding="utf-8", errors="replace") as file:
            file.write(content)
        os.chmod(target, 0o700)


def _checked(desk: Desk, text: str, folder: str | None) -> dict[str, Any]:
    from hpo_engine import assembly

    try:
        spec, _ = desk.checked(text, file="algo.yaml", model_dir=folder)
        plan, notes = assembly.plan(spec), [*spec.notes, *assembly.warnings(spec)]
    except SpecError as error:
        problems = [problem._asdict() for problem in error.problems]
        for problem in problems if folder is not None else ():
            problem["text"] = problem["text"].replace(folder, "the folder")
        return {"ok": False, "problems": problems}
    return {"ok": True, "problems": [], "study": spec.name, "notes": notes, "plan": plan or None}


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
