"""A study's history as it grows, read again only when its log has changed."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from hpo_engine.errors import JournalError, StudyGone

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.study.history import History

_SETTLED_NS = 2_000_000_000
"""A file may change twice within what its file system takes for one moment."""

Stamp = tuple[tuple[int, ...], ...]


class Reader:
    """The history of one study. No file stays open between two calls, so that a reader may be used from several threads
    and after a fork, and notices when the study is moved or removed."""

    def __init__(self, paths: StudyPaths) -> None:
        self._paths = paths
        self._known: tuple[Stamp, History] | None = None

    def read(self) -> History:
        """The history up to now. An unchanged log costs two calls of stat, a changed one what is new in it.

        Raises:
            StudyGone: the study was moved or removed, or another one has its place. JournalError.
        """
        from hpo_engine.store.journal import Journal

        known, stamp = self._known, self._stamp()
        if known is not None and known[0] == stamp:
            return known[1]
        try:
            with contextlib.closing(Journal(self._paths.db)) as journal:
                history = journal.history(None if known is None else known[1])
        except JournalError:
            if not os.path.lexists(self._paths.db):
                raise self._gone() from None
            raise
        if known is not None and known[1].opened_at != history.opened_at:
            raise StudyGone(f"{self._paths.root}: the study was removed, and another one has its name; load that one")
        latest = self._known
        if latest is None or history.events >= latest[1].events:  # else another thread has read more meanwhile
            newest = max(each[1] for each in stamp)
            settled = time.time_ns() - newest > _SETTLED_NS
            self._known = (stamp if settled else ()), history
        return history

    def _stamp(self) -> Stamp:
        """What changes when the log does. Raises StudyGone."""
        found = []
        for path in (self._paths.db, f"{self._paths.db}-wal"):
            try:
                at = os.stat(path)
            except FileNotFoundError:
                continue
            found.append((at.st_ino, at.st_mtime_ns, at.st_size))
        if not found:
            raise self._gone()
        return tuple(found)

    def _gone(self) -> StudyGone:
        return StudyGone(f"{self._paths.root}: the study was moved or removed")
