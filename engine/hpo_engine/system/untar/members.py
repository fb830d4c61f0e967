"""The members of a tar, one after the other, with names that are safe below any folder."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from hpo_engine.system.untar.headers import BLOCK, Header, next_header, quoted
from hpo_engine.system.untar.limits import BadTar, TarLimits
from hpo_engine.system.untar.streams import Stream, cut_off, too_large

_DIRECTIONS = {*"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"}  # they make a name look like another one
_SIDE_FILES = "._"  # of macOS: metadata of the file without it


class Member(NamedTuple):
    """`parts`: the folders that it is in, and its own name. `size` in bytes; 0 for a folder."""

    parts: tuple[str, ...]
    folder: bool
    size: int
    executable: bool


def members(stream: Stream, limits: TarLimits) -> Iterator[tuple[Member, Iterator[bytes]]]:
    """Each member, and the bytes of a file (read as far as they are taken). Raises BadTar."""
    seen, total, count = _Seen(), 0, 0
    while (header := next_header(stream, limits)) is not None:
        count += 1
        if count > limits.members:
            raise BadTar(f"the tar has more than {limits.members:,} members; leave out what is not code", large=True)
        total += header.size
        if total > limits.unpacked:
            raise too_large(limits)
        end = stream.at + header.size
        parts = _parts(header, limits)
        if parts and not parts[-1].startswith(_SIDE_FILES):
            member = Member(parts, header.kind == "folder", header.size, header.executable)
            seen.add(member)
            yield member, _content(stream, end)
        stream.skip(end - stream.at)
        stream.skip(-header.size % BLOCK)


def _content(stream: Stream, end: int) -> Iterator[bytes]:
    while stream.at < end:
        data = stream.read(end - stream.at)
        if not data:
            raise cut_off()
        yield data


def _parts(header: Header, limits: TarLimits) -> tuple[str, ...]:
    """A name's parts without "." and doubled slashes; () for the folder itself. Raises BadTar."""
    raw = header.name

    def bad(problem: str) -> BadTar:
        return BadTar(f"the tar's member {quoted(raw)} {problem}")

    if not raw:
        raise bad("has no name")
    if raw.startswith(b"/"):
        raise bad("has an absolute name; pack with tar -C FOLDER .")
    if len(raw) > limits.path:
        raise bad(f"has a name of {len(raw):,} bytes; {limits.path:,} are the most")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise bad("has a name that is not UTF-8") from None
    if not text.isascii() and _DIRECTIONS & {*text} or any(unicodedata.category(letter) == "Cc" for letter in text):
        raise bad("has control characters in its name")
    parts = tuple(part for part in text.split("/") if part not in ("", "."))
    if ".." in parts:
        raise bad('leads out of its folder (".." in its name)')
    if len(parts) > limits.depth:
        raise bad(f"is {len(parts)} folders deep; {limits.depth} are the most")
    if any(len(part.encode()) > limits.component for part in parts):
        raise bad(f"has a part of its name with more than {limits.component} bytes")
    if not parts and header.kind == "file":
        raise bad("is a file without a name")
    return parts


class _Seen:
    """The names so far. On some file systems names that differ in case, or in how accents are written, are one."""

    def __init__(self) -> None:
        self._names: dict[str, tuple[str, bool]] = {}  # folded: as it was, and whether it is a folder

    def add(self, member: Member) -> None:
        path = ""
        for part in member.parts[:-1]:
            path = f"{path}{part}"
            self._one(path, folder=True)
            path += "/"
        self._one(path + member.parts[-1], folder=member.folder)

    def _one(self, path: str, *, folder: bool) -> None:
        key = _folded(path)
        if key not in self._names:
            self._names[key] = (path, folder)
            return
        name, was_folder = self._names[key]
        if name != path:
            raise BadTar(f"the tar's members {quoted(name.encode())} and {quoted(path.encode())} differ only in case")
        if not (folder and was_folder):
            raise BadTar(f"the tar's member {quoted(path.encode())} is there twice")


def _folded(path: str) -> str:
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
