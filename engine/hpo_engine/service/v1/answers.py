"""Answers as JSON: strict (no NaN), compressed if they are large, and with a tag by which a poll costs little."""

from __future__ import annotations

import gzip
import hashlib
from typing import TYPE_CHECKING, Any

from fastapi import Request, Response

from hpo_engine.reports.objects import dump
from hpo_engine.version import __version__

if TYPE_CHECKING:
    from hpo_engine.service.desk import View

_LARGE = 1024  # bytes; less does not become much less
_LEVEL = 4
_PRIVATE = {"Cache-Control": "private, no-cache", "Vary": "Accept-Encoding, Authorization, X-Auth-Token, Cookie"}


def answered(request: Request, value: Any, *, status: int = 200, tag: str = "") -> Response:
    """`value` as JSON. `tag`: as `tag_of` has made it; the answer is then one that a client may ask for again."""
    return encoded(request, dump(value).encode(), "application/json", status=status, tag=tag)


def encoded(
    request: Request, body: bytes, kind: str, *, status: int = 200, tag: str = "", headers: dict[str, str] | None = None
) -> Response:
    """`body` as it is, or compressed if the client takes that. `kind`: its media type."""
    out = {**(headers or {}), **({**_PRIVATE, "ETag": tag} if tag else {"Cache-Control": "no-store"})}
    if len(body) >= _LARGE and "gzip" in request.headers.get("accept-encoding", ""):
        body = gzip.compress(body, _LEVEL, mtime=0)
        out["Content-Encoding"] = "gzip"
    return Response(body, status, out, kind)


def tag_of(request: Request, *parts: object) -> str:
    """The tag of an answer that follows from the request's address and these parts."""
    text = "\n".join([__version__, request.url.path, request.url.query, *map(str, parts)])
    return f'W/"{hashlib.sha256(text.encode()).hexdigest()[:24]}"'


def view_tag(request: Request, view: View) -> str:
    """The tag of an answer that follows from a study as it stands."""
    return tag_of(request, view.name, view.created, view.version, view.owner)


def unchanged(request: Request, tag: str) -> Response | None:
    """304, if the client has the answer of this tag already."""
    known = {each.strip() for each in request.headers.get("if-none-match", "").split(",")}
    return Response(None, 304, {**_PRIVATE, "ETag": tag}) if tag in known else None
