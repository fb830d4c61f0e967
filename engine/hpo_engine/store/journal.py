"""The event log of one study: an SQLite file with one row per event. Knows events, not their meaning.

One writer connection (the leading engine's; never carried across a fork), any number of readers that cannot write.
What `append` has committed survives the death of every process. A thread syncs it to the disk, within milliseconds if
the disk is not busy, while the engine starts the next trial. A power cut before that loses the last events, and with
them the processes that they are about: those trials run again.

Each event carries a checksum, chained: it covers the event's number, time, kind and body and the checksum before it, so
that a changed, swapped, missing or repeated row is detected when the log is read. It is a CRC-32, which protects
against accidents and costs half a microsecond: a change within four bytes, such as one digit, never passes, any other
once in four billion times. A tail that is missing as a whole is not damage but what a power cut leaves.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import struct
import threading
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from hpo_engine.errors import JournalError, StudyLocked
from hpo_engine.failpoints import failpoint
from hpo_engine.store.database import NOTHING, NUMBERS, REPAIR, checksum, empty, last_event, opened, refusal
from hpo_engine.store.summary import Keeper, Summary, kept
from hpo_engine.system.collecting import uncollected

if TYPE_CHECKING:
    from hpo_engine.store.database import End
    from hpo_engine.study.decoding import Record
    from hpo_engine.study.events import Event
    from hpo_engine.study.history import History

_CHECKED = 1000
"""How many of the latest events are checked before a summary is believed."""


class Glance(NamedTuple):
    """When a log was opened (UTC seconds), number and checksum of its last event, and the study in short."""

    opened_at: float
    number: int
    crc: int
    summary: Summary


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
        self._end, self._keeper = NOTHING, Keeper()  # where a writer goes on
        self._db = opened(path, write=write)
        try:
            if write:  # not before it is known to be ours: this changes the file
                self._db.execute("PRAGMA journal_mode=WAL")
                self._end = last_event(self._db)
            self._inode = _inode(path)
        except (sqlite3.Error, ValueError) as error:
            raise refusal(path, error) from error

    def append(self, events: Iterable[Event], history: History | None = None) -> None:
        """Commits all of the events or none.

        Args:
            history: the fold of the log with these events; its summary is kept for `list`. None: `list` makes it.

        Raises:
            StudyLocked: the log does not end where this writer left it: there is another one.
            JournalError: it cannot be written, or somebody has changed its events.
        """
        (number, crc, _), at = self._end, 0.0
        rows: list[list[Any]] = []
        for event in events:
            number, at = number + 1, float(event.at)
            body = json.dumps(event.body(), allow_nan=False, separators=(",", ":"))
            crc = checksum(crc, number, at, event.kind, body)
            rows.append([number, at, event.kind, crc, None, body])
        if not rows:
            return
        if history is not None:
            rows[-1][4] = self._keeper.value(history, number, at, crc)
        failpoint("journal.before-commit")
        if self._syncer is not None and self._syncer.problem is not None:
            raise refusal(self.path, self._syncer.problem)
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._check_end(last_event(self._db))
                # Numbers of our own: should all else fail, the key refuses a number that is taken.
                self._db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", rows)
                self._db.execute("COMMIT")
            except BaseException:
                self._keeper = Keeper()  # what it knows to be kept is not
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise refusal(self.path, error) from error
        self._end = (number, crc, rows[-1][4])
        failpoint("journal.after-commit")
        if self._syncer is None:
            self._syncer = _Syncer(f"{self.path}-wal")
        self._syncer.due.set()

    def records(self, after: int = 0) -> list[Record]:
        """The events from number `after` + 1 on as they are in the file: number, at, kind, JSON text of the body.

        Raises:
            JournalError: one of them is not what was written; it says which.
        """
        rows, problem = self._rows(after)
        before: int | None = NOTHING[1]
        if after:
            before = rows.pop(0)[4] if rows and rows[0][0] == after else None
        bad = _first_bad(rows, after, before)
        if bad is not None:
            there = rows[bad - after - 1][0]
            raise self._damaged(bad, "is missing" if there > bad else "is not what was written")
        if problem is not None:
            if not rows:
                raise refusal(self.path, problem)
            raise self._damaged(after + len(rows) + 1, f"cannot be read ({problem})")
        return [row[:4] for row in rows]

    def _rows(self, after: int) -> tuple[list[Any], Exception | None]:
        """The rows from number `after` on with their checksums, as far as they can be read, and why not further."""
        query = "SELECT seq, at, kind, body, crc FROM events WHERE seq >= ? ORDER BY seq"
        try:
            return self._db.execute(query, (after,)).fetchall(), None
        except (sqlite3.Error, ValueError):
            pass
        rows = []
        try:  # one by one, and such text as can be no text: to know where it begins
            self._db.text_factory = _any_text
            for row in self._db.execute(query, (after,)):
                rows.append(row)
        except (sqlite3.Error, ValueError) as error:
            return rows, error
        finally:
            self._db.text_factory = str
        return rows, None

    def read(self, after: int = 0, *, lazy: bool = False) -> list[Event]:
        """The events from number `after` + 1 on. Raises JournalError. `lazy`: see `decoding.decoded`."""
        from hpo_engine.study.decoding import decoded

        records = self.records(after)
        try:
            return list(decoded(records, lazy=lazy))
        except JournalError as error:
            raise JournalError(f"{self.path}: {error}") from None

    def history(self, known: History | None = None) -> History:
        """The fold of all events; the rows of trials stay unread until they are needed.

        Args:
            known: an earlier fold; if the log goes on from there, only what is new is read.

        Raises:
            JournalError: as `read`, or an event cannot follow those before it.
        """
        from hpo_engine.study.decoding import decoded
        from hpo_engine.study.events import fold

        known = known if known is not None and self._continues(known) else None
        with uncollected():
            records = self.records(known.events if known is not None else 0)
            if known is None and not records:
                raise empty(self.path)
            try:
                return fold(decoded(records, lazy=True), known)
            except JournalError as error:
                raise JournalError(f"{self.path}: {error}") from None

    def summary(self) -> Summary:
        """The study in short, from the events if no summary is kept with the latest one.

        Raises:
            JournalError: as `history` does; but before the last `_CHECKED` events it sees only what SQL has changed.
        """
        found = kept(self._db)
        if found is None:
            return Summary.of(self.history())
        self.records(max(0, last_event(self._db)[0] - _CHECKED))
        return found

    def glance(self, known: Glance | None = None) -> Glance:
        """Where the log ends and the study in short; see `summary`.

        Args:
            known: an earlier glance; if the log goes on from there, only what is new is checked.
        """
        opened = self._db.execute("SELECT at FROM events WHERE seq = 1").fetchone()
        if opened is None:
            raise empty(self.path)
        number, crc, _ = last_event(self._db)
        if known is not None and (known.opened_at, known.number, known.crc) == (opened[0], number, crc):
            return known
        if known is None or known.opened_at != opened[0] or number - known.number > _CHECKED:
            return Glance(opened[0], number, crc, self.summary())
        self.records(known.number)
        return Glance(opened[0], number, crc, kept(self._db) or Summary.of(self.history()))

    def first(self) -> Event:
        """The first event alone, the opening of the study. Raises JournalError."""
        from hpo_engine.study.decoding import decoded

        try:
            row = self._db.execute("SELECT seq, at, kind, body FROM events WHERE seq = 1").fetchone()
        except sqlite3.Error as error:
            raise refusal(self.path, error) from error
        if row is None:
            raise empty(self.path)
        return next(iter(decoded([row])))

    def _continues(self, known: History) -> bool:
        """Whether the log has the first and the last of these events: no two events are recorded at the same moment
        by different engines."""
        query = "SELECT seq, at FROM events WHERE seq IN (1, ?)"
        try:
            found = dict(self._db.execute(query, (known.events,)))
        except sqlite3.Error:  # reading the events reports why
            return False
        return found == {1: known.opened_at, known.events: known.last_at}

    def check(self) -> None:
        """Raises JournalError if the file is no longer at its path: what is written now would be lost with it."""
        try:
            same = _inode(self.path) == self._inode
        except OSError:
            same = False
        if not same:
            raise JournalError(f"{self.path}: the event log was moved, removed or replaced while the engine ran")

    def close(self) -> None:
        """Returns when all is on the disk."""
        syncer, self._syncer = self._syncer, None
        problem = syncer.finish() if syncer is not None else None
        self._db.close()
        if problem is not None:
            raise refusal(self.path, problem)

    def _check_end(self, found: End) -> None:
        if found[:2] != self._end[:2]:
            raise StudyLocked(
                f"{os.path.dirname(self.path)}: another engine writes to its event log ({found[0]} events, this engine "
                f"knows {self._end[0]}); it exits and has written nothing more"
            )
        if found != self._end:  # what followed a damaged event would be lost with it
            raise JournalError(
                f"{self.path}: somebody changed events while the engine ran; nothing more was written. Restore the "
                "file from a backup, or see with hpo-engine show what is damaged"
            )

    def _damaged(self, number: int, what: str) -> JournalError:
        good = f"the last good one is event {number - 1}" if number > 1 else "no event is good"
        return JournalError(f"{self.path}: damaged: event {number} {what}; {good}; {REPAIR}")


def _first_bad(rows: Sequence[Any], after: int, before: int | None) -> int | None:
    """The number of the first row that is not what was written, or not the next one.

    Args:
        before: the checksum of event `after`; None: it is not there, and the first row is taken for good.
    """
    for number, (there, at, kind, body, crc) in enumerate(rows, after + 1):
        try:
            # `checksum`, written out: a log has many rows.
            before = crc if before is None else crc32(NUMBERS(there, at) + f"{kind} {body}".encode(), before)
        except (struct.error, UnicodeEncodeError):  # not even of the right type
            return number
        if before != crc or there != number:
            return number
    return None


def _inode(path: str) -> tuple[int, int]:
    seen = os.stat(path)
    return seen.st_dev, seen.st_ino


def _any_text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


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


class Follower:
    """The `history` of a log that another process may be writing, kept up to date by `news`.

    Raises:
        JournalError: as `Journal.history` does.
    """

    def __init__(self, path: str) -> None:
        self._journal = Journal(path)
        self.history = self._journal.history()

    def news(self) -> list[tuple[Event, History]]:
        """The events since the last call, each with the history after it."""
        from hpo_engine.study.events import apply

        found = []
        for event in self._journal.read(self.history.events):
            self.history = apply(self.history, event)
            found.append((event, self.history))
        return found

    def close(self) -> None:
        self._journal.close()


def read_history(path: str) -> History:
    """The history of the event log at `path`; see `Journal.history`."""
    with contextlib.closing(Journal(path)) as journal:
        return journal.history()


def read_glance(path: str, known: Glance | None = None) -> Glance:
    """See `Journal.glance`. Raises JournalError."""
    with contextlib.closing(Journal(path)) as journal:
        try:
            return journal.glance(known)
        except (sqlite3.Error, ValueError) as error:
            raise refusal(path, error) from error


def read_first(path: str) -> Event:
    """The first event of the log at `path`; see `Journal.first`."""
    with contextlib.closing(Journal(path)) as journal:
        return journal.first()


def read_summary(path: str) -> Summary:
    """The study at `path` in short. Raises JournalError: as `Journal.summary` does."""
    with contextlib.closing(Journal(path)) as journal:
        return journal.summary()
