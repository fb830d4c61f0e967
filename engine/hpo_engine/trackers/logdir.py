"""What TensorBoard is shown of a study: links to the event files of its trials, in a private folder.

Each trial is the run of its number; what its script writes, into LOG_DIR or RESULT_DIR, are runs below that
(`3/lightning_logs/version_0`). TensorBoard serves whatever it finds in such folders, also files that a script names in
one of them. So it sees event files only, and none that a link leads to.
"""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from hpo_engine.contract.paths import StudyPaths, TrialPaths, is_own_events
from hpo_engine.contract.sources.found import Found
from hpo_engine.contract.sources.interface import TrialFiles

EVENTS = "**/*tfevents*"
SCRIPT = "script"
"""The run, below the trial's, of event files that a script writes right into LOG_DIR or RESULT_DIR."""
_SOON_S, _LATE_S = 2.0, 120.0  # between two looks at a trial: at first, and if nothing comes

log = logging.getLogger(__name__)


class LogDir:
    """A folder for `tensorboard --logdir`, kept up to date by `look`.

    Args:
        path: an empty folder.
    """

    def __init__(self, paths: StudyPaths, path: str) -> None:
        self._paths, self._path = paths, path
        self._trials: dict[int, _Trial] = {}

    def look(self, now: float) -> None:
        """Links what is new. `now`: seconds by any clock; a trial in which nothing comes is looked at less often."""
        for number in _numbers(self._paths.logs):
            trial = self._trials.setdefault(number, _Trial())
            if now >= trial.due:
                new = sum(self._link(number, name, target) for name, target in event_files(self._paths.trial(number)))
                trial.wait_s = _SOON_S if new else min(_LATE_S, 2 * trial.wait_s)
                trial.due = now + trial.wait_s

    def _link(self, number: int, name: str, target: str) -> bool:
        place = f"{self._path}/{number}/{name}"
        if os.path.lexists(place):
            return False
        os.makedirs(os.path.dirname(place), exist_ok=True)
        os.symlink(target, place)
        return True


@dataclass
class _Trial:
    due: float = float("-inf")
    wait_s: float = _SOON_S


def event_files(trial: TrialPaths) -> Iterator[tuple[str, str]]:
    """The event files of a trial: their names below its run, and where they are. Files that its RESULT_DIR got from the
    study's copy of the script's folder are none of them."""
    for file in Found(TrialFiles(trial), [EVENTS]).look():
        folder, _, name = file.name.rpartition("/")
        if file.called == "LOG_DIR" and is_own_events(name):
            yield name, file.path
        else:
            yield f"{folder or SCRIPT}/{name}", file.path


def follow(root: str) -> str:
    """Makes such a folder for the study at `root`, and keeps it up to date while this process lives. Its path."""
    path = tempfile.mkdtemp(prefix="hpo-engine-tensorboard-")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    view = LogDir(StudyPaths(root), path)
    view.look(time.monotonic())
    threading.Thread(target=_keep_up, args=(view,), daemon=True).start()
    return path


def _keep_up(view: LogDir) -> None:
    while True:
        time.sleep(_SOON_S)
        try:
            view.look(time.monotonic())
        except OSError as error:
            log.warning("event files of new trials are not shown: %s", error)


def _numbers(folder: str) -> list[int]:
    try:
        return sorted(int(name) for name in os.listdir(folder) if name.isascii() and name.isdecimal())
    except OSError:
        return []
