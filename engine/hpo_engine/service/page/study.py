"""The routes of a study's page: its head and its tabs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from hpo_engine.service.app import caller_of, desk_of
from hpo_engine.service.desk import Caller, Desk
from hpo_engine.service.page.rendering import PageRoute, render

router = APIRouter(route_class=PageRoute)


@router.get("/studies/{name}")
def study(
    request: Request,
    name: str,
    desk: Annotated[Desk, Depends(desk_of)],
    caller: Annotated[Caller, Depends(caller_of)],
    tab: str = "overview",
) -> Response:
    view = desk.view(caller, name)
    return render(request, "study.html", view=view, tab=tab)
