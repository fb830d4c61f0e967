"""What routes ask for: `desk: Annotated[Desk, Depends(desk_of)]`. The application and the guard have put it there."""

from __future__ import annotations

from fastapi import Request

from hpo_engine.service.desk import Caller, Desk
from hpo_engine.service.intake import Spool


def desk_of(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


def spool_of(request: Request) -> Spool:
    """For routes that take uploads: `async with received(request, spool_of(request)) as upload:`."""
    spool: Spool = request.app.state.spool
    return spool


def caller_of(request: Request) -> Caller:
    """Who asks, as the guard has found out."""
    caller: Caller = request.state.caller
    return caller
