"""The verb users, on the files below a root, without a service."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hpo_engine.cli import cli
from hpo_engine.errors import EngineError
from hpo_engine.service.guard.accounts import Accounts
from hpo_engine.service.guard.passwords import matches
from hpo_engine.service.places import ServicePaths

PASSWORD = "correct horse battery staple"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def run(root: Path, *args: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["users", *args, "--root", str(root)], input=stdin, standalone_mode=False)


def add(root: Path, name: str, *more: str, password: str = PASSWORD) -> None:
    assert run(root, "add", name, *more, stdin=password + "\n").exception is None


def listed(root: Path, *args: str) -> list[dict[str, object]]:
    found = run(root, *args, "--json")
    assert found.exception is None
    rows: list[dict[str, object]] = json.loads(found.stdout)
    return rows


def test_a_user_is_added_listed_changed_and_removed(root: Path) -> None:
    assert "There are no users" in run(root, "list").stdout
    add(root, "ada")
    add(root, "bob", "--admin", password="another long pass phrase\r")
    assert [(row["name"], row["role"]) for row in listed(root, "list")] == [("ada", "user"), ("bob", "admin")]
    assert PASSWORD not in run(root, "list").stdout and "argon2" not in run(root, "list").stdout
    assert run(root, "passwd", "bob", stdin="a third pass phrase here\n").exception is None
    accounts = Accounts(ServicePaths(str(root)).accounts)
    assert matches("a third pass phrase here", accounts.known("bob").hash)
    assert matches(PASSWORD, accounts.known("ada").hash)
    accounts.close()
    assert run(root, "remove", "ada").exception is None
    assert [row["name"] for row in listed(root, "list")] == ["bob"]


def test_tokens_are_printed_once_listed_without_their_secret_and_revoked(root: Path) -> None:
    add(root, "ada")
    made = run(root, "token", "add", "ada", "--label", "laptop", "--days", "30")
    secret = made.stdout.strip()
    assert len(secret) == 43 and secret not in made.stderr
    run(root, "token", "add")
    rows = listed(root, "token", "list")
    assert [(row["user"], row["label"], row["kind"]) for row in rows] == [
        ("ada", "laptop", "api"),
        ("(administrator)", "", "api"),
    ]
    assert rows[0]["expires"] and not rows[1]["expires"] and secret not in json.dumps(rows)
    assert "laptop" in run(root, "token", "list", "ada").stdout
    assert run(root, "token", "revoke", *(str(row["id"]) for row in rows)).exception is None
    assert listed(root, "token", "list") == [] and run(root, "token", "list").stdout == "no tokens\n"


@pytest.mark.parametrize(("args", "stdin", "says"), [
    (["add", "ada"], "too short\n", "at least 16 characters"), (["add", "ada"], "", "at least 16 characters"),
    (["add", "a/b"], PASSWORD, "cannot be the name"), (["add", "../../x"], PASSWORD, "cannot be the name"),
    (["remove", "eve"], None, 'no user "eve"'), (["passwd", "eve"], PASSWORD, 'no user "eve"'),
    (["token", "add", "eve"], None, 'no user "eve"'), (["token", "list", "eve"], None, 'no user "eve"'),
    (["token", "revoke", "12345678"], None, 'no token "12345678"'),
])  # fmt: skip
def test_what_is_wrong_is_one_line(root: Path, args: list[str], stdin: str | None, says: str) -> None:
    failed = run(root, *args, stdin=stdin).exception
    assert isinstance(failed, EngineError) and failed.exit_code == 2
    assert says in str(failed) and "\n" not in str(failed)
    assert listed(root, "list") == []


def test_the_audit_log_is_shown_with_its_latest_entries(root: Path) -> None:
    assert run(root, "audit").stdout == "nothing yet\n"
    paths = ServicePaths(str(root))
    paths.make()
    entry = {"at": "2026-01-01T00:00:00Z", "user": "ada", "how": "token", "address": "192.0.2.1", "method": "POST"}
    lines = [
        json.dumps({**entry, "user": user, "path": f"/{n}\x1b[31m", "status": 200}) for n, user in enumerate("abca")
    ]
    Path(paths.audit).write_text("\n".join(lines) + "\n")
    assert [row["user"] for row in listed(root, "audit", "--last", "3")] == ["b", "c", "a"]
    assert [row["path"] for row in listed(root, "audit", "--user", "a")] == ["/0\x1b[31m", "/3\x1b[31m"]
    shown = run(root, "audit").stdout
    assert "192.0.2.1" in shown and "\x1b" not in shown


def test_a_password_is_asked_for_twice_and_not_shown(root: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "hpo_engine.cli", "users", "add", "ada", "--root", str(root)]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    shown = b""
    for _ in range(2):
        while not shown.endswith(b": "):
            shown += os.read(ours, 1000)
        os.write(ours, PASSWORD.encode() + b"\n")
        shown += os.read(ours, 1000)
    assert process.wait(60) == 0
    os.close(ours)
    assert PASSWORD.encode() not in shown and listed(root, "list")[0]["name"] == "ada"
