"""What the service knows of studies beside their folders: who submitted them, what of them waits, in `service.db`.

All rows but their texts and uploads are in memory, too, as this process is the only one that changes them.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from hpo_engine.errors import StudyExists
from hpo_engine.service.records.database import Database

_TABLES = """
CREATE TABLE IF NOT EXISTS submissions(
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, created REAL NOT NULL,
    file TEXT NOT NULL, text TEXT NOT NULL, kind TEXT NOT NULL, script TEXT NOT NULL, model BLOB, kept TEXT NOT NULL,
    state TEXT NOT NULL, placed INTEGER NOT NULL, turn REAL NOT NULL, changes TEXT NOT NULL, reason TEXT NOT NULL,
    key TEXT, content TEXT, UNIQUE(owner, key));
"""
_FIELDS = "id, name, owner, created, file, kind, script, kept, state, placed, turn, changes, reason"


_APART_S = 2e-6
"""No two submissions are of the same microsecond: the moment is a part of the names of their trials."""


class Phase(Enum):
    """Where a submission stands with the service.

    QUEUED -> BEGUN -> IDLE     the log says how it ended, or that the user stopped it
      |  ^      |       |
      |  +------+-------+       restarted, or continued after its engine died
      +-> IDLE                  stopped before its turn came
      +-> REFUSED               its folder could not be made
    any -> REMOVING             the folder is being deleted; then the row is
    """

    QUEUED = "queued"
    BEGUN = "begun"
    IDLE = "idle"
    REFUSED = "refused"
    REMOVING = "removing"


@dataclass(frozen=True)
class Submission:
    """`created`: UTC seconds, no two alike; also the moment at which the study's log begins. `file`: what messages call
    the text. `kind`: of the upload, "" if there is none; `script`: the file name of a lone script; `kept`: the name of
    the upload's file, "" if it is in the row. `placed`: the folder exists. `turn`: when it was put into the queue.
    `changes`: new limits for the next engine. `reason`: why it was refused."""

    id: int
    name: str
    owner: str
    created: float
    file: str = "request"
    kind: str = ""
    script: str = ""
    kept: str = ""
    phase: Phase = Phase.QUEUED
    placed: bool = False
    turn: float = 0.0
    changes: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class Content:
    """What was submitted: the study's text, and an upload that is small enough to be kept with it."""

    text: str
    model: bytes | None = None


@dataclass(frozen=True)
class Key:
    """The client's own name for a request, so that it may send the request again. `content`: a sha256."""

    key: str
    content: str


class Submissions:
    """May be used from several threads. Whatever returns is on the disk."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._rows: dict[str, Submission] = {}
        self._load()
        database.on_failure = self._load
        self._latest = max((row.created for row in self._rows.values()), default=0.0)

    @classmethod
    def at(cls, path: str) -> Submissions:
        """Those of the database at `path`. Raises JournalError."""
        return cls(Database(path, _TABLES))

    def close(self) -> None:
        self._db.close()

    def get(self, name: str) -> Submission | None:
        return self._rows.get(name)

    def all(self) -> list[Submission]:
        return list(self._rows.values())

    def content(self, submission: Submission) -> Content:
        """Raises JournalError; LookupError: the submission was removed."""
        rows = self._db.read("SELECT text, model FROM submissions WHERE id = ?", (submission.id,))
        if not rows:
            raise LookupError(submission.name)
        return Content(*rows[0])

    def add(
        self,
        new: Submission,
        given: Content,
        now: float,
        taken: Callable[[Submission | None], str],
        key: Key | None = None,
    ) -> tuple[Submission, bool]:
        """Adds a submission; its `id`, `created` and `turn` are set here.

        Args:
            now: UTC seconds. taken: for the submission that has the name now (None: none): why it keeps it, "" if not.

        Returns:
            The submission, and whether it is a new one: a request with a key that is known already is not.

        Raises:
            StudyExists: the name is taken, or the key belongs to another request. JournalError.
        """

        def job(db: sqlite3.Connection) -> tuple[Submission, bool]:
            if key is not None and (known := _with_key(db, new.owner, key)) is not None:
                return known, False
            if problem := taken(self._rows.get(new.name)):
                raise StudyExists(problem)
            created = max(now, self._latest + _APART_S)
            made = self._insert(db, replace(new, created=created, turn=created), given, key)
            self._latest = created
            return made, True

        return self._db.write(job)

    def adopt(self, name: str, created: float, turn: float, changes: Mapping[str, Any]) -> Submission:
        """Adds a study that the command line has made, as one without an owner that waits for an engine."""
        new = Submission(0, name, "", created, placed=True, turn=turn, changes=changes)
        return self._db.write(lambda db: self._insert(db, new, Content(""), None))

    def change(self, name: str, allowed: tuple[Phase, ...] = (), **new: Any) -> Submission | None:
        """Changes fields of a submission if it is in one of these phases (none: in any).

        Returns:
            The changed one; None: there is none, or it is in another phase.
        """

        def job(db: sqlite3.Connection) -> Submission | None:
            there = self._rows.get(name)
            if there is None or (allowed and there.phase not in allowed):
                return None
            made = replace(there, **new)
            db.execute(
                "UPDATE submissions SET state = ?, placed = ?, turn = ?, changes = ?, reason = ?, kept = ?, "
                "model = CASE WHEN ? THEN NULL ELSE model END WHERE id = ?",  # a placed one's model is in its folder
                (
                    made.phase.value, made.placed, made.turn, json.dumps(dict(made.changes)), made.reason, made.kept,
                    made.placed, made.id,
                ),
            )  # fmt: skip
            self._rows[name] = made
            return made

        return self._db.write(job)

    def remove(self, name: str) -> None:
        """Forgets a submission, if there is one."""

        def job(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM submissions WHERE name = ?", (name,))
            self._rows.pop(name, None)

        self._db.write(job)

    def _insert(self, db: sqlite3.Connection, new: Submission, given: Content, key: Key | None) -> Submission:
        """In place of what has the name."""
        db.execute("DELETE FROM submissions WHERE name = ?", (new.name,))
        values = (
            new.name, new.owner, new.created, new.file, given.text, new.kind, new.script, given.model, new.kept,
            new.phase.value, new.placed, new.turn, json.dumps(dict(new.changes)), new.reason,
            key and key.key, key and key.content,
        )  # fmt: skip
        found = db.execute(
            "INSERT INTO submissions(name, owner, created, file, text, kind, script, model, kept, state, placed, turn, "
            f"changes, reason, key, content) VALUES ({', '.join('?' * len(values))})",
            values,
        )
        made = replace(new, id=found.lastrowid or 0)
        self._rows[made.name] = made  # the next job of the same commit must see it
        return made

    def _load(self) -> None:
        self._rows = {row.name: row for row in map(_row, self._db.read(f"SELECT {_FIELDS} FROM submissions"))}


def _with_key(db: sqlite3.Connection, owner: str, key: Key) -> Submission | None:
    query = f"SELECT {_FIELDS}, content FROM submissions WHERE owner = ? AND key = ?"
    found = db.execute(query, (owner, key.key)).fetchone()
    if found is None:
        return None
    row = _row(found[:-1])
    if found[-1] != key.content:
        raise StudyExists(f"the idempotency key was used for study {row.name}, with another content; take a new key")
    return row


def _row(values: Any) -> Submission:
    number, name, owner, created, file, kind, script, kept, state, placed, turn, changes, reason = values
    return Submission(
        number, name, owner, created, file, kind, script, kept, Phase(state), bool(placed), turn,
        json.loads(changes), reason,
    )  # fmt: skip
