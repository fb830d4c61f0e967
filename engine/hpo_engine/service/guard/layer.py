"""The outermost layer: no request reaches a route before it is known who asks. Routes opt out, by their path."""

from __future__ import annotations

import hmac
import json
from typing import TYPE_CHECKING

from hpo_engine.service.desk import Caller
from hpo_engine.service.guard.credentials import Credentials, credentials_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_OPEN = ("/healthz",)


class Guard:
    """An ASGI application in front of another one.

    Args:
        app: the application; token: the administrator's.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        caller = self._caller(credentials_of(headers), headers.get(b"user-agent", b"").decode("latin-1"))
        if caller is None and scope["path"] not in _OPEN:
            await _answer(send, 401, "log in first")
            return
        scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, receive, send)

    def _caller(self, given: Credentials | None, agent: str) -> Caller | None:
        if given is None or not hmac.compare_digest(given.secret.encode(), self._token.encode()):
            return None
        return Caller(given.name or "admin", admin=True, how=given.kind, agent=agent)


async def _answer(send: Send, status: int, text: str) -> None:
    body = json.dumps({"error": text, "problems": []}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
