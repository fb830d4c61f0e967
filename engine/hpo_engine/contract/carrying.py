"""The files that a trial continues from: its own, as the last attempt left them, or a copy of another trial's.

A copy is whole before it has its name. No link is followed, and what other trials may still start from is kept.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from hpo_engine.contract.paths import CONFIG, RESULT, TrialPaths, is_below
from hpo_engine.errors import LaunchError
from hpo_engine.failpoints import failpoint
from hpo_engine.system.faults import at_fault, described
from hpo_engine.system.files import FOLDER, open_folder

KEPT = "result"
"""In the folder of an attempt: what it left in RESULT_DIR, if that is not in RESULT_DIR any more."""
_NEW = "result.new"  # a copy that is not whole yet
_DEEPEST = 100  # levels of folders; what nests deeper is a mistake or an attack
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def require_own(paths: TrialPaths) -> None:
    """Raises LaunchError if the files that the trial continues from are gone."""
    if not os.path.isdir(paths.result_dir) or os.path.islink(paths.result_dir):
        raise LaunchError(f"cannot be carried on: {paths.result_dir} was removed")


def keep(paths: TrialPaths, attempt: int) -> None:
    """Keeps a copy of what the trial's attempt left in RESULT_DIR, since other trials may start from it yet.

    Call it before another attempt continues in RESULT_DIR; calling it again is harmless.
    """
    folder = paths.attempt(attempt)
    if not os.path.lexists(f"{folder}/{KEPT}"):
        _copy_whole(paths.study.root, paths.result_dir, folder, ("", ""))
        os.rename(f"{folder}/{_NEW}", f"{folder}/{KEPT}")
        failpoint("trial.kept")


def start_from(paths: TrialPaths, other: TrialPaths, attempt: int, *, latest: bool) -> None:
    """Lays a copy of what an attempt of another trial left there as RESULT_DIR, in place of what is there.

    Its config.json and val_dict_list.json are left out: parameters and rows are the other trial's own.

    Args:
        attempt: of the other trial; latest: no later one has begun.

    Raises:
        LaunchError: that is gone.
    """
    source = f"{other.attempt(attempt)}/{KEPT}"
    if latest and not os.path.lexists(source):
        source = other.result_dir
    if not os.path.isdir(source) or os.path.islink(source):
        why = "was removed" if latest else "is not there any more, as that trial has gone on since"
        raise LaunchError(f"cannot start from trial {other.trial_id}: what its attempt {attempt} left {why}")
    _copy_whole(paths.study.root, source, paths.own, (other.result_dir, paths.result_dir), frozenset((CONFIG, RESULT)))
    failpoint("trial.copied")
    shutil.rmtree(paths.result_dir, ignore_errors=True)
    with _copying(paths.result_dir):
        os.rename(f"{paths.own}/{_NEW}", paths.result_dir)
    failpoint("trial.started-from")


def _copy_whole(root: str, source: str, into: str, moved: tuple[str, str], skip: frozenset[str] = frozenset()) -> None:
    """A copy of the folder `source` as `_NEW` in the folder `into`, without the names in `skip`.

    Args:
        moved: links that lead to or below the first path lead to or below the second one in the copy ("": none do).
    """
    shutil.rmtree(f"{into}/{_NEW}", ignore_errors=True)
    parent = open_folder(root, into)
    try:
        os.mkdir(_NEW, dir_fd=parent)
    finally:
        os.close(parent)
    out, to = open_folder(root, source), open_folder(root, f"{into}/{_NEW}")
    try:
        with _copying(source):
            _copy_folder(out, to, skip, moved, _DEEPEST)
    finally:
        os.close(out)
        os.close(to)


@contextmanager
def _copying(folder: str) -> Iterator[None]:
    """What is wrong with the folder, and not with the machine, is a LaunchError."""
    try:
        yield
    except OSError as error:
        if at_fault(error):
            raise
        raise LaunchError(f"{folder} cannot be copied: {described(error)}") from None


def _copy_folder(source: int, target: int, skip: frozenset[str], moved: tuple[str, str], depth: int) -> None:
    if not depth:
        raise OSError(errno.ELOOP, f"folders are nested deeper than {_DEEPEST}")
    with os.scandir(source) as entries:
        for entry in entries:
            if entry.name in skip:
                continue
            seen = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(seen.st_mode):
                os.mkdir(entry.name, 0o700, dir_fd=target)
                inner, copy = (os.open(entry.name, FOLDER | os.O_NOFOLLOW, dir_fd=fd) for fd in (source, target))
                try:
                    _copy_folder(inner, copy, frozenset(), moved, depth - 1)
                    _like(copy, seen)
                finally:
                    os.close(inner)
                    os.close(copy)
            elif stat.S_ISREG(seen.st_mode):
                _copy_file(entry.name, source, target, seen)
            elif stat.S_ISLNK(seen.st_mode):
                leads_to = os.readlink(entry.name, dir_fd=source)
                if moved[0] and is_below(leads_to, moved[0]):
                    leads_to = moved[1] + leads_to[len(moved[0]) :]
                os.symlink(leads_to, entry.name, dir_fd=target)
            # Sockets and pipes were those of processes that are gone.


def _copy_file(name: str, source: int, target: int, seen: os.stat_result) -> None:
    out = os.open(name, _READ, dir_fd=source)
    try:
        into = os.open(name, _WRITE, 0o600, dir_fd=target)
        try:
            try:
                while os.copy_file_range(out, into, 1 << 30):  # shares the blocks if the file system can
                    pass
            except OSError:  # not between these file systems; a true fault shows again below
                os.lseek(out, 0, os.SEEK_SET)
                os.ftruncate(into, 0)
                os.lseek(into, 0, os.SEEK_SET)
                with open(out, "rb", closefd=False) as reader, open(into, "wb", closefd=False) as writer:
                    shutil.copyfileobj(reader, writer, 1 << 20)
            _like(into, seen)
        finally:
            os.close(into)
    finally:
        os.close(out)


def _like(fd: int, seen: os.stat_result) -> None:
    os.fchmod(fd, stat.S_IMODE(seen.st_mode))
    os.utime(fd, ns=(seen.st_atime_ns, seen.st_mtime_ns))
