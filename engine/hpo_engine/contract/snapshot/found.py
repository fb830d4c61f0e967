"""What a survey of a script's folder finds: files, folders, links, and amounts of what is left out."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field

from hpo_engine.text.tables import size_text


@dataclass(frozen=True)
class File:
    """A file to copy: its name below the folder, the path that it is read from, and its status."""

    name: str
    path: str
    mode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, name: str, path: str, seen: os.stat_result) -> File:
        return cls(name, path, stat.S_IMODE(seen.st_mode) & 0o777, seen.st_size, seen.st_mtime_ns)


@dataclass
class Amount:
    """A number of files and their bytes; `more`: there are more, which were not counted."""

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
    """What is copied (`folders`: parents first), and what is left out.

    `left_out`: what only runs write, by title. `gone`: names that are left out; a folder stands for everything in it.
    `unused`: patterns of the study file that match nothing. `excluded`: what the user's patterns leave out, by name.
    `linked`: files that are too big to copy (known once the folder is frozen).
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

    def is_excluded(self, name: str) -> bool:
        """Whether the user's patterns leave it out, or a folder that it is in."""
        return any(name == title or (title.endswith("/") and name.startswith(title)) for title in self.excluded)

    def holds(self, name: str) -> bool:
        """Whether the copy has this file, by itself or in a folder that a link leads to."""
        links = set(self.links)
        parents = [name[:end] for end, character in enumerate(name) if character == "/"]
        return name in links or not links.isdisjoint(parents) or any(file.name == name for file in self.files)
