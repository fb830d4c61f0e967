"""What a training script gets from the engine: its folders, its config.json, its environment.

Writes so that no reader sees half a file and no link that a script planted is followed: what cannot be made as it must
be is a LaunchError; a full disk or a study folder that is gone stays an OSError. Knows nothing of searching or running.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from hpo_engine.contract.paths import CONFIG, SUBMITTED, StudyPaths, TrialPaths
from hpo_engine.errors import LaunchError
from hpo_engine.failpoints import failpoint
from hpo_engine.study.spec import StudySpec
from hpo_engine.system import threads
from hpo_engine.system.faults import faultpoint, placed
from hpo_engine.system.files import FOLDER, open_folder

_UNREAD_NS = 10**9  # by which the access time of a config.json that nobody has read is earlier than its change


def write_config(paths: TrialPaths, config: Mapping[str, Any]) -> None:
    """Writes the trial's config.json, replacing whatever is there.

    Raises:
        LaunchError: RESULT_DIR is not a real folder any more, or a value has no JSON form.
    """
    try:
        # ASCII: a script that opens it in the encoding of its locale, whatever that is, reads the same values.
        data = _text(config)
    except ValueError as error:
        raise LaunchError(f"trial {paths.trial_id}: {CONFIG} cannot hold these parameters: {error}") from None
    # Not fsynced: the event log holds the parameters durably, and every launch writes this file anew.
    with _folder(paths, paths.result_dir) as fd:
        try:
            _put(fd, CONFIG, data)
        except IsADirectoryError:
            raise LaunchError(f"{paths.config} is a folder: remove it") from None
        except OSError as error:
            error.filename = CONFIG  # not the name that it was to have for a moment
            raise


def _text(config: Mapping[str, Any]) -> bytes:
    return json.dumps(config, allow_nan=False, indent=2).encode() + b"\n"


def config_was_read(paths: TrialPaths, config: Mapping[str, Any] | None = None) -> bool | None:
    """Whether anybody has read the trial's config.json since it was written; None if the file system does not say.

    The kernel keeps the time of the last access unless it is told not to (noatime), which one look of our own shows.

    Args:
        config: what it held; a file that holds something else by now, for another attempt, counts as read.
    """
    try:
        if not _unread(paths.config):
            return True
        fd = os.open(paths.config, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            wanted = None if config is None else _text(config)
            if wanted is not None and os.read(fd, len(wanted) + 1) != wanted:
                return True
            os.read(fd, 1)
        finally:
            os.close(fd)
        return None if _unread(paths.config) else False
    except OSError:
        return None


def _unread(path: str) -> bool:
    found = os.stat(path, follow_symlinks=False)
    return found.st_mtime_ns - found.st_atime_ns == _UNREAD_NS


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
        with _folder(paths, parent) as fd:
            _make(fd, name, parent)
            if parent == study.logs:
                _make(fd, f"{name}/{name}", parent)
    with _folder(paths, study.trials) as fd:
        _make(fd, name, study.trials)
        inner = paths.state_dir[len(study.trials) + 1 :]
        _make(fd, inner, study.trials)
        _link("../../../" + paths.log_dir[len(study.root) + 1 :], inner + "/logs", fd)


def view_of(spec: StudySpec, lay: Callable[[str], None]) -> Callable[[str], None]:
    """`lay`, which puts the model's view into a RESULT_DIR, and for requests of WMLA the place where its older versions
    had the working directory: _submitted_code/<name of the model folder>, a link to it."""
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

    Can be called again after a crash at any point. A folder that was set aside before stays as it is: what was laid
    out since then is removed if empty, else moved to `result.1` (`.2`, ...). Links are moved, never followed.
    """
    aside = paths.attempt(attempt_number)
    if aside != paths.own:
        with _folder(paths, paths.own) as own:
            _make(own, os.path.basename(aside), paths.own)
    with _folder(paths, aside) as into:
        for source, name in ((paths.result_dir, "result"), (paths.log_dir, "logs")):
            with _folder(paths, os.path.dirname(source)) as parent:
                _move(parent, paths.name, into, name)


def make_way(paths: TrialPaths, last_run: int) -> None:
    """For another attempt after one that never began: nothing of that one is kept.

    Args:
        last_run: the last attempt that has run, 0 if none has. What it left is set aside, if that was not done yet.
    """
    if last_run and not os.path.lexists(f"{paths.attempt(last_run)}/result"):
        set_aside(paths, last_run)
    else:
        shutil.rmtree(paths.result_dir, ignore_errors=True)


def standing(paths: StudyPaths) -> bool:
    """Whether the study's own folders are there, and folders."""
    folders = (paths.results, paths.logs, paths.trials)
    return all(os.path.isdir(path) and not os.path.islink(path) for path in folders)


def set_aside_unknown(study: StudyPaths, first: int) -> list[int]:
    """Moves what trials left that the event log does not know (from id `first` on) to `trials/<id>.unknown`.

    A power cut can take their events. Folders that were only laid out ahead stay: they have no config.json yet.
    """
    moved = []
    for name in sorted(os.listdir(study.results)):
        paths = study.trial(int(name)) if name.isascii() and name.isdigit() and int(name) >= first else None
        if paths is None or name != paths.name or not os.path.lexists(paths.config):
            continue
        with _folder(paths, study.trials) as trials, _folder(paths, study.results) as results:
            target = f"{name}.unknown"
            while _there(trials, target):
                target += "+"
            _make(trials, target, study.trials)
            into = open_folder(study.root, f"{study.trials}/{target}")
            try:
                with _folder(paths, study.logs) as logs:
                    # The one by which it is known comes last.
                    for parent, kept in ((trials, "own"), (logs, "logs"), (results, "result")):
                        if _there(parent, name):
                            os.rename(name, kept, src_dir_fd=parent, dst_dir_fd=into)
                        failpoint("trial.unknown-aside")
            finally:
                os.close(into)
        moved.append(paths.trial_id)
    return moved


def user_of(base: Mapping[str, str]) -> str:
    """The user's name as trials see it in USER; "user" where there is none that could name a folder."""
    user = base.get("USER", "")
    if not user:
        import getpass

        try:
            user = getpass.getuser()
        except (KeyError, OSError, ImportError):  # a uid without a name, as in many containers
            user = "user"
    return "user" if "/" in user or user in ("", ".", "..") else user


_ENGINES = ("HPO_ENGINE_", "HPO_FAILPOINT", "HPO_RESUME_")  # an engine's own, and of no concern to its trials
PER_ATTEMPT = frozenset(
    (
        "RESULT_DIR", "LOG_DIR", "DLI_EXECID", "SUBID", "TRAINING_ID", "JOB_STATE_DIR", "PWD", "HPO_ATTEMPT",
        "HPO_RESUME_FROM", "HPO_RESUME_RESOURCE",
    )
)  # fmt: skip
"""The variables that `environment` gives another value in each attempt."""


def command(spec: StudySpec, python: str) -> tuple[str, ...]:
    """The argv of an attempt: `python` or `python3` as its first word means `spec.interpreter`, else `python`.

    Args:
        python: the interpreter that runs the engine, so that an environment need not be activated.
    """
    first, *rest = spec.command
    return (spec.interpreter or python if first in ("python", "python3") else first, *rest)


def environment(
    spec: StudySpec,
    paths: TrialPaths,
    base: Mapping[str, str],
    nonce: str,
    gpus: Sequence[str],
    resume: tuple[int, int] | None = None,
) -> dict[str, str]:
    """The environment of one attempt: `base` without the engine's own variables, the contract's variables, `spec.env`.

    DLI_WORK_DIR and MODEL_PATH: RESULT_DIR, where the code is; except for WMLA requests, values in `base` take
    precedence. DATA_DIR and DLI_DATA_FS: from the spec, else from `base`; if only one is known, the other follows it.
    If neither is known, both are RESULT_DIR: reads below it find what the model folder has, as they would by hand, and
    downloads stay with the trial (the frozen model folder, the other candidate, must not be written to).

    HPO_RESUME_FROM and HPO_RESUME_RESOURCE are set only if the attempt goes on from files that are in RESULT_DIR.

    Args:
        base: the caller's environment.
        nonce: the attempt's mark, by which its processes are found. Not even `spec.env` changes it.
        resume: the trial whose files RESULT_DIR has, and how much of the resource they were trained with.
        gpus: the devices it was given (used only if `spec.resources.gpus` is set, so that they are managed).
    """
    study, resources = paths.study, spec.resources
    env = {k: v for k, v in base.items() if not k.startswith(_ENGINES)}
    root, data = spec.data_root, spec.data_dir
    if root and data:
        data = os.path.join(root, data)
    if not root and not data:
        root, data = env.get("DLI_DATA_FS"), env.get("DATA_DIR")
    env |= {
        "RESULT_DIR": paths.result_dir,
        "LOG_DIR": paths.log_dir,
        "DATA_DIR": data or root or paths.result_dir,
        "DLI_DATA_FS": root or data or paths.result_dir,
        "DLI_RESULT_FS": study.dli,
        "USER": user_of(base),
        "DLI_EXECID": paths.name,
        "SUBID": paths.name,
        "TRAINING_ID": f"{spec.name}-{paths.name}",
        "JOB_STATE_DIR": paths.state_dir,
        "PWD": paths.result_dir,
    }
    for name in ("DLI_WORK_DIR", "MODEL_PATH"):  # who never had WMLA may mean something else by these names
        if spec.submitted_code is not None or base.get(name) in (None, base.get("RESULT_DIR")):
            env[name] = paths.result_dir
    env.setdefault("PYTHONUNBUFFERED", "1")
    if resources.gpus is not None:
        env["CUDA_VISIBLE_DEVICES"] = ",".join(gpus) if resources.gpus else ""
        env.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    env |= threads.variables({**env, **spec.env}, resources.cpus)
    env |= {**spec.env, "HPO_ATTEMPT": nonce}
    if resume is not None:
        env |= {"HPO_RESUME_FROM": str(resume[0]), "HPO_RESUME_RESOURCE": str(resume[1])}
    return env


@contextmanager
def _folder(paths: TrialPaths, path: str) -> Iterator[int]:
    """`open_folder` for writing into it."""
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


def _put(folder: int, name: str, data: bytes) -> None:
    """Writes a whole file so that a reader sees the old one or the new one, which nobody has read yet."""
    # The name cannot be foreseen (nobody can plant it), and two writers never share one.
    aside = f".{os.urandom(8).hex()}.tmp"
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=folder)
    try:
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(fd, left) :]
            changed = os.fstat(fd).st_mtime_ns  # an access time before it: the first read is sure to move that
            os.utime(fd, ns=(changed - _UNREAD_NS, changed))
        finally:
            os.close(fd)
        failpoint("file.before-rename")
        os.replace(aside, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(aside, dir_fd=folder)
        raise
