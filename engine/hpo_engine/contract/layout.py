"""The folders of a study and of its trials: made, set aside, and found missing.

No link that a script planted is followed: what cannot be made as it must be is a LaunchError; a full disk or a study
folder that is gone stays an OSError.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from hpo_engine.contract.paths import SUBMITTED, StudyPaths, TrialPaths
from hpo_engine.errors import LaunchError
from hpo_engine.failpoints import failpoint
from hpo_engine.study.spec import StudySpec
from hpo_engine.system.faults import faultpoint, placed
from hpo_engine.system.files import FOLDER, open_folder


def lay_out_study(paths: StudyPaths, user: str) -> None:
    """Makes the study's own folders; those that exist stay. `user`: see `user_of`.

    `dli/<user>/batchworkdir` leads to `results`, so that $DLI_RESULT_FS/$USER/batchworkdir/$DLI_EXECID is RESULT_DIR;
    the link is relative, so that the study's folder can be moved.
    """
    for folder in (paths.results, paths.logs, paths.trials, paths.inbox, f"{paths.dli}/{user}"):
        os.makedirs(folder, exist_ok=True)
    _link("../../" + os.path.basename(paths.results), f"{paths.dli}/{user}/batchworkdir")


def lay_out(paths: TrialPaths) -> None:
    """Makes the trial's folders: RESULT_DIR, LOG_DIR, LOG_DIR/SUBID (which some scripts cannot make), the engine's own,
    JOB_STATE_DIR. Calling it again is harmless.

    Raises:
        LaunchError: a link or a file stands where a folder must be.
    """
    faultpoint("engine.lay-out")
    study, name = paths.study, paths.name
    for parent in (study.results, study.logs):
        with opened(paths, parent) as fd:
            _make(fd, name, parent)
            if parent == study.logs:
                _make(fd, f"{name}/{name}", parent)
    with opened(paths, study.trials) as fd:
        _make(fd, name, study.trials)
        inner = paths.state_dir[len(study.trials) + 1 :]
        _make(fd, inner, study.trials)
        _link("../../../" + paths.log_dir[len(study.root) + 1 :], inner + "/logs", fd)


def view_of(spec: StudySpec, lay: Callable[[str], None]) -> Callable[[str], None]:
    """`lay`, which puts the model's view into a RESULT_DIR; for WMLA requests it also makes the place where older
    versions had the working directory: _submitted_code/<name of the model folder>, a link to RESULT_DIR."""
    name = spec.submitted_code
    if name is None or "/" in name or "\0" in name or name in ("", ".", ".."):
        return lay

    def lay_both(result_dir: str) -> None:
        lay(result_dir)
        with suppress(FileExistsError):
            os.mkdir(f"{result_dir}/{SUBMITTED}")
        with suppress(NotADirectoryError):  # a file or a link of the model's, which stays
            folder = os.open(f"{result_dir}/{SUBMITTED}", FOLDER | os.O_NOFOLLOW)
            try:
                _link("..", name, folder)
            finally:
                os.close(folder)

    return lay_both


def set_aside(paths: TrialPaths, attempt_number: int) -> None:
    """Moves RESULT_DIR and LOG_DIR of an ended attempt to `result` and `logs` beside that attempt's records.

    Can be called again after a crash at any point. A folder that was set aside before stays as it is; what was laid
    out since then is removed if it is empty, or else moved to `result.1` (`.2`, ...). Links are moved, never followed.
    """
    aside = paths.attempt(attempt_number)
    if aside != paths.own:
        with opened(paths, paths.own) as own:
            _make(own, os.path.basename(aside), paths.own)
    with opened(paths, aside) as into:
        for source, name in ((paths.result_dir, "result"), (paths.log_dir, "logs")):
            with opened(paths, os.path.dirname(source)) as parent:
                _move(parent, paths.name, into, name)


def make_way(paths: TrialPaths, last_run: int) -> None:
    """Prepares for another attempt after one that never began, of which nothing is kept.

    Args:
        last_run: the last attempt that has run, 0 if none has. What it left is set aside unless that is done.
    """
    if last_run and not os.path.lexists(f"{paths.attempt(last_run)}/result"):
        set_aside(paths, last_run)
    else:
        shutil.rmtree(paths.result_dir, ignore_errors=True)


def standing(paths: StudyPaths) -> bool:
    """Whether the study's own folders exist, as folders."""
    folders = (paths.results, paths.logs, paths.trials)
    return all(os.path.isdir(path) and not os.path.islink(path) for path in folders)


def set_aside_unknown(study: StudyPaths, first: int) -> list[int]:
    """Moves files of trials that are not in the event log (from id `first` on) to `trials/<id>.unknown`.

    A power cut can lose their events. Folders that were only laid out ahead have no config.json yet, and stay.

    Returns:
        The ids.
    """
    moved = []
    for name in sorted(os.listdir(study.results)):
        paths = study.trial(int(name)) if name.isascii() and name.isdigit() and int(name) >= first else None
        if paths is None or name != paths.name or not os.path.lexists(paths.config):
            continue
        with opened(paths, study.trials) as trials, opened(paths, study.results) as results:
            target = f"{name}.unknown"
            while _there(trials, target):
                target += "+"
            _make(trials, target, study.trials)
            into = open_folder(study.root, f"{study.trials}/{target}")
            try:
                with opened(paths, study.logs) as logs:
                    # RESULT_DIR comes last: by its config.json the trial is found if this is interrupted.
                    for parent, kept in ((trials, "own"), (logs, "logs"), (results, "result")):
                        if _there(parent, name):
                            os.rename(name, kept, src_dir_fd=parent, dst_dir_fd=into)
                        failpoint("trial.unknown-aside")
            finally:
                os.close(into)
        moved.append(paths.trial_id)
    return moved


@contextmanager
def opened(paths: TrialPaths, path: str) -> Iterator[int]:
    """A descriptor of the folder `path`, to write into it. Raises LaunchError if it is gone or not a folder."""
    try:
        fd = open_folder(paths.study.root, path)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise _no_folder(path) from None
        if error.errno == errno.ENOENT and path == paths.result_dir:
            raise LaunchError(f"{path} is gone: something removed it while the trial was prepared") from None
        raise
    try:
        yield fd
    except OSError as error:
        raise placed(error, path) from None
    finally:
        os.close(fd)


def _no_folder(path: str) -> LaunchError:
    return LaunchError(f"{path} is not a folder (something else was put in its place); remove it and run again")


def _make(parent: int, name: str, shown: str) -> None:
    """A folder in the folder `parent`, whose path is `shown`."""
    try:
        os.mkdir(name, dir_fd=parent)
    except FileExistsError:
        if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            raise _no_folder(f"{shown}/{name}") from None


def _link(target: str, path: str, parent: int | None = None) -> None:
    with suppress(FileExistsError):
        os.symlink(target, path, dir_fd=parent)


def _move(parent: int, source: str, into: int, name: str) -> None:
    target, earlier = name, 0
    while _there(into, target):
        earlier += 1
        target = f"{name}.{earlier}"
    if earlier:
        with suppress(OSError):  # removed if it is as it was laid out; anything else is kept
            if name == "logs":
                os.rmdir(f"{source}/{source}", dir_fd=parent)
            os.rmdir(source, dir_fd=parent)
    with suppress(FileNotFoundError):  # moved already
        os.rename(source, target, src_dir_fd=parent, dst_dir_fd=into)
        failpoint("trial.half-aside")


def _there(parent: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
