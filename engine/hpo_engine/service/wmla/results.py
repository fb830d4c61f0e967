"""A trial's RESULT_DIR as a zip that is sent while it is read, with its size known before: clients show progress by it.

The files are stored, not compressed. What changes meanwhile gets as many bytes as were promised. Links are followed to
files inside the folder only.
"""

from __future__ import annotations

import io
import os
import stat
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hpo_engine.system.files import FOLDER

_CHUNK = 256 << 10
_SMALL = 1 << 20  # bytes of a file that is read when the list is made, so that it is of one moment
_MOST_SMALL = 32 << 20  # bytes of all such files
_MOST_FILES = 100_000
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # that a zip can tell
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class Entry:
    """A file of the zip. `name`: its path in the folder; `place`: where its bytes are, also a path in the folder (that
    of another file if `name` is a link); `data`: its bytes, if they were read already."""

    name: str
    place: str
    size: int
    mtime: float
    mode: int
    data: bytes | None = None


class ResultZip:
    """The zip of a folder as it is now. `folder`: absolute. Raises OSError if it cannot be read."""

    def __init__(self, folder: str) -> None:
        self._folder = os.path.realpath(folder)
        os.close(os.open(folder, FOLDER | os.O_NOFOLLOW))
        self._entries = list(_entries(self._folder))

    @property
    def size(self) -> int:
        """Of the zip, in bytes."""
        return zip_size([(len(os.fsencode(_stored_name(entry))), entry.size) for entry in self._entries])

    def chunks(self) -> Iterator[bytes]:
        """The bytes of the zip."""
        sink = _Sink()
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
            for entry in self._entries:
                with archive.open(_info(entry), "w", force_zip64=True) as out:
                    for chunk in self._content(entry):
                        out.write(chunk)
                        yield sink.taken()
        yield sink.taken()

    def _content(self, entry: Entry) -> Iterator[bytes]:
        """As many bytes as the entry promises; zeros for those that are gone meanwhile."""
        if entry.data is not None:
            yield entry.data
            return
        left = entry.size
        try:
            with _opened(self._folder, entry.place) as file:
                while left and (chunk := file.read(min(left, _CHUNK))):
                    left -= len(chunk)
                    yield chunk
        except OSError:
            pass
        while left:
            chunk = bytes(min(left, _CHUNK))
            left -= len(chunk)
            yield chunk


def zip_size(files: list[tuple[int, int]]) -> int:
    """The bytes of a zip of these files as `zipfile` writes one into a stream (APPNOTE.TXT 6.3.10, 4.3): local header
    with its zip64 field, content and descriptor; an entry in the directory; the directory's end.

    Args:
        files: (bytes of the name, bytes of the content), in order.
    """
    at, directory = 0, 0
    for name, size in files:
        large = [number for number in (size, size, at) if number > zipfile.ZIP64_LIMIT]
        directory += 46 + name + (4 + 8 * len(large) if large else 0)
        at += 30 + name + 20 + size + 24
    end = 22
    if len(files) > zipfile.ZIP_FILECOUNT_LIMIT or max(at, directory) > zipfile.ZIP64_LIMIT:
        end += 56 + 20
    return at + directory + end


class _Sink(io.RawIOBase):
    """What the zip is written to: it cannot seek, and gives away what it has got."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(self._parts[-1])

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _entries(folder: str) -> Iterator[Entry]:
    small, count = 0, 0
    for at, folders, names, fd in os.fwalk(folder, follow_symlinks=False):
        folders.sort()
        inside = at[len(folder) + 1 :]
        for name in sorted(names):
            path = f"{inside}/{name}" if inside else name
            entry = _entry(folder, fd, name, path)
            if entry is None:
                continue
            count += 1
            if count > _MOST_FILES:
                return
            if entry.size <= _SMALL and small + entry.size <= _MOST_SMALL:
                entry = _read(folder, entry)
                small += entry.size
            yield entry


def _entry(folder: str, fd: int, name: str, path: str) -> Entry | None:
    """The file with its size; None if it is none, or a link that leads nowhere or out of the folder."""
    place = path
    try:
        found = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            target = os.path.realpath(f"{folder}/{path}")
            if not target.startswith(f"{folder}/"):
                return None
            place = target[len(folder) + 1 :]
            found = os.lstat(target)
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return Entry(path, place, found.st_size, found.st_mtime, stat.S_IMODE(found.st_mode))


def _read(folder: str, entry: Entry) -> Entry:
    """With its bytes, of which there may be more or fewer by now."""
    try:
        with _opened(folder, entry.place) as file:
            data = file.read(_SMALL + 1)
    except OSError:
        return entry
    if len(data) > _SMALL:  # it has grown
        return entry
    return Entry(entry.name, entry.place, len(data), entry.mtime, entry.mode, data)


def _opened(folder: str, path: str) -> io.BufferedReader:
    """The file, reached without following a link. Raises OSError."""
    *folders, name = path.split("/")
    fd = os.open(folder, FOLDER | os.O_NOFOLLOW)
    try:
        for part in folders:
            inner = os.open(part, FOLDER | os.O_NOFOLLOW, dir_fd=fd)
            os.close(fd)
            fd = inner
        file = os.open(name, _FILE, dir_fd=fd)
    finally:
        os.close(fd)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(f"{path} is not a file")
    return open(file, "rb")


def _stored_name(entry: Entry) -> str:
    """The name in the zip; bytes that are no text are replaced."""
    return os.fsencode(entry.name).decode("utf-8", "replace")


def _info(entry: Entry) -> zipfile.ZipInfo:
    moment = time.localtime(entry.mtime)[:6]
    info = zipfile.ZipInfo(_stored_name(entry), max(_EARLIEST, moment))
    info.external_attr = (stat.S_IFREG | entry.mode) << 16
    return info
