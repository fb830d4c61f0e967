"""Serving a root over HTTP until a signal: the lock, the application behind its guard, and what programs need to find
the service."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import hashlib
import json
import logging
import os
import resource
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import uvicorn

from hpo_engine.errors import StudyLocked
from hpo_engine.service.app import create_app
from hpo_engine.service.connections import Connection
from hpo_engine.service.desk import STUDIES, Desk
from hpo_engine.service.guard import Access, Guard, Site
from hpo_engine.service.guard.accounts import Accounts
from hpo_engine.service.guard.audit import Audit
from hpo_engine.service.guard.origin import allowed_hosts
from hpo_engine.service.guard.token import admin_token
from hpo_engine.service.listening import Listening, Secured, listener, secured, urls
from hpo_engine.service.places import ServicePaths
from hpo_engine.store.lock import StudyLock
from hpo_engine.system.files import put_in_place

_LEAVE_S = 10  # how long requests may still take when the service ends
_IDLE_S = 15
_HANDSHAKE_S = 10.0
_FILES = 512  # descriptors beside those of connections
_TICKS = 10  # of uvicorn's main loop, a second


def serve(
    root: str,
    asked: Listening,
    announce: Callable[[dict[str, Any]], None],
    access_log: Callable[[str], None] | None = None,
    *,
    studies: int = STUDIES,
    **application: Any,
) -> int:
    """Serves the studies under `root` until SIGINT, SIGTERM or SIGHUP, and returns the number of that signal.

    Args:
        root: absolute, made if missing.
        announce: called once, when requests are taken, with what `server.json` holds, and the login URL.
        access_log: called with a line for each request.
        studies: how many run at the same time, at most.
        application: values for `app.state`.

    Raises:
        StudyLocked: another service has the root. SpecError: it cannot listen so.
    """
    asked.check()
    paths = ServicePaths(root)
    paths.make()
    with contextlib.closing(_lock(paths)), contextlib.closing(listener(asked)) as bound:
        security = secured(asked, paths)
        token = admin_token(paths)
        with (
            contextlib.closing(Accounts(paths.accounts)) as accounts,
            contextlib.closing(Desk(root, studies=studies)) as desk,
        ):
            desk.open()  # here, where what it raises is one line: of a full disk, say
            app = create_app(desk)
            for name, value in application.items():
                setattr(app.state, name, value)
            site = Site(allowed_hosts(asked.host, asked.hosts), asked.tls, f"hpo-engine-{_place(root)}")
            access = Access(accounts, token, getpass.getuser())
            guard = Guard(app, access, site, Audit(paths.audit), access_log)
            where = _where(paths, urls(asked, bound), bound, security)
            server = Server(_config(guard, security), partial(_started, paths, where, token, announce))
            try:
                server.run(sockets=[bound])
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(paths.address)
            return server.ended_by


class Server(uvicorn.Server):
    """uvicorn's server, which says when it takes requests, checks its connections every second, and leaves a signal's
    consequences to us."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, but a TLS handshake has to be done soon."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            raise SystemExit(3)
        loop, config = asyncio.get_running_loop(), self.config
        made = partial(config.http_protocol_class, config, self.server_state, self.lifespan.state)  # type: ignore[call-arg]
        handshake_s = _HANDSHAKE_S if config.ssl is not None else None
        self.servers = [
            await loop.create_server(
                made, sock=each, ssl=config.ssl, ssl_handshake_timeout=handshake_s, backlog=config.backlog
            )
            for each in sockets or ()
        ]
        self.started = True
        try:
            self._on_start()
        except BaseException:
            await self.shutdown(sockets)
            raise

    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, Connection):
                    connection.check(now)
        return await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn would raise the signal again when it has ended, before anything here could be cleaned up."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        ends = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
            ends.append(signal.SIGHUP)
        before = {number: signal.signal(number, self.handle_exit) for number in ends}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @property
    def ended_by(self) -> int:
        """The number of the signal that ended it."""
        return self._captured_signals[0] if self._captured_signals else signal.SIGTERM


def _config(guard: Guard, security: Secured) -> uvicorn.Config:
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # what clients do wrong is no warning to us
    context = security.context
    return uvicorn.Config(
        guard, http=_connection_class(), ws="none", lifespan="on", log_config=None, access_log=False,
        server_header=False, proxy_headers=False, timeout_keep_alive=_IDLE_S, timeout_graceful_shutdown=_LEAVE_S,
        ssl_context_factory=None if context is None else lambda config, default: context,
    )  # fmt: skip


def _connection_class() -> type[Connection]:
    """Connections, no more of them than there are descriptors for."""
    wanted = Connection.limits.connections + _FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft < wanted:
            from dataclasses import replace

            fewer = replace(Connection.limits, connections=max(16, soft - _FILES))
            return type("Connection", (Connection,), {"limits": fewer})
    return Connection


def _lock(paths: ServicePaths) -> StudyLock:
    try:
        return StudyLock(paths.lock)
    except StudyLocked as error:
        who = f" ({error.holder})" if error.holder else ""
        raise StudyLocked(f"{paths.root} is being served by another hpo-engine serve{who}", error.holder) from None


def _where(paths: ServicePaths, found: list[str], bound: socket.socket, security: Secured) -> dict[str, Any]:
    certificate = security.certificate
    return {
        "url": found[0], "urls": found, "pid": os.getpid(), "port": bound.getsockname()[1], "root": paths.root,
        "token_file": paths.token, "certificate": certificate and certificate.path,
        "fingerprint": certificate and certificate.fingerprint,
    }  # fmt: skip


def _started(
    paths: ServicePaths, where: dict[str, Any], token: str, announce: Callable[[dict[str, Any]], None]
) -> None:
    aside = f"{paths.address}.{os.getpid()}"
    with open(aside, "w", encoding="utf-8") as file:
        json.dump(where, file)
    put_in_place(aside, paths.address)
    announce({**where, "login": f"{where['urls'][-1]}/login?token={token}"})


def _place(root: str) -> str:
    """Tells this root from all others."""
    return hashlib.sha256(f"{socket.gethostname()}:{root}".encode()).hexdigest()[:8]
