"""The event log of one study: an SQLite file with one row an event. Knows events, not their meaning.

One writer connection (the leading engine's; never carried across a fork), any number of readers that cannot write.
What `append` has taken survives the death of every process. A thread brings it to the disk, within milliseconds of a
disk that is not busy: the engine starts the next trial meanwhile. A power cut before that takes the last events, and
with them the processes that they speak of: those trials are run again.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from engine.errors import JournalError
from engine.failpoints import failpoint

if TYPE_CHECKING:
    from engine.events import Event

Record = tuple[int, float, str, str]
"""Number, UTC seconds, kind, JSON text of the body."""
SCHEMA_VERSION = 1
_APPLICATION_ID = 0x48504F45  # "HPOE"
_BUSY_S = 60.0
_PLAIN = frozenset(b"/._-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")  # of a path in a URL


class Journal:
    """The Store of the local engine.

    Args:
        path: the database file.
        write: open as the one writer (creates the file), else read-only.

    Raises:
        JournalError: missing, unreadable, corrupt, or written by a newer version.
    """

    def __init__(self, path: str, *, write: bool = False) -> None:
        self.path = path
        self._syncer: _Syncer | None = None
        if not write and not os.path.exists(path):
            raise JournalError(f"{path}: no such event log")
        try:
            self._db = connect(path, write=write)
            self._check(write)
            if write:  # not before it is known to be ours: this changes the file
                self._db.execute("PRAGMA journal_mode=WAL")
        except (sqlite3.Error, ValueError) as error:
            raise self._error(error) from error

    def append(self, events: Iterable[Event]) -> None:
        rows = [(e.at, e.kind, json.dumps(e.body(), allow_nan=False, separators=(",", ":"))) for e in events]
        failpoint("journal.before-commit")
        if self._syncer is not None and self._syncer.problem is not None:
            raise self._error(self._syncer.problem)
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany("INSERT INTO events(at, kind, body) VALUES (?, ?, ?)", rows)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._error(error) from error
        failpoint("journal.after-commit")
        if self._syncer is None:
            self._syncer = _Syncer(f"{self.path}-wal")
        self._syncer.due.set()

    def records(self, after: int = 0) -> list[Record]:
        """The events from number `after` + 1 on as they are in the file: number, at, kind, JSON text of the body."""
        query = "SELECT seq, at, kind, body FROM events WHERE seq > ? ORDER BY seq"
        try:
            found: list[Record] = self._db.execute(query, (after,)).fetchall()
        except (sqlite3.Error, ValueError) as error:
            raise self._error(error) from error
        if found and found[-1][0] != after + len(found):
            missing = next(number for number, record in enumerate(found, after + 1) if record[0] != number)
            raise JournalError(f"{self.path}: event {missing} is missing; restore from a backup")
        return found

    def all_json(self, kind: str) -> bool:
        """Whether the bodies of that kind are JSON: SQLite sees that in a fifth of the time of decoding them."""
        query = "SELECT count(*) FROM events WHERE kind = ? AND NOT json_valid(body)"
        try:
            return not self._db.execute(query, (kind,)).fetchone()[0]
        except sqlite3.Error:  # a file that cannot be read, or an SQLite that does not know JSON
            return False

    def read(self, after: int = 0) -> list[Event]:
        from engine.events import from_body

        try:
            records = self.records(after)
            # All at once: a call for each takes twice the time.
            bodies = json.loads(f"[{','.join([text for _, _, _, text in records])}]")
            return [from_body(kind, at, body) for (_, at, kind, _), body in zip(records, bodies, strict=True)]
        except (ValueError, TypeError) as error:
            raise self._error(error) from error

    def close(self) -> None:
        """Returns when all is on the disk."""
        problem = self._syncer.finish() if self._syncer is not None else None
        self._db.close()
        if problem is not None:
            raise self._error(problem)

    def _check(self, write: bool) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise JournalError(f"{self.path}: written by a newer hpo-engine (schema {version}); upgrade to open it")
        if version and self._db.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
            raise JournalError(f"{self.path}: not an event log of hpo-engine")
        if version == 0:
            if self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise JournalError(f"{self.path}: not an event log of hpo-engine")
            if not write:
                raise JournalError(f"{self.path}: the event log is empty: the study was never opened")
            self._db.executescript(
                f"BEGIN; CREATE TABLE events(seq INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL,"
                f" body TEXT NOT NULL); PRAGMA application_id={_APPLICATION_ID};"
                f" PRAGMA user_version={SCHEMA_VERSION}; COMMIT;"
            )
            failpoint("journal.made")

    def _error(self, error: Exception) -> JournalError:
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            return JournalError(f"{self.path}: damaged ({error}); restore it from a backup, nothing was changed")
        return JournalError(f"{self.path}: {error}; free space or access is needed, then resume")


class _Syncer:
    """Brings the file at `path` to the disk, in a thread, each time that `due` is set; `problem`: why it could not."""

    def __init__(self, path: str) -> None:
        self.due, self._leaving = threading.Event(), False
        self.problem: OSError | None = None
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)  # the file's name, once
        finally:
            os.close(folder)
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def finish(self) -> OSError | None:
        """Returns the problem, if there was one, when nothing is due any more."""
        self._leaving = True
        self.due.set()
        self._thread.join()
        os.close(self._file)
        return self.problem

    def _run(self) -> None:
        leaving = False
        while not leaving:
            self.due.wait()
            self.due.clear()
            leaving = self._leaving  # looked at before the file is synced: the last events must not be left out
            try:
                os.fdatasync(self._file)
            except OSError as error:
                self.problem = error
                return


def is_ours(path: str) -> bool:
    """Whether the database at `path` is an event log of ours, as far as can be read."""
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
