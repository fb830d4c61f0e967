"""The frozen copy of the script's folder, and each trial's view of it.

`freeze` copies the folder once a study, so that edits made meanwhile change nothing; `View` puts into a RESULT_DIR what
the script would find by hand: real folders and copies of small files, links to big ones. Whatever a trial writes into
its own folder stays there. Knows paths and files; nothing of what is in them, of studies or of processes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from engine.errors import LaunchError, Problem, SpecError
from engine.paths import CONFIG, RESULT

MIB = 1 << 20

_SKIPPED = frozenset(
    {".git", ".hg", ".svn", "__pycache__", ".ipynb_checkpoints", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
)
_STALE = frozenset({CONFIG, RESULT})  # at the top: of a run by hand; must never be taken for a trial's
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


# -- the frozen copy ---------------------------------------------------------------------------------------------------


def freeze(
    source_dir: str,
    dest_dir: str,
    *,
    exclude_paths: Sequence[str] = (),
    big_bytes: int = 64 * MIB,
    max_files: int = 50_000,
    max_bytes: int = 2048 * MIB,
) -> None:
    """Copies a model folder to `dest_dir`, which must not exist.

    Left out: version control, caches, virtual environments, other studies, a result file or config.json of a run by
    hand, sockets, pipes, devices. Links inside the folder stay links inside the copy (relative); a link to a file
    outside counts as that file, a link to a folder outside, or to nothing, leads where it led.

    Args:
        exclude_paths: not copied either (where the studies are).
        big_bytes: files above that are linked, not copied.
        max_files, max_bytes: of what is copied; beyond, nothing is.

    Raises:
        SpecError: not a folder, too much in it, or a file that cannot be read; nothing is left at `dest_dir`.
    """
    source = os.path.realpath(source_dir)
    excluded = {os.path.realpath(path) for path in exclude_paths}
    found = _survey(source, excluded, max_files)
    files, links = _settle(source, found, big_bytes)
    if sum(file.size for file in files) > max_bytes:
        size = f"{max_bytes / (1024 * MIB):.3g} GiB" if max_bytes >= 512 * MIB else f"{max_bytes:,} bytes"
        raise _refused(f"{source} has more than {size} of files; {_ADVICE}")
    os.mkdir(dest_dir)
    try:
        for name, mode in found.folders:
            os.mkdir(f"{dest_dir}/{name}", mode | stat.S_IRWXU)  # ours to fill, and to remove
        for file in files:
            _copy(file, f"{dest_dir}/{file.name}")
        for name, target in links:
            os.symlink(target, f"{dest_dir}/{name}")
    except BaseException:
        import shutil

        shutil.rmtree(dest_dir, ignore_errors=True)
        raise


_ADVICE = "set model_dir to the script's own folder"


@dataclass(frozen=True)
class _File:
    """A file to copy: its name below the folder, where it is read, and how it is."""

    name: str
    path: str
    mode: int
    size: int
    mtime_ns: int


@dataclass
class _Found:
    folders: list[tuple[str, int]] = field(default_factory=list)  # parents first
    files: list[_File] = field(default_factory=list)
    links: list[str] = field(default_factory=list)


def _refused(text: str) -> SpecError:
    return SpecError([Problem("model_dir", text)])


def _unreadable(path: str, error: OSError) -> SpecError:
    return _refused(f"{path} cannot be read ({error.strerror}); mend that, or {_ADVICE}")


def _survey(source: str, excluded: set[str], max_files: int) -> _Found:
    """All that is to be kept, before anything is written."""
    found, open_ = _Found(), [("", 0)]
    while open_:
        folder, mode = open_.pop()
        prefix = f"{folder}/" if folder else ""
        path = f"{source}/{folder}" if folder else source
        try:
            with os.scandir(path) as listing:
                entries = list(listing)
        except OSError as error:
            raise _unreadable(path, error) from None
        if folder:
            if _foreign({entry.name for entry in entries}):
                continue
            found.folders.append((folder, mode))
        for entry in entries:
            name = prefix + entry.name
            if entry.name in _SKIPPED or name in _STALE or f"{source}/{name}" in excluded:
                continue
            if entry.is_symlink():
                found.links.append(name)
            else:
                try:
                    seen = entry.stat(follow_symlinks=False)
                except OSError as error:
                    raise _unreadable(f"{source}/{name}", error) from None
                if stat.S_ISDIR(seen.st_mode):
                    open_.append((name, stat.S_IMODE(seen.st_mode) & 0o777))
                elif stat.S_ISREG(seen.st_mode):
                    found.files.append(_file(name, f"{source}/{name}", seen))
        if len(found.files) + len(found.links) > max_files:
            raise _refused(f"{source} has more than {max_files:,} files; {_ADVICE}")
    return found


def _foreign(names: set[str]) -> bool:
    """Whether a folder of these names is a virtual environment or a study. (A database alone is no study: other
    tools' users call theirs study.db, too.)"""
    return "pyvenv.cfg" in names or "conda-meta" in names or {"study.db", "results", "trials"} <= names


def _file(name: str, path: str, seen: os.stat_result) -> _File:
    return _File(name, path, stat.S_IMODE(seen.st_mode) & 0o777, seen.st_size, seen.st_mtime_ns)


def _settle(source: str, found: _Found, big_bytes: int) -> tuple[list[_File], list[tuple[str, str]]]:
    """What becomes a copy and what a link (name, target)."""
    kept = {name for name, _ in found.folders} | {file.name for file in found.files} | {""}
    files, links = list(found.files), []
    for name in found.links:
        real = os.path.realpath(f"{source}/{name}")
        inside = real == source or real.startswith(f"{source}/")
        if inside and (real[len(source) + 1 :] in kept or not os.path.exists(real)):
            links.append((name, os.path.relpath(real, os.path.dirname(f"{source}/{name}"))))
            continue
        try:
            seen = os.stat(real)
        except OSError:  # leads to nothing: absolute, since the copy stands elsewhere
            links.append((name, real))
            continue
        if stat.S_ISREG(seen.st_mode):
            files.append(_file(name, real, seen))
        elif stat.S_ISDIR(seen.st_mode):
            links.append((name, real))
    links += [(file.name, file.path) for file in files if file.size > big_bytes]
    return [file for file in files if file.size <= big_bytes], links


def _copy(file: _File, target: str) -> None:
    try:
        source = os.open(file.path, _READ)
    except OSError as error:
        raise _unreadable(file.path, error) from None
    try:
        into = os.open(target, _WRITE, 0o600)
        try:
            _pour(source, into, file)
            os.fchmod(into, file.mode | stat.S_IRUSR)
            os.utime(into, ns=(file.mtime_ns, file.mtime_ns))
        finally:
            os.close(into)
    finally:
        os.close(source)


def _pour(source: int, into: int, file: _File) -> None:
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
            raise _unreadable(file.path, error) from None
        if not data:
            return
        _write(into, data)
        left -= len(data)


def _write(into: int, data: bytes) -> None:
    count = os.write(into, data)
    while count < len(data):
        count += os.write(into, memoryview(data)[count:])


# -- a trial's view ----------------------------------------------------------------------------------------------------

# Copied first where not everything can be: what a script runs and reads first, and what it is likely to edit in place.
_CODE = (".py", ".sh", ".r", ".jl", ".js", ".lua", ".pl", ".rb", ".json", ".yaml", ".yml", ".toml", ".cfg", ".ini")


@dataclass(frozen=True)
class _Part:
    """A file that each trial gets a copy of."""

    name: str
    mode: int
    data: bytes


@dataclass(frozen=True)
class View:
    """What each trial sees of the frozen folder; planned once, laid into one RESULT_DIR after the other.

    `linked`: real paths that trials reach through links, so that the executor can make them read-only.
    """

    frozen_dir: str
    folders: tuple[tuple[str, int], ...]
    copies: tuple[_Part, ...]
    links: tuple[str, ...]  # names of frozen files that are linked
    kept_links: tuple[tuple[str, str], ...]  # (name, target) of the links in the frozen folder
    linked: tuple[str, ...]

    @classmethod
    def of(
        cls,
        frozen_dir: str,
        *,
        small_bytes: int = MIB,
        max_bytes: int = 16 * MIB,
        max_files: int = 500,
    ) -> View:
        """Plans the view; takes the write bits off the frozen files that trials get links to.

        Args:
            frozen_dir: absolute.
            small_bytes: larger files are linked; max_bytes, max_files: of the copies of one trial, the rest is linked
            (a link costs half of a copy, and no space). The copies are held in memory.
        """
        found = _survey(frozen_dir, set(), 1 << 40)
        copied: list[_File] = []
        links: list[_File] = []
        total = 0
        for file in sorted(found.files, key=_precedence):
            if file.size <= small_bytes and total + file.size <= max_bytes and len(copied) < max_files:
                copied.append(file)
                total += file.size
            else:
                links.append(file)
        for file in links:
            if file.mode & 0o222:
                with suppress(OSError):  # a copy that somebody made read-only as a whole
                    os.chmod(file.path, file.mode & ~0o222)
        kept = tuple((name, _target(frozen_dir, name)) for name in found.links)
        reached = [target for _, target in kept if os.path.isabs(target) and os.path.exists(target)]
        return cls(
            frozen_dir,
            tuple(found.folders),
            tuple(_Part(f.name, f.mode, _bytes(f)) for f in copied),
            tuple(file.name for file in links),
            kept,
            _fewest(reached + ([frozen_dir] if links else []), frozen_dir),
        )

    def lay(self, result_dir: str) -> None:
        """Puts the view into a RESULT_DIR (absolute); one that was half laid before is made whole.

        Raises:
            LaunchError: RESULT_DIR is no folder, or a folder stands where a file must be.
        """
        try:
            top = os.open(result_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            raise LaunchError(f"{result_dir} is no folder (it was removed, or something else put there)") from None
        try:
            for name, mode in self.folders:
                _lay_folder(top, name, mode)
            for part in self.copies:
                into = _anew(part.name, top, result_dir)
                try:
                    _write(into, part.data)
                    os.fchmod(into, part.mode)  # what the umask took from it
                finally:
                    os.close(into)
            if self.links:
                frozen = _way(result_dir, self.frozen_dir)
                for name in self.links:
                    up = "" if os.path.isabs(frozen) else "../" * name.count("/")
                    _lay_link(f"{up}{frozen}/{name}", name, top, result_dir)
            for name, target in self.kept_links:
                _lay_link(target, name, top, result_dir)
        finally:
            os.close(top)


def _precedence(file: _File) -> tuple[bool, int, int, str]:
    code = file.name.lower().endswith(_CODE) or file.mode & 0o111 != 0
    return not code, file.name.count("/"), file.size, file.name


def _bytes(file: _File) -> bytes:
    with open(os.open(file.path, _READ), "rb") as source:
        return source.read(file.size)


def _target(frozen_dir: str, name: str) -> str:
    """Where a link of the frozen folder leads from within a view: the same, but never out of the view by `..`."""
    target = os.readlink(f"{frozen_dir}/{name}")
    if not os.path.isabs(target):
        inner = os.path.normpath(os.path.join(os.path.dirname(name), target))
        if inner == ".." or inner.startswith("../"):
            return os.path.realpath(f"{frozen_dir}/{name}")
    return target


def _fewest(paths: Iterable[str], frozen_dir: str) -> tuple[str, ...]:
    """Real paths without those that lie in another; one that holds the study itself is left out, since a trial that
    could write nothing there could not run."""
    frozen, out = os.path.realpath(frozen_dir), list[str]()
    for path in sorted({os.path.realpath(p) for p in paths}):
        holds_study = path != frozen and _within(frozen, path)
        if not holds_study and not any(_within(path, other) for other in out):
            out.append(path)
    return tuple(out)


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _lay_folder(top: int, name: str, mode: int) -> None:
    try:
        os.mkdir(name, mode, dir_fd=top)
    except FileExistsError:
        if not stat.S_ISDIR(os.stat(name, dir_fd=top, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=top)
            os.mkdir(name, mode, dir_fd=top)


def _anew(name: str, top: int, shown: str) -> int:
    """A new file, open for writing; what stands there goes (a link itself, never what it leads to)."""
    try:
        return os.open(name, _WRITE, 0o700, dir_fd=top)
    except FileExistsError:
        _away(name, top, shown)
        return os.open(name, _WRITE, 0o700, dir_fd=top)


def _lay_link(target: str, name: str, top: int, shown: str) -> None:
    try:
        os.symlink(target, name, dir_fd=top)
    except FileExistsError:
        _away(name, top, shown)
        os.symlink(target, name, dir_fd=top)


def _away(name: str, top: int, shown: str) -> None:
    try:
        os.unlink(name, dir_fd=top)
    except IsADirectoryError:
        raise LaunchError(f"{shown}/{name} is a folder where the model folder has a file: remove it") from None


def _way(result_dir: str, frozen_dir: str) -> str:
    """The frozen folder as a link in RESULT_DIR names it: relative within a study, so that the study can be moved."""
    study, name = os.path.split(frozen_dir)
    if not result_dir.startswith(f"{study}/"):
        return frozen_dir
    return "../" * (result_dir[len(study) + 1 :].rstrip("/").count("/") + 1) + name
