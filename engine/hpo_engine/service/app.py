"""The application: the dialects' routes around one desk."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from anyio import to_thread
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from hpo_engine.errors import EngineError, SpecError
from hpo_engine.service import mirror, page, v1, wmla
from hpo_engine.service.described import DOCUMENT, describe, operation_id
from hpo_engine.service.desk import Desk
from hpo_engine.service.guard import routes as guard_routes
from hpo_engine.service.intake import Spool
from hpo_engine.service.recent import Recent
from hpo_engine.service.statuses import status_of
from hpo_engine.service.v1.refusals import problems_of
from hpo_engine.version import __version__

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_log = logging.getLogger(__name__)


def create_app(desk: Desk) -> FastAPI:
    """The service's application, without the guard in front of it."""
    app = FastAPI(
        title="hpo-engine", version=__version__, docs_url=None, redoc_url=None, lifespan=_open_desk,
        openapi_url=DOCUMENT, generate_unique_id_function=operation_id,
    )  # fmt: skip
    describe(app)
    app.state.desk = desk
    app.state.spool = Spool.below(desk.root)
    app.add_exception_handler(EngineError, _refused)
    app.add_exception_handler(OSError, _machine_trouble)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.include_router(guard_routes.router)
    app.include_router(page.router)
    app.include_router(v1.router())
    app.include_router(mirror.router)
    app.add_middleware(Recent, paths=(*wmla.POLLED, v1.POLLED), parts=("trials",))
    wmla.include(app)  # paths are cleaned before Recent sees them
    return app


@asynccontextmanager
async def _open_desk(app: FastAPI) -> AsyncIterator[None]:
    """While the application is served, its studies run."""
    desk: Desk = app.state.desk
    await to_thread.run_sync(desk.open)
    try:
        yield
    finally:
        await to_thread.run_sync(desk.close)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, EngineError)
    problems = [problem._asdict() for problem in error.problems] if isinstance(error, SpecError) else []
    return JSONResponse({"error": str(error), "problems": problems}, status_of(error))


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """A query or a body that does not fit its route: in the form of all other errors."""
    assert isinstance(error, RequestValidationError)
    return await _refused(request, SpecError(problems_of(error.errors())))


async def _machine_trouble(request: Request, error: Exception) -> JSONResponse:
    """A full disk, a folder that was taken away, too many open files: nothing is wrong with the request."""
    assert isinstance(error, OSError)
    _log.warning("%s %s: %s", request.method, request.url.path, error)
    return JSONResponse(
        {"error": f"the server cannot do it at present: {error.strerror or error}", "problems": []}, 503
    )
