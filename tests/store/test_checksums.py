"""Checksums of the event log: whatever happens to an event is seen, and told with its number."""

from __future__ import annotations

import itertools
import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from hpo_engine.errors import JournalError
from hpo_engine.store.database import SCHEMA_VERSION
from hpo_engine.store.journal import Follower, Journal, read_history
from hpo_engine.study.events import (
    AttemptIntended,
    AttemptStarted,
    EngineStarted,
    Event,
    MetricsSeen,
    StudyClosed,
    StudyOpened,
    TrialEnded,
    TrialProposed,
)
from hpo_engine.study.objective import Row
from tests.support import random_logs
from tests.support.helpers import seal

TRIALS = 6


def told(path: Path, count: int = TRIALS) -> list[Event]:
    """A log of `count` finished trials at `path`."""
    events: list[Event] = [StudyOpened(1.5, random_logs.spec().to_json(), "text\n"), EngineStarted(1.75, 7, "host")]
    for trial in range(count):
        at = 2.0 + trial
        events += [TrialProposed(at, trial, {"x": 0.125 * trial}), AttemptIntended(at, trial, 1, f"{trial:016x}")]
        events += [AttemptStarted(at + 0.1, trial, 1, 100 + trial)]
        events += [MetricsSeen(at + 0.2, trial, (Row(1, {"loss": 0.75}), Row(2, {"loss": 0.5 + trial})), True)]
        events += [TrialEnded(at + 0.3, trial, "completed", 0.5 + trial, exit={"code": 0})]
    events.append(StudyClosed(99.0, "finished"))
    journal = Journal(str(path), write=True)
    for event in events:
        journal.append([event])
    journal.close()
    return events


@pytest.fixture
def log(tmp_path: Path) -> Path:
    told(tmp_path / "study.db")
    return tmp_path / "study.db"


def edit(path: Path, *statements: str) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        db.execute(statement)
    db.close()


def first_bad(path: Path) -> tuple[int, int]:
    """The damaged event and the last good one as the refusal names them; the same for every way to read a log."""
    said = set()
    for read in (read_history, lambda p: Journal(p).read(), Follower):
        with pytest.raises(JournalError) as caught:
            read(str(path))
        said.add(str(caught.value))
    (text,) = said
    assert text.startswith(f"{path}: damaged: event ") and "\n" not in text
    found = re.search(r"event (\d+) is (?:missing|not what was written); (?:the last good one is event (\d+)|no event)", text)  # fmt: skip
    assert found, text
    return int(found[1]), int(found[2] or 0)


def test_every_digit_of_every_event_counts(log: Path) -> None:
    """Every third digit of the bodies is made another one; with the log put right again it is read again."""
    rows = sqlite3.connect(log).execute("SELECT seq, body FROM events").fetchall()
    tried = 0
    for number, body in rows:
        for at in [m.start() for m in re.finditer(r"\d", body)][::3]:
            other = body[:at] + str((int(body[at]) + 1 + tried % 9) % 10) + body[at + 1 :]
            if other == body:
                continue
            db = sqlite3.connect(log, isolation_level=None)
            db.execute("UPDATE events SET body = ? WHERE seq = ?", (other, number))
            with pytest.raises(JournalError, match=f"event {number} is not what was written"):
                read_history(str(log))
            db.execute("UPDATE events SET body = ? WHERE seq = ?", (body, number))
            db.close()
            tried += 1
    assert tried > 80
    assert len(read_history(str(log)).trials) == TRIALS


@pytest.mark.parametrize(
    "change",
    ["at = at + 0.000001", "at = -at", "kind = 'trial_reopened'", "kind = kind || ' '", "body = body || ' '",
     "body = replace(body, ':', ': ')", "body = ''", "body = NULL", "body = CAST(body AS BLOB)", "at = 'soon'",
     "crc = crc + 1", "crc = 0", "crc = 'x'", "seq = seq + 1000000"],
)  # fmt: skip
@pytest.mark.parametrize("number", [1, 9])
def test_every_column_of_an_event_counts(log: Path, change: str, number: int) -> None:
    edit(log, "CREATE TABLE free AS SELECT * FROM events", "DROP TABLE events", "ALTER TABLE free RENAME TO events",
         f"UPDATE events SET {change} WHERE seq = {number}")  # fmt: skip
    assert first_bad(log) == (number, number - 1)


def renumber(path: Path, keep: Callable[[list[int]], list[int]]) -> None:
    """Puts the rows into another order (with their checksums), numbered from 1 on again."""
    db = sqlite3.connect(path)
    rows = {row[0]: row[1:] for row in db.execute("SELECT seq, at, kind, body, crc FROM events")}
    db.execute("DELETE FROM events")
    for number, old in enumerate(keep(sorted(rows)), 1):
        db.execute("INSERT INTO events(seq, at, kind, body, crc) VALUES (?, ?, ?, ?, ?)", (number, *rows[old]))
    db.commit()
    db.close()


@pytest.mark.parametrize(
    ("keep", "bad"),
    [
        (lambda n: [*n[:4], n[5], n[4], *n[6:]], 5),  # neighbours exchanged
        (lambda n: [*n[:2], n[12], *n[3:12], n[2], *n[13:]], 3),  # far ones exchanged
        (lambda n: [*n[:7], *n[8:]], 8),  # one gone, the rest moved up
        (lambda n: n[1:], 1),  # the first gone
        (lambda n: [*n[:7], n[6], *n[7:]], 8),  # one twice
        (lambda n: [*n, n[-1]], 34),  # the last twice
        (lambda n: [*n[:10], *n[20:]], 11),  # ten gone
        (lambda n: n[::-1], 1),
    ],
    ids=["neighbours", "far", "gone", "first-gone", "twice", "last-twice", "ten-gone", "reversed"],
)
def test_exchanged_missing_and_repeated_events_are_seen(
    log: Path, keep: Callable[[list[int]], list[int]], bad: int
) -> None:
    renumber(log, keep)
    assert first_bad(log) == (bad, bad - 1)


def test_missing_number_is_told_as_missing(log: Path) -> None:
    edit(log, "DELETE FROM events WHERE seq = 20")
    with pytest.raises(JournalError, match="event 20 is missing; the last good one is event 19"):
        read_history(str(log))


def test_event_of_another_log_is_not_taken_for_one_of_this(log: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    told(other)
    edit(other, "UPDATE events SET body = replace(body, '0.625', '0.626')")
    seal(other)
    edit(log, f"ATTACH '{other}' AS other",
         "UPDATE events SET (at, kind, body, crc) = (SELECT at, kind, body, crc FROM other.events o"
         " WHERE o.seq = events.seq) WHERE seq >= 30")  # fmt: skip
    assert first_bad(log) == (30, 29)


def test_byte_flipped_in_the_file_is_seen_wherever_it_is_one_of_an_event(tmp_path: Path) -> None:
    """Bytes of the bodies as they lie in the file, flipped to what is no text, too."""
    path, copy = tmp_path / "study.db", tmp_path / "copy.db"
    told(path)
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode=DELETE")
    bodies = {number: body.encode() for number, body in db.execute("SELECT seq, body FROM events")}
    db.close()
    data, tried = path.read_bytes(), 0
    for number, body in bodies.items():
        place = data.find(body)
        if place < 0 or data.find(body, place + 1) >= 0:  # over several pages
            continue
        for at, bit in zip(range(0, len(body), 11), itertools.cycle((0x01, 0x80, 0x10)), strict=False):
            copy.write_bytes(data[: place + at] + bytes([body[at] ^ bit]) + data[place + at + 1 :])
            with pytest.raises(JournalError, match=f"event {number} is not what was written; "):
                read_history(str(copy))
            tried += 1
    assert tried > 80


def test_page_that_sqlite_cannot_read_is_told_with_the_event_where_it_begins(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    told(path, 60)
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode=DELETE")
    db.close()
    data = bytearray(path.read_bytes())
    for page in range(4, 7):
        data[page * 4096 : page * 4096 + 100] = b"\xff" * 100
    path.write_bytes(data)
    with pytest.raises(JournalError) as caught:
        read_history(str(path))
    found = re.search(r"damaged: event (\d+) cannot be read \(.*malformed\); the last good one is event (\d+)", str(caught.value))  # fmt: skip
    assert found and int(found[1]) == int(found[2]) + 1 > 1, caught.value


def test_follower_sees_what_is_wrong_with_what_comes(log: Path) -> None:
    reader = Journal(str(log))
    assert len(reader.read(10)) == 23
    edit(log, "UPDATE events SET body = replace(body, '0', '1') WHERE seq = 25")
    with pytest.raises(JournalError, match="event 25 is not what was written; the last good one is event 24"):
        reader.read(20)
    assert len(reader.read(25)) == 8, "what follows stands on the checksum that is there"
    reader.close()


def test_log_that_was_cut_after_the_last_good_event_goes_on(log: Path) -> None:
    """As docs/reliability.md says to do without a backup. (A power cut leaves the same, so it is not damage.)"""
    edit(log, "UPDATE events SET body = replace(body, '0', '1') WHERE seq = 25")
    bad, good = first_bad(log)
    edit(log, f"DELETE FROM events WHERE seq > {good}")
    journal = Journal(str(log), write=True)
    journal.append([StudyClosed(100.0, "stopped")])
    assert len(journal.read()) == bad
    journal.close()
    assert read_history(str(log)).state.value == "stopped"


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("version", [1, 2, 3])
def test_log_of_an_older_version_is_refused_in_a_line_and_left_alone(tmp_path: Path, version: int, write: bool) -> None:
    path = tmp_path / "study.db"
    edit(path, "CREATE TABLE events(seq INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL)",
         "PRAGMA application_id = 1213222725", f"PRAGMA user_version = {version}")  # fmt: skip
    before = path.read_bytes()
    with pytest.raises(
        JournalError, match=rf"written by an older hpo-engine \(schema {version}\).* under another --name"
    ):
        Journal(str(path), write=write)
    assert path.read_bytes() == before and SCHEMA_VERSION == 4


def test_events_are_the_same_after_a_copy_of_the_file(log: Path, tmp_path: Path) -> None:
    shutil.copy(log, tmp_path / "copy.db")
    assert read_history(str(tmp_path / "copy.db")).best_id == read_history(str(log)).best_id == 0
