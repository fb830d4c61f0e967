"""The service's application, served by a real uvicorn on a free port of loopback, in a thread of the tests' process; or
`hpo-engine serve` as a process.

Start either once per module:

    @pytest.fixture(scope="module")
    def service(tmp_path_factory):
        with served(tmp_path_factory.mktemp("root")) as service:
            yield service
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import requests
import uvicorn
from fastapi import FastAPI
from starlette.datastructures import Headers

from hpo_engine.service.app import create_app
from hpo_engine.service.desk import Caller, Desk
from tests.support import command
from tests.support.helpers import wait_until

App = Callable[[MutableMapping[str, Any], Any, Any], Any]


class Trusting:
    """Puts a caller in front of an application and believes everybody: Basic credentials are that user, whatever the
    password; the token of the user ada is `token-of-ada`; whoever sends neither is the user of the tests. All of them
    are admins, but for the `others`."""

    def __init__(self, app: App, others: tuple[str, ...] = ()) -> None:
        self._app, self._others = app, others

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            caller = _caller(Headers(scope=scope))
            scope.setdefault("state", {})["caller"] = replace(caller, admin=caller.name not in self._others)
        await self._app(scope, receive, send)


def _caller(headers: Headers) -> Caller:
    kind, _, given = headers.get("authorization", "").partition(" ")
    agent = headers.get("user-agent", "")
    if kind.lower() == "basic":
        return Caller(base64.b64decode(given).decode().partition(":")[0], how="basic", agent=agent)
    token = given if kind.lower() == "bearer" else headers.get("x-auth-token", "")
    return Caller(token.removeprefix("token-of-") or "tester", how="token", agent=agent)


@dataclass(frozen=True)
class Served:
    """A served application, and a client for it: `service.get("/healthz").json()`."""

    url: str
    root: str
    desk: Desk
    app: FastAPI
    session: requests.Session = field(default_factory=requests.Session)

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """`options` are those of `requests.request`."""
        return self.session.request(method, self.url + path, timeout=60, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return self.request("POST", path, **options)

    def put(self, path: str, **options: Any) -> requests.Response:
        return self.request("PUT", path, **options)

    def delete(self, path: str, **options: Any) -> requests.Response:
        return self.request("DELETE", path, **options)


@contextlib.contextmanager
def served(root: Path, guard: Callable[[App], App] = Trusting, **desk_options: Any) -> Iterator[Served]:
    """Serves the studies under `root`.

    Args:
        guard: what finds out who asks, around the application.
        desk_options: as `Desk` takes them.
    """
    desk = Desk(str(root), **desk_options)
    app = create_app(desk)
    config = uvicorn.Config(guard(app), host="127.0.0.1", port=0, log_level="warning", lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="served", daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        assert server.started, "the application did not start"
        port = server.servers[0].sockets[0].getsockname()[1]
        with requests.Session() as session:
            yield Served(f"http://127.0.0.1:{port}", str(root), desk, app, session)
    finally:
        server.should_exit = True
        thread.join(30)


@dataclass(frozen=True)
class Serving:
    """`hpo-engine serve` as a process. `where`: what `--json` tells of it: url, token_file, pid, ..."""

    root: Path
    where: Mapping[str, Any]
    process: command.Command

    @property
    def url(self) -> str:
        return str(self.where["url"])

    @property
    def token(self) -> str:
        return Path(self.where["token_file"]).read_text().strip()


@contextlib.contextmanager
def serving(root: Path, *options: str, env: Mapping[str, str] | None = None, **users: str) -> Iterator[Serving]:
    """Serves the studies under `root` on a free port, and ends gracefully.

    Args:
        options: more of the command line. env: more variables. users: name and password of those that are added.
    """
    if users:
        from hpo_engine.service.guard.accounts import Accounts
        from hpo_engine.service.guard.passwords import hash_of
        from hpo_engine.service.places import ServicePaths

        places = ServicePaths(str(root))
        places.make()
        with contextlib.closing(Accounts(places.accounts)) as accounts:
            for name, password in users.items():
                accounts.add(name, hash_of(password), admin=False)
    argv = ["serve", "--root", str(root), "--port", "0", "--json", *options]
    process = command.start(*argv, cwd=root, env={**os.environ, **(env or {})}, stdout=command.PIPE)
    try:
        assert process.stdout is not None
        yield Serving(root, json.loads(process.stdout.readline()), process)
    finally:
        process.terminate()
        process.communicate(60)
