"""The files that a script has made in a trial's folders, by patterns. Whoever reads them opens them himself.

What lay there before the attempt is never found: copies and links of the script's own folder, what an earlier attempt
left, the engine's own files. See `earlier`.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from typing import NamedTuple

from hpo_engine.contract.paths import CONFIG
from hpo_engine.contract.sources.earlier import Earlier
from hpo_engine.contract.sources.interface import TrialFiles
from hpo_engine.contract.sources.numbers import printable
from hpo_engine.contract.sources.tree import Tree

_MOST = 1_000  # files that match; others are left out


class FoundFile(NamedTuple):
    """A file that this attempt has written, as it was when it was last looked at (at most 0.3 s ago).

    `top`: RESULT_DIR or LOG_DIR (absolute), and `called`: which of them; `name`: the path below it. `before`: so many
    bytes at its beginning were there before the attempt and are none of its reports; what was only appended to has
    them.
    """

    top: str
    called: str
    name: str
    inode: int
    size: int
    mtime_ns: int
    before: int = 0

    @property
    def path(self) -> str:
        return f"{self.top}/{self.name}"

    @property
    def folder(self) -> str:
        """The folder it is in (absolute)."""
        return self.path.rpartition("/")[0]

    @property
    def title(self) -> str:
        """For messages: "lightning_logs/version_0/metrics.csv in RESULT_DIR"."""
        return f"{printable(self.name)} in {self.called}"


class Found:
    """The files below RESULT_DIR and LOG_DIR of a trial that match patterns and that this attempt has written to.

    All sources of an attempt share one walk over its folders. Only regular files are found; no link is followed.
    Someone may put something else in a file's place at any moment, so open them by `system.files.open_folder` and
    `open_file`, or `safe_read`.

    Args:
        patterns: relative paths; `*` and `?` match within a name, `**` any number of folders, `[...]` one character of
        several. As in a shell, wildcards match no name that begins with a dot.

    Raises:
        ValueError: a pattern is empty, absolute, or has `..` in it.
    """

    def __init__(self, trial: TrialFiles, patterns: Sequence[str]) -> None:
        try:
            self._matches = re.compile("|".join(map(_expression, patterns))).fullmatch
        except re.error as error:
            raise ValueError(f"{' '.join(patterns)!r} is not a pattern ({error})") from None
        self._places = (("RESULT_DIR", trial.result_tree), ("LOG_DIR", trial.log_tree))
        self._earlier = Earlier(trial.paths, trial.attempt, trial.placed)
        self._state: tuple[int, ...] = ()
        self._generations: tuple[int, ...] = ()
        self._candidates: list[tuple[str, Tree, str]] = []
        self._known: dict[str, tuple[tuple[int, int, int], int | None]] = {}
        self._files: tuple[FoundFile, ...] = ()

    def look(self) -> Sequence[FoundFile]:
        """The files by now: those in RESULT_DIR before those in LOG_DIR, by name, numbers in names as numbers.

        The very same object as before if nothing has changed. Never raises, never waits. The folders are looked at
        every 0.3 s at most, so a caller may call it at every turn.
        """
        for _, tree in self._places:
            tree.look()
        state = tuple([tree.rounds for _, tree in self._places])
        if state != self._state:
            self._state = state
            if (generations := tuple([tree.generation for _, tree in self._places])) != self._generations:
                self._generations = generations
                self._candidates = self._matching()
            files = tuple([file for place in self._candidates if (file := self._file(*place)) is not None])
            if files != self._files:
                self._files = files
        return self._files

    def all(self) -> Sequence[str]:
        """The paths of all files that match, whoever wrote them (absolute)."""
        for _, tree in self._places:
            tree.look()
        return [f"{tree.top}/{name}" for _, tree, name in self._matching()]

    def _matching(self) -> list[tuple[str, Tree, str]]:
        matching = [
            (called, tree, name)
            for called, tree in self._places
            for name in sorted(filter(self._matches, tree.names), key=_natural)
            if not (name == CONFIG and called == "RESULT_DIR")
        ]
        return matching[:_MOST]

    def _file(self, called: str, tree: Tree, name: str) -> FoundFile | None:
        path = f"{tree.top}/{name}"
        try:
            found = os.lstat(path)
        except (OSError, ValueError):
            return None
        if not stat.S_ISREG(found.st_mode):
            return None
        now = (found.st_ino, found.st_size, found.st_mtime_ns)
        if path not in self._known or self._known[path][0] != now:
            self._known[path] = (now, self._earlier.size(path, found))
        before = self._known[path][1]
        return None if before is None else FoundFile(tree.top, called, name, *now, before)


def _natural(name: str) -> list[tuple[int, str]]:
    """A key by which version_9 comes before version_10."""
    return [(int(part), "") if part.isdecimal() and len(part) < 19 else (-1, part) for part in re.split(r"(\d+)", name)]


def _expression(pattern: str) -> str:
    """A regular expression for the paths that a pattern matches."""
    parts = pattern.split("/")
    if not pattern or pattern.startswith("/") or ".." in parts:
        raise ValueError(f"the file must be a path or a pattern below RESULT_DIR or LOG_DIR, not {pattern!r}")
    if parts[-1] == "**":
        parts.append("*")
    out = [r"(?:(?!\.)[^/]+/)*" if part == "**" else _of_name(part) + "/" for part in parts[:-1] if part != "."]
    return "".join(out) + _of_name(parts[-1])


def _of_name(pattern: str) -> str:
    out = r"(?!\.)" if pattern[:1] in ("*", "?", "[") else ""
    at = 0
    while at < len(pattern):
        end = pattern.find("]", at + 2) if pattern[at] == "[" else -1
        if end > 0:
            inner = pattern[at + 1 : end].replace("\\", r"\\").replace("[", r"\[")
            out += f"[^/{inner[1:]}]" if inner[0] in "!^" else f"[{inner}]"
            at = end + 1
            continue
        out += {"*": "[^/]*", "?": "[^/]"}.get(pattern[at]) or re.escape(pattern[at])
        at += 1
    return out
