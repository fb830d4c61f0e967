"""Checks a tar, and writes its members below a folder that is open: no name is ever resolved from outside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from hpo_engine.system.untar.limits import BadTar, TarLimits
from hpo_engine.system.untar.members import Member, members
from hpo_engine.system.untar.streams import opened

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Contents(NamedTuple):
    """What is in a tar: how many files, and their bytes together. `top`: the one folder that holds all, if it is not a
    part of the names ("": there is none). `found`: whether the script that was asked for is among the files."""

    files: int
    size: int
    top: str
    found: bool


def check(fd: int, script: str, limits: TarLimits) -> Contents:
    """Reads all of a tar and writes nothing. Raises BadTar.

    Args:
        script: a name that is to be in it, below the top folder if there is one; "": the only folder at the top that
            holds everything is the top folder.
    """
    files, size, tops = 0, 0, set[str]()
    wanted = tuple(part for part in script.split("/") if part not in ("", "."))
    found = below = False
    lone = False  # a file at the top
    for member, _ in members(opened(fd, limits), limits):
        tops.add(member.parts[0])
        if member.folder:
            continue
        files, size = files + 1, size + member.size
        lone = lone or len(member.parts) == 1
        found = found or member.parts == wanted
        below = below or member.parts[1:] == wanted != ()
    if not files:
        raise BadTar("the tar holds no files")
    top = next(iter(tops)) if len(tops) == 1 and not lone and not found and (below or not script) else ""
    return Contents(files, size, top, found or (below and bool(top)))


def write(fd: int, into: str, top: str, limits: TarLimits) -> None:
    """Writes the members into an empty folder, and waits until they are on the disk. Raises BadTar, OSError."""
    root = os.open(into, _FOLDER)
    made = [""]
    try:
        for member, content in members(opened(fd, limits), limits):
            parts = member.parts[1:] if top else member.parts
            if parts:
                made += _folders(root, parts if member.folder else parts[:-1])
            if not member.folder:
                _write_file(root, parts, member, content)
                made.append("/".join(parts))
        for path in made:
            _sync(root, path)
    finally:
        os.close(root)


def _folders(root: int, parts: tuple[str, ...]) -> Iterator[str]:
    """Makes the folders that are missing; gives their names."""
    for i in range(1, len(parts) + 1):
        above = _opened(root, parts[: i - 1])
        try:
            os.mkdir(parts[i - 1], 0o755, dir_fd=above)
        except FileExistsError:
            continue
        finally:
            os.close(above)
        yield "/".join(parts[:i])


def _opened(root: int, parts: tuple[str, ...]) -> int:
    """A descriptor of a folder below the root; follows no link."""
    fd = os.dup(root)
    for part in parts:
        above = fd
        try:
            fd = os.open(part, _FOLDER, dir_fd=above)
        finally:
            os.close(above)
    return fd


def _write_file(root: int, parts: tuple[str, ...], member: Member, content: Iterator[bytes]) -> None:
    folder = _opened(root, parts[:-1])
    try:
        fd = os.open(parts[-1], _FILE, 0o755 if member.executable else 0o644, dir_fd=folder)
    finally:
        os.close(folder)
    try:
        for data in content:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
    finally:
        os.close(fd)


def _sync(root: int, path: str) -> None:
    folder, _, name = path.rpartition("/")
    above = _opened(root, tuple(folder.split("/")) if folder else ())
    try:
        fd = os.open(name or ".", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
    finally:
        os.close(above)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
