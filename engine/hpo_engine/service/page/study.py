"""The routes of a study's page: its head, its tabs, and what their figures draw."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from hpo_engine.errors import StudyNotFound
from hpo_engine.reports.objects import provenance_object
from hpo_engine.service.dependencies import caller_of, desk_of
from hpo_engine.service.desk import Caller, Desk, View
from hpo_engine.service.page import curves, describing, figures, listing
from hpo_engine.service.page.answers import Answers, Latest
from hpo_engine.service.page.rendering import HEADERS, PageRoute, clock, render, segment, streamed, wants_part
from hpo_engine.study.history import History

router = APIRouter(route_class=PageRoute)
TABS = {
    "overview": "Overview", "trials": "Trials", "parallel": "Parallel", "figures": "Figures",
    "configuration": "Configuration", "log": "Log",
}  # fmt: skip
_FIGURES = {
    "slices": "Slices", "importance": "Importance", "rungs": "Rungs", "lineage": "Lineage", "timeline": "Timeline",
    "contour": "Contours", "rank": "Ranks", "pareto": "Pareto front", "failures": "Failures",
}  # fmt: skip
"""Those that the other tabs do not show, in the order in which they are offered."""
_LOG_BYTES = 200_000
_FRESH_S = 5.0
_answers = Answers()
_heads = Latest[describing.Head]()

DeskOf = Annotated[Desk, Depends(desk_of)]
CallerOf = Annotated[Caller, Depends(caller_of)]


@router.get("/studies/{name}")
def study(
    request: Request, name: str, desk: DeskOf, caller: CallerOf, tab: str = "overview", figure: str = "slices"
) -> Response:
    """The page; for htmx its head (`X-Part: head`), or the tab."""
    view = desk.view(caller, name)
    tab = tab if tab in TABS else "overview"
    if wants_part(request):
        part = "study/head_part.html" if request.headers.get("x-part") == "head" else "study/tab.html"
        return render(request, part, view=view, **_context(view, tab, figure))
    late = partial(_context, view, tab, figure)
    return streamed(request, "study.html", "study/whole.html", late, view=view, tabs=TABS)


@router.get("/studies/{name}/spark.svg")
def spark(name: str, desk: DeskOf, caller: CallerOf) -> Response:
    """The best value so far as a small picture, for lists."""
    history = desk.view(caller, name).history
    points = "" if history is None else listing.sparkline_of(history)
    headers = {"Cache-Control": "private, max-age=31536000, immutable"}  # its URL names the version of the study
    return Response(listing.picture(points), headers=headers, media_type="image/svg+xml")


@router.get("/studies/{name}/figures/{figure}.json")
def figure_json(
    request: Request, name: str, figure: str, desk: DeskOf, caller: CallerOf, dark: bool = False
) -> Response:
    """A figure as Plotly's JSON, or `nothing`: why there is nothing in it."""
    view = desk.view(caller, name)
    history = _history(view)
    key = (view.paths, "figure", figure, dark)
    return _answers.of(request, key, view.version, lambda: figures.of(history, figure, dark=dark))


@router.get("/studies/{name}/report.html")
def report(name: str, desk: DeskOf, caller: CallerOf) -> Response:
    """The report as one file, to be saved: it is a page with scripts of its own, which are not to run here."""
    from hpo_engine.reports.page import page
    from hpo_engine.reports.page.sections import Moment

    view = desk.view(caller, name)
    text = page(_history(view), Moment(view.state, time.time(), view.paths.root if view.paths else ""))
    disposition = f"attachment; filename*=UTF-8''{segment(name)}.html"
    return Response(text, headers={**HEADERS, "Content-Disposition": disposition}, media_type="text/html")


@router.get("/studies/{name}/learning.json")
def learning_json(
    request: Request, name: str, desk: DeskOf, caller: CallerOf, metric: str = "", show: str = "best", most: int = 60
) -> Response:
    """Learning curves, thinned; see `curves.of`."""
    view = desk.view(caller, name)
    history = _history(view)
    most = max(1, min(most, curves.MOST))
    key = (view.paths, "curves", metric, show, most)
    return _answers.of(request, key, view.version, lambda: curves.of(history, metric, show, most))


def _history(view: View) -> History:
    if view.history is None:
        raise StudyNotFound(f"{view.name} has no trials yet")
    return view.history


def _context(view: View, tab: str, figure: str) -> dict[str, Any]:
    """What the templates of a study's page need besides the view."""
    history = view.history  # the log is read here
    more: dict[str, Any] = {}
    if history is None:
        more = {} if view.paths is None else _log(view, figure)
    elif tab in _TAB_CONTEXT:
        more = _TAB_CONTEXT[tab](view, figure)
    head = None
    if history is not None:
        now = time.time()
        moment = f"{view.version} {now // _FRESH_S:.0f}"  # what it says of time passes without an event
        head = _heads.of(view.paths, moment, partial(describing.head_of, view, history, now))
    return {
        "head": head, "tab": tab, "tabs": TABS, "url": f"/studies/{view.name}",
        "forecast": "" if head is None else describing.forecast(head),
        "axes": [] if history is None else describing.axes_of(history.spec),
        "resource": "" if history is None or history.spec.resource is None else history.spec.resource.name,
        **more,
    }  # fmt: skip


# -- what single tabs need beside the head -----------------------------------------------------------------------------


def _configuration(view: View, figure: str) -> dict[str, Any]:
    from hpo_engine.control.editing import StudyFile
    from hpo_engine.reports import provenance

    history = _history(view)
    assert view.paths is not None
    file = StudyFile.of(view.paths, history)
    return {
        "text": file.text, "lines": [line.partition(": ") for line in provenance.lines(history.provenance)],
        "folder": view.paths.root, "ran": provenance_object(history)["command"],
    }  # fmt: skip


def _log(view: View, figure: str) -> dict[str, Any]:
    """The last part of the engine's log; "" if there is none."""
    assert view.paths is not None
    try:
        with open(view.paths.engine_log, "rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(0, size - _LOG_BYTES))
            text = log.read(_LOG_BYTES).decode(errors="replace")
            changed = os.fstat(log.fileno()).st_mtime
    except FileNotFoundError:
        text, size, changed = "", 0, 0.0
    if size > _LOG_BYTES:
        text = text.partition("\n")[2]
    return {"log": text, "cut": size > _LOG_BYTES, "log_file": view.paths.engine_log, "log_at": clock(changed)}


def _figures(view: View, figure: str) -> dict[str, Any]:
    from hpo_engine.reports.figures import FIGURES

    chosen = figure if figure in FIGURES else "slices"
    names = {name: words for name, words in _FIGURES.items() if name == chosen or _applies(name, _history(view))}
    return {"figures": names, "figure": chosen, "shown": FIGURES[chosen]}


def _applies(figure: str, history: History) -> bool:
    """Whether a study of this kind can have anything in that figure."""
    from hpo_engine.study.trial import BAD

    if figure == "rungs":
        return history.spec.resource is not None
    if figure == "lineage":
        return any(trial.origin is not None for trial in history.trials)
    if figure == "pareto":
        return history.spec.multi_objective
    return figure != "failures" or any(history.counts.get(state) for state in BAD)


_TAB_CONTEXT = {"configuration": _configuration, "log": _log, "figures": _figures}
