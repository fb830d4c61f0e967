"""A model folder as one tar, in pieces: what is sent of it, how large it is, and what stays here.

What is left out is what a submit on this machine would leave out; links are followed, as a server takes files only.
"""

from __future__ import annotations

import os
import secrets
import stat
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hpo_engine.client.connection import Upload
from hpo_engine.contract.paths import is_below
from hpo_engine.contract.snapshot import Patterns
from hpo_engine.contract.snapshot.found import File
from hpo_engine.contract.snapshot.messages import refused, too_much, unreadable
from hpo_engine.contract.snapshot.survey import survey
from hpo_engine.system.untar.limits import TarLimits
from hpo_engine.text.tables import size_text

_BLOCK = 512
_CHUNK = 256 << 10
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class Package:
    """`files`: in the order of the tar; `size`: of the tar, in bytes. `notes`: what is not sent that a script may miss,
    one line each."""

    files: Sequence[File]
    size: int
    notes: Sequence[str]

    def pieces(self) -> Iterator[bytes]:
        """The bytes of the tar. Raises SpecError if a file cannot be read, or has become shorter."""
        for file in self.files:
            yield _header(file)
            yield from _content(file)
            yield bytes(-file.size % _BLOCK)
        yield bytes(2 * _BLOCK)


def packed(
    folder: str, *, excluded: Sequence[str] = (), stale: Sequence[str] = (), patterns: Sequence[str] = ()
) -> Package:
    """What is sent of a model folder; arguments as of `snapshot.freeze`.

    Raises:
        SpecError: it is not a folder, something cannot be read, or it is more than a server takes.
    """
    limits, source = TarLimits(), os.path.realpath(folder)
    left_out = {os.path.realpath(path) for path in excluded}
    found = survey(source, excluded=left_out, stale=stale, patterns=Patterns(patterns), max_files=limits.members)
    files, notes = list(found.files), []
    for name in sorted(found.links):
        real = os.path.realpath(f"{source}/{name}")
        if os.path.isfile(real):
            files.append(File.of(name, real, os.stat(real)))
        elif os.path.isdir(real) and is_below(real, source) and not is_below(f"{source}/{name}", real):
            inside = os.path.relpath(real, source)
            files += [
                File(f"{name}/{file.name[len(inside) + 1 :]}", file.path, file.mode, file.size, file.mtime_ns)
                for file in found.files
                if file.name.startswith(f"{inside}/")
            ]
        else:
            out = f"leads out of {source}" if not is_below(real, source) else "leads to a folder that it is in"
            what = out if os.path.exists(real) else "leads to nothing"
            notes.append(f"the link {name} {what} and is not sent; a trial that needs it has to find it on the server")
    files.sort(key=lambda file: file.name)
    total = sum(file.size for file in files)
    if total > limits.unpacked:
        raise refused(
            f"{source} has {size_text(total)} of files, and a server takes {size_text(limits.unpacked)}; "
            f"{too_much(files)}"
        )
    if len(files) > limits.members:
        raise refused(f"{source} has {len(files):,} files, and a server takes {limits.members:,}; {too_much(files)}")
    size = sum(len(_header(file)) + file.size + -file.size % _BLOCK for file in files) + 2 * _BLOCK
    return Package(files, size, notes)


class _Part(NamedTuple):
    """`pieces`: of the part's content, `size` bytes together."""

    head: bytes
    size: int
    pieces: Callable[[], Iterator[bytes]]


def form(text: str, package: Package, sent: Callable[[int], None]) -> Upload:
    """The body of a submit: the study file as `data`, and the model.

    Args:
        sent: called with how many more bytes have been sent; with a negative number if it is sent anew.
    """
    boundary = secrets.token_hex(16)
    data = text.encode()
    parts = [
        _Part(_head(boundary, "data", "algo.yaml", "text/plain; charset=utf-8"), len(data), lambda: iter([data])),
        _Part(_head(boundary, "model", "model.tar", "application/x-tar"), package.size, package.pieces),
    ]
    end = f"--{boundary}--\r\n".encode()
    size = sum(len(part.head) + part.size + 2 for part in parts) + len(end)
    done = 0

    def pieces() -> Iterator[bytes]:
        nonlocal done
        sent(-done)
        done = 0
        for part in parts:
            for piece in _through(part):
                yield piece
                done += len(piece)
                sent(len(piece))
        yield end

    return Upload(f"multipart/form-data; boundary={boundary}", size, pieces)


def _through(part: _Part) -> Iterator[bytes]:
    yield part.head
    yield from part.pieces()
    yield b"\r\n"


def _head(boundary: str, name: str, filename: str, kind: str) -> bytes:
    disposition = f'form-data; name="{name}"; filename="{filename}"'
    return f"--{boundary}\r\nContent-Disposition: {disposition}\r\nContent-Type: {kind}\r\n\r\n".encode()


def _header(file: File) -> bytes:
    info = tarfile.TarInfo(file.name)
    info.size, info.mtime = file.size, file.mtime_ns // 1_000_000_000
    info.mode = 0o755 if file.mode & stat.S_IXUSR else 0o644
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _content(file: File) -> Iterator[bytes]:
    try:
        fd = os.open(file.path, _READ)
        try:
            left = file.size
            while left and (data := os.read(fd, min(left, _CHUNK))):
                left -= len(data)
                yield data
        finally:
            os.close(fd)
    except OSError as error:
        raise unreadable(file.path, error) from None
    if left:
        raise refused(f"{file.path} became shorter while it was sent; submit again")
