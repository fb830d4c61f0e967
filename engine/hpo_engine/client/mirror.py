"""A study at a server, copied as far as reading it takes: its event log, and the output of trials that is asked for.

The copy is a study's folder below the user's cache, so that whatever reads a study reads it, too. Its lock is held for
the engine that runs the study at the server, as far as is known.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from typing import Any

from hpo_engine.client.connection import Connection, ServerAway, part
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.errors import JournalError, StudyLocked
from hpo_engine.store.copying import START, append, end_of, prepare

_ANSWER_S = 30.0
_WAIT_S = 20.0  # how long a request for news waits at the server
_AWAY_S = 1.0  # between two tries
_LED = "led-"  # and a process: its folder with the lock


class MirrorPaths(StudyPaths):
    """Where a study at a server is: `root` as people are told (`host:/folder`), and below `local` what is read here."""

    mirror: Mirror

    @classmethod
    def of(cls, root: str, mirror: Mirror) -> MirrorPaths:
        paths = cls(root)
        paths.mirror = mirror
        return paths

    @property
    def is_local(self) -> bool:
        return False

    @property
    def local(self) -> StudyPaths:
        return StudyPaths(self.mirror.folder)

    @property
    def db(self) -> str:
        return self.local.db

    @property
    def lock(self) -> str:
        return self.mirror.lock

    @property
    def trials(self) -> str:
        return self.local.trials


class Mirror:
    """A copy of one study.

    Args:
        cache: the folder of all copies.

    Attributes:
        state: of the study, as the server says; led: whether an engine runs it, or is about to.
    """

    def __init__(self, connection: Connection, study: str, cache: str) -> None:
        self.connection, self.study = connection, study
        server = connection.server
        key = hashlib.sha256(f"{server.url}\n{server.user}\n{server.token}".encode()).hexdigest()[:16]
        self.folder = f"{cache}/{key}/{hashlib.sha256(study.encode()).hexdigest()[:16]}"
        self.state, self.led = "", False
        self._where, self._told = "", "-"
        self._held: list[int] = []
        self._place = f"{self.folder}/{_LED}{os.getpid()}"
        self._db = StudyPaths(self.folder).db
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        self._sweep()
        self._prepare()

    @property
    def lock(self) -> str:
        """The lock file that is held for the engine at the server; each process has one of its own."""
        return StudyPaths(self._place).lock

    @property
    def paths(self) -> MirrorPaths:
        where = f"{self.connection.host}:{self._where}" if self._where else f"{self.connection.host}:{self.study}"
        return MirrorPaths.of(where, self)

    @property
    def begun(self) -> bool:
        """Whether the study has a log yet."""
        return end_of(self._db) != START

    def sync(self, wait_s: float = 0.0, *, once: bool = False) -> None:
        """Fetches what is new. `wait_s`: waits so long for news. `once`: a server that is away is not asked again.

        Raises:
            StudyNotFound, NotLoggedIn, ServerAway, JournalError.
        """
        while True:
            number, crc = end_of(self._db)
            query = {"after": number, "crc": crc, "led": self._told, "wait": wait_s}
            path, patience_s = f"/studies/{part(self.study)}/copy", wait_s + _ANSWER_S
            found = self.connection.get(path, query, patience_s=patience_s, once=once).json()
            if found["other"]:  # the study was removed, and another one has its name
                self._anew()
                continue
            try:
                append(self._db, found["rows"])
            except JournalError:
                if number == 0:
                    raise
                self._anew()
                continue
            self.state, self._where, self._told = found["state"], found["folder"], found["led"]
            if not found["more"]:
                break
            wait_s = 0.0
        self.led = bool(self._told)
        self._hold()

    def fetch_output(self, trial: int) -> None:
        """Fetches what a trial has printed since the last call."""
        base = f"/studies/{part(self.study)}/trials/{trial}/output"
        found = self.connection.get(base).json()
        if found["attempt"] is None:
            return
        folder = StudyPaths(self.folder).trial(trial).attempt(found["attempt"])
        os.makedirs(folder, exist_ok=True)
        for one in found["parts"]:
            self._fetch_part(base, found["attempt"], f"{folder}/{os.path.basename(one['name'])}", one)
        names = {one["name"] for one in found["parts"]}
        for name in os.listdir(folder):
            if name.startswith("output.") and name.partition("@")[0] not in names:
                os.unlink(f"{folder}/{name}")

    def close(self) -> None:
        self.release()
        shutil.rmtree(self._place, ignore_errors=True)

    def _fetch_part(self, base: str, attempt: int, path: str, told: Mapping[str, Any]) -> None:
        mark = f"{path}@{told['id']}"  # which file at the server it is a copy of
        if not os.path.exists(mark):
            for old in (path, *_marks(path)):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(old)
            open(mark, "w").close()
        with open(path, "ab") as file:
            while file.tell() < told["size"]:
                query = {"attempt": attempt, "after": file.tell()}
                data = self.connection.get(f"{base}/{part(told['name'])}", query).body
                if not data:
                    break
                file.write(data)

    def _prepare(self) -> None:
        try:
            prepare(self._db)
        except JournalError:  # damaged, or of another version: it is only a copy
            self._anew()

    def _anew(self) -> None:
        for name in os.listdir(self.folder):
            path = f"{self.folder}/{name}"
            if not name.startswith(_LED):
                shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
        prepare(self._db)

    def _sweep(self) -> None:
        """Removes what processes have left that were killed."""
        for name in os.listdir(self.folder):
            if name.startswith(_LED) and not os.path.exists(f"/proc/{name[len(_LED) :]}"):
                shutil.rmtree(f"{self.folder}/{name}", ignore_errors=True)

    def _hold(self) -> None:
        """Holds the lock while an engine runs the study at the server: readers see that it is led, and by whom."""
        if not self.led:
            self.release()
            return
        pid, host, since = json.loads(self._told)
        if not self._held:
            os.makedirs(self._place, mode=0o700, exist_ok=True)
            folder = os.open(self._place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            file = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            for fd in (folder, file):  # may wait for a reader of this process that looks at it just now
                fcntl.flock(fd, fcntl.LOCK_EX)
            self._held = [folder, file]
        record = {"pid": pid, "host": host, "since": since}
        os.ftruncate(self._held[1], 0)
        os.pwrite(self._held[1], json.dumps(record).encode(), 0)

    def release(self) -> None:
        """Lets go of the lock: the study is not known to be led."""
        held, self._held = self._held, []
        for fd in held:
            os.close(fd)


class Following:
    """Keeps a mirror up to date in a thread, until the study ends or `close`. `note`: called with one line when the
    server is away, and when it is back. `problem`: what has ended it."""

    def __init__(self, mirror: Mirror, note: Callable[[str], None]) -> None:
        self.problem: Exception | None = None
        self._mirror, self._note = mirror, note
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends it without waiting for a request that waits for news."""
        self._leaving.set()

    def _run(self) -> None:
        away = False
        while not self._leaving.is_set():
            try:
                self._mirror.sync(0.0 if away else _WAIT_S, once=True)
            except ServerAway as error:
                if not away:
                    self._note(f"{error}; trying again")
                away = True
                self._leaving.wait(_AWAY_S)
                continue
            except Exception as error:
                self.problem = error
                self._mirror.release()
                return
            if away:
                self._note(f"{self._mirror.connection.server.url} is back")
                away = False


def _marks(path: str) -> list[str]:
    folder, name = os.path.split(path)
    return [f"{folder}/{each}" for each in os.listdir(folder) if each.startswith(f"{name}@")]


def cache_folder(env: Mapping[str, str]) -> str:
    """Where copies are kept: below $XDG_CACHE_HOME or ~/.cache, or below the temporary folder if nothing can be written
    there."""
    cache = env.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = os.path.join(cache, "hpo-engine", "studies")
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    folder = os.path.join(tempfile.gettempdir(), f"hpo-engine-{os.getuid()}")
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    if os.lstat(folder).st_uid != os.getuid() or os.path.islink(folder):
        raise StudyLocked(f"{folder} belongs to somebody else; set XDG_CACHE_HOME to a folder of yours")
    return folder
