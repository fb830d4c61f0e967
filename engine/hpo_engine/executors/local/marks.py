"""Processes that carry the mark of an attempt in their environment, and may have outlived its shim.

A copy of a study's folder has the same marks, so a mark alone proves nothing: what is to be killed must also belong to
this very folder.
"""

from __future__ import annotations

import contextlib
import os
import signal

from hpo_engine.contract.paths import TrialPaths, identity
from hpo_engine.executors.local import processes, records
from hpo_engine.system.faults import at_fault


def any_marked(nonce: str) -> bool:
    """Whether a process carries the mark of the attempt `nonce` in its environment."""
    mark = f"HPO_ATTEMPT={nonce}".encode()
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/environ", "rb") as file:
                    if mark in file.read().split(b"\0"):
                        return True
            except OSError:  # it has gone, or is another user's
                pass
    return False


def sweep(paths: TrialPaths, number: int, nonce: str) -> int:
    """SIGKILLs every process of this trial's folder that carries the attempt's mark in its environment; returns how
    many there were. To be called again until there are none: some may have been born meanwhile.

    Only for an attempt whose shim is dead: what it ran may have outlived it. A copy of the folder has the same marks,
    so a mark alone proves nothing.
    """
    folder = paths.attempt(number)
    record = records.started(folder, nonce)
    if record is not None and (record.get("boot") != processes.boot_id() or records.elsewhere(record, folder)):
        return 0
    killed = 0
    for pidfd in _marked(nonce, paths, known=record is not None and "folder" in record):
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            killed += 1
        os.close(pidfd)
    return killed


def _marked(nonce: str, paths: TrialPaths, *, known: bool) -> list[int]:
    """pidfds of the trial's living processes with the mark `nonce`; opened before the look, so that they are they.

    Args:
        known: the attempt is known to have started in this folder.
    """
    mark, found = f"HPO_ATTEMPT={nonce}".encode(), list[int]()
    try:
        for name in os.listdir("/proc"):
            if name.isdigit() and int(name) != os.getpid():
                _look_at(name, mark, paths, known, found)
    except OSError:
        for pidfd in found:
            os.close(pidfd)
        raise
    return found


def _look_at(name: str, mark: bytes, paths: TrialPaths, known: bool, found: list[int]) -> None:
    try:
        pidfd = os.pidfd_open(int(name))
    except OSError as error:
        if at_fault(error):
            raise
        return
    try:
        with open(f"/proc/{name}/environ", "rb") as file:
            variables = file.read().split(b"\0")
        if mark in variables and _belongs(f"/proc/{name}", variables, paths, known):
            found.append(pidfd)
            return
    except OSError as error:
        if at_fault(error):
            os.close(pidfd)
            raise
    os.close(pidfd)


def _belongs(process: str, variables: list[bytes], paths: TrialPaths, known: bool) -> bool:
    """Whether the process runs in this very study: by its RESULT_DIR, else by the folder that it works in."""
    named = next((v.partition(b"=")[2] for v in variables if v.startswith(b"RESULT_DIR=/")), b"")
    study = os.fsencode(f"{process}/root") + os.path.dirname(os.path.dirname(named))  # as it sees it itself
    if named and os.path.exists(study):
        if os.path.basename(named) == paths.name.encode() and identity(study) == identity(paths.study.root):
            return True
    elif known:
        return True  # the study was moved since
    return _below(f"{process}/cwd", paths.result_dir)


def _below(path: str, folder: str) -> bool:
    """Whether `path` is `folder` or lies below it, by device and inode."""
    try:
        wanted, here = identity(folder), None
        while (found := identity(path)) != here:
            if found == wanted:
                return True
            path, here = f"{path}/..", found
    except OSError:  # one of them is gone
        pass
    return False
