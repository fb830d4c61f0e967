"""The login page, logout, the logon calls of WMLA's clients, and whether the service is there."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Form, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from hpo_engine.service.guard.access import Access, Throttled
from hpo_engine.service.guard.credentials import credentials_of
from hpo_engine.service.guard.layer import too_many

if TYPE_CHECKING:
    from hpo_engine.service.guard.layer import Site

router = APIRouter()
_WEEK_S = 7 * 86400
_WRONG = "This name and password do not match."


@router.get("/healthz", include_in_schema=False)
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@router.get("/login", include_in_schema=False)
async def login_page(request: Request, token: str = "", next: str = "/") -> Response:
    """The form. With a token, as in the URL that `serve` prints, a session and no form: no page is ever shown at an
    address with a token in it, so it gets into no history, bookmark or Referer."""
    if token:
        try:
            secret = await _access(request).log_in_with(token, _address(request))
        except Throttled as throttled:
            return _form(request, next, too_many(throttled)[1], 429)
        return await _begun(request, secret, next) if secret else RedirectResponse("/login?wrong=token", 303)
    if request.state.caller is not None:
        return RedirectResponse(_local(next), 303)
    return _form(request, next, "This token is not valid (any more)." if "wrong" in request.query_params else "", 200)


@router.post("/login", include_in_schema=False)
async def login(
    request: Request,
    name: Annotated[str, Form(max_length=200)] = "",
    password: Annotated[str, Form(max_length=2000)] = "",
    next: Annotated[str, Form(max_length=2000)] = "/",
) -> Response:
    try:
        secret = await _access(request).log_in(name.strip(), password, _address(request))
    except Throttled as throttled:
        return _form(request, next, too_many(throttled)[1], 429, name)
    return await _begun(request, secret, next) if secret else _form(request, next, _WRONG, 401, name)


@router.post("/logout", include_in_schema=False)
async def logout(request: Request) -> Response:
    await _end(request)
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(_site(request).cookie, path="/", secure=_site(request).tls, httponly=True, samesite="strict")
    return answer


@router.get("/auth/v1/logon", tags=["WMLA"], summary="Log on (CPD's clients)")
async def logon(request: Request) -> JSONResponse:
    """Basic credentials in, a token for `X-Auth-Token` or `Authorization: Bearer` out; it lives 12 hours."""
    return JSONResponse({"accessToken": await _logged_on(request)})


@router.get("/platform/rest/conductor/v1/auth/logon", tags=["WMLA"], summary="Log on (1.2's clients)")
async def conductor_logon(request: Request) -> JSONResponse:
    """As the other logon. Clients of this one read `csrftoken` and send it with their calls, where it means nothing, as
    the cookie that comes with it is never sent by another site's page."""
    answer = JSONResponse({"csrftoken": secrets.token_urlsafe(16), "accessToken": await _logged_on(request)})
    _set_cookie(answer, _site(request), await _access(request).session(request.state.caller))
    return answer


@router.post("/auth/v1/logoff", tags=["WMLA"], summary="Log off: the token is not valid any more")
async def logoff(request: Request) -> Response:
    await _end(request)
    return Response(status_code=204)


async def _logged_on(request: Request) -> str:
    return await _access(request).logon(request.state.caller)


async def _begun(request: Request, secret: str, target: str) -> Response:
    """A session has begun; the one before it, if there was one, has ended."""
    await _end(request)
    request.state.name = _access(request).name_of(secret)
    answer = RedirectResponse(_local(target), 303)
    _set_cookie(answer, _site(request), secret)
    return answer


async def _end(request: Request) -> None:
    given = credentials_of(request.scope["headers"], _site(request).cookie)
    if given is not None:
        await _access(request).end(given.secret)


def _set_cookie(answer: Response, site: Site, secret: str) -> None:
    answer.set_cookie(site.cookie, secret, max_age=_WEEK_S, path="/", secure=site.tls, httponly=True, samesite="strict")


def _local(target: str) -> str:
    """Where to go after the login: nowhere else than here."""
    inside = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return quote(target, safe="/?=&%+,:@") if inside else "/"


def _form(request: Request, target: str, message: str, status: int, name: str = "") -> Response:
    """`name`: what was entered as such, so that only the password has to be entered again."""
    from hpo_engine.service.page.rendering import render  # which imports the application

    return render(request, "login.html", status, target=_local(target), message=message, name=name)


def _access(request: Request) -> Access:
    access: Access = request.state.access
    return access


def _site(request: Request) -> Any:
    return request.state.site


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
