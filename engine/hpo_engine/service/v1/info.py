"""What the server is and has: version, who asks, algorithms, the machine."""

from __future__ import annotations

import os
import shutil
from typing import Any

from fastapi import APIRouter, Response

from hpo_engine.service.v1 import models
from hpo_engine.service.v1.answers import answered, tag_of, unchanged
from hpo_engine.service.v1.asking import Ask
from hpo_engine.version import __version__

router = APIRouter(tags=["server"])


@router.get("/version", response_model=models.Version, summary="Get the version")
def version(ask: Ask) -> Response:
    return answered(ask.request, {"version": __version__, "api": 1})


@router.get("/me", response_model=models.Me, summary="Get who is asking")
def me(ask: Ask) -> Response:
    return answered(ask.request, {"user": ask.caller.name, "admin": ask.caller.admin})


@router.get("/algorithms", summary="List algorithms")
def algorithms(ask: Ask) -> dict[str, Any]:
    """What a study file can name, with what each is for, what it needs, and its options."""
    from hpo_engine.control.describing import algorithm_objects
    from hpo_engine.isolation.installed import service_variables

    found = algorithm_objects(service_variables(ask.desk.root, os.environ))
    tag = tag_of(ask.request, found["search_plugins"])
    return unchanged(ask.request, tag) or answered(ask.request, found, tag=tag)  # type: ignore[return-value]


@router.get("/machine", summary="Get what the machine has, and who uses it")
def machine(ask: Ask) -> dict[str, Any]:
    """Its cores, memory, GPUs and free disk, and `used`: what running trials of all studies hold (null: unknown).

    Whoever may not see all studies sees of the others only the sums.
    """
    from hpo_engine.executors.devices import count_cores, find_gpus
    from hpo_engine.executors.machine import usage

    used = usage(os.environ)
    if used is not None and not ask.caller.admin:
        mine = {view.name for view in ask.desk.views(ask.caller)}
        used = [one if one["study"] in mine else {**one, "study": ""} for one in used]
    value = {
        "cores": count_cores(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpus": list(find_gpus(os.environ)),
        "disk_free_gb": round(shutil.disk_usage(ask.desk.root).free / 2**30, 1),
        "used": used,
    }
    return answered(ask.request, value)  # type: ignore[return-value]


@router.get("/schema", summary="Get the JSON Schema of the study file")
def study_schema(ask: Ask) -> dict[str, Any]:
    """For editors and forms."""
    from hpo_engine.studyfile.native import json_schema

    tag = tag_of(ask.request)
    return unchanged(ask.request, tag) or answered(ask.request, json_schema(), tag=tag)  # type: ignore[return-value]
