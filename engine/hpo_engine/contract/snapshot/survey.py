"""What is in a script's folder: all that is to be copied, before anything is written.

Knows names, sizes and modes; of what is in files only the patterns of a .hpoignore.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from dataclasses import dataclass, field

from hpo_engine.contract.paths import CONFIG
from hpo_engine.contract.snapshot import ignore
from hpo_engine.errors import Problem, SpecError

_SKIPPED = frozenset(
    {".git", ".hg", ".svn", "__pycache__", ".ipynb_checkpoints", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
)
_LOOK_ON = 4  # times the limit: so many files are looked at, to name the largest folders
_MOST_COUNTED = 20_000  # entries of a folder that is left out
_LARGEST = 3


@dataclass(frozen=True)
class File:
    """A file to copy: its name below the folder, where it is read, and how it is."""

    name: str
    path: str
    mode: int
    size: int
    mtime_ns: int


@dataclass
class Amount:
    """So many files and bytes; `more`: that is where the counting ended."""

    files: int = 0
    size: int = 0
    more: bool = False

    def add(self, size: int) -> None:
        self.files += 1
        self.size += size

    def __str__(self) -> str:
        over = "over " if self.more else ""
        return f"{over}{self.files:,} file{'' if self.files == 1 else 's'}, {size_text(self.size)}"


@dataclass
class Found:
    """What there is (`folders`: parents first), and what is left out.

    `left_out`: what only runs write, by what to call it. `gone`: names that are left out, a folder for all that is in
    it. `unused`: patterns of the study file that match nothing. `excluded`: what the user's patterns leave out, by the
    name below the top. `linked`: files so big that they are not copied (known once the folder is frozen).
    """

    folders: list[tuple[str, int]] = field(default_factory=list)
    files: list[File] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    left_out: dict[str, Amount] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    unused: list[str] = field(default_factory=list)
    excluded: dict[str, Amount] = field(default_factory=dict)
    linked: list[File] = field(default_factory=list)

    def is_gone(self, name: str) -> bool:
        while name and name not in self.gone:
            name = name.rpartition("/")[0]
        return bool(name)


def size_text(size: float) -> str:
    units = ["byte" if size == 1 else "bytes", "kB", "MB", "GB", "TB"]
    while size >= 999.5 and len(units) > 1:
        size /= 1000
        del units[0]
    return f"{size:.0f} {units[0]}" if units[0].startswith("byte") or size >= 9.95 else f"{size:.1f} {units[0]}"


def refused(text: str) -> SpecError:
    return SpecError([Problem("model_dir", text)])


def unreadable(path: str, error: OSError) -> SpecError:
    return refused(
        f"{path} cannot be read ({error.strerror}); mend that, or leave it out with exclude: or a .hpoignore"
    )


def survey(
    source: str,
    *,
    excluded: Collection[str] = (),
    stale: Collection[str] = (),
    patterns: ignore.Patterns | None = None,
    max_files: int = 1 << 40,
) -> Found:
    """All that is in a folder.

    Args:
        source: a real path; excluded: real paths that are passed over.
        stale: relative paths of files, as config.json, that a run by hand left; must never be taken for a trial's.
        patterns: None: all is kept but version control, caches and the like.

    Raises:
        SpecError: something cannot be read, or there are more than `max_files` files.
    """
    found, open_, thinned, stale = Found(), [("", 0)], set[str](), {CONFIG, *stale}
    while open_ and len(found.files) + len(found.links) <= max_files * _LOOK_ON:
        folder, mode = open_.pop()
        prefix = f"{folder}/" if folder else ""
        path = f"{source}/{folder}" if folder else source
        try:
            with os.scandir(path) as listing:
                entries = list(listing)
        except OSError as error:
            raise unreadable(path, error) from None
        names = {entry.name for entry in entries}
        if folder:
            if _foreign(names):
                continue
            found.folders.append((folder, mode))
        if patterns is not None and ignore.FILE in names:
            patterns.enter(folder, path)
        for entry in entries:
            name = prefix + entry.name
            if entry.name in _SKIPPED or name in stale or f"{source}/{name}" in excluded:
                continue
            try:
                seen = entry.stat(follow_symlinks=False)
            except OSError as error:
                raise unreadable(f"{source}/{name}", error) from None
            if patterns is not None:
                is_folder = stat.S_ISDIR(seen.st_mode)
                verdict = patterns.verdict(name, is_folder)
                if verdict is None and ignore.only_runs_write(name, entry.path, seen.st_mode):
                    _note(found.left_out, ignore.title(name, is_folder), entry.path, is_folder, seen.st_size)
                    thinned.add(folder)
                    verdict = True
                elif verdict:
                    _note(found.excluded, f"{name}/" if is_folder else name, entry.path, is_folder, seen.st_size)
                if verdict:
                    found.gone.add(name)
                    continue
            if stat.S_ISLNK(seen.st_mode):
                found.links.append(name)
            elif stat.S_ISDIR(seen.st_mode):
                open_.append((name, stat.S_IMODE(seen.st_mode) & 0o777))
            elif stat.S_ISREG(seen.st_mode):
                found.files.append(file_of(name, f"{source}/{name}", seen))
    if len(found.files) + len(found.links) > max_files:
        raise refused(f"{source} has more than {max_files:,} files; {too_much(found.files)}")
    if patterns is not None:
        _drop_emptied(found, thinned)
        found.unused = patterns.unused()
    return found


def _foreign(names: set[str]) -> bool:
    """Whether a folder of these names is a virtual environment or a study. (A database alone is no study: other
    tools' users call theirs study.db, too.)"""
    return "pyvenv.cfg" in names or "conda-meta" in names or {"study.db", "results", "trials"} <= names


def file_of(name: str, path: str, seen: os.stat_result) -> File:
    return File(name, path, stat.S_IMODE(seen.st_mode) & 0o777, seen.st_size, seen.st_mtime_ns)


def _note(amounts: dict[str, Amount], title: str, path: str, is_folder: bool, size: int) -> None:
    """Counts what is left out."""
    amount = amounts.setdefault(title, Amount())
    if not is_folder:
        amount.add(size)
        return
    looked_at = 0
    for folder, _, names in os.walk(path):
        for below in names:
            try:
                amount.add(os.lstat(f"{folder}/{below}").st_size)
            except OSError:  # it has just gone
                continue
        looked_at += 1 + len(names)
        if looked_at > _MOST_COUNTED:
            amount.more = True
            return


def _drop_emptied(found: Found, thinned: set[str]) -> None:
    """Folders that held nothing but what runs write go with it."""
    held: dict[str, int] = {}
    for name in [*(n for n, _ in found.folders), *(f.name for f in found.files), *found.links]:
        parent = name.rpartition("/")[0]
        held[parent] = held.get(parent, 0) + 1
    kept = []
    for name, mode in reversed(found.folders):
        if name in thinned and not held.get(name):
            parent = name.rpartition("/")[0]
            held[parent] -= 1
            thinned.add(parent)
            found.gone.add(name)
        else:
            kept.append((name, mode))
    found.folders = kept[::-1]


# -- too much ----------------------------------------------------------------------------------------------------------


def too_much(files: list[File]) -> str:
    """Where most of it is, and what to do."""
    largest = _largest(files)
    if not largest:
        return "leave files out with exclude: or a .hpoignore, or keep data elsewhere and name it with data_dir:"
    shown = ", ".join(f"{name}/ ({amount})" for name, amount in largest)
    pattern = ", ".join(f'"/{name}/"' if " " in name or "," in name else f"/{name}/" for name, _ in largest)
    return (
        f"the largest folders: {shown}; leave out what trials do not need, as in exclude: [{pattern}] or a .hpoignore "
        "(data can be named with data_dir:)"
    )


def _largest(files: list[File]) -> list[tuple[str, Amount]]:
    """Up to three folders that hold most, none in another, by their share of the files and of the bytes."""
    amounts: dict[str, Amount] = {}
    whole = Amount()
    for file in files:
        whole.add(file.size)
        folder = file.name.rpartition("/")[0]
        while folder:
            amounts.setdefault(folder, Amount()).add(file.size)
            folder = folder.rpartition("/")[0]

    def share(name: str) -> float:
        amount = amounts[name]
        return max(amount.files / max(1, whole.files), amount.size / max(1, whole.size))

    chosen: list[str] = []
    children: dict[str, list[str]] = {}
    for name in amounts:
        children.setdefault(name.rpartition("/")[0], []).append(name)
    for top in children.get("", ()):
        name = top
        while (below := max(children.get(name, ()), key=share, default="")) and share(below) > 0.9 * share(name):
            name = below
        chosen.append(name)
    chosen.sort(key=share, reverse=True)
    return [(name, amounts[name]) for name in chosen[:_LARGEST] if share(name) > 0.02]
