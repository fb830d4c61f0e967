"""Whether a study's folder is a copy of one that is there as well: then what runs is the other one's.

A folder is known by device and inode, which the event log keeps: they stay the same when it is moved.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from hpo_engine.contract.paths import StudyPaths, identity
from hpo_engine.executors.local import records
from hpo_engine.failpoints import failpoint
from hpo_engine.store.database import connect
from hpo_engine.store.journal import Journal
from hpo_engine.store.lock import who_leads
from hpo_engine.study.events import AttemptIntended, Event, TrialEnded
from hpo_engine.study.history import History


def origin(paths: StudyPaths, history: History) -> str:
    """The folder in which the trials run that the log in `paths` says are running; "" if that is this folder, or was.

    "" too if the other folder is gone: this one was restored, or moved to another disk, and stands in its place.
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


def not_here(paths: StudyPaths, count: int) -> str:
    """What the user should know of trials whose files the copy lacks."""
    trials, them = ("1 trial", "it runs") if count == 1 else (f"{count} trials", "they run")
    return f"{paths.root} is a copy, and {trials} ended in the original after it was made: {them} again here"


def own_files(paths: StudyPaths) -> int:
    """Gives a copy made of hard links (`cp -al`) an event log of its own, and a file for its launchers' output.
    Events of any copy about what is not in it (the original continued the linked log, or ended trials while it was
    copied) are left out: those trials run again. Returns how many ends of trials that were.

    Call while leading and before the log is opened to write. What a backup links to stays as it is: there the log says
    that this folder is the study's own.
    """
    shared, led_in = _shared(paths.db), _led_in(paths)
    if led_in == identity(paths.root) or not (led_in or shared):
        return 0
    with contextlib.closing(Journal(paths.db)) as journal:
        events = journal.read(lazy=True)
    kept = events[: _last_whole(paths, events)]
    if len(kept) == len(events) and not shared:
        return 0
    aside = f"{paths.root}/.{secrets.token_hex(8)}.tmp"
    with contextlib.closing(Journal(aside, write=True)) as copy:
        copy.append(kept)
    for path in (f"{paths.db}-wal", f"{paths.db}-shm", *((paths.engine_log,) if shared else ())):
        with contextlib.suppress(FileNotFoundError):  # first: they go with the other file
            os.unlink(path)
    os.replace(aside, paths.db)
    failpoint("study.unshared")
    return sum(isinstance(event, TrialEnded) for event in events[len(kept) :])


def whole(paths: StudyPaths) -> bool:
    """Whether of each trial that the log says has ended this folder has the files."""
    with contextlib.closing(Journal(paths.db)) as journal:
        events = journal.read(lazy=True)
    return _last_whole(paths, events) == len(events)


def _last_whole(paths: StudyPaths, events: Sequence[Event]) -> int:
    """How many of the events there are before the first end of a trial of which this folder has nothing."""
    if not os.path.isdir(paths.trials):  # a backup without the records
        return len(events)
    latest: dict[int, AttemptIntended] = {}
    torn = None  # from here on no trial that ended has a results folder
    for number, event in enumerate(events):
        if isinstance(event, AttemptIntended):
            latest[event.trial] = event
        elif isinstance(event, TrialEnded) and event.trial in latest and _ran(event.exit):
            attempt, trial = latest[event.trial], paths.trial(event.trial)
            if records.read_exit(trial.attempt(attempt.attempt), attempt.nonce) is None:
                return number if torn is None else torn
            if os.path.isdir(trial.result_dir):
                torn = None  # those before were removed by hand
            elif torn is None:
                torn = number
    return len(events) if torn is None else torn


def _ran(exit_: Mapping[str, Any] | None) -> bool:
    """Whether a supervisor saw the run end, and so has left its record."""
    record = exit_ or {}
    return not record.get("lost") and (record.get("code") is not None or record.get("signal") is not None)


def _led_in(paths: StudyPaths) -> tuple[int, ...]:
    """The folder that the log names last; () if it cannot be read: whoever opens it next reports why."""
    query = "SELECT body FROM events WHERE kind = 'engine_started' ORDER BY seq DESC LIMIT 1"
    try:
        with contextlib.closing(connect(paths.db)) as db:
            found = db.execute(query).fetchone()
        return tuple(json.loads(found[0]).get("folder", ())) if found else ()
    except (sqlite3.Error, ValueError, AttributeError, TypeError):
        return ()


def _shared(path: str) -> bool:
    try:
        return os.stat(path, follow_symlinks=False).st_nlink > 1
    except OSError:
        return False
