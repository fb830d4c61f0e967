"""Studies as they are on the disk, for many readers: nothing is read again that has not changed."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from hpo_engine.control.reading import Reader
from hpo_engine.errors import JournalError, StudyGone
from hpo_engine.store.journal import Glance, read_glance

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.study.history import History

_SETTLED_NS = 2_000_000_000  # see control.reading
_MOST_TRIALS = 200_000  # of all histories that are kept
_MOST_STUDIES = 256

Stamp = tuple[tuple[int, ...], ...]


class _Seen(NamedTuple):
    stamp: Stamp
    glance: Glance


class Glances:
    """Where each study's log ends, and the study in short: a few hundred bytes per study."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def of(self, paths: StudyPaths) -> Glance:
        """An unchanged log costs two calls of stat. Raises JournalError, StudyGone."""
        stamp, known = _stamp(paths.db), self._seen.get(paths.root)
        if known is not None and known.stamp == stamp:
            return known.glance
        try:
            glance = read_glance(paths.db, None if known is None else known.glance)
        except JournalError:
            if not os.path.lexists(paths.db):
                raise StudyGone(f"{paths.root}: the study was moved or removed") from None
            raise
        settled = time.time_ns() - max(each[1] for each in stamp) > _SETTLED_NS
        self._seen[paths.root] = _Seen(stamp if settled else (), glance)
        return glance

    def forget(self, paths: StudyPaths) -> None:
        self._seen.pop(paths.root, None)


class Histories:
    """Whole histories, as many as fit: those that nobody has asked for longest go first."""

    def __init__(self, most_trials: int = _MOST_TRIALS, most_studies: int = _MOST_STUDIES) -> None:
        self._most_trials, self._most_studies = most_trials, most_studies
        self._readers: OrderedDict[str, _Shared] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, paths: StudyPaths) -> History:
        """Only what is new in a log is read; several that ask at the same time wait for one. Raises JournalError,
        StudyGone."""
        with self._lock:
            shared = self._readers.pop(paths.root, None) or _Shared(paths)
            self._readers[paths.root] = shared
        try:
            history = shared.read()
        except (StudyGone, JournalError):
            self.forget(paths)
            raise
        with self._lock:
            self._shrink()
        return history

    def forget(self, paths: StudyPaths) -> None:
        with self._lock:
            self._readers.pop(paths.root, None)

    def _shrink(self) -> None:
        total = sum(shared.trials for shared in self._readers.values())
        while len(self._readers) > 1 and (total > self._most_trials or len(self._readers) > self._most_studies):
            _, oldest = self._readers.popitem(last=False)
            total -= oldest.trials


class _Shared:
    """The reader of one study."""

    def __init__(self, paths: StudyPaths) -> None:
        self._reader, self._lock = Reader(paths), threading.Lock()
        self.trials = 0

    def read(self) -> History:
        with self._lock:
            history = self._reader.read()
            self.trials = history.next_id
            return history


def _stamp(db: str) -> Stamp:
    """What changes when the log does. Raises StudyGone."""
    found = []
    for path in (db, f"{db}-wal"):
        try:
            at = os.stat(path)
        except FileNotFoundError:
            continue
        found.append((at.st_ino, at.st_mtime_ns, at.st_size))
    if not found:
        raise StudyGone(f"{os.path.dirname(db)}: the study was moved or removed")
    return tuple(found)
