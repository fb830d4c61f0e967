"""The frozen copy of the script's folder, made once a study, so that edits made meanwhile change nothing."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Sequence

from hpo_engine.contract import stopnote
from hpo_engine.contract.paths import is_below
from hpo_engine.contract.snapshot.found import File, Found
from hpo_engine.contract.snapshot.ignore import Patterns
from hpo_engine.contract.snapshot.messages import refused, too_much, unreadable
from hpo_engine.contract.snapshot.survey import survey
from hpo_engine.system.faults import placed
from hpo_engine.system.writing import write_all

MIB = 1 << 20
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def freeze(
    source_dir: str,
    dest_dir: str,
    *,
    exclude_paths: Sequence[str] = (),
    stale: Sequence[str] = (),
    patterns: Sequence[str] = (),
    big_bytes: int = 64 * MIB,
    max_files: int = 50_000,
    max_bytes: int = 2048 * MIB,
) -> Found:
    """Copies a model folder to `dest_dir`, which must not exist. Returns what it found there.

    Left out: what `patterns` and .hpoignore files say; what only earlier runs write (see `ignore`); version control,
    caches, virtual environments, other studies, a result file or config.json of a run by hand, sockets, pipes, devices.
    Links inside the folder stay links inside the copy (relative); a link to a file outside counts as that file, a link
    to a folder outside, or to nothing, leads where it led.

    Args:
        exclude_paths: not copied either (where the studies are); patterns: as in a .gitignore.
        stale: files that metrics are read from, by relative path.
        big_bytes: files above that are linked, not copied.
        max_files, max_bytes: of what is copied; beyond, nothing is.

    Raises:
        SpecError: not a folder, too much in it, or a file that cannot be read; nothing is left at `dest_dir`.
    """
    source = os.path.realpath(source_dir)
    excluded = {os.path.realpath(path) for path in exclude_paths}
    if stopnote.is_note(f"{source}/{stopnote.NAME}"):  # the folder is that of an earlier trial
        stale = [*stale, stopnote.NAME]
    found = survey(source, excluded=excluded, stale=stale, patterns=Patterns(patterns), max_files=max_files)
    files, links = _settle(source, found, big_bytes)
    if sum(file.size for file in files) > max_bytes:
        size = f"{max_bytes / (1024 * MIB):.3g} GiB" if max_bytes >= 512 * MIB else f"{max_bytes:,} bytes"
        raise refused(f"{source} has more than {size} of files; {too_much(files)}")
    os.mkdir(dest_dir)
    try:
        for name, mode in found.folders:
            os.mkdir(f"{dest_dir}/{name}", mode | stat.S_IRWXU)  # ours to fill, and to remove
        for file in files:
            _copy(file, f"{dest_dir}/{file.name}")
        for name, target in links:
            os.symlink(target, f"{dest_dir}/{name}")
    except BaseException as error:
        shutil.rmtree(dest_dir, ignore_errors=True)
        if isinstance(error, OSError):
            placed(error, dest_dir, needed=sum(file.size for file in files))
        raise
    return found


def _settle(source: str, found: Found, big_bytes: int) -> tuple[list[File], list[tuple[str, str]]]:
    """What becomes a copy and what a link (name, target)."""
    kept = {name for name, _ in found.folders} | {file.name for file in found.files} | {""}
    files, links = list(found.files), []
    for name in found.links:
        real = os.path.realpath(f"{source}/{name}")
        below = real[len(source) + 1 :]
        if is_below(real, source) and (below in kept or found.is_gone(below) or not os.path.exists(real)):
            links.append((name, os.path.relpath(real, os.path.dirname(f"{source}/{name}"))))
            continue
        try:
            seen = os.stat(real)
        except OSError:  # leads to nothing: absolute, since the copy stands elsewhere
            links.append((name, real))
            continue
        if stat.S_ISREG(seen.st_mode):
            files.append(File.of(name, real, seen))
        elif stat.S_ISDIR(seen.st_mode):
            links.append((name, real))
    found.linked = [file for file in files if file.size > big_bytes]
    links += [(file.name, file.path) for file in found.linked]
    return [file for file in files if file.size <= big_bytes], links


def _copy(file: File, target: str) -> None:
    try:
        source = os.open(file.path, READ)
    except OSError as error:
        raise unreadable(file.path, error) from None
    try:
        into = os.open(target, WRITE, 0o600)
        try:
            _pour(source, into, file)
            os.fchmod(into, file.mode | stat.S_IRUSR)
            os.utime(into, ns=(file.mtime_ns, file.mtime_ns))
        finally:
            os.close(into)
    finally:
        os.close(source)


def _pour(source: int, into: int, file: File) -> None:
    """Copies at most the surveyed size: a file that grows meanwhile cannot fill the disk."""
    left = file.size
    try:
        while left and (count := os.copy_file_range(source, into, left)):
            left -= count
        return
    except OSError:  # not between these file systems; a true fault shows again below
        pass
    while left:
        try:
            data = os.read(source, min(left, MIB))
        except OSError as error:
            raise unreadable(file.path, error) from None
        if not data:
            return
        write_all(into, data)
        left -= len(data)
