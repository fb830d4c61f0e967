"""The SQLite file of a study: how it is opened, recognised, or refused in one line, and the checksum of its rows.

Readers open it so that they cannot change it, also on a read-only disk.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import struct
from zlib import crc32

from hpo_engine.errors import JournalError
from hpo_engine.failpoints import failpoint
from hpo_engine.system.faults import at_fault, room

SCHEMA_VERSION = 4
_APPLICATION_ID = 0x48504F45  # "HPOE"
_BUSY_S = 60.0
NUMBERS = struct.Struct("<qd").pack
End = tuple[int, int, str | int | None]
"""Number, checksum and summary of a log's last event."""
NOTHING: End = (0, 0, None)
"""The end of a log without events."""
_PLAIN = frozenset(b"/._-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")  # of a path in a URL
_TABLES = """
CREATE TABLE events(
    seq INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, crc INTEGER NOT NULL, summary, body TEXT NOT NULL);
CREATE TRIGGER changed AFTER UPDATE OF seq, at, kind, crc, body ON events
    BEGIN UPDATE events SET summary = NULL WHERE seq = (SELECT max(seq) FROM events); END;
CREATE TRIGGER removed AFTER DELETE ON events
    BEGIN UPDATE events SET summary = NULL WHERE seq = (SELECT max(seq) FROM events); END;
"""
"""`summary`: see that module. The triggers are for changes by hand: they take the latest event's summary away."""
_ELSEWHERE = (
    "database or disk is full", "disk I/O error", "unable to open database", "attempt to write a readonly",
    "access permission denied", "out of memory",
)  # fmt: skip
"""How SQLite's errors begin that are not about what is in the file."""


def opened(path: str, *, write: bool = False) -> sqlite3.Connection:
    """A connection to the event log at `path`; with `write` it is made if it is not there.

    Raises:
        JournalError: missing, unreadable, damaged, of another program, or written by another version.
    """
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        if not write:
            raise JournalError(
                f"{path}: no such event log: it was moved or removed; restore it from a backup"
            ) from None
    else:
        if not stat.S_ISREG(found.st_mode):  # to open a FIFO may take for ever
            raise JournalError(f"{path}: not a regular file, so not an event log of hpo-engine")
        if not found.st_size:  # SQLite would take it for a new one, and remove a -wal beside it
            raise empty(path)
    try:
        db = connect(path, write=write)
        try:
            _check(db, path, write)
        except BaseException:
            db.close()
            raise
    except (sqlite3.Error, ValueError) as error:
        raise refusal(path, error) from error
    return db


def _check(db: sqlite3.Connection, path: str, write: bool) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    ours = db.execute("PRAGMA application_id").fetchone()[0] == _APPLICATION_ID
    if not version and not tables:
        if not write:
            raise empty(path)
        db.executescript(
            f"BEGIN; {_TABLES} PRAGMA application_id={_APPLICATION_ID}; PRAGMA user_version={SCHEMA_VERSION}; COMMIT;"
        )
        failpoint("journal.made")
    elif not ours or not version:
        raise JournalError(f"{path}: not an event log of hpo-engine")
    elif version > SCHEMA_VERSION:
        raise JournalError(f"{path}: written by a newer hpo-engine (schema {version}); upgrade to open it")
    elif version < SCHEMA_VERSION:
        raise JournalError(
            f"{path}: written by an older hpo-engine (schema {version}), whose events this version does not read; "
            "open it with that version, or submit the study again under another --name"
        )


def empty(path: str) -> JournalError:
    """What to raise if nothing is in the file: a study's folder gets its name when the first events are in it."""
    return JournalError(
        f"{path}: the event log is empty, as if the study was never opened; restore it from a backup (of a copy, "
        "study.db-wal is a part)"
    )


def refusal(path: str, error: Exception) -> JournalError:
    """What to raise when the database at `path` gives this error: one line that says what to do."""
    text = (isinstance(error, OSError) and error.strerror) or str(error)
    if isinstance(error, sqlite3.OperationalError) and "locked" in text:
        return JournalError(f"{path}: {text} by another program for {_BUSY_S:g} s; close that program, then resume")
    if isinstance(error, OSError) or text.startswith(_ELSEWHERE):
        # A full disk is reported as SQLITE_FULL or, in its index, as an I/O error.
        full = room(path) if text in ("database or disk is full", "disk I/O error") or at_fault(error) else ""
        return JournalError(f"{path}: {text}; free space or access is needed, then resume{full}")
    return JournalError(f"{path}: damaged ({text}); {REPAIR}")


REPAIR = "nothing was changed. Restore the file from a backup; without one, see docs/reliability.md, A damaged log"


def last_event(db: sqlite3.Connection) -> End:
    """Where the log ends."""
    query = "SELECT seq, crc, summary FROM events ORDER BY seq DESC LIMIT 1"
    found: End | None = db.execute(query).fetchone()
    return found or NOTHING


def checksum(before: int, number: int, at: float, kind: str, body: str) -> int:
    """Of an event, and of all that precede it: `before` is the checksum of the one before."""
    return crc32(NUMBERS(number, at) + f"{kind} {body}".encode(), before)


def is_ours(path: str) -> bool:
    """Whether the database at `path` is an event log of ours, as far as can be read."""
    if not os.path.isfile(path):
        return False
    try:
        db = connect(path)
        try:
            return bool(db.execute("PRAGMA application_id").fetchone()[0] == _APPLICATION_ID)
        finally:
            db.close()
    except (sqlite3.Error, ValueError):
        return False


def connect(path: str, *, write: bool = False) -> sqlite3.Connection:
    """A connection to a study's database; without `write` one that cannot change it. Raises sqlite3.Error."""
    quoted = "".join([chr(c) if c in _PLAIN else f"%{c:02X}" for c in os.fsencode(path)])
    url = f"file:{quoted}?mode={'rwc' if write else 'ro'}"
    db = sqlite3.connect(url, uri=True, isolation_level=None, timeout=_BUSY_S)
    if write:
        db.execute("PRAGMA synchronous=NORMAL")  # a log that is whole after a power cut; see _Syncer for the rest
        return db
    db.execute("PRAGMA query_only=1")
    try:
        db.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        # A WAL database on a read-only disk opens only as a file that nobody changes.
        if os.path.exists(path + "-wal") or os.access(os.path.dirname(path), os.W_OK):
            raise
        db = sqlite3.connect(f"{url}&immutable=1", uri=True, isolation_level=None)
    return db
