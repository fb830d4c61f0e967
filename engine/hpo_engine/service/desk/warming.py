"""Reads large studies that have changed lately before anybody asks: the first page of one would wait for seconds."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hpo_engine.contract.paths import studies
from hpo_engine.errors import EngineError

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.service.desk.looking import Glances, Histories

LARGE = 2_000
"""Trials; smaller studies are read while a page is made."""
_LOOKED_AT = 100  # studies, the latest ones
_MOST_STUDIES, _MOST_TRIALS = 4, 100_000
_AFTER_S = 0.3  # the service takes requests first
_LEAVE_S = 5.0


class Warming:
    """A thread of its own, once, when the service begins."""

    def __init__(self, root: str, glances: Glances, histories: Histories) -> None:
        self._root, self._glances, self._histories = root, glances, histories
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="warming", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wait(self) -> None:
        """Until all is read."""
        self._thread.join()

    def close(self) -> None:
        """Begins with no other study; waits for the one that is being read, but not for long."""
        self._leaving.set()
        if self._thread.ident is not None:
            self._thread.join(_LEAVE_S)

    def _run(self) -> None:
        if self._leaving.wait(_AFTER_S):
            return
        for paths in self._chosen():
            if self._leaving.is_set():
                return
            with contextlib.suppress(EngineError, OSError):
                self._histories.of(paths)

    def _chosen(self) -> Iterator[StudyPaths]:
        """Large studies, the one that has changed last first, as many as are soon read."""
        latest = sorted(studies(self._root), key=_changed_at, reverse=True)[:_LOOKED_AT]
        count = total = 0
        for paths in latest:
            trials = self._trials(paths)
            if trials >= LARGE and total + trials <= _MOST_TRIALS:
                count, total = count + 1, total + trials
                yield paths
            if count == _MOST_STUDIES:
                return

    def _trials(self, paths: StudyPaths) -> int:
        try:
            return sum(self._glances.of(paths).summary.counts.values())
        except (EngineError, OSError):  # whoever asks for it is told
            return 0


def _changed_at(paths: StudyPaths) -> float:
    found = [0.0]
    for path in (paths.db, f"{paths.db}-wal"):
        with contextlib.suppress(OSError):
            seen = os.stat(path)
            if seen.st_size:  # an empty one is made by who reads
                found.append(seen.st_mtime)
    return max(found)
