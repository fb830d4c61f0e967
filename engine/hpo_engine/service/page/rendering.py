"""How a page is made: Jinja's templates with what all of them may use, and the headers that guard them."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, StreamingResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hpo_engine.errors import EngineError, SpecError
from hpo_engine.service.page import assets
from hpo_engine.service.statuses import status_of
from hpo_engine.text.tables import counted, duration, number, safe_text, size_text, value
from hpo_engine.version import __version__

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin", "Cache-Control": "no-store", "Vary": "Accept, HX-Request",
}  # fmt: skip
REST = "<!-- rest -->"
_WORTH_PACKING = 20_000  # characters
_TAIL, _HEAD = 12, 18  # characters of a long name that stay; see `middle`


def render(request: Request, template: str, status: int = 200, /, **context: Any) -> Response:
    """A page, or a part of one, from a file of `templates/`. It also has `caller`, `path` and `now` (UTC seconds)."""
    text = _text(request, template, context)
    if len(text) > _WORTH_PACKING and "gzip" in request.headers.get("accept-encoding", ""):
        vary = f"{HEADERS['Vary']}, Accept-Encoding"
        packed = {**HEADERS, "Content-Encoding": "gzip", "Vary": vary}
        return HTMLResponse(gzip.compress(text.encode(), 1, mtime=0), status, packed)
    return HTMLResponse(text, status, HEADERS)


def streamed(
    request: Request, template: str, rest: str, late: Callable[[], Mapping[str, Any]], /, **context: Any
) -> Response:
    """A page whose first part is sent before the rest is known, so that a reader sees it at once.

    Args:
        template: the page, with `REST` in it. rest: the template that comes in its place.
        late: what the rest needs besides; an EngineError that it raises is shown there.
    """
    first, _, last = _text(request, template, context).partition(REST)

    def parts() -> Iterator[str]:
        yield first
        try:
            yield _text(request, rest, {**context, **late()})
        except EngineError as error:
            yield _text(request, "problem.html", {"message": str(error)})
        yield last

    return StreamingResponse(parts(), headers=HEADERS, media_type="text/html; charset=utf-8")


def _text(request: Request, template: str, context: Mapping[str, Any]) -> str:
    caller = getattr(request.state, "caller", None)
    found = environment().get_template(template)
    return found.render(caller=caller, path=request.url.path, now=time.time(), **context)


def wants_part(request: Request) -> bool:
    """Whether htmx asks, for a part of a page. (When it restores an old place it asks for the whole.)"""
    return "hx-request" in request.headers and "hx-history-restore-request" not in request.headers


def wants_json(request: Request) -> bool:
    """Whether a script asks, which shows what comes back as a message."""
    return "application/json" in request.headers.get("accept", "")


def done(request: Request, message: str, to: str) -> Response:
    """The answer to an action: a message for a script, or the way to the page that shows what has become of it."""
    if wants_json(request):
        return JSONResponse({"message": message, "to": to}, headers=HEADERS)
    return RedirectResponse(to, 303, HEADERS)


class PageRoute(APIRoute):
    """For routers of pages: `APIRouter(route_class=PageRoute)`. What is wrong is shown as a page, too."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except EngineError as error:
                if wants_json(request):
                    raise
                problems = list(error.problems) if isinstance(error, SpecError) else []
                status = status_of(error)
                return render(request, "error.html", status, message=str(error), problems=problems, status=status)

        return handled


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The templates' surroundings. All that is put into a page is escaped."""
    found = Environment(
        loader=PackageLoader("hpo_engine.service.page"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, auto_reload=False,
    )  # fmt: skip
    found.filters.update({
        "number": _number, "value": value, "duration": duration, "size": size_text, "oneline": safe_text,
        "clock": clock, "iso": iso, "middle": middle, "segment": segment, "plain_json": plain_json,
    })  # fmt: skip
    found.globals.update({"asset": assets.url, "counted": counted, "version": __version__, "query": query})
    return found


def _number(value: float | None) -> str:
    return "" if value is None else number(value)


def clock(at: float | None) -> str:
    """`2026-03-01 14:05 UTC`; "" for None or 0. A script turns it into how long ago that was."""
    return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%d %H:%M UTC") if at else ""


def iso(at: float) -> str:
    """For the attribute of a `time` element."""
    return datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="seconds")


def middle(name: str, room: int = _HEAD + _TAIL) -> Markup:
    """A name of which the middle is hidden where there is no room for it, so that its tail can be read. The whole name
    is in the page: for copying, for screen readers, and for those who point at it."""
    text = safe_text(name)
    if len(text) <= room:
        return Markup('<span class="mid">{}</span>').format(text)
    return Markup(
        '<span class="mid" title="{}"><span class="mid-head">{}</span><span class="mid-tail">{}</span></span>'
    ).format(text, text[:-_TAIL], text[-_TAIL:])


def segment(name: object) -> str:
    """A name as a part of a URL's path."""
    return quote(str(name), safe="")


def query(**parts: object) -> str:
    """`?a=1&b=2` of the parts that are not empty; "" if all are."""
    kept = {key: each for key, each in parts.items() if each not in ("", None)}
    return "?" + urlencode(kept) if kept else ""


def plain_json(thing: object) -> str:
    """JSON for a data attribute; it is escaped like any other text."""
    return json.dumps(thing, allow_nan=False, separators=(",", ":"), default=str)
