"""Serving a root over HTTP until a signal: the socket, the lock, and what programs need to find the service."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import uvicorn

from hpo_engine.errors import SpecError, StudyLocked
from hpo_engine.service.app import create_app
from hpo_engine.service.desk import Desk
from hpo_engine.service.guard import Access, Guard, Site
from hpo_engine.service.guard.accounts import Accounts
from hpo_engine.service.guard.audit import Audit
from hpo_engine.service.guard.origin import allowed_hosts
from hpo_engine.service.guard.token import admin_token
from hpo_engine.service.places import ServicePaths
from hpo_engine.store.lock import StudyLock
from hpo_engine.system.files import put_in_place

_LEAVE_S = 5  # how long requests may still take when the service ends


@dataclass(frozen=True)
class Listening:
    """Where to listen. `port`: 0 takes a free one."""

    host: str
    port: int


def serve(root: str, listening: Listening, announce: Callable[[dict[str, Any]], None]) -> int:
    """Serves the studies under `root` until SIGINT or SIGTERM, and returns the number of that signal.

    Args:
        root: absolute, made if missing; announce: called once, when requests are taken, with what `server.json` holds.

    Raises:
        StudyLocked: another service has the root. SpecError: it cannot listen there.
    """
    paths = ServicePaths(root)
    paths.make()
    lock = _lock(paths)
    try:
        token = admin_token(paths)
        accounts = Accounts(paths.accounts)
        with _socket(listening) as listener:
            where = _where(paths, listener, token)
            site = Site(allowed_hosts(listening.host), False, f"hpo-engine-{_place(root)}")
            access = Access(accounts, token, getpass.getuser())
            app = Guard(create_app(Desk(root)), access, site, Audit(paths.audit))
            config = uvicorn.Config(
                app, log_config=None, access_log=False, server_header=False,
                proxy_headers=False, ws="none", timeout_graceful_shutdown=_LEAVE_S,
            )  # fmt: skip
            server = _Server(config, lambda: _announce(paths, where, announce))
            server.run(sockets=[listener])
            return server.ended_by
    finally:
        if os.path.exists(paths.address):
            os.unlink(paths.address)
        lock.close()


class _Server(uvicorn.Server):
    """uvicorn's server, which says when it takes requests, and leaves a signal's consequences to us."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            self._on_start()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn would raise the signal again when it has ended, before anything here could be cleaned up."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @property
    def ended_by(self) -> int:
        """The number of the signal that ended it."""
        return self._captured_signals[0] if self._captured_signals else signal.SIGTERM


def _lock(paths: ServicePaths) -> StudyLock:
    try:
        return StudyLock(paths.lock)
    except StudyLocked as error:
        who = f" ({error.holder})" if error.holder else ""
        raise StudyLocked(f"{paths.root} is being served by another hpo-engine serve{who}", error.holder) from None


def _socket(listening: Listening) -> socket.socket:
    family = socket.AF_INET6 if ":" in listening.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((listening.host, listening.port))
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise SpecError(
            f"cannot listen on {listening.host} port {listening.port}: {reason}; --port takes another one"
        ) from None
    return listener


def _where(paths: ServicePaths, listener: socket.socket, token: str) -> dict[str, Any]:
    host, port = listener.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    return {
        "url": url, "login": f"{url}/login?token={token}", "pid": os.getpid(), "port": port, "root": paths.root,
        "token_file": paths.token,
    }  # fmt: skip


def _place(root: str) -> str:
    """Tells this root from all others."""
    return hashlib.sha256(f"{socket.gethostname()}:{root}".encode()).hexdigest()[:8]


def _announce(paths: ServicePaths, where: dict[str, Any], announce: Callable[[dict[str, Any]], None]) -> None:
    aside = f"{paths.address}.{os.getpid()}"
    with open(aside, "w", encoding="utf-8") as file:
        json.dump({key: value for key, value in where.items() if key != "login"}, file)
    put_in_place(aside, paths.address)
    announce(where)
