"""The files that a trial has left, found without following a link, each with an id that says nothing about its path."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpo_engine.errors import ContractError
from hpo_engine.system.files import FOLDER, Changed, open_file, open_folder

if TYPE_CHECKING:
    from hpo_engine.contract.paths import TrialPaths

MOST_FILES = 5_000
_MOST_DEPTH = 32
_NO_LIMIT = 1 << 62


@dataclass(frozen=True)
class Listed:
    """`area`: "result" or "log"; `path`: within that folder; `name`: for people; `modified`: UTC seconds."""

    id: str
    area: str
    path: str
    name: str
    size: int
    modified: float


def listed(folders: TrialPaths) -> tuple[list[Listed], bool]:
    """The trial's regular files by name, and whether there are more than are listed."""
    found: list[Listed] = []
    for area, folder in _areas(folders).items():
        try:
            fd = open_folder(folders.study.root, folder)
        except OSError:
            continue
        try:
            for path, at in _walk(fd, "", 0):
                if len(found) >= MOST_FILES:
                    return found, True
                found.append(_listed(folders, area, path, at))
        finally:
            os.close(fd)
    return found, False


def opened(folders: TrialPaths, file: Listed) -> tuple[int, int]:
    """A descriptor of the file, and its size. Raises ContractError: it is not there any more, or not a file."""
    above, _, name = file.path.rpartition("/")
    base = _areas(folders)[file.area]
    try:
        fd = open_folder(folders.study.root, f"{base}/{above}" if above else base)
        try:
            descriptor, at = open_file(fd, name, _NO_LIMIT)
        finally:
            os.close(fd)
    except (OSError, Changed) as error:
        raise ContractError(f"{file.name}: it is not there any more ({error})") from None
    return descriptor, at.st_size


def _areas(folders: TrialPaths) -> dict[str, str]:
    return {"result": folders.result_dir, "log": folders.log_dir}


def _listed(folders: TrialPaths, area: str, path: str, at: os.stat_result) -> Listed:
    raw = f"{area}/{folders.trial_id}/{path}".encode("utf-8", "surrogateescape")
    name = path if area == "result" else f"logs/{path}"
    shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return Listed(hashlib.sha256(raw).hexdigest()[:24], area, path, shown, at.st_size, at.st_mtime)


def _walk(fd: int, above: str, depth: int) -> Iterator[tuple[str, os.stat_result]]:
    """Regular files below the folder by path, without following links."""
    with os.scandir(fd) as entries:
        names = sorted(entry.name for entry in entries)
    for name in names:
        try:
            at = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if stat.S_ISREG(at.st_mode) and at.st_nlink == 1:  # another link may be to something secret
                yield f"{above}{name}", at
            elif stat.S_ISDIR(at.st_mode) and depth < _MOST_DEPTH:
                inner = os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=fd)
                try:
                    yield from _walk(inner, f"{above}{name}/", depth + 1)
                finally:
                    os.close(inner)
        except OSError:
            continue
