"""MLflow's store in SQLite, the default of its third version. Read-only, and never waiting for whoever writes."""

from __future__ import annotations

import math
import os
import sqlite3
import stat
import sys
import time
from contextlib import closing
from urllib.parse import quote

from hpo_engine.contract.binding import ATTEMPT_TAG as TAG
from hpo_engine.contract.sources.mlflow.points import Point

_MOST = 20_000  # values that one look reads
_LONGEST_S = 0.2  # that a query may take; a file may hold a view that never ends
_EVERY_S = 0.2  # between two looks
_SHARE = 100  # a look is repeated after this many times the processor time that it took
_SETTLED_NS = 2_000_000_000  # a file that was written longer ago has changed if its time stamp has
_MOST_RUNS = 1000  # of an attempt
_WRONG = (sqlite3.Error, sqlite3.Warning, ValueError, TypeError, OverflowError)
_HUGE = sys.float_info.max  # what MLflow writes for infinity


class Database:
    """The values of an attempt's runs in one file.

    Args:
        path: absolute; nonce: of the attempt.
        since_ms: runs without a tag that began from then on count as well, and those with any tag if the attempt is
            not known (""); None: they do not.
    """

    def __init__(self, path: str, nonce: str, since_ms: int | None) -> None:
        self.path, self._nonce, self.since_ms = path, nonce, since_ms
        self._last: dict[str, int] = {}  # by run: the row of its last value
        self._seen: tuple[int, int, int] | None = None
        self._not_before = 0.0
        self._connection: sqlite3.Connection | None = None
        self._inode = 0

    def fresh(self) -> list[Point]:
        """The values that came since the last call. Never raises, never waits; looks every 0.2 s at most."""
        if time.monotonic() < self._not_before:
            return []
        started = time.thread_time()
        try:
            found = os.lstat(self.path)
            now = (found.st_ino, found.st_size, found.st_mtime_ns)
            if now == self._seen or not stat.S_ISREG(found.st_mode):
                return []
            points = self._read(self._connected(found.st_ino))
        except (OSError, *_WRONG):
            return []
        finally:
            self._not_before = time.monotonic() + max(_EVERY_S, _SHARE * (time.thread_time() - started))
        settled = len(points) < _MOST and found.st_mtime_ns < time.time_ns() - _SETTLED_NS
        self._seen = now if settled else None
        return points

    def all(self) -> list[Point]:
        """All values. Never raises."""
        points: list[Point] = []
        try:
            with closing(connected(self.path, wait_s=1.0)) as connection:
                while more := self._read(connection):
                    points += more
        except (OSError, *_WRONG):
            pass
        return points

    def _connected(self, inode: int) -> sqlite3.Connection:
        if self._connection is None or inode != self._inode:
            self._connection, self._inode = connected(self.path), inode
        return self._connection

    def _read(self, connection: sqlite3.Connection) -> list[Point]:
        deadline = time.monotonic() + _LONGEST_S
        connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
        points: list[Point] = []
        for run in self._runs(connection):
            rows = connection.execute(
                "SELECT rowid, key, value, step, timestamp, is_nan FROM metrics WHERE run_uuid = ? AND rowid > ? "
                "ORDER BY rowid LIMIT ?",
                (run, self._last.get(run, 0), _MOST - len(points)),
            )
            for rowid, name, value, step, time_ms, is_nan in rows.fetchall():
                points.append(Point(run, str(name), _value(float(value), bool(is_nan)), int(step), int(time_ms)))
                self._last[run] = int(rowid)
        return points

    def _runs(self, connection: sqlite3.Connection) -> list[str]:
        """The attempt's runs, the first one first."""
        tagged = connection.execute("SELECT run_uuid FROM tags WHERE key = ? AND value = ?", (TAG, self._nonce))
        runs = {str(run) for (run,) in tagged.fetchmany(_MOST_RUNS)}
        if self.since_ms is not None:
            begun = connection.execute(
                "SELECT run_uuid FROM runs WHERE start_time >= ? AND NOT EXISTS "
                "(SELECT 1 FROM tags WHERE tags.run_uuid = runs.run_uuid AND tags.key = ? AND ? <> '') "
                "ORDER BY start_time",
                (self.since_ms, TAG, self._nonce),
            )
            runs |= {str(run) for (run,) in begun.fetchmany(_MOST_RUNS)}
        return sorted(runs, key=lambda run: (run not in self._last, run))


def connected(path: str, wait_s: float = 0.0) -> sqlite3.Connection:
    """A connection that only reads. Raises sqlite3.Error.

    Args:
        wait_s: for a writer; live readers do not wait.
    """
    uri = f"file:{quote(path)}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=wait_s, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA query_only = ON")
    return connection


def _value(value: float, is_nan: bool) -> float:
    if is_nan:
        return math.nan
    return math.copysign(math.inf, value) if abs(value) >= _HUGE else value


def is_store(path: str) -> bool:
    """Whether a file has the tables of MLflow. Never raises."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return False
        with closing(connected(path)) as connection:
            deadline = time.monotonic() + _LONGEST_S
            connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
            names = "'runs', 'metrics', 'tags'"
            found = connection.execute(f"SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ({names})")
            return bool(found.fetchone()[0] == 3)
    except (OSError, *_WRONG):
        return False
