"""Users and tokens on disk."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpo_engine.errors import JournalError, SpecError
from hpo_engine.service.guard.accounts import API, LOGON, SESSION, Accounts
from hpo_engine.service.guard.audit import Audit, entries
from hpo_engine.service.guard.passwords import check_password, hash_of, matches
from hpo_engine.service.guard.throttle import Throttle
from hpo_engine.service.guard.token import admin_token
from hpo_engine.service.places import ServicePaths
from tests.support.disks import no_room


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def accounts(tmp_path: Path, clock: Clock) -> Iterator[Accounts]:
    found = Accounts(str(tmp_path / "accounts.db"), clock)
    found.add("ada", "hash of ada", admin=False)
    yield found
    found.close()


def test_what_finds_no_room_says_so_and_goes_on_later(accounts: Accounts) -> None:
    with no_room(), pytest.raises(JournalError, match=r"disk.*free space or access is needed"):
        accounts.issue("ada", API)
    _, secret = accounts.issue("ada", API)
    assert accounts.token(secret) and len(accounts.tokens()) == 1


def test_a_token_is_valid_until_it_expires(accounts: Accounts, clock: Clock) -> None:
    _, secret = accounts.issue("ada", API, "laptop", 60)
    clock.now += 59
    assert accounts.token(secret)
    clock.now += 1
    assert accounts.token(secret) is None and accounts.tokens() == []


@pytest.mark.parametrize(("kind", "hours"), [(SESSION, 7 * 24), (LOGON, 12)])
def test_sessions_and_logons_expire_and_api_tokens_need_not(
    accounts: Accounts, clock: Clock, kind: str, hours: int
) -> None:
    (_, short), (_, long) = accounts.issue("ada", kind), accounts.issue("ada", API)
    clock.now += hours * 3600 - 1
    assert accounts.token(short)
    clock.now += 1
    assert accounts.token(short) is None and accounts.token(long)


def test_a_revoked_token_is_refused_by_another_process_at_once(
    accounts: Accounts, tmp_path: Path, clock: Clock
) -> None:
    token, secret = accounts.issue("ada", API)
    other = Accounts(str(tmp_path / "accounts.db"), clock)
    assert other.token(secret) == token
    accounts.revoke(token.id)
    assert other.token(secret) is None
    other.close()


def test_a_token_of_another_user_is_not_there(accounts: Accounts) -> None:
    token, secret = accounts.issue("ada", API)
    with pytest.raises(SpecError, match="no token"):
        accounts.revoke(token.id, "bob")
    assert accounts.token(secret)


def test_who_is_removed_has_no_tokens_any_more(accounts: Accounts) -> None:
    _, secret = accounts.issue("ada", API)
    accounts.remove("ada")
    assert accounts.token(secret) is None and accounts.user("ada") is None


def test_a_new_password_ends_sessions_but_not_api_tokens(accounts: Accounts) -> None:
    secrets = {kind: accounts.issue("ada", kind)[1] for kind in (SESSION, LOGON, API)}
    accounts.set_password("ada", "another")
    assert [kind for kind, secret in secrets.items() if accounts.token(secret)] == [API]


def test_another_administrators_token_ends_what_the_one_before_has_opened(accounts: Accounts) -> None:
    accounts.bind("one")
    (_, admins), (_, adas) = accounts.issue("", SESSION), accounts.issue("ada", SESSION)
    accounts.bind("one")
    assert accounts.token(admins)
    accounts.bind("two")
    assert accounts.token(admins) is None and accounts.token(adas)


def test_sessions_are_bounded_and_the_oldest_go(
    accounts: Accounts, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpo_engine.service.guard.accounts._MOST", 3)
    secrets = []
    for _ in range(5):
        clock.now += 1
        secrets.append(accounts.issue("ada", SESSION)[1])
    assert [bool(accounts.token(secret)) for secret in secrets] == [False, False, True, True, True]


@pytest.mark.parametrize("name", ["", "a/b", "../x", "a b", "-x", ".x", "a\n", "a\0", "x" * 65, "é", "a:b"])
def test_what_is_no_name_is_refused(accounts: Accounts, name: str) -> None:
    with pytest.raises(SpecError, match="cannot be the name of a user"):
        accounts.add(name, "hash", admin=False)


def test_a_name_is_taken_once(accounts: Accounts) -> None:
    with pytest.raises(SpecError, match="passwd ada"):
        accounts.add("ada", "hash", admin=True)
    assert accounts.known("ada").hash == "hash of ada"


def test_an_unknown_user_is_told_with_the_nearest(accounts: Accounts) -> None:
    with pytest.raises(SpecError, match='did you mean "ada"'):
        accounts.remove("adda")


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "accounts.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(JournalError, match="accounts.db"):
        Accounts(str(tmp_path / "accounts.db"))


def test_no_secret_is_in_the_file_and_nobody_else_can_read_it(accounts: Accounts, tmp_path: Path) -> None:
    _, secret = accounts.issue("ada", API)
    for each in tmp_path.iterdir():
        assert secret.encode() not in each.read_bytes()
        assert stat.S_IMODE(each.stat().st_mode) == 0o600


@pytest.mark.parametrize("password", ["Admin", "x" * 15, "a" * 40, "ab" * 20, "x" * 1025, ""])
def test_a_password_that_can_be_guessed_is_refused(password: str) -> None:
    with pytest.raises(SpecError):
        check_password(password)


def test_a_password_matches_its_own_hash_only() -> None:
    hashed = hash_of("correct horse battery staple")
    assert hashed.startswith("$argon2id$") and matches("correct horse battery staple", hashed)
    assert not matches("correct horse battery stapl", hashed) and not matches("nobody has this password", None)
    assert not matches("x", "no hash at all")


def test_ten_failures_within_a_minute_and_no_more(clock: Clock) -> None:
    throttle = Throttle(clock)
    for _ in range(10):
        assert throttle.wait_s("192.0.2.1") == 0
        throttle.failed("192.0.2.1")
    assert throttle.wait_s("192.0.2.1") == 60 and throttle.wait_s("192.0.2.2") == 0
    clock.now += 60
    assert throttle.wait_s("192.0.2.1") == 0


def test_a_network_of_ipv6_is_one_address(clock: Clock) -> None:
    throttle = Throttle(clock)
    for n in range(10):
        throttle.failed(f"2001:db8::{n}")
    assert throttle.wait_s("2001:db8::ffff") > 0 and throttle.wait_s("2001:db8:0:1::1") == 0


def test_the_throttle_forgets_rather_than_grow(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpo_engine.service.guard.throttle._ADDRESSES", 5)
    throttle = Throttle(clock)
    for n in range(50):
        throttle.failed(f"192.0.2.{n}")
    assert len(throttle._failures) == 5


def test_the_administrators_token_is_made_once_and_kept_from_others(tmp_path: Path) -> None:
    paths = ServicePaths(str(tmp_path))
    paths.make()
    token = admin_token(paths)
    assert len(token) >= 43 and admin_token(paths) == token
    assert stat.S_IMODE(os.stat(paths.token).st_mode) == 0o600 and stat.S_IMODE(os.stat(paths.folder).st_mode) == 0o700


@pytest.mark.parametrize("content", ["", "\n", "Admin", "x" * 31, "a token with blanks in it, which is no token"])
def test_a_token_that_can_be_guessed_is_refused(tmp_path: Path, content: str) -> None:
    paths = ServicePaths(str(tmp_path))
    paths.make()
    Path(paths.token).write_text(content)
    with pytest.raises(SpecError, match="remove it for a new one"):
        admin_token(paths)


def test_the_audit_log_is_bounded(tmp_path: Path) -> None:
    audit = Audit(str(tmp_path / "audit.jsonl"), lambda: 0.0, most=2000)
    for n in range(100):
        audit.record("ada", "token", "192.0.2.1", "POST", f"/{n}", 200)
    kept = [entry["path"] for entry in entries(str(tmp_path / "audit.jsonl"))]
    assert kept == [f"/{n}" for n in range(100 - len(kept), 100)] and 10 < len(kept) < 40
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 4000


def test_a_torn_line_of_the_audit_log_is_left_out_and_a_full_disk_is_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text('{"at": "x"}\n{"at": \n')
    assert list(entries(str(path))) == [{"at": "x"}]
    audit = Audit("/dev/full", lambda: 0.0)
    for _ in range(3):
        audit.record("ada", "token", "192.0.2.1", "POST", "/", 200)
    assert len(caplog.records) == 1 and "not recorded" in caplog.text


def test_a_line_that_finds_no_room_spoils_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk takes the first half of a line, too."""
    path = str(tmp_path / "audit.jsonl")
    audit = Audit(path, lambda: 0.0)
    audit.record("ada", "token", "192.0.2.1", "POST", "/1", 200)
    with monkeypatch.context() as patched:

        def torn(fd: int, data: bytes) -> None:
            os.write(fd, data[:30])
            raise OSError(errno.ENOSPC, "No space left on device")

        patched.setattr("hpo_engine.service.guard.audit.write_all", torn)
        audit.record("ada", "token", "192.0.2.1", "POST", "/2", 200)
    audit.record("ada", "token", "192.0.2.1", "POST", "/3", 200)
    assert [entry["path"] for entry in entries(path)] == ["/1", "/3"]
