"""A user's own page: password and API tokens; for admins the users, too. The same functions as behind `users`."""

from __future__ import annotations

from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Form, Request, Response

from hpo_engine.errors import SpecError
from hpo_engine.service.desk import Caller
from hpo_engine.service.guard.access import Access, Throttled
from hpo_engine.service.guard.accounts import API, Accounts, check_name
from hpo_engine.service.guard.credentials import Credentials
from hpo_engine.service.guard.layer import too_many
from hpo_engine.service.guard.passwords import LEAST, check_password, hash_of
from hpo_engine.service.page.rendering import PageRoute, done, render
from hpo_engine.service.page.study import CallerOf

router = APIRouter(route_class=PageRoute)
_PAGE = "/account"
_DAY_S = 86400.0
_MOST_DAYS = 3660
Text = Annotated[str, Form(max_length=2000)]


@router.get(_PAGE)
def account(request: Request, caller: CallerOf) -> Response:
    return _page(request, caller)


def _page(request: Request, caller: Caller, **more: Any) -> Response:
    accounts = _accounts(request)
    own, users = _own(request, caller), accounts.users()
    tokens = [token for token in accounts.tokens(None if caller.admin else own) if token.kind == API]
    return render(
        request, "account.html", users=users, tokens=tokens, own=own, least=LEAST, **{"secret": "", "label": "", **more}
    )


@router.post(_PAGE + "/tokens")
def add_token(request: Request, caller: CallerOf, label: Text = "", days: Text = "") -> Response:
    """The page again, with the token's secret on it, which is shown this once."""
    life_s = None if not days.strip() else _days(days) * _DAY_S
    accounts = _accounts(request)
    made, secret = accounts.issue(_own(request, caller), API, label.strip()[:100], life_s)
    return _page(request, caller, secret=secret, label=made.label or made.id)


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = 0.0
    if not 0 < days <= _MOST_DAYS:
        raise SpecError(f'a token is valid for 1 to {_MOST_DAYS} days, not "{text[:20]}"; leave it empty for ever')
    return days


@router.post(_PAGE + "/tokens/{token_id}/revoke")
def revoke_token(request: Request, caller: CallerOf, token_id: str) -> Response:
    _accounts(request).revoke(token_id, None if caller.admin else _own(request, caller))
    return done(request, "The token is not valid any more.", _PAGE)


@router.post(_PAGE + "/password")
async def change_password(
    request: Request, caller: CallerOf, old: Text = "", new: Text = "", again: Text = ""
) -> Response:
    """Needs the old password. All sessions of the user end."""
    accounts = _accounts(request)
    accounts.known(caller.name)
    _agree(new, again)
    access: Access = request.state.access
    address = request.client.host if request.client else ""
    try:
        known = await access.caller(Credentials("basic", caller.name, old), caller.agent, address)
    except Throttled as throttled:
        raise SpecError(too_many(throttled)[1]) from None
    if known is None or known.name != caller.name:
        raise SpecError("the old password is wrong")
    await anyio.to_thread.run_sync(_set, accounts, caller.name, new)
    return done(request, "The password is changed; log in with it.", "/login")


@router.post(_PAGE + "/users")
async def add_user(
    request: Request, caller: CallerOf, name: Text = "", new: Text = "", again: Text = "", admin: Text = ""
) -> Response:
    _need_admin(caller)
    _agree(new, again)
    name = name.strip()
    await anyio.to_thread.run_sync(_add, _accounts(request), name, new, bool(admin))
    return done(request, f"{name} may log in now{', as an admin' if admin else ''}.", _PAGE)


@router.post(_PAGE + "/users/{name}/password")
async def reset_password(request: Request, caller: CallerOf, name: str, new: Text = "", again: Text = "") -> Response:
    _need_admin(caller)
    accounts = _accounts(request)
    accounts.known(name)
    _agree(new, again)
    await anyio.to_thread.run_sync(_set, accounts, name, new)
    return done(request, f"{name} has a new password, and is logged out everywhere.", _PAGE)


@router.post(_PAGE + "/users/{name}/remove")
def remove_user(request: Request, caller: CallerOf, name: str) -> Response:
    """The user with all tokens; studies stay, for admins."""
    _need_admin(caller)
    if name == caller.name:
        raise SpecError("you cannot remove yourself; another admin can")
    _accounts(request).remove(name)
    return done(request, f"{name} is removed; studies of {name} are seen by admins only.", _PAGE)


def _add(accounts: Accounts, name: str, password: str, admin: bool) -> None:
    check_name(name)
    accounts.add(name, hash_of(password), admin=admin)


def _set(accounts: Accounts, name: str, password: str) -> None:
    accounts.set_password(name, hash_of(password))


def _agree(new: str, again: str) -> None:
    check_password(new)
    if new != again:
        raise SpecError("the two passwords are not the same")


def _need_admin(caller: Caller) -> None:
    if not caller.admin:
        raise SpecError("only admins manage users")


def _own(request: Request, caller: Caller) -> str:
    """Whose tokens the caller's are: "" for the administrator, who is no user."""
    access: Access = request.state.access
    return access.user_of(caller)


def _accounts(request: Request) -> Accounts:
    access: Access = request.state.access
    return access.accounts
