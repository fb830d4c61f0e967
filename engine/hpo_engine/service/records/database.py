"""The service's database: one writer thread, whose commits each take in all that waits.

A commit costs a sync of the disk, whatever is in it, so submissions that arrive together share one. Reads go through
connections of their own, one per thread, and never wait for the writer (WAL).
"""

from __future__ import annotations

import contextlib
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from hpo_engine.errors import JournalError
from hpo_engine.failpoints import failpoint
from hpo_engine.store.database import connect, refusal

Result = TypeVar("Result")
Job = Callable[[sqlite3.Connection], Result]

_MOST = 256  # jobs of one commit
_SCHEMA = 1
_APPLICATION_ID = 0x48504F53  # "HPOS"


class Database:
    """Args:
    path: of the file, made if it is missing.
    tables: SQL that makes what is not there yet.

    Raises:
        JournalError: it cannot be opened, or belongs to another program or version.
    """

    def __init__(self, path: str, tables: str) -> None:
        self.path = path
        self._tables = tables
        self.on_failure: Callable[[], None] = lambda: None
        """Called when a commit has failed, after which the database is as it was before."""
        self._jobs: queue.SimpleQueue[tuple[Job[Any], Future[Any]] | None] = queue.SimpleQueue()
        self._local = threading.local()
        self._closing = threading.Lock()
        self._closed = False
        ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="service-database", daemon=True)
        self._thread.start()
        ready.result()

    def write(self, job: Job[Result]) -> Result:
        """Runs the job in a transaction, and returns what it returns once that is on the disk. What a job changed
        before it raised is undone.

        Raises:
            JournalError: it could not be committed; nothing has changed. What the job raises.
        """
        done: Future[Result] = Future()
        with self._closing:
            if self._closed:
                raise JournalError(f"{self.path}: the service is ending; nothing was changed")
            self._jobs.put((job, done))
        return done.result()

    def read(self, query: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """The rows of a query. Raises JournalError."""
        db = getattr(self._local, "db", None)
        try:
            if db is None:
                db = self._local.db = _opened(self.path)
            return list(db.execute(query, values))
        except sqlite3.Error as error:
            raise refusal(self.path, error) from error

    def close(self) -> None:
        """When all that was asked for is done."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        self._thread.join()

    def _run(self, ready: Future[None]) -> None:
        try:
            db = self._open()
        except (sqlite3.Error, OSError, JournalError) as error:
            ready.set_exception(error if isinstance(error, JournalError) else refusal(self.path, error))
            return
        ready.set_result(None)
        while (first := self._jobs.get()) is not None:
            batch, more = [first], True
            while more and len(batch) < _MOST:
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if job is None:
                    self._jobs.put(None)  # after this batch
                    break
                batch.append(job)
            db = self._commit(db, batch)
        db.close()

    def _commit(self, db: sqlite3.Connection, batch: list[tuple[Job[Any], Future[Any]]]) -> sqlite3.Connection:
        """Carries out the jobs in one transaction. Returns the connection to use from now on."""
        results: list[tuple[bool, Any]] = []
        try:
            db.execute("BEGIN IMMEDIATE")
            for job, _ in batch:
                results.append(_carried_out(db, job))
            failpoint("service.before-commit")
            db.execute("COMMIT")
            failpoint("service.after-commit")
        except sqlite3.Error as error:
            problem, db = refusal(self.path, error), self._opened_again(db)
            with contextlib.suppress(JournalError):
                self.on_failure()
            for _, done in batch:
                done.set_exception(problem)
            return db
        for (_, done), (good, result) in zip(batch, results, strict=True):
            if good:
                done.set_result(result)
            else:
                done.set_exception(result)
        return db

    def _opened_again(self, db: sqlite3.Connection) -> sqlite3.Connection:
        """After a commit that failed: what a connection believes to be written may not be (after a failed fsync)."""
        with contextlib.suppress(sqlite3.Error):
            if db.in_transaction:
                db.execute("ROLLBACK")
        with contextlib.suppress(sqlite3.Error, JournalError, OSError):
            again = self._open()
            db.close()
            return again
        return db

    def _open(self) -> sqlite3.Connection:
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        db = connect(self.path, write=True)
        try:
            ours = db.execute("PRAGMA application_id").fetchone()[0]
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if ours not in (0, _APPLICATION_ID) or version > _SCHEMA:
                raise JournalError(
                    f"{self.path}: not a database of this hpo-engine's service; upgrade, or move it away"
                )
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            db.executescript(
                f"BEGIN; {self._tables} PRAGMA application_id={_APPLICATION_ID}; PRAGMA user_version={_SCHEMA}; COMMIT;"
            )
            failpoint("service.database-made")
        except BaseException:
            db.close()
            raise
        return db


def _carried_out(db: sqlite3.Connection, job: Job[Any]) -> tuple[bool, Any]:
    """Whether the job succeeded, and its result or what it raised."""
    db.execute("SAVEPOINT job")
    try:
        found = True, job(db)
    except (sqlite3.OperationalError, sqlite3.DatabaseError):  # of the disk: nothing of the batch can be committed
        raise
    except Exception as error:
        db.execute("ROLLBACK TO job")
        found = False, error
    db.execute("RELEASE job")
    return found


def _opened(path: str) -> sqlite3.Connection:
    """A connection that only reads, and may be closed by another thread."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=60.0)
    db.execute("PRAGMA query_only=1")
    return db
