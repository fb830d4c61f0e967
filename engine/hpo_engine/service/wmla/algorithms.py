"""The calls for algorithms: those that are built in, and search plugins, which admins may install if the service was
started so: a plugin is code that runs here."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool

from hpo_engine import assembly
from hpo_engine.errors import SpecError, StudyNotFound, nearest
from hpo_engine.isolation import installed
from hpo_engine.service.dependencies import caller_of, desk_of, spool_of
from hpo_engine.service.desk import Caller, Desk
from hpo_engine.service.intake import Spool, Unpacker, Upload, received
from hpo_engine.service.wmla.answers import creation, forbidden, json_answer, nothing, refusal
from hpo_engine.service.wmla.asking import form, generation_of
from hpo_engine.studyfile import wmla
from hpo_engine.studyfile.document import read_document
from hpo_engine.text.quoting import quoted

router = APIRouter(prefix="/hypersearch/algorithm")
_Desk = Annotated[Desk, Depends(desk_of)]
_Caller = Annotated[Caller, Depends(caller_of)]

_LISTED = ("Random", "TPE", "Bayesian", "Hyperband", "ExperimentGridSearch")  # WMLA's order
_FORM = form(
    data="What to install, as JSON: name, path, condaHome, condaEnv, logLevel.", file="A tar with optimizer.py."
)


@router.get("")
def list_algorithms(desk: _Desk, type: Literal["BUILD_IN", "USER_PLUGIN"] | None = None) -> Response:
    """The algorithms; `type`: only those that are built in, or only installed plugins."""
    return json_answer([each for each in _all(desk) if type in (None, each["type"])])


@router.post("/install", openapi_extra=_FORM)
async def install_algorithm(request: Request, desk: _Desk, caller: _Caller) -> Response:
    """Installs a search plugin, from a tar or from a folder of this machine."""
    if (refused := _refused(request, caller)) is not None:
        return refused
    spool = spool_of(request)
    async with received(request, spool) as upload:
        found = await run_in_threadpool(_install, desk, caller, spool, upload)
    return creation(found.name, generation_of(caller), "hypersearch/algorithm")


@router.get("/{name}")
def get_algorithm(desk: _Desk, name: str) -> Response:
    """One algorithm, whatever the case of its name."""
    return json_answer(_find(desk, name))


@router.delete("/{name}")
def remove_algorithm(request: Request, desk: _Desk, caller: _Caller, name: str) -> Response:
    """Removes a plugin. Studies have copies of their own, but for those that still wait for their turn."""
    found = _find(desk, name)
    if found["type"] == "BUILD_IN":
        return refusal(400, f"{found['name']} is a built-in algorithm and cannot be removed.")
    if (refused := _refused(request, caller)) is not None:
        return refused
    waiting = [view for view in desk.views(caller) if view.state == "queued" and view.paths is None]
    needed = [view.name for view in waiting if view.spec and view.spec.algorithm.name == found["name"]]
    installed.uninstall(found["name"], installed.service_folder(desk.root), needed)
    return nothing()


def _all(desk: Desk) -> list[dict[str, Any]]:
    plugins = installed.plugins(installed.service_folder(desk.root)).values()
    built_in = [{"name": name, "type": "BUILD_IN", "remoteExec": False} for name in _LISTED]
    return [*built_in, *(installed.rest_object(each, wmla.timestamp) for each in plugins)]


def _find(desk: Desk, name: str) -> dict[str, Any]:
    known = {each["name"]: each for each in _all(desk)}
    found = next((each for each in known if each.lower() == name.lower()), None)
    if found is None:
        raise StudyNotFound(f"no algorithm {quoted(name)}{nearest(name, known)}")
    return known[found]


def _refused(request: Request, caller: Caller) -> Response | None:
    if not getattr(request.app.state, "allow_plugins", False):
        return forbidden("plugins are code: they can be changed if the service was started with --allow-plugins")
    return None if caller.admin else forbidden("plugins are code: only admins may change them")


def _install(desk: Desk, caller: Caller, spool: Spool, upload: Upload) -> installed.Installed:
    """Raises SpecError, StudyExists, TooLarge."""
    given = read_document(upload.text(), "data").data
    if not isinstance(given, dict):
        raise SpecError("data must be an object: name, and path if no file is sent")
    with _source(given, spool, upload) as folder:
        return installed.install(
            folder,
            _text(given, "name"),
            installed.service_folder(desk.root),
            taken=assembly.reserved(),
            conda_home=_text(given, "condaHome"),
            conda_env=_text(given, "condaEnv"),
            remote_exec=str(given.get("remoteExec")).lower() == "true",
            log_level=_text(given, "logLevel"),
            creator=caller.name,
            now=time.time(),
        )


@contextlib.contextmanager
def _source(given: dict[str, Any], spool: Spool, upload: Upload) -> Iterator[str]:
    """The folder with the plugin's files."""
    path = _text(given, "path")
    if upload.model is None and not os.path.isabs(path):
        raise SpecError("send a tar with optimizer.py, or name the plugin's folder on this machine: path, absolute")
    if upload.model is None:
        yield path
        return
    with spool.scratch() as scratch, contextlib.closing(Unpacker(spool)) as unpacker:
        folder = f"{scratch}/plugin"
        unpacker.extract(upload.model, folder, installed.FILE)
        yield folder


def _text(given: dict[str, Any], name: str) -> str:
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise SpecError(f"data: {name} must be text, not {quoted(str(value))}")
    return (value or "").strip()
