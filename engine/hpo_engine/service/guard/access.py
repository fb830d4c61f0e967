"""Who has which credentials: the administrator's token, tokens, sessions, passwords."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from weakref import WeakValueDictionary

import anyio
import anyio.to_thread

from hpo_engine.errors import SpecError
from hpo_engine.service.desk import Caller
from hpo_engine.service.guard.accounts import LOGON, SESSION, Accounts, User
from hpo_engine.service.guard.credentials import Credentials
from hpo_engine.service.guard.passwords import matches
from hpo_engine.service.guard.throttle import Throttle

_VERIFIED_S = 60.0
_VERIFIED = 1000
_HASHING = 2  # at once: each takes 64 MiB


class Throttled(Exception):
    """This address has failed too often; `wait_s` until it may try again."""

    def __init__(self, wait_s: float) -> None:
        self.wait_s = wait_s


class Access:
    """Args:
    accounts: users and tokens; token: the administrator's; admin: what its holder is called.
    """

    def __init__(self, accounts: Accounts, token: str, admin: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.accounts = accounts
        self._token, self._admin, self._clock = token, admin, clock
        accounts.bind(token)
        self._throttle = Throttle(clock)
        self._key = secrets.token_bytes(32)  # of this process: what is remembered is of no use elsewhere
        self._verified: dict[bytes, tuple[float, str]] = {}
        self._doors: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # by address
        self._hashing = anyio.CapacityLimiter(_HASHING)

    async def caller(self, given: Credentials | None, agent: str, address: str) -> Caller | None:
        """Who asks; None if the credentials are not valid, or there are none.

        Raises:
            Throttled: they are not valid, and this address has failed too often. Passwords are not even looked at.
        """
        if given is None:
            return None
        if given.kind == "basic":
            found = await self._by_password(given.name, given.secret, address)
        else:
            found = self._by_secret(given)
            if found is None and given.kind != SESSION:  # one that has expired is nobody's attempt to get in
                self._refuse(address)
                self._throttle.failed(address)
        return None if found is None else Caller(*found, how=given.kind, agent=agent)

    async def log_in(self, name: str, password: str, address: str) -> str | None:
        """A new session's secret, for a cookie; None: wrong name or password. Raises Throttled."""
        caller = await self.caller(Credentials("basic", name, password), "", address)
        return None if caller is None else await self.session(caller)

    async def log_in_with(self, token: str, address: str) -> str | None:
        """As `log_in`, with the administrator's token or an API token."""
        caller = await self.caller(Credentials("token", "", token), "", address)
        return None if caller is None else await self.session(caller)

    async def session(self, caller: Caller) -> str:
        """A new session's secret."""
        return await self._issue(caller, SESSION)

    async def logon(self, caller: Caller) -> str:
        """A token that expires within hours, for clients that log on."""
        return await self._issue(caller, LOGON)

    async def end(self, secret: str) -> None:
        """Ends the session or the logon with that secret, if there is one."""
        token = self.accounts.token(secret)
        if token is not None and token.kind in (SESSION, LOGON):
            await anyio.to_thread.run_sync(self.accounts.revoke, token.id)

    def name_of(self, secret: str) -> str:
        """What the holder of a token's or a session's secret is called; "" if it is not valid."""
        token = self.accounts.token(secret)
        return "" if token is None else token.user or self._admin

    def user_of(self, caller: Caller) -> str:
        """In whose name tokens of this caller are issued; "": the administrator's.

        Raises:
            SpecError: the user was removed since the request began; this must not make an administrator of them.
        """
        user = self.accounts.user(caller.name)
        if user is not None and user.admin == caller.admin:
            return user.name
        if caller.admin and caller.name == self._admin:
            return ""
        raise SpecError(f"{caller.name} is not a user any more")

    def ground(self, given: Credentials) -> object:
        """What the validity of credentials rests on that were verified before: as long as it stays the same, they are
        valid. None: they are not any more."""
        if given.kind == "basic":
            return self.accounts.user(given.name) or self._is_admins(given.secret) or None
        return self._by_secret(given)

    async def _issue(self, caller: Caller, kind: str) -> str:
        _, secret = await anyio.to_thread.run_sync(self.accounts.issue, self.user_of(caller), kind)
        return secret

    def _by_secret(self, given: Credentials) -> tuple[str, bool] | None:
        if given.kind == "token" and self._is_admins(given.secret):
            return self._admin, True
        token = self.accounts.token(given.secret)
        if token is None or (token.kind == SESSION) != (given.kind == SESSION):
            return None
        if not token.user:
            return self._admin, True
        user = self.accounts.user(token.user)
        return None if user is None else (user.name, user.admin)

    async def _by_password(self, name: str, password: str, address: str) -> tuple[str, bool] | None:
        """The administrator's token counts as a password, too, for clients that know nothing but Basic."""
        user = self.accounts.user(name)
        if user is None and self._is_admins(password):
            return self._admin, True
        key = hmac.digest(self._key, f"{len(name)}:{name}{password}".encode("utf-8", "replace"), hashlib.sha256)
        if user is not None and self._remembered(key, user):
            return user.name, user.admin
        async with self._doors.setdefault(address, asyncio.Lock()):  # so that many tries at once count like as many
            self._refuse(address)
            if user is not None and self._remembered(key, user):  # since we began to wait
                return user.name, user.admin
            if await self._verify(key, user, password) and user is not None:
                return user.name, user.admin
            self._throttle.failed(address)
            return None

    async def _verify(self, key: bytes, user: User | None, password: str) -> bool:
        valid = await anyio.to_thread.run_sync(
            matches, password, None if user is None else user.hash, limiter=self._hashing
        )
        if valid and user is not None:
            while len(self._verified) >= _VERIFIED:
                self._verified.pop(next(iter(self._verified)))
            self._verified[key] = (self._clock() + _VERIFIED_S, user.hash)
        return valid

    def _remembered(self, key: bytes, user: User) -> bool:
        until, hashed = self._verified.get(key, (0.0, ""))
        return self._clock() < until and hashed == user.hash

    def _refuse(self, address: str) -> None:
        if (wait_s := self._throttle.wait_s(address)) > 0:
            raise Throttled(wait_s)

    def _is_admins(self, secret: str) -> bool:
        return hmac.compare_digest(secret.encode("utf-8", "replace"), self._token.encode())
