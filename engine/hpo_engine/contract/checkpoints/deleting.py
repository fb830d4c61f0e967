"""Checkpoints of a trial are deleted: its own ones only, and nothing that a link leads to.

Calling it again, after a crash say, deletes what is left.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from hpo_engine.contract.checkpoints.finding import all_of
from hpo_engine.contract.sources.interface import TrialFiles
from hpo_engine.study.spec import Checkpoints
from hpo_engine.system.files import open_folder

_SLACK_S = 60.0  # by which the clock of a network disk may be ahead


def delete(trial: TrialFiles, chosen: Checkpoints, ended_at: float | None) -> None:
    """Deletes all checkpoints of a trial whose processes have gone. What cannot be deleted stays; never raises.

    Args:
        ended_at: when the trial ended (UTC seconds); what was written later is somebody else's.
    """
    until = math.inf if ended_at is None else (ended_at + _SLACK_S) * 10**9
    for group in all_of(trial, chosen):
        for path in [path for path, found in group.files.items() if found.st_mtime_ns <= until]:
            _unlink(trial, path)
        _remove_empty(trial, group.name.path, group.files)


def _unlink(trial: TrialFiles, path: str) -> None:
    with suppress(OSError), _holding(trial, path) as (folder, name):
        os.unlink(name, dir_fd=folder)


def _remove_empty(trial: TrialFiles, checkpoint: str, files: Iterable[str]) -> None:
    """Removes the folders of a checkpoint, the innermost first; those with anything in them stay."""
    inside = {folder for path in files for folder in _folders(path, checkpoint)}
    for folder in sorted(inside, key=len, reverse=True):
        with suppress(OSError), _holding(trial, folder) as (outer, name):
            os.rmdir(name, dir_fd=outer)


@contextmanager
def _holding(trial: TrialFiles, path: str) -> Iterator[tuple[int, str]]:
    """The folder that holds what has this path in RESULT_DIR, opened without following links, and its name there.
    Raises OSError."""
    folder, _, name = f"{trial.paths.result_dir}/{path}".rpartition("/")
    fd = open_folder(trial.paths.study.root, folder)
    try:
        yield fd, name
    finally:
        os.close(fd)


def _folders(path: str, checkpoint: str) -> Iterable[str]:
    """The folders on the way from the checkpoint to a file in it; none if the checkpoint is not a folder."""
    folder = path.rpartition("/")[0]
    while folder == checkpoint or folder.startswith(f"{checkpoint}/"):
        yield folder
        folder = folder.rpartition("/")[0]
