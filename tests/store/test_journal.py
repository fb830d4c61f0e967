"""The event log as a file: who may write it, what is refused, and what a crash may leave of it."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import threading
from itertools import accumulate
from pathlib import Path

import pytest

from hpo_engine.errors import JournalError
from hpo_engine.store.database import SCHEMA_VERSION, connect
from hpo_engine.store.journal import Journal
from hpo_engine.study.events import Event, StopAsked, StudyOpened
from hpo_engine.testing.stores import EVENTS
from tests.support.helpers import seal, wait_until


def filled(path: Path, events: list[Event] = EVENTS) -> Path:
    journal = Journal(str(path), write=True)
    journal.append(events)
    journal.close()
    return path


def sql(path: Path, *statements: str) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        db.execute(statement)
    db.close()


def refusal(path: Path, *, write: bool = False) -> str:
    """What the refusal to open or to read `path` says; one line, which names the file."""
    with pytest.raises(JournalError) as caught:
        Journal(str(path), write=write).read()
    said = str(caught.value)
    assert said.startswith(f"{path}: ") and "\n" not in said
    return said


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gone", [1, 3])
def test_event_missing_in_the_middle_is_refused_with_its_number(tmp_path: Path, gone: int) -> None:
    path = filled(tmp_path / "study.db")
    sql(path, f"DELETE FROM events WHERE seq = {gone}")
    assert f"event {gone} is missing" in refusal(path)
    journal = Journal(str(path))
    assert journal.read(gone) == EVENTS[gone:], "what comes after the gap can be read from there"
    journal.close()


def test_first_event_after_the_number_asked_for_may_not_be_missing(tmp_path: Path) -> None:
    path = filled(tmp_path / "study.db")
    sql(path, "DELETE FROM events WHERE seq = 3")
    journal = Journal(str(path))
    with pytest.raises(JournalError, match="event 3 is missing"):
        journal.read(2)
    journal.close()


@pytest.mark.parametrize("write", [False, True])
def test_newer_schema_is_refused_and_left_alone(tmp_path: Path, write: bool) -> None:
    path = filled(tmp_path / "study.db")
    sql(path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = path.read_bytes()
    assert f"newer hpo-engine (schema {SCHEMA_VERSION + 1})" in refusal(path, write=write)
    assert path.read_bytes() == before


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("version", [0, SCHEMA_VERSION])
def test_database_of_another_program_is_refused_and_left_alone(tmp_path: Path, version: int, write: bool) -> None:
    path = tmp_path / "study.db"
    sql(path, "CREATE TABLE notes(text)", f"PRAGMA user_version = {version}")
    before = path.read_bytes()
    assert "not an event log of hpo-engine" in refusal(path, write=write)
    assert path.read_bytes() == before


@pytest.mark.parametrize("write", [False, True])
def test_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path, write: bool) -> None:
    path = tmp_path / "study.db"
    path.write_bytes(b"these are notes of somebody\n" * 200)
    before = path.read_bytes()
    assert "damaged" in refusal(path, write=write)
    assert path.read_bytes() == before


def test_folder_empty_file_and_nothing_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    refusal(tmp_path / "folder")
    refusal(tmp_path / "folder", write=True)
    assert "no such event log" in refusal(tmp_path / "none")
    with pytest.raises(sqlite3.Error):
        connect(str(tmp_path / "none"))
    assert not (tmp_path / "none").exists(), "looking makes no file"
    (tmp_path / "empty").touch()
    assert "never opened" in refusal(tmp_path / "empty")


@pytest.mark.parametrize("body", ["{", "[]", "3", '{"trial": 0}', '{"why": "x", "more": 1}', ""])
def test_event_with_a_damaged_body_is_refused(tmp_path: Path, body: str) -> None:
    path = filled(tmp_path / "study.db", [*EVENTS, StopAsked(5.0, 1)])
    db = sqlite3.connect(path)
    db.execute("UPDATE events SET body = ?, kind = 'trial_reopened' WHERE seq = 4", (body,))
    db.commit()
    db.close()
    seal(path)
    journal = Journal(str(path))
    if body == '{"trial": 0}':
        assert len(journal.read()) == 6, "the one that is sound"
    else:
        with pytest.raises(JournalError):
            journal.read()
    journal.close()


# -- one writer, readers that cannot write -----------------------------------------------------------------------------


def test_writer_writes_ahead_and_brings_it_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    sync = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (synced.append(os.readlink(f"/proc/self/fd/{fd}")), sync(fd)))
    path = tmp_path / "study.db"
    journal = Journal(str(path), write=True)
    assert journal._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    journal.append(EVENTS[:2])
    wait_until(lambda: synced == [f"{path}-wal"])
    journal.append(EVENTS[2:])
    journal.close()
    assert len(synced) >= 2 and set(synced) == {f"{path}-wal"}


def test_end_waits_for_what_came_while_the_disk_was_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    free = threading.Event()

    def slow(fd: int) -> None:
        calls.append(fd)
        free.wait(10)

    monkeypatch.setattr(os, "fdatasync", slow)
    journal = Journal(str(tmp_path / "study.db"), write=True)
    journal.append(EVENTS[:2])
    wait_until(lambda: len(calls) == 1)
    journal.append(EVENTS[2:])
    syncer = journal._syncer
    assert syncer is not None
    releasing = threading.Thread(target=lambda: (wait_until(lambda: syncer._leaving), free.set()))
    releasing.start()
    journal.close()
    releasing.join()
    assert len(calls) == 2, "the events of the second append were never brought to the disk"


def test_disk_that_fails_is_told_at_the_next_event_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fail)
    journal = Journal(str(tmp_path / "study.db"), write=True)
    journal.append(EVENTS[:2])
    wait_until(lambda: journal._syncer is not None and journal._syncer.problem is not None)
    with pytest.raises(JournalError, match="Input/output error"):
        journal.append(EVENTS[2:])
    with pytest.raises(JournalError, match="Input/output error"):
        journal.close()
    reader = Journal(str(tmp_path / "study.db"))
    assert reader.read() == EVENTS[:2]
    reader.close()


def test_reader_cannot_write_and_the_writer_goes_on_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    writer = Journal(str(path), write=True)
    writer.append(EVENTS[:2])
    reader = Journal(str(path))
    with pytest.raises(JournalError):
        reader.append(EVENTS[2:])
    db = connect(str(path))
    for statement in ("DELETE FROM events", "CREATE TABLE more(x)", "PRAGMA user_version = 9", "VACUUM"):
        with pytest.raises(sqlite3.OperationalError):
            db.execute(statement)
    db.close()
    writer.append(EVENTS[2:])
    assert reader.read() == writer.read() == EVENTS
    assert reader.read(4) == EVENTS[4:]
    reader.close()
    writer.close()


def test_reader_keeps_no_writer_waiting_in_the_middle_of_a_look(tmp_path: Path) -> None:
    path = filled(tmp_path / "study.db")
    reader = connect(str(path))
    rows = reader.execute("SELECT seq FROM events")
    assert rows.fetchone() == (1,)  # its transaction is open
    writer = connect(str(path), write=True)
    writer.execute("PRAGMA busy_timeout = 0")
    writer.execute("DELETE FROM events")
    assert len(rows.fetchall()) == len(EVENTS) - 1, "it sees what was there when it began"
    reader.close()
    writer.close()


def test_batch_that_fails_in_its_middle_leaves_nothing_and_the_log_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    journal = Journal(str(path), write=True)
    journal.append(EVENTS[:1])
    # A failure that ends the statement and leaves the transaction open.
    sql(path, "CREATE TRIGGER no BEFORE INSERT ON events WHEN new.kind = 'attempt_intended'"
        " BEGIN SELECT RAISE(ABORT, 'no'); END")  # fmt: skip
    with pytest.raises(JournalError):
        journal.append(EVENTS[1:4])
    assert journal.read() == EVENTS[:1]
    sql(path, "DROP TRIGGER no")  # nothing is locked any more
    journal.append(EVENTS[1:])
    journal.close()
    again = Journal(str(path))
    assert again.read() == EVENTS
    again.close()


def test_full_disk_is_told_leaves_nothing_and_the_log_goes_on_when_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    journal = Journal(str(path), write=True)
    journal.append(EVENTS[:1])
    pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
    journal._db.execute(f"PRAGMA max_page_count = {pages}")
    big = [EVENTS[1], StudyOpened(2.0, {}, "x" * 50_000)]
    with pytest.raises(JournalError, match="full; free space"):
        journal.append(big)
    assert journal.read() == EVENTS[:1]
    journal._db.execute("PRAGMA max_page_count = 1000000")
    journal.append(big)
    assert journal.read() == [EVENTS[0], *big]
    journal.close()


# -- what a crash leaves -----------------------------------------------------------------------------------------------


def batches() -> list[list[Event]]:
    """Commits of one to three events, some over several pages."""
    sizes = [1, 3, 2, 1, 3, 2]
    events = [StopAsked(float(i), i, "x" * (6000 if i % 4 == 3 else 10)) for i in range(sum(sizes))]
    ends = [0, *accumulate(sizes)]
    return [list(events[a:b]) for a, b in zip(ends, ends[1:], strict=False)]


@pytest.fixture
def crashed(tmp_path: Path) -> tuple[bytes, bytes, list[Event], set[int]]:
    """The database and its -wal as a crash would leave them: their bytes, the events, and how many commits may end."""
    path, groups = tmp_path / "study.db", batches()
    journal = Journal(str(path), write=True)
    journal._db.execute("PRAGMA wal_autocheckpoint = 0")
    for group in groups:
        journal.append(group)
    db, wal = path.read_bytes(), Path(f"{path}-wal").read_bytes()
    journal.close()
    return db, wal, [e for group in groups for e in group], {0, *accumulate(map(len, groups))}


def read_what_is_left(folder: Path, db: bytes, wal: bytes) -> list[Event] | None:
    """The events, or None where the log says that it cannot be read."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "study.db").write_bytes(db)
    (folder / "study.db-wal").write_bytes(wal)
    try:
        journal = Journal(str(folder / "study.db"))
    except JournalError:
        return None
    try:
        return journal.read()
    finally:
        journal.close()


FRAME, HEADER = 4096 + 24, 32


def test_torn_tail_leaves_whole_commits_and_never_a_later_one_without_an_earlier(
    crashed: tuple[bytes, bytes, list[Event], set[int]], tmp_path: Path
) -> None:
    db, wal, events, ends = crashed
    frames = range(HEADER, len(wal), FRAME)
    assert len(frames) > len(ends) and (len(wal) - HEADER) % FRAME == 0
    cuts = {0, 1, HEADER - 1, len(wal), *range(0, len(wal), 997)}
    cuts |= {at + d for at in frames for d in (-1, 0, 1, 24, 30) if at + d <= len(wal)}
    counts: list[int] = []
    for cut in sorted(cuts):
        found = read_what_is_left(tmp_path / "copy", db, wal[:cut])
        if found is None:
            assert not any(counts), "readable, and then with more of it not"
            continue
        assert found == events[: len(found)]
        assert len(found) in ends, "half a commit"
        counts.append(len(found))
    assert counts == sorted(counts)
    assert set(counts) == ends


def test_garbage_in_the_tail_hides_what_follows_it_and_nothing_before(
    crashed: tuple[bytes, bytes, list[Event], set[int]], tmp_path: Path
) -> None:
    db, wal, events, ends = crashed
    counts: list[int] = []
    for at in range(HEADER + 8, len(wal), FRAME // 3):
        spoilt = wal[:at] + bytes(b ^ 0x5A for b in wal[at : at + 64]) + wal[at + 64 :]
        found = read_what_is_left(tmp_path / "copy", db, spoilt) or []
        assert found == events[: len(found)] and len(found) in ends
        counts.append(len(found))
    assert counts == sorted(counts)
    assert max(counts) < len(events)


def test_writer_goes_on_after_a_torn_tail(crashed: tuple[bytes, bytes, list[Event], set[int]], tmp_path: Path) -> None:
    db, wal, events, _ = crashed
    left = read_what_is_left(tmp_path / "copy", db, wal[:-100])
    assert left is not None and 0 < len(left) < len(events)
    path = str(tmp_path / "copy" / "study.db")
    writer = Journal(path, write=True)
    writer.append(EVENTS)
    writer.close()
    reader = Journal(path)
    assert reader.read() == [*left, *EVENTS]
    reader.close()


# -- names -------------------------------------------------------------------------------------------------------------

ODD = ["a b", "50%", "%41", "a?mode=rw", "a#b", "a&b=c", "'\"\\", "\n\t", "größe 猫", "..a", "\udcff\udcfe"]


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_odd_names_are_written_and_read_where_they_say(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    path = filled(folder / f"{name}.db")
    reader = Journal(str(path))
    assert reader.read() == EVENTS
    reader.close()
    assert os.listdir(tmp_path) == [name]
    beside = {f"{name}.db", f"{name}.db-wal", f"{name}.db-shm"}  # a reader cannot take these two away
    assert set(os.listdir(folder)) <= beside, "nothing under another name"


def test_relative_path_is_found_from_the_present_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert filled(Path("study.db")).exists()
    reader = Journal("study.db")
    assert reader.read() == EVENTS
    reader.close()
