"""The outermost layer: no request reaches a route before it is known where it comes from and who asks.

Routes opt out of the latter, by their path, and never in.
"""

from __future__ import annotations

import html
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.requests import ClientDisconnect

from hpo_engine.errors import JournalError
from hpo_engine.service.guard.access import Access, Throttled
from hpo_engine.service.guard.audit import Audit
from hpo_engine.service.guard.credentials import Credentials, credentials_of
from hpo_engine.service.guard.headers import guarded
from hpo_engine.service.guard.origin import SAFE, is_link_from_elsewhere, refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from hpo_engine.service.desk import Caller

_OPEN = frozenset({"/login", "/healthz", "/favicon.ico"})
_OPEN_BELOW = "/static/"
_FORM = 64 << 10
_VALID_S = 1.0
_LOGONS = frozenset({"/auth/v1/logon", "/platform/rest/conductor/v1/auth/logon"})
_PROGRAMS = ("/api/", "/platform/", "/auth/", "/openapi.json")
_NOBODY = "no valid credentials: log in, or send a token (X-Auth-Token, or Authorization: Bearer) or Basic"


@dataclass(frozen=True)
class Site:
    """The service as browsers see it. `hosts`: its names; `tls`: it speaks TLS itself; `cookie`: name of the session's,
    which differs between services, as browsers do not tell ports apart there."""

    hosts: frozenset[str]
    tls: bool
    cookie: str


class Guard:
    """An ASGI application in front of another one. Its requests get `state.caller` (None on open paths), `state.access`
    and `state.site`; a login sets `state.name`, for the audit log.

    Args:
        access_log: called with a line for each request; None: there is no such log.
    """

    def __init__(
        self, app: ASGIApp, access: Access, site: Site, audit: Audit, access_log: Callable[[str], None] | None = None
    ) -> None:
        self._app, self._access, self._site = app, access, site
        self._audit, self._access_log = audit, access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        visit = _Visit(scope, send, credentials_of(scope["headers"], self._site.cookie))
        try:
            await self._answer(visit, receive)
        except ClientDisconnect:
            pass  # its connection was cut, or it has left: nobody waits for an answer
        except JournalError as error:
            if visit.status:
                raise
            await visit.refuse(503, str(error))
        finally:
            self._record(visit)

    async def _answer(self, visit: _Visit, receive: Receive) -> None:
        scope = visit.scope
        refused = refusal(scope["method"], scope["headers"], self._site.hosts, tls=self._site.tls)
        if refused is not None:
            await visit.refuse(*refused)
            return
        if not visit.path.isprintable():
            await visit.refuse(400, "a path without control characters is needed")
            return
        if visit.path in _OPEN and not visit.is_small_form:
            await visit.refuse(413, f"a form of {_FORM} bytes at most is needed, application/x-www-form-urlencoded")
            return
        opened = visit.path in _OPEN or visit.path.startswith(_OPEN_BELOW)
        try:
            if visit.given is not None and (not opened or visit.given.kind == "session"):
                visit.caller = await self._access.caller(visit.given, visit.agent, visit.address)
        except Throttled as throttled:
            await visit.refuse(*too_many(throttled), retry_s=throttled.wait_s)
            return
        if visit.caller is None and not opened:
            await self._unknown(visit)
            return
        state = scope.setdefault("state", {})
        state["caller"], state["access"], state["site"] = visit.caller, self._access, self._site
        await self._app(scope, receive, partial(self._send, visit))

    async def _send(self, visit: _Visit, message: Message) -> None:
        """Passes on what the application answers. A stream ends when its credentials are not valid any more: nothing
        more of it is sent then."""
        if visit.is_stream and message["type"] == "http.response.body" and not self._is_valid(visit):
            await visit.send({"type": "http.response.body", "body": b""})
            raise ClientDisconnect
        await visit.send(message)

    def _is_valid(self, visit: _Visit) -> bool:
        """Whether the caller's credentials still are, as far as is known for a second."""
        now = time.monotonic()
        if visit.given is None or now < visit.valid_until:
            return True
        try:
            ground = self._access.ground(visit.given)
        except JournalError:  # clients connect again, and are told then
            return False
        before, visit.ground, visit.valid_until = visit.ground, ground, now + _VALID_S
        return ground is not None and before in (None, ground)

    async def _unknown(self, visit: _Visit) -> None:
        """Browsers are sent to the login page, programs get 401: the same one for everything that is wrong."""
        if not visit.is_page:
            await visit.refuse(401, _NOBODY)
        elif is_link_from_elsewhere(visit.scope["headers"]):
            # the cookie, if there is one, was not sent with this request, but is with one that our own page makes
            await visit.page(200, f'<meta http-equiv="refresh" content="0; url={html.escape(visit.target)}">')
        else:
            await visit.redirect("/login" if visit.target == "/" else f"/login?next={quote(visit.target)}")

    def _record(self, visit: _Visit) -> None:
        scope, who = visit.scope, visit.caller
        failed = visit.status in (401, 429) and visit.given is not None
        logon = visit.path in _LOGONS or (visit.path == "/login" and scope["query_string"])
        if scope["method"] not in SAFE or logon or failed:
            name = who.name if who is not None else scope.get("state", {}).get("name") or self._known(visit.given)
            how = visit.given.kind if visit.given is not None else ""
            self._audit.record(name, how, visit.address, scope["method"], visit.path, visit.status)
        if self._access_log is not None:
            name = who.name if who is not None else "-"
            path = quote(visit.path, safe="/:@!$&'()*+,;=~")
            spent_ms = (time.perf_counter() - visit.began) * 1000
            self._access_log(f"{visit.address} {name} {scope['method']} {path} {visit.status} {spent_ms:.0f} ms")

    def _known(self, given: Credentials | None) -> str:
        """The name in credentials that are wrong, if a user has it: people type passwords into the wrong field."""
        return given.name if given is not None and given.name and self._access.accounts.user(given.name) else ""


class _Visit:
    """One request: what the guard needs of it, and its answer on the way out. `status`: 0 until there is one."""

    def __init__(self, scope: Scope, send: Send, given: Credentials | None) -> None:
        self.scope, self._send, self.given = scope, send, given
        self.path: str = scope["path"]
        self.address: str = scope["client"][0] if scope.get("client") else ""
        self.agent = self._header(b"user-agent")
        self.caller: Caller | None = None
        self.status = 0
        self.is_stream = False
        self.ground: object = None  # see Access.ground
        self.valid_until = 0.0
        self.began = time.perf_counter()

    @property
    def is_page(self) -> bool:
        """Whether a person wants to see this in a browser."""
        html_wanted = "text/html" in self._header(b"accept")
        return self.scope["method"] in SAFE and html_wanted and not self.path.startswith(_PROGRAMS)

    @property
    def is_small_form(self) -> bool:
        """Whether its body, if it may have one, is such that anybody may send it: other forms become files."""
        length = self._header(b"content-length")
        if self.scope["method"] in SAFE or length == "0":
            return True
        kind = self._header(b"content-type").partition(";")[0].strip().lower()
        return kind == "application/x-www-form-urlencoded" and length.isdigit() and int(length) <= _FORM

    @property
    def target(self) -> str:
        """Path and query, to come back to."""
        query = self.scope["query_string"].decode("latin-1")
        return quote(self.path, safe="/") + (f"?{quote(query, safe='=&%+,')}" if query else "")

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = guarded(message.get("headers", []))
            if (b"content-type", b"text/event-stream") in [
                (key, value.partition(b";")[0]) for key, value in message["headers"]
            ]:
                self.is_stream = self.scope["state"]["streams"] = True  # when the service ends, this answer is cut
        await self._send(message)

    async def refuse(self, status: int, text: str, retry_s: float = 0.0) -> None:
        more = [(b"www-authenticate", b'Bearer realm="hpo-engine"')] if status == 401 else []
        if retry_s:
            more.append((b"retry-after", str(int(retry_s) + 1).encode()))
        await self._whole(status, "application/json", json.dumps({"error": text, "problems": []}), more)

    async def page(self, status: int, head: str) -> None:
        body = f'<!doctype html><html lang="en"><head><title>hpo-engine</title>{head}</head><body></body></html>'
        await self._whole(status, "text/html; charset=utf-8", body)

    async def redirect(self, to: str) -> None:
        await self._whole(303, "text/plain; charset=utf-8", "", [(b"location", to.encode())])

    async def _whole(self, status: int, kind: str, text: str, more: list[tuple[bytes, bytes]] | None = None) -> None:
        body = text.encode()
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode()), *(more or [])]
        start: dict[str, Any] = {"type": "http.response.start", "status": status, "headers": headers}
        await self.send(start)
        await self.send({"type": "http.response.body", "body": b"" if self.scope["method"] == "HEAD" else body})

    def _header(self, name: bytes) -> str:
        return next((value.decode("latin-1") for key, value in self.scope["headers"] if key == name), "")


def too_many(throttled: Throttled) -> tuple[int, str]:
    """Status and text."""
    return 429, f"too many failed logons from this address; wait {int(throttled.wait_s) + 1} s"
