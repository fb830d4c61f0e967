"""The history of a study as it grows: events are applied at once, committed in one batch, then passed to the trackers.

The only room that writes to the store. Knows neither a searcher nor an executor.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from hpo_engine.core.ports import Store, Tracker
from hpo_engine.study.events import Event, apply
from hpo_engine.study.history import History

_log = logging.getLogger(__name__)


class Recorder:
    """`history`: the fold of all recorded events, committed or not.

    Args:
        store: the study's log; history: the fold of that log.
    """

    def __init__(self, store: Store, history: History, trackers: Sequence[Tracker]) -> None:
        self.history = history
        self._store, self._trackers = store, list(trackers)
        self._batch: list[tuple[Event, History]] = []  # each with the history right after it
        self._untold: list[tuple[Event, History]] = []

    def record(self, event: Event) -> None:
        self.history = apply(self.history, event)
        self._batch.append((event, self.history))

    def commit(self) -> None:
        """Writes what was recorded since the last commit. Raises JournalError."""
        if self._batch:
            self._store.append([event for event, _ in self._batch], self.history)
            self._untold += self._batch
            self._batch = []

    def open_trackers(self, now: float) -> None:
        for tracker in list(self._trackers):
            self._call(tracker, "open", self.history, now)

    def tell(self, now: float) -> None:
        """Passes committed events to the trackers; called after launches, so that no slot waits for a tracker."""
        untold, self._untold = self._untold, []
        for tracker in list(self._trackers):
            for event, history in untold:
                self._call(tracker, "on", event, history)
            self._call(tracker, "tick", self.history, now)

    def drop_trackers(self) -> None:
        """Trackers are not called again, not even to close."""
        self._trackers.clear()

    def close_trackers(self) -> None:
        for tracker in list(self._trackers):
            self._call(tracker, "close", self.history)

    def close(self) -> None:
        self._store.close()

    def _call(self, tracker: Tracker, method: str, *args: object) -> None:
        """One that raises, or lacks the method, is called no more."""
        if tracker not in self._trackers:
            return
        try:
            getattr(tracker, method)(*args)
        except BaseException as error:  # even KeyboardInterrupt: drivers handle Ctrl-C as a signal
            self._trackers.remove(tracker)
            words = str(error) or type(error).__name__
            _log.warning("%s is switched off: %s", type(tracker).__name__, words, exc_info=_log.isEnabledFor(10))
