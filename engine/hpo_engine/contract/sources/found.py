"""The files that a script has made in a trial's folders, by patterns. Whoever reads them opens them himself.

What lay there before the attempt is never found: copies and links of the script's own folder, what an earlier attempt
left, the engine's own files. See `earlier`.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Sequence
from typing import NamedTuple

from hpo_engine.contract import stopnote
from hpo_engine.contract.paths import CONFIG
from hpo_engine.contract.sources.earlier import Earlier
from hpo_engine.contract.sources.interface import TrialFiles
from hpo_engine.contract.sources.numbers import printable
from hpo_engine.contract.sources.tree import Tree, has_turn, recent

_MOST = 1_000  # files that match; others are left out
_TOP = re.compile(r"\$?\{?(RESULT_DIR|LOG_DIR|result_dir|log_dir)\}?").fullmatch
_DIGITS = re.compile(r"(\d+)").split
_Candidate = tuple[str, Tree, str, int]  # RESULT_DIR or LOG_DIR and what is in it, the name, the index of the pattern


class FoundFile(NamedTuple):
    """A file that this attempt has written, as it was when it was last looked at (at most 0.3 s ago).

    `top`: RESULT_DIR or LOG_DIR (absolute), and `called`: which of them; `name`: the path below it. `before`: so many
    bytes at its beginning were there before the attempt and are none of its reports; what was only appended to has
    them. `pattern`: the index of the first pattern that it matches. `old`: the attempt made it, but what is in it was
    written before, so it is likely a copy of a former run's.
    """

    top: str
    called: str
    name: str
    inode: int
    size: int
    mtime_ns: int
    before: int = 0
    pattern: int = 0
    old: bool = False

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
        but: names of files that are passed over, in whatever folder.

    Raises:
        ValueError: a pattern is empty, absolute, or has `..` in it.
    """

    def __init__(self, trial: TrialFiles, patterns: Sequence[str], but: frozenset[str] = frozenset()) -> None:
        try:
            self._pattern = re.compile("|".join([f"({_expression(pattern)})" for pattern in patterns]))
        except re.error as error:
            raise ValueError(f"{' '.join(patterns)!r} is not a pattern ({error})") from None
        self._but = but
        self._exact = [] if any(map(has_wildcards, patterns)) else list(map(os.path.normpath, patterns))
        self._places = (("RESULT_DIR", trial.result_tree), ("LOG_DIR", trial.log_tree))
        self._earlier = Earlier(trial.paths, trial.attempt, trial.placed)
        self._state: tuple[int, ...] = ()
        self._generations: tuple[int, ...] = ()
        self._candidates = self._matching() if self._exact else []
        self._known: dict[str, tuple[tuple[int, int, int], int | None, bool]] = {}
        self._recent = 0  # files that have changed since then are looked at in each round
        self._files: tuple[FoundFile, ...] = ()

    def look(self) -> Sequence[FoundFile]:
        """The files by now: those in RESULT_DIR before those in LOG_DIR, by name, numbers in names as numbers.

        The very same object as before if nothing has changed. Never raises, never waits. The folders are looked at
        every 0.3 s at most, and not at all for patterns without wildcards, so it may be called at every turn. Of many
        files only those that changed last are looked at each time, the others in turn.
        """
        if self._walked() and (self._candidates or self._files):
            started = time.thread_time()
            places = enumerate(self._candidates)
            files = tuple([file for number, place in places if (file := self._file(number, *place)) is not None])
            if files != self._files:
                self._files = files
                self._recent = recent([mtime_ns for (_, _, mtime_ns), _, _ in self._known.values()])
            self._places[0][1].spent(time.thread_time() - started)
        return self._files

    def all(self) -> Sequence[str]:
        """The paths of all files that match, whoever wrote them (absolute)."""
        self._walked()
        paths = [f"{tree.top}/{name}" for _, tree, name, _ in self._matching()]
        return [path for path in paths if _regular(path) is not None]

    def _walked(self) -> bool:
        """Whether it is time to look at the files; then it is known which of them match by now."""
        if self._exact:
            return True
        for _, tree in self._places:
            tree.look()
        state = tuple([tree.rounds for _, tree in self._places])
        if state == self._state:
            return False
        self._state = state
        if (generations := tuple([tree.generation for _, tree in self._places])) != self._generations:
            self._generations = generations
            self._candidates = self._matching()
        return True

    def _matching(self) -> list[_Candidate]:
        matching: list[_Candidate] = []
        for called, tree in self._places:
            matches = [match for name in self._exact or tree.names if (match := self._pattern.fullmatch(name))]
            for match in sorted(matches, key=lambda match: _natural(match[0])):
                own = match[0] in (CONFIG, stopnote.NAME) and called == "RESULT_DIR"
                if not own and match[0].rpartition("/")[2] not in self._but:
                    matching.append((called, tree, match[0], (match.lastindex or 1) - 1))
        return matching[:_MOST]

    def _file(self, number: int, called: str, tree: Tree, name: str, pattern: int) -> FoundFile | None:
        path = f"{tree.top}/{name}"
        now, before, old = self._known.get(path, (None, None, False))
        if now is None or self._exact or now[2] >= self._recent or has_turn(number, tree.rounds):
            if (found := _regular(path)) is None:
                self._known.pop(path, None)
                return None
            if now != (now := (found.st_ino, found.st_size, found.st_mtime_ns)):
                before, old = self._earlier.size(path, found), self._earlier.is_copied(found)
                self._known[path] = now, before, old
        return None if before is None else FoundFile(tree.top, called, name, *now, before, pattern, old)


def _regular(path: str) -> os.stat_result | None:
    try:
        found = os.lstat(path)
    except (OSError, ValueError):
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def has_wildcards(pattern: str) -> bool:
    return any(sign in pattern for sign in "*?[")


def _natural(name: str) -> list[tuple[int, str]]:
    """A key by which version_9 comes before version_10."""
    return [(int(part), "") if part.isdecimal() and len(part) < 19 else (-1, part) for part in _DIGITS(name)]


def _expression(pattern: str) -> str:
    """A regular expression for the paths that a pattern matches."""
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    if not parts or pattern.startswith(("/", "~/")) or ".." in parts:
        raise ValueError(f"the file must be a path or a pattern below RESULT_DIR or LOG_DIR, not {pattern!r}")
    if _TOP(parts[0]):
        inside = "/".join(parts[1:])
        raise ValueError(f"the file is looked for in RESULT_DIR and LOG_DIR: write {inside!r} for {pattern!r}")
    if pattern.endswith("/"):
        raise ValueError(
            f"the file must be one or several files, such as {pattern + '*'!r}, not the folder {pattern!r}"
        )
    if parts[-1] == "**":
        parts.append("*")
    out = [r"(?:(?!\.)[^/]+/)*" if part == "**" else name_expression(part) + "/" for part in parts[:-1]]
    return "".join(out) + name_expression(parts[-1])


def name_expression(pattern: str) -> str:
    """A regular expression for the names that one part of a pattern matches. Raises nothing; it may not compile."""
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
