"""Appends to an event file in a folder that a training script may write to as well.

Every step goes through folders held open, and follows no link: a trial that puts something in the way loses its own
curves and nothing else. Knows names and bytes; nothing of what they mean.
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass

from hpo_engine.contract.paths import OWN_EVENTS

OWN = OWN_EVENTS

ASIDE = "reported"
"""Subfolder for our file where the script keeps event files of its own right in its log folder: in one folder
TensorBoard would mix curves of the same name, and one of its readers follows only the newest file."""


@dataclass(frozen=True)
class File:
    """An event file that we began, in ASIDE or right in the folder; `inode` tells it from anything put in its place."""

    aside: bool
    name: str
    inode: tuple[int, int]


class Folder:
    """The folder `name` in `parent`, held open until `close`.

    Raises:
        OSError: from every method: gone, a link, full, replaced ...
    """

    def __init__(self, parent: str, name: str) -> None:
        self._where = f"{parent}/{name}"
        self._fds: list[int] = []
        try:
            self._enter(parent)
            self._enter(name)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        for fd in self._fds:
            os.close(fd)
        self._fds = []

    def create(self, stem: str) -> File:
        """Begins a file for `append`, named so that it comes after those of ours that are there."""
        names = os.listdir(self._fds[-1])
        earlier = [n for n in names if OWN in n]
        aside = not earlier and any("tfevents" in n for n in names)
        if aside:
            with contextlib.suppress(FileExistsError):
                os.mkdir(ASIDE, dir_fd=self._fds[-1])
            self._enter(ASIDE)
            earlier = [n for n in os.listdir(self._fds[-1]) if OWN in n]
        for number in range(len(earlier), len(earlier) + 100):
            name = f"events.out.tfevents.{stem}{OWN}" + (f".{number}" if number else "")
            try:
                fd = os.open(name, _APPEND | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=self._fds[-1])
            except FileExistsError:
                continue
            self._fds.append(fd)
            return File(aside, name, _inode(fd))
        raise OSError(f"no free name for an event file in {self._where}")

    def reopen(self, file: File) -> None:
        """Opens a file of an earlier `create` for `append`."""
        if file.aside:
            self._enter(ASIDE)
        self._fds.append(os.open(file.name, _APPEND, dir_fd=self._fds[-1]))
        if _inode(self._fds[-1]) != file.inode:
            raise OSError(f"{self._where}/{file.name} was replaced")

    def append(self, data: bytes) -> None:
        if os.write(self._fds[-1], data) != len(data):
            raise OSError(f"an event file in {self._where} was cut short")

    def _enter(self, name: str) -> None:
        parent = self._fds[-1] if self._fds else None
        self._fds.append(os.open(name, _READ | os.O_DIRECTORY, dir_fd=parent))


def holds(path: str, text: bytes) -> bool:
    """Whether the file at `path` has `text` in its last 4 KiB. A file that cannot be read is not repaired: True."""
    try:
        fd = os.open(path, _READ)
    except OSError:
        return True
    try:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode):
            return True
        return text in os.pread(fd, 4096, max(0, about.st_size - 4096))
    finally:
        os.close(fd)


_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def _inode(fd: int) -> tuple[int, int]:
    about = os.fstat(fd)
    return about.st_dev, about.st_ino
