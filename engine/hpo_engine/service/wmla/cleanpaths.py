"""Paths as real clients send them: a base with a slash at its end makes two of them, and some calls end with one."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

_Scope = MutableMapping[str, Any]
_Call = Callable[[_Scope, Any, Any], Awaitable[None]]
_SLASHES = re.compile("//+")
_OURS = ("/platform/rest/", "/auth/v1/")


class CleanPaths:
    """Takes double slashes, and those at the end, out of the paths of the dialect; others stay as they are."""

    def __init__(self, app: _Call) -> None:
        self._app = app

    async def __call__(self, scope: _Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and ("//" in scope["path"] or scope["path"].endswith("/")):
            path = cleaned(scope["path"])
            if path.startswith(_OURS):
                scope = {**scope, "path": path}
        await self._app(scope, receive, send)


def cleaned(path: str) -> str:
    return _SLASHES.sub("/", path).rstrip("/") or "/"
