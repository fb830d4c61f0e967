"""WMLA's REST dialect: the calls that its notebooks, its Python SDK and its command line make.

Requests are read and answers are made in `studyfile/wmla`; here are the routes and what only HTTP has: which generation
of clients asks, how models come in, and logs and results go out.
"""

from fastapi import APIRouter, FastAPI

from hpo_engine.service.wmla import algorithms, execs, hypersearch, platform
from hpo_engine.service.wmla.answers import BASE
from hpo_engine.service.wmla.cleanpaths import CleanPaths
from hpo_engine.service.wmla.memory import Memory

POLLED = (f"{BASE}/hypersearch", f"{BASE}/execs")
"""What clients ask for again and again, with a name behind it or without."""


def include(app: FastAPI) -> None:
    """Adds the dialect to an application."""
    router = APIRouter(prefix=BASE, tags=["WMLA"])
    for part in (algorithms, hypersearch, execs, platform):  # algorithms first: /hypersearch/{name} would take them
        router.include_router(part.router)
    app.state.wmla = Memory()
    app.include_router(router)
    app.add_middleware(CleanPaths)
