"""An event log, row by row as it is in the file, so that a copy of it elsewhere is the same log.

The rows carry the chain of checksums, so a copy notices what was lost or changed on the way.
"""

from __future__ import annotations

import contextlib
import sqlite3
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from hpo_engine.errors import JournalError
from hpo_engine.failpoints import failpoint
from hpo_engine.store.database import NOTHING, checksum, last_event, opened, refusal

_MOST_BYTES = 4 << 20  # of one piece


class Piece(NamedTuple):
    """Rows of a log (number, time, kind, checksum, summary, body), in order; `more`: others follow. `other`: the log
    does not have the event after which rows were asked for: it is not the one that was copied."""

    rows: Sequence[Sequence[Any]]
    more: bool = False
    other: bool = False


def piece_after(path: str, number: int, crc: int) -> Piece:
    """The rows after an event, as far as they are of sound size together; at least one if there is one.

    Args:
        number, crc: of the event; 0, 0: from the beginning.

    Raises:
        JournalError: it cannot be read.
    """
    with contextlib.closing(opened(path)) as db:
        try:
            if number and db.execute("SELECT crc FROM events WHERE seq = ?", (number,)).fetchone() != (crc,):
                return Piece((), other=True)
            rows, size = list[Sequence[Any]](), 0
            for row in db.execute(
                "SELECT seq, at, kind, crc, summary, body FROM events WHERE seq > ? ORDER BY seq", (number,)
            ):
                if rows and size > _MOST_BYTES:
                    return Piece(rows, more=True)
                rows.append(row)
                size += len(row[5])
            return Piece(rows)
        except (sqlite3.Error, ValueError) as error:
            raise refusal(path, error) from error


def prepare(path: str) -> None:
    """Makes an empty log at `path` if there is none. Raises JournalError: what is there is no log of this version."""
    with contextlib.closing(opened(path, write=True)) as db:
        db.execute("PRAGMA journal_mode=WAL")


def end_of(path: str) -> tuple[int, int]:
    """Number and checksum of a log's last event; 0, 0: there is none yet. Raises JournalError."""
    with contextlib.closing(opened(path)) as db:
        return last_event(db)[:2]


def append(path: str, rows: Sequence[Sequence[Any]]) -> None:
    """Adds rows to a copy of a log, where they follow its end; those that another process has added are skipped.

    Raises:
        JournalError: they do not follow, or are not what was written; or the copy cannot be written.
    """
    if not rows:
        return
    with contextlib.closing(opened(path, write=True)) as db:
        try:
            db.execute("PRAGMA synchronous=OFF")  # what is lost is fetched again
            db.execute("BEGIN IMMEDIATE")
            try:
                db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", _following(last_event(db)[:2], rows))
                failpoint("copy.before-commit")
                db.execute("COMMIT")
            except BaseException:
                db.execute("ROLLBACK")
                raise
        except (sqlite3.Error, struct.error, TypeError, ValueError) as error:
            raise refusal(path, error) from error


def _following(end: tuple[int, int], rows: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
    """The rows behind the end. Raises JournalError unless they continue the chain."""
    number, crc = end
    found = [row for row in rows if row[0] > number]
    for there, at, kind, told, _, body in found:
        number, crc = number + 1, checksum(crc, there, at, kind, body)
        if (there, told) != (number, crc):
            raise JournalError(f"event {there} was changed on the way from the server; fetch it again")
    return found


START = NOTHING[:2]
