"""The calls for searches: submit, look, stop, go on, remove."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool

from hpo_engine.errors import SpecError, StudyLocked
from hpo_engine.service.dependencies import caller_of, desk_of, spool_of
from hpo_engine.service.desk import Caller, Desk, View
from hpo_engine.service.intake import received
from hpo_engine.service.wmla.answers import creation, json_body, nothing, refusal
from hpo_engine.service.wmla.asking import form, generation_of, key_of
from hpo_engine.service.wmla.memory import Memory, memory_of
from hpo_engine.service.wmla.tasks import ended, is_training, list_body, nothing_left, task_body
from hpo_engine.text.quoting import listed

router = APIRouter(prefix="/hypersearch")
_Desk = Annotated[Desk, Depends(desk_of)]
_Caller = Annotated[Caller, Depends(caller_of)]
_Memory = Annotated[Memory, Depends(memory_of)]


_FORM = form(data="The request (hpo_input): JSON or a Python literal.", file="The model: a tar, or one script.")


@router.get("")
def list_tasks(desk: _Desk, caller: _Caller, memory: _Memory) -> Response:
    """The searches that the caller may see, oldest first."""
    tasks = (view for view in desk.views(caller) if not is_training(memory, view))
    views = sorted(tasks, key=lambda view: view.created)
    return json_body(list_body(task_body(memory, view, generation_of(caller)) for view in views))


@router.post("", openapi_extra=_FORM)
async def submit_task(request: Request, desk: _Desk, caller: _Caller) -> Response:
    """Starts a search. Any part but `data` is the model, whatever its name."""
    async with received(request, spool_of(request)) as upload:
        if upload.model is None:
            raise SpecError("the body has no model: send the script, or a tar of its folder, as another part than data")
        text, key = upload.text(), key_of(request)
        view = await run_in_threadpool(desk.submit, caller, text, upload.model, key=key)
    return creation(view.name, generation_of(caller))


@router.delete("")
def remove_tasks(desk: _Desk, caller: _Caller, memory: _Memory) -> Response:
    """Removes all searches of the caller; none of them if one has not ended."""
    own = (view for view in desk.views(caller) if view.owner == caller.name)
    remove_all(desk, caller, [view for view in own if not is_training(memory, view)])
    return nothing()


@router.get("/{name}")
def get_task(desk: _Desk, caller: _Caller, memory: _Memory, name: str) -> Response:
    """One search with its experiments, and the best of them."""
    return json_body(task_body(memory, desk.view(caller, name), generation_of(caller)))


@router.put("/{name}")
def stop_task(desk: _Desk, caller: _Caller, name: str) -> Response:
    """Stops a search; it can be restarted."""
    return _stopped(desk, caller, name, kill=False)


@router.put("/{name}/force")
def kill_task(desk: _Desk, caller: _Caller, name: str) -> Response:
    """Stops a search without a grace period for its trials."""
    return _stopped(desk, caller, name, kill=True)


@router.put("/{name}/restart")
def restart_task(desk: _Desk, caller: _Caller, name: str) -> Response:
    """Goes on where the search stood; finished experiments are kept."""
    view = desk.view(caller, name)
    if view.state in ("queued", "running"):
        return refusal(400, f"Model tuning {view.name} is running.")
    if nothing_left(view):
        return refusal(400, f"Model tuning {view.name} is {view.state}; nothing is left to run.")
    return creation(desk.restart(caller, name).name, generation_of(caller))


@router.delete("/{name}")
def remove_task(desk: _Desk, caller: _Caller, name: str, force: bool = False) -> Response:
    """Removes a search and its files. `force`: one that runs is killed first."""
    desk.remove(caller, name, force=force)
    return nothing()


def _stopped(desk: Desk, caller: Caller, name: str, *, kill: bool) -> Response:
    view = desk.view(caller, name)
    if ended(view):
        return refusal(400, f"Model tuning {view.name} is already stopped.")
    desk.stop(caller, name, kill=kill)
    return nothing()


def remove_all(desk: Desk, caller: Caller, views: list[View]) -> None:
    """Raises StudyLocked if one of them has not ended; then none is removed."""
    if going := [view.name for view in views if not ended(view)]:
        raise StudyLocked(f"nothing was removed, as {listed(going, 5)} must be stopped first")
    for view in views:
        desk.remove(caller, view.name)
