"""The history of a study as it grows: events are applied at once, committed in one batch, then passed to the trackers.

The only room that writes to the store. Knows neither a searcher nor an executor.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hpo_engine.contract.binding import reserved
from hpo_engine.core.ports import Listener, Store
from hpo_engine.study.events import Event, apply
from hpo_engine.study.history import History
from hpo_engine.study.trial import Attempt, Trial

_log = logging.getLogger(__name__)


class Recorder:
    """`history`: the fold of all recorded events, committed or not.

    Args:
        store: the study's log; history: the fold of that log.
    """

    def __init__(self, store: Store, history: History, trackers: Sequence[Listener]) -> None:
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
            if self._trackers:  # else nobody reads them, and their histories would stay in memory
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

    def environment(self, trial: Trial, attempt: Attempt) -> dict[str, str]:
        """The variables that trackers set for an attempt that is about to be recorded; the last tracker's count."""
        variables: dict[str, str] = {}
        for tracker in list(self._trackers):
            if hasattr(tracker, "environment"):
                variables |= self._call(tracker, "environment", self.history, trial, attempt, check=_variables) or {}
        return variables

    @property
    def shared_variables(self) -> frozenset[str]:
        """Names of those variables of trackers that all attempts have alike."""
        return frozenset().union(*(getattr(tracker, "shared_variables", ()) for tracker in self._trackers))

    def drop_trackers(self) -> None:
        """Trackers are not called again, not even to close."""
        self._trackers.clear()

    def close_trackers(self) -> None:
        for tracker in list(self._trackers):
            self._call(tracker, "close", self.history)

    def close(self) -> None:
        self._store.close()

    def _call(self, tracker: Listener, method: str, *args: object, check: Callable[[Any], Any] | None = None) -> Any:
        """What the method returns, passed through `check`. A tracker that raises, or lacks the method, is called no
        more, and the answer is None."""
        if tracker not in self._trackers:
            return None
        try:
            answer = getattr(tracker, method)(*args)
            return answer if check is None else check(answer)
        except BaseException as error:  # even KeyboardInterrupt: drivers handle Ctrl-C as a signal
            self._trackers.remove(tracker)
            words = str(error) or type(error).__name__
            _log.warning("%s is switched off: %s", type(tracker).__name__, words, exc_info=_log.isEnabledFor(10))
            return None


def _variables(answer: Mapping[str, str]) -> dict[str, str]:
    """The variables that a tracker wants. Raises TypeError, ValueError: a process cannot have them."""
    for name, value in answer.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"a variable and its value are text, not {name!r} and {value!r}")
        if not name or "=" in name or "\0" in name + value:
            raise ValueError(f"no process can have a variable {name!r} with the value {value!r}")
        if why := reserved(name):
            raise ValueError(f"{name} {why}")
    return dict(answer)
