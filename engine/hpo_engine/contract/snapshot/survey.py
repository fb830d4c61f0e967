"""Looks through a script's folder: all that is to be copied, before anything is written.

Reads names, sizes and modes; of the contents of files only the patterns of a .hpoignore.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection

from hpo_engine.contract.paths import CONFIG
from hpo_engine.contract.snapshot import ignore
from hpo_engine.contract.snapshot.found import Amount, File, Found
from hpo_engine.contract.snapshot.messages import refused, too_much, unreadable

_SKIPPED = frozenset(
    {".git", ".hg", ".svn", "__pycache__", ".ipynb_checkpoints", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
)
_LOOK_ON = 4  # times the limit: so many files are looked at, to name the largest folders
_MOST_COUNTED = 20_000  # entries of a folder that is left out


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
        stale: relative paths of files, as config.json, that a run by hand left; they must never be taken for a trial's.
        patterns: if None, everything but version control, caches and the like is kept.

    Raises:
        SpecError: something cannot be read, or there are more than `max_files` files.
    """
    walk = _Walk(source, {*excluded, *(f"{source}/{name}" for name in (CONFIG, *stale))}, patterns)
    found, open_ = walk.found, [("", 0)]
    while open_ and len(found.files) + len(found.links) <= max_files * _LOOK_ON:
        open_ += walk.look_into(*open_.pop())
    if len(found.files) + len(found.links) > max_files:
        raise refused(f"{source} has more than {max_files:,} files; {too_much(found.files)}")
    if patterns is not None:
        _drop_emptied(found, walk.thinned)
        found.unused = patterns.unused()
    return found


class _Walk:
    """Goes through the folders. `thinned`: those that hold something that only runs write."""

    def __init__(self, source: str, skipped: Collection[str], patterns: ignore.Patterns | None) -> None:
        self._source, self._skipped, self._patterns = source, skipped, patterns
        self.found = Found()
        self.thinned: set[str] = set()

    def look_into(self, folder: str, mode: int) -> list[tuple[str, int]]:
        """Takes in what is in a folder ("": the top). Returns the folders in it, and their modes."""
        path = f"{self._source}/{folder}" if folder else self._source
        try:
            with os.scandir(path) as listing:
                entries = list(listing)
        except OSError as error:
            raise unreadable(path, error) from None
        names = {entry.name for entry in entries}
        if folder:
            if _is_other_kind(names):
                return []
            self.found.folders.append((folder, mode))
        if self._patterns is not None and ignore.FILE in names:
            self._patterns.enter(folder, path)
        return [inner for entry in entries for inner in self._take(entry, folder)]

    def _take(self, entry: os.DirEntry[str], folder: str) -> list[tuple[str, int]]:
        """Takes in an entry of the folder; one that is a folder is returned, with its mode."""
        name = f"{folder}/{entry.name}" if folder else entry.name
        path = f"{self._source}/{name}"
        if entry.name in _SKIPPED or path in self._skipped:
            return []
        try:
            seen = entry.stat(follow_symlinks=False)
        except OSError as error:
            raise unreadable(path, error) from None
        if self._patterns is not None and self._left_out(self._patterns, name, entry, seen):
            self.found.gone.add(name)
        elif stat.S_ISLNK(seen.st_mode):
            self.found.links.append(name)
        elif stat.S_ISDIR(seen.st_mode):
            return [(name, stat.S_IMODE(seen.st_mode) & 0o777)]
        elif stat.S_ISREG(seen.st_mode):
            self.found.files.append(File.of(name, path, seen))
        return []

    def _left_out(self, patterns: ignore.Patterns, name: str, entry: os.DirEntry[str], seen: os.stat_result) -> bool:
        """Whether the user's patterns leave it out, or it is what only runs write; counts that."""
        is_folder = stat.S_ISDIR(seen.st_mode)
        verdict = patterns.verdict(name, is_folder)
        if verdict is None and ignore.only_runs_write(name, entry.path, seen.st_mode):
            self.thinned.add(name.rpartition("/")[0])
            _count(self.found.left_out, ignore.title(name, is_folder), entry.path, is_folder, seen.st_size)
            return True
        if verdict:
            _count(self.found.excluded, f"{name}/" if is_folder else name, entry.path, is_folder, seen.st_size)
        return bool(verdict)


def _is_other_kind(names: set[str]) -> bool:
    """Whether a folder of these names is a virtual environment or a study. (A database alone does not make a study:
    users of other tools call theirs study.db, too.)"""
    return "pyvenv.cfg" in names or "conda-meta" in names or {"study.db", "results", "trials"} <= names


def _count(amounts: dict[str, Amount], title: str, path: str, is_folder: bool, size: int) -> None:
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
    """Leaves out folders that hold nothing but what runs write."""
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
