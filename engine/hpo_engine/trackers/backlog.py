"""Which ended trials lack an event file, or have one that was cut short: found with one look at each trial's folder.

A file in the logs folder says up to when all files were written. A trial that had ended by then, and whose folder has
not been touched since, costs one call and no look into the folder: studies of 10,000 trials are resumed, too.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator

from hpo_engine.contract.paths import StudyPaths
from hpo_engine.errors import ContractError
from hpo_engine.study.history import History
from hpo_engine.study.trial import Trial
from hpo_engine.system.files import safe_read
from hpo_engine.trackers.eventfile import ASIDE, OWN, holds
from hpo_engine.trackers.tfevents import SESSION_END

RECENT_S = 60.0
"""Only trials that ended this shortly before the log's end can have been cut short by the end of an engine."""
_MARK = ".hpo-engine"
_COARSE_NS = 1_000_000_000  # time stamps of files may be this coarse
_END = SESSION_END.encode()


def unwritten(paths: StudyPaths, history: History) -> Iterator[tuple[Trial, bool]]:
    """Every trial that has ended, and whether it is to be written again."""
    written_to, marked_ns = _mark(paths, history)
    for trial in history.trials:
        if not trial.state.ended or not trial.attempts:
            continue
        folder = paths.trial(trial.id).log_dir
        try:
            touched_ns = os.stat(folder).st_mtime_ns
        except OSError:  # it was removed: there is nowhere to write
            yield trial, False
            continue
        known = (trial.ended_at or 0.0) < written_to and touched_ns < marked_ns
        yield trial, not known and not _is_written(folder, trial, history)


def mark(paths: StudyPaths, history: History, at: float) -> None:
    """Notes that the files of all trials that ended until `at` (UTC seconds) are written."""
    text = json.dumps({"opened_at": history.opened_at, "written_to": at - RECENT_S})
    how = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with contextlib.suppress(OSError), open(os.open(f"{paths.logs}/{_MARK}", how, 0o644), "w") as file:
        file.write(text)


def _mark(paths: StudyPaths, history: History) -> tuple[float, int]:
    """Up to when all was written by the latest mark, and when that was made (ns); zeros without one."""
    try:
        found = json.loads(safe_read(paths.logs, _MARK))
        if found["opened_at"] == history.opened_at:
            return float(found["written_to"]), os.stat(f"{paths.logs}/{_MARK}").st_mtime_ns - _COARSE_NS
    except (OSError, ContractError, ValueError, LookupError, TypeError):
        pass
    return 0.0, 0


def _is_written(folder: str, trial: Trial, history: History) -> bool:
    for place in (folder, f"{folder}/{ASIDE}"):
        try:
            names = [n for n in os.listdir(place) if OWN in n]
        except OSError:
            continue
        if names:
            recent = (trial.ended_at or 0.0) >= history.last_at - RECENT_S
            ends = max(1, trial.runs)
            return not recent or sum(holds(f"{place}/{n}", _END) for n in names) >= ends
    return False
