"""The files that a trial continues from: its own, as the last attempt left them, or a copy of another trial's.

A copy is whole before it has its name. No link is followed, and what other trials may still start from is kept.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from hpo_engine.contract.foldercopy import Check, copy_folder, no_check
from hpo_engine.contract.paths import CONFIG, TrialPaths
from hpo_engine.errors import LaunchError
from hpo_engine.failpoints import failpoint
from hpo_engine.system.faults import at_fault, described

KEPT = "result"
"""In the folder of an attempt: what it left in RESULT_DIR, if that is not in RESULT_DIR any more."""
_NEW = "result.new"  # a copy that is not whole yet, or has not got its place yet


def require_own(paths: TrialPaths) -> None:
    """Raises LaunchError if the files that the trial continues from are gone."""
    if not os.path.isdir(paths.result_dir) or os.path.islink(paths.result_dir):
        raise LaunchError(f"cannot be carried on: {paths.result_dir} was removed")


def is_kept(paths: TrialPaths, attempt: int) -> bool:
    """Whether `keep` is done, or not needed because the files were set aside."""
    return os.path.lexists(f"{paths.attempt(attempt)}/{KEPT}")


def keep(paths: TrialPaths, attempt: int, check: Check = no_check) -> None:
    """Keeps a copy of what the trial's attempt left in RESULT_DIR, since other trials may still start from it.

    Call it before another attempt continues in RESULT_DIR. `check`: see `copy_folder`.
    """
    folder = paths.attempt(attempt)
    with _copying(paths.result_dir):
        copy_folder(paths.study.root, paths.result_dir, f"{folder}/{_NEW}", check=check)
    os.rename(f"{folder}/{_NEW}", f"{folder}/{KEPT}")
    failpoint("trial.kept")


def drop(paths: TrialPaths, attempt: int) -> None:
    """Removes what `keep` has kept of an attempt, if anything."""
    shutil.rmtree(f"{paths.attempt(attempt)}/{KEPT}", ignore_errors=True)


def copy_from(
    paths: TrialPaths, other: TrialPaths, attempt: int, latest: bool, reports: Collection[str], check: Check = no_check
) -> None:
    """Copies what an attempt of another trial left; `place` makes that the trial's RESULT_DIR.

    Its config.json and the files with its metrics are left out: parameters and rows are the other trial's own.

    Args:
        attempt: of the other trial; latest: no later one has begun.
        reports: files with metrics, by their paths in RESULT_DIR.
        check: see `copy_folder`.

    Raises:
        LaunchError: the files are gone or cannot be copied.
    """
    source = f"{other.attempt(attempt)}/{KEPT}"
    if latest and not os.path.lexists(source):
        source = other.result_dir
    if not os.path.isdir(source) or os.path.islink(source):
        why = "was removed" if latest else "is not there any more, as that trial has gone on since"
        raise LaunchError(f"cannot start from trial {other.trial_id}: what its attempt {attempt} left {why}")
    moved = (other.result_dir, paths.result_dir)
    with _copying(source):
        copy_folder(paths.study.root, source, f"{paths.own}/{_NEW}", skip={CONFIG, *reports}, moved=moved, check=check)
    failpoint("trial.copied")


def place(paths: TrialPaths) -> None:
    """Makes what `copy_from` has copied RESULT_DIR, instead of what is there."""
    shutil.rmtree(paths.result_dir, ignore_errors=True)
    with _copying(paths.result_dir):
        os.rename(f"{paths.own}/{_NEW}", paths.result_dir)
    failpoint("trial.started-from")


@contextmanager
def _copying(folder: str) -> Iterator[None]:
    """What is wrong with the folder, and not with the machine, is a LaunchError."""
    try:
        yield
    except OSError as error:
        if at_fault(error):
            raise
        raise LaunchError(f"{folder} cannot be copied: {described(error)}") from None
