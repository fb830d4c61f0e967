"""The files that pages load: styles, scripts, libraries. Their URLs carry a checksum of all of them, so that browsers
keep them for good and never use an old one with a new page."""

from __future__ import annotations

import gzip
import hashlib
import os
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from fastapi import APIRouter, Request, Response

from hpo_engine.version import __version__

PREFIX = "/static"
"""Needs no credentials: there is nothing of a user in these files."""
PLOTLY = "vendor/plotly.min.js"
"""Not shipped here: the one of the Python package, whose figures it draws."""
_TYPES = {
    ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
    ".png": "image/png",
}  # fmt: skip
_FOLDER = Path(str(files("hpo_engine.service.page"))) / "static"

router = APIRouter()


class Asset(NamedTuple):
    """A file as it is sent: its content, compressed and not, and its media type."""

    plain: bytes
    packed: bytes
    media_type: str


def url(path: str) -> str:
    """The URL of a file in `static/`, for templates."""
    return f"{PREFIX}/{checksum()}/{path}"


@lru_cache(maxsize=1)
def checksum() -> str:
    """One for all files: scripts import each other by relative URLs, and so find those of the same version."""
    found = hashlib.sha256(__version__.encode())
    for path in sorted(_FOLDER.rglob("*")):
        if path.is_file():
            found.update(os.fsencode(path.relative_to(_FOLDER)) + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


@lru_cache(maxsize=128)
def asset(path: str) -> Asset | None:
    """The file; None if there is none of that name. Names are compared with what is in the folder, never opened."""
    known = {str(each.relative_to(_FOLDER)): each for each in _FOLDER.rglob("*") if each.suffix in _TYPES}
    if path == PLOTLY:
        plain = files("plotly").joinpath("package_data").joinpath("plotly.min.js").read_bytes()
    elif path in known:
        plain = known[path].read_bytes()
    else:
        return None
    return Asset(plain, gzip.compress(plain, 6, mtime=0), _TYPES[Path(path).suffix])


@router.get(PREFIX + "/{version}/{path:path}", include_in_schema=False)
def static(request: Request, version: str, path: str) -> Response:
    """A file, to be kept for a year if the URL names this version of it."""
    found = asset(path)
    if found is None:
        return Response("no such file\n", 404, media_type="text/plain")
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable" if version == checksum() else "no-cache",
        "Vary": "Accept-Encoding", "X-Content-Type-Options": "nosniff",
    }  # fmt: skip
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(found.packed, headers={**headers, "Content-Encoding": "gzip"}, media_type=found.media_type)
    return Response(found.plain, headers=headers, media_type=found.media_type)
