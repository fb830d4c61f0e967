"""The routes of the list of studies."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from hpo_engine.service.dependencies import caller_of, desk_of
from hpo_engine.service.desk import Caller, Desk
from hpo_engine.service.page import listing
from hpo_engine.service.page.rendering import PageRoute, render, wants_part

router = APIRouter(route_class=PageRoute)
_rows = listing.Rows()


@router.get("/")
def studies(
    request: Request,
    desk: Annotated[Desk, Depends(desk_of)],
    caller: Annotated[Caller, Depends(caller_of)],
    q: str = "",
    state: str = "",
    owner: str = "",
    sort: str = "recent",
) -> Response:
    """The list; only its part below the search for htmx."""
    rows = _rows.of(desk.views(caller))
    wanted = listing.Wanted(q.strip()[:200], state, owner, sort if sort in listing.SORTS else "recent")
    counts = {each: sum(row.state == each for row in rows) for each in listing.STATES}
    answer = render(
        request, "studies_part.html" if wants_part(request) else "studies.html",
        rows=listing.chosen(rows, wanted), total=len(rows), wanted=wanted, counts=counts, sorts=listing.SORTS,
        owners=sorted({row.owner for row in rows if row.owner}), root=desk.root,
    )  # fmt: skip
    if wants_part(request):
        answer.headers["HX-Replace-Url"] = wanted.url()
    return answer
