"""The application behind the real guard: over a socket in the tests' process, or as `hpo-engine serve` of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import argon2
import requests

from hpo_engine.service.guard import Access, Guard, Site, passwords
from hpo_engine.service.guard.accounts import Accounts
from hpo_engine.service.guard.audit import Audit, entries
from hpo_engine.service.guard.passwords import hash_of
from tests.support import command
from tests.support.service import App, Served, served

TOKEN = "the-token-of-the-administrator-of-the-tests"
PASSWORDS = {
    "ada": "correct horse battery staple",
    "bob": "another long pass phrase",
    "root": "the admin is a user, too",
}
ADMINS = ("root",)


@dataclass
class Guarded:
    """A served application with the users ada, bob and the admin root. `access_log`: its lines."""

    service: Served
    accounts: Accounts
    access: Access
    app: Any
    audit_path: str
    cookie: str
    access_log: list[str] = field(default_factory=list)

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Without credentials and cookies of earlier requests, and without following redirects."""
        options.setdefault("allow_redirects", False)
        return requests.request(method, self.service.url + path, timeout=60, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return self.request("POST", path, **options)

    def forget_failures(self) -> None:
        self.access._throttle._failures.clear()

    def audit(self) -> list[dict[str, Any]]:
        return list(entries(self.audit_path))


@contextlib.contextmanager
def guarded(root: Path) -> Iterator[Guarded]:
    passwords._hasher = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)  # hundreds are wrong here
    accounts = Accounts(str(root / "accounts.db"))
    for name, password in PASSWORDS.items():
        accounts.add(name, hash_of(password), admin=name in ADMINS)
    site = Site(frozenset({"127.0.0.1", "localhost", "::1"}), False, "hpo-engine-tests")
    log: list[str] = []

    access = Access(accounts, TOKEN, "keeper")

    inner: list[App] = []

    def guard(app: App) -> Guard:
        inner.append(app)
        return Guard(app, access, site, Audit(str(root / "audit.jsonl")), log.append)

    with served(root / "studies", guard) as service:
        yield Guarded(service, accounts, access, inner[0], str(root / "audit.jsonl"), site.cookie, log)
    accounts.close()


@dataclass
class Process:
    """A running `hpo-engine serve`. `where`: what it says at its start."""

    process: subprocess.Popen[str]
    where: dict[str, Any]

    @property
    def url(self) -> str:
        return str(self.where["url"])

    @property
    def token(self) -> str:
        return Path(self.where["token_file"]).read_text().strip()

    def get(self, path: str, **options: Any) -> requests.Response:
        """As the administrator."""
        return requests.get(self.url + path, headers={"X-Auth-Token": self.token}, timeout=60, **options)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Its exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)


def hpo_engine(*args: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """A verb that ends by itself."""
    if stdin is None:
        return command.run(*args, cwd=Path.cwd(), env=os.environ)
    whole = [sys.executable, "-m", "hpo_engine.cli", *args]
    return subprocess.run(whole, input=stdin, capture_output=True, text=True, timeout=240)


@contextlib.contextmanager
def serving(root: Path, *args: str) -> Iterator[Process]:
    """`hpo-engine serve` on a free port; killed at the end, if it still runs."""
    whole = [sys.executable, "-m", "hpo_engine.cli", "serve", "--root", str(root), "--port", "0", "--json", *args]
    process = subprocess.Popen(whole, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        assert line, process.stderr.read()
        yield Process(process, json.loads(line))
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()
