"""The service's database: groups of commits, names that are unique, requests that come twice."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.errors import JournalError, StudyExists
from hpo_engine.service.records.database import Database
from hpo_engine.service.records.submissions import Content, Key, Phase, Submission, Submissions

NEW = Submission(0, "s", "ada", 0.0)


def add(submissions: Submissions, name: str, now: float = 100.0, key: Key | None = None) -> tuple[Submission, bool]:
    def taken(there: Submission | None) -> str:
        return f"{there.name} exists" if there is not None else ""

    return submissions.add(replace(NEW, name=name), Content("text of " + name, b"model"), now, taken, key)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "service.db")


def test_what_was_added_is_there_for_the_next_service(path: str) -> None:
    first = Submissions.at(path)
    row, _ = add(first, "a")
    first.change("a", phase=Phase.BEGUN, changes={"trials": 5})
    with closing(Submissions.at(path)) as second:  # the first one was not even closed
        assert second.get("a") == replace(row, phase=Phase.BEGUN, changes={"trials": 5})
        assert second.content(row) == Content("text of a", b"model")
    first.close()


def test_of_many_that_want_one_name_at_once_one_gets_it_and_all_share_few_commits(path: str) -> None:
    commits = list[str]()
    with closing(Submissions.at(path)) as submissions:
        gate, found = threading.Barrier(40), list[Any]()

        def run(number: int) -> None:
            gate.wait()
            try:
                found.append(add(submissions, f"s{number % 10}")[1])
            except StudyExists as error:
                found.append(str(error))

        hold = threading.Event()
        waiting = threading.Thread(target=lambda: submissions._db.write(lambda db: hold.wait() and None))
        waiting.start()
        submissions._db.on_failure = lambda: commits.append("failed")
        threads = [threading.Thread(target=run, args=(number,)) for number in range(40)]
        for thread in threads:
            thread.start()
        hold.set()
        for thread in (*threads, waiting):
            thread.join()
        assert found.count(True) == 10 and len([each for each in found if "exists" in str(each)]) == 30
        assert len(submissions.all()) == 10 and not commits
        moments = sorted(row.created for row in submissions.all())
        assert len({int(moment * 1e6) for moment in moments}) == 10, "no two begin in the same microsecond"


def test_a_request_with_a_known_key_is_the_same_submission(path: str) -> None:
    with closing(Submissions.at(path)) as submissions:
        row, is_new = add(submissions, "a", key=Key("k", "sha"))
        again, second = add(submissions, "other", key=Key("k", "sha"))
        assert (is_new, second) == (True, False) and again == row
        with pytest.raises(StudyExists, match="key was used for study a"):
            add(submissions, "b", key=Key("k", "another sha"))
        assert [row.name for row in submissions.all()] == ["a"]


def test_a_job_that_raises_leaves_nothing_and_disturbs_no_other(path: str) -> None:
    with closing(Database(path, "CREATE TABLE IF NOT EXISTS t(x);")) as database:

        def bad(db: sqlite3.Connection) -> None:
            db.execute("INSERT INTO t VALUES (1)")
            raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            database.write(bad)
        database.write(lambda db: db.execute("INSERT INTO t VALUES (2)"))
        assert database.read("SELECT x FROM t") == [(2,)]


def test_what_cannot_be_committed_is_refused_and_not_remembered(path: str) -> None:
    with closing(Submissions.at(path)) as submissions:
        add(submissions, "a")
        with closing(sqlite3.connect(path)) as other:
            other.execute(
                "CREATE TRIGGER full BEFORE INSERT ON submissions BEGIN SELECT RAISE(ROLLBACK, 'disk I/O error'); END"
            )
            other.commit()
        with pytest.raises(JournalError, match="disk I/O error"):
            add(submissions, "b")
        assert submissions.get("b") is None and submissions.get("a") is not None
        with closing(sqlite3.connect(path)) as other:
            other.execute("DROP TRIGGER full")
            other.commit()
        assert add(submissions, "b")[1]


def test_a_database_of_another_program_is_left_alone(path: str) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.executescript("PRAGMA application_id=7; CREATE TABLE theirs(x);")
    with pytest.raises(JournalError, match="not a database of this .* service"):
        Submissions.at(path)


def test_after_the_end_nothing_is_taken(path: str) -> None:
    submissions = Submissions.at(path)
    submissions.close()
    with pytest.raises(JournalError, match="the service is ending"):
        add(submissions, "a")
