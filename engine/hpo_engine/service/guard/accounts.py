"""Users, and the tokens that stand for them: API tokens, sessions of browsers, logons of clients. SQLite.

Several processes use it (the service, `hpo-engine users`), and what one of them changes counts for the next request.
Of tokens only SHA-256 sums are kept: they are 256 random bits, so a slow hash would add nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from hpo_engine.errors import SpecError, nearest
from hpo_engine.failpoints import failpoint
from hpo_engine.store.database import refusal

SESSION, LOGON, API = "session", "logon", "api"
_LIVES_S = {SESSION: 7 * 86400.0, LOGON: 12 * 3600.0}
_MOST = 1000  # sessions, or logons, of one user; the oldest make room
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_BUSY_S = 5.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS users (
    name TEXT PRIMARY KEY, admin INTEGER NOT NULL, hash TEXT NOT NULL, created REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS tokens (
    id TEXT PRIMARY KEY, digest BLOB NOT NULL UNIQUE, kind TEXT NOT NULL, user TEXT NOT NULL, label TEXT NOT NULL,
    created REAL NOT NULL, expires REAL
);
CREATE INDEX IF NOT EXISTS tokens_of ON tokens (user, kind, created);
CREATE TABLE IF NOT EXISTS admin (digest BLOB NOT NULL);
"""


class User(NamedTuple):
    """`hash`: argon2's, of the password; `created`: UTC seconds."""

    name: str
    admin: bool
    hash: str
    created: float


class Token(NamedTuple):
    """`kind`: SESSION, LOGON or API; `user`: "" is whoever has the administrator's token; `expires`: UTC seconds, None:
    never."""

    id: str
    kind: str
    user: str
    label: str
    created: float
    expires: float | None


class Accounts:
    """May be used from several threads. Methods raise JournalError if the file cannot be read or written."""

    def __init__(self, path: str, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = path, clock
        self._lock = threading.Lock()
        with self._errors():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
            self._writer, self._reader = _connection(path), _connection(path)  # nobody reads what is not committed
            self._writer.executescript(_SCHEMA)

    def close(self) -> None:
        self._reader.close()
        self._writer.close()

    def users(self) -> list[User]:
        """By name."""
        with self._errors():
            rows = self._reader.execute("SELECT name, admin, hash, created FROM users ORDER BY name").fetchall()
        return [_user(row) for row in rows]

    def user(self, name: str) -> User | None:
        with self._errors():
            row = self._reader.execute(
                "SELECT name, admin, hash, created FROM users WHERE name = ?", (name,)
            ).fetchone()
        return None if row is None else _user(row)

    def known(self, name: str) -> User:
        """Raises SpecError, with the nearest name, if there is no such user."""
        if (found := self.user(name)) is None:
            raise SpecError(f'no user "{name}"{nearest(name, [user.name for user in self.users()])}')
        return found

    def add(self, name: str, password_hash: str, *, admin: bool) -> None:
        """Raises SpecError: the name is taken, or is none."""
        check_name(name)
        try:
            with self._change() as db:
                db.execute("INSERT INTO users VALUES (?, ?, ?, ?)", (name, admin, password_hash, self._clock()))
        except sqlite3.IntegrityError:
            raise SpecError(f"there is a user {name}; `hpo-engine users passwd {name}` changes the password") from None

    def remove(self, name: str) -> None:
        """The user, and all tokens. Raises SpecError: there is none."""
        self.known(name)
        with self._change() as db:
            db.execute("DELETE FROM users WHERE name = ?", (name,))
            db.execute("DELETE FROM tokens WHERE user = ?", (name,))

    def set_password(self, name: str, password_hash: str) -> None:
        """Ends the user's sessions and logons; API tokens stay. Raises SpecError: there is none."""
        self.known(name)
        with self._change() as db:
            db.execute("UPDATE users SET hash = ? WHERE name = ?", (password_hash, name))
            db.execute("DELETE FROM tokens WHERE user = ? AND kind != ?", (name, API))

    def issue(self, user: str, kind: str, label: str = "", life_s: float | None = None) -> tuple[Token, str]:
        """A new token and its secret, which is not kept.

        Args:
            life_s: None: as long as its kind lives, API tokens for ever.
        """
        secret, now = secrets.token_urlsafe(32), self._clock()
        life_s = _LIVES_S.get(kind) if life_s is None else life_s
        token = Token(secrets.token_hex(4), kind, user, label, now, None if life_s is None else now + life_s)
        with self._change() as db:
            db.execute("DELETE FROM tokens WHERE expires <= ?", (now,))
            if kind != API:
                db.execute(
                    "DELETE FROM tokens WHERE id IN (SELECT id FROM tokens WHERE user = ? AND kind = ?"
                    " ORDER BY created DESC LIMIT -1 OFFSET ?)",
                    (user, kind, _MOST - 1),
                )
            db.execute(
                "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?)",
                (token.id, _digest(secret), kind, user, label, now, token.expires),
            )
        return token, secret

    def token(self, secret: str) -> Token | None:
        """The token with that secret, unless it has expired or was revoked."""
        with self._errors():
            row = self._reader.execute(
                "SELECT id, kind, user, label, created, expires FROM tokens WHERE digest = ?"
                " AND (expires IS NULL OR expires > ?)",
                (_digest(secret), self._clock()),
            ).fetchone()
        return None if row is None else Token(*row)

    def tokens(self, user: str | None = None) -> list[Token]:
        """Those that have not expired, of one user or of all, the oldest first."""
        with self._errors():
            rows = self._reader.execute(
                "SELECT id, kind, user, label, created, expires FROM tokens WHERE (?1 IS NULL OR user = ?1)"
                " AND (expires IS NULL OR expires > ?2) ORDER BY created, id",
                (user, self._clock()),
            ).fetchall()
        return [Token(*row) for row in rows]

    def revoke(self, token_id: str, user: str | None = None) -> None:
        """Raises SpecError: there is no such token, or it is not the user's."""
        with self._change() as db:
            found = db.execute("DELETE FROM tokens WHERE id = ?1 AND (?2 IS NULL OR user = ?2)", (token_id, user))
        if not found.rowcount:
            raise SpecError(f'no token "{token_id}"; `hpo-engine users token list` shows them')

    def bind(self, admin_token: str) -> None:
        """Ends what another administrator's token than this one has opened."""
        digest = _digest(admin_token)
        with self._change() as db:
            if db.execute("SELECT digest FROM admin").fetchone() != (digest,):
                db.execute("DELETE FROM tokens WHERE user = ''")
                db.execute("DELETE FROM admin")
                db.execute("INSERT INTO admin VALUES (?)", (digest,))

    @contextlib.contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        with self._errors(), self._lock:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                failpoint("accounts.before-commit")
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:  # a full disk has ended it
                    self._writer.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except (sqlite3.Error, OSError) as error:
            raise refusal(self._path, error) from error


def check_name(name: str) -> None:
    """Raises SpecError if a user cannot be called that."""
    if not _NAME.fullmatch(name):
        raise SpecError(
            f'"{name}" cannot be the name of a user: 1 to 64 of letters, digits, ".", "_", "@" and "-", first a letter '
            "or digit"
        )


def _connection(path: str) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    return db


def _user(row: tuple[str, int, str, float]) -> User:
    return User(row[0], bool(row[1]), row[2], row[3])


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
