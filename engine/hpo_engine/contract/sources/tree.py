"""The names of the files below a folder that a script writes to, kept up to date at little cost.

Nothing is opened here but folders. A folder is listed again only if its time stamp says that names came or went.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Sequence
from typing import NamedTuple

from hpo_engine.system.files import TICK_NS

_EVERY_S = 0.3  # between two rounds over the folders
_SHARE = 1000  # a round is repeated after this many times its duration at the soonest: 64 trials share one core,
_LONGEST_S = 10.0  # but after this
_DEEPEST = 12  # levels of folders
_MOST_FOLDERS = 2_000
_MOST_NAMES = 5_000  # that are listed of one folder
_MOST_FILES = 20_000
_PASSED_OVER = frozenset(("__pycache__", ".git", "node_modules"))
MOST_RECENT = 4  # folders, and files, that are looked at in each round: those that changed last;
TURNS = 4  # the others take turns over so many rounds, for a script leaves ever more of them behind


class _Listing(NamedTuple):
    stamp: int  # of the folder when it was listed; 0: list it again, for it may have changed within the same tick
    files: tuple[str, ...]
    folders: tuple[str, ...]


class Tree:
    """Regular files below a folder. Links are neither followed nor listed; what exceeds the limits is left out, the
    deepest first.

    Args:
        top: absolute.
    """

    def __init__(self, top: str) -> None:
        self.top = top
        self.names: tuple[str, ...] = ()
        """By their paths below `top`."""
        self.rounds = 0
        """How often the folders were looked at; what depends on this tree has nothing to do before it grows."""
        self.generation = 0
        """Grows when `names` has changed."""
        self._listings: dict[str, _Listing] = {}
        self._recent = 0  # the stamps from which on folders are looked at in each round
        self._took_s = self._ended = self._not_before = 0.0

    def look(self) -> None:
        """Brings `names` up to date, at most every 0.3 s: a stat of the folders that changed last and of every fourth
        of the others, and a listing of each that has changed."""
        if time.monotonic() < self._not_before:
            return
        started = time.thread_time()
        self.rounds += 1
        listings, changed = self._round()
        if changed:
            self._listings = listings
            self._recent = recent([listing.stamp for listing in listings.values()])
            names = [inside + name for inside, listing in listings.items() for name in listing.files]
            self.names = tuple(names[:_MOST_FILES])
            self.generation += 1
        self._took_s, self._ended = 0.0, time.monotonic()
        self.spent(time.thread_time() - started)

    def spent(self, seconds: float) -> None:
        """Counts towards the duration of the last round: the next one is the later. Of processor time, for on a machine
        that is busy with the trials everything takes long."""
        self._took_s += seconds
        self._not_before = self._ended + min(max(_EVERY_S, _SHARE * self._took_s), _LONGEST_S)

    def _round(self) -> tuple[dict[str, _Listing], bool]:
        """All listings, and whether any is not what it was. Breadth first, so that limits cut off the deepest."""
        listings: dict[str, _Listing] = {}
        changed, waiting = False, [""]
        for number, inside in enumerate(waiting):  # it grows meanwhile
            before = self._listings.get(inside)
            if before is None or not 0 < before.stamp < self._recent or has_turn(number, self.rounds):
                listing = _listed(f"{self.top}/{inside}", before)
            else:
                listing = before
            changed |= listing is not before
            if listing is None:
                continue
            listings[inside] = listing
            if inside.count("/") < _DEEPEST:
                waiting += [f"{inside}{name}/" for name in listing.folders[: _MOST_FOLDERS - len(waiting)]]
        return listings, changed or len(listings) != len(self._listings)


def recent(stamps: Sequence[int]) -> int:
    """The earliest time stamp of those that changed last."""
    return sorted(stamps)[-MOST_RECENT:][0] if stamps else 0


def has_turn(number: int, rounds: int) -> bool:
    """Whether one of those that have not changed for long, by its place among all, is looked at in this round."""
    return (number + rounds) % TURNS == 0


def _listed(path: str, before: _Listing | None) -> _Listing | None:
    """What is in a folder: `before` if that still holds, None if there is no such folder."""
    try:
        found = os.lstat(path.rstrip("/"))
        if not stat.S_ISDIR(found.st_mode):
            return None
        if before is not None and before.stamp == found.st_mtime_ns:
            return before
        settled = found.st_mtime_ns < time.time_ns() - TICK_NS
        files, folders = _entries(path)
    except OSError:
        return None
    if before is not None and (before.files, before.folders) == (files, folders) and not settled:
        return before
    return _Listing(found.st_mtime_ns if settled else 0, files, folders)


def _entries(path: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    files: list[str] = []
    folders: list[str] = []
    with os.scandir(path) as entries:
        for count, entry in enumerate(entries):
            if count >= _MOST_NAMES:
                break
            if entry.is_file(follow_symlinks=False):
                files.append(entry.name)
            elif entry.is_dir(follow_symlinks=False) and entry.name not in _PASSED_OVER:
                folders.append(entry.name)
    return tuple(sorted(files)), tuple(sorted(folders))
