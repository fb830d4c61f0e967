"""Whether a study's folder is a copy of one that is there as well: then what runs is the other one's.

A folder is known by device and inode, which the event log keeps: they stay the same when it is moved.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3

from engine.events import fold
from engine.executors import attempt as records
from engine.failpoints import failpoint
from engine.journal import Journal, connect
from engine.lead import who_leads
from engine.paths import StudyPaths, identity
from engine.study import History


def origin(paths: StudyPaths, history: History) -> str:
    """The folder in which the trials run that the log in `paths` says are running; "" if that is this folder, or was.

    "" too where the other folder is gone: this one was restored, or moved to another disk, and stands in its place.
    """
    if not history.running or history.folder in ((), identity(paths.root)):
        return ""
    for trial in history.running:
        if trial.attempt is not None:
            folder = paths.trial(trial.id).attempt(trial.attempt.number)
            if there := records.original(folder, trial.attempt.nonce):
                return there.removesuffix(folder.removeprefix(paths.root))
    with contextlib.suppress(OSError):
        if identity(history.path) == history.folder:
            return history.path
    return ""


def described(paths: StudyPaths, history: History, original: str) -> str:
    """What the user should know of a copy."""
    count = len(history.running)
    runs = who_leads(StudyPaths(original).lock) is not None
    what = f"a study that runs in {original}" if runs else f"the study in {original}"
    trials = "the trial that was running is" if count == 1 else f"the {count} trials that were running are"
    return f"{paths.root} is a copy of {what}; nothing there is touched, and {trials} run again here"


def own_files(paths: StudyPaths) -> None:
    """Gives a copy that was made of hard links (`cp -al`) an event log of its own, and a file for its launchers' words.

    Call while leading and before the log is opened to write. What a backup links to stays as it is: there the log says
    that this folder is the study's own.
    """
    if not _shared(paths.db) or _led_in(paths) == identity(paths.root):
        return
    aside = f"{paths.root}/.{secrets.token_hex(8)}.tmp"
    with contextlib.closing(connect(paths.db)) as source, contextlib.closing(sqlite3.connect(aside)) as copy:
        source.backup(copy)
    for path in (f"{paths.db}-wal", f"{paths.db}-shm", paths.engine_log):  # first: they go with the other file
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    os.replace(aside, paths.db)
    failpoint("study.unshared")


def _led_in(paths: StudyPaths) -> tuple[int, ...]:
    with contextlib.closing(Journal(paths.db)) as journal:
        return fold(journal.read()).folder


def _shared(path: str) -> bool:
    try:
        return os.stat(path, follow_symlinks=False).st_nlink > 1
    except OSError:
        return False
