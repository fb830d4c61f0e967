"""The application: the dialects' routes around one desk."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from anyio import to_thread
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from hpo_engine.errors import EngineError, SpecError, StudyExists, StudyLocked, StudyNotFound
from hpo_engine.service.dependencies import caller_of, desk_of, spool_of
from hpo_engine.service.desk import Desk
from hpo_engine.service.guard import routes as guard_routes
from hpo_engine.service.intake import Spool, TooLarge
from hpo_engine.version import __version__

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

__all__ = ["caller_of", "create_app", "desk_of", "spool_of", "status_of"]

_STATUS: Mapping[type[EngineError], int] = {
    TooLarge: 413, SpecError: 400, StudyNotFound: 404, StudyExists: 409, StudyLocked: 409,
}  # fmt: skip


def create_app(desk: Desk) -> FastAPI:
    """The service's application, without the guard in front of it."""
    from hpo_engine.service import page, wmla  # their routes import this module

    app = FastAPI(title="hpo-engine", version=__version__, docs_url=None, redoc_url=None, lifespan=_open_desk)
    app.state.desk = desk
    app.state.spool = Spool.below(desk.root)
    app.add_exception_handler(EngineError, _refused)
    app.include_router(guard_routes.router)
    app.include_router(page.router)
    wmla.include(app)
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


def status_of(error: EngineError) -> int:
    """The HTTP status that tells of an error."""
    return next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, EngineError)
    problems = [problem._asdict() for problem in error.problems] if isinstance(error, SpecError) else []
    return JSONResponse({"error": str(error), "problems": problems}, status_of(error))
