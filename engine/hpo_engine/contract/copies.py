"""Copies are made one after the other in a thread beside the loop, so that a large one holds up nothing else.

The order in which they are asked for is kept. A trial that is carried on while another one's copy is made of its files
needs a copy of them, too (see `carrying.keep`), so it cannot begin to change them before the other copy is whole.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from hpo_engine.contract.foldercopy import Check

Key = tuple[int, int]
"""A trial and its attempt."""

_PATIENCE_S = 0.02  # a copy that is done this soon saves a turn of the loop
_FAREWELL_S = 0.5  # for removing half a copy when the engine ends


class Cancelled(Exception):
    """Nobody wants the copy any more."""


class _Task:
    def __init__(self, make: Callable[[Check], None]) -> None:
        self._make = make
        self._cancelled = False
        self.over = threading.Event()
        self.error: BaseException | None = None

    def cancel(self) -> None:
        self._cancelled = True

    def run(self) -> None:
        try:
            self._check()
            self._make(self._check)
        except BaseException as error:
            self.error = error
        finally:
            self.over.set()

    def _check(self) -> None:
        if self._cancelled:
            raise Cancelled


class Copies:
    """Makes copies in a thread, which is started for the first one and dies with the process.

    Args:
        wake: called from that thread whenever a copy is whole or has failed.
        patience_s: how long the first call of `made` waits for its copy (seconds).
    """

    def __init__(self, wake: Callable[[], None] = lambda: None, patience_s: float = _PATIENCE_S) -> None:
        self._wake, self._patience_s = wake, patience_s
        self._tasks: dict[Key, _Task] = {}
        self._queue: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    def made(self, key: Key, make: Callable[[Check], None]) -> bool:
        """Whether the copy is whole, which is said once. The first call begins it.

        Args:
            make: makes the copy; calls its argument now and then, which raises if the copy was cancelled.

        Raises:
            BaseException: what `make` raised.
        """
        task, patience_s = self._tasks.get(key), 0.0
        if task is None:
            task, patience_s = _Task(make), self._patience_s
            self._tasks[key] = task
            self._begin(task)
        if not task.over.wait(patience_s):
            return False
        del self._tasks[key]
        if task.error is not None:
            raise task.error
        return True

    def has(self, key: Key) -> bool:
        """Whether the copy was begun, and `made` has not returned it yet."""
        return key in self._tasks

    def cancel(self, trial_id: int) -> None:
        """The trial's copy is not wanted any more. Returns at once; what was copied of it is removed."""
        for key in [key for key in self._tasks if key[0] == trial_id]:
            self._tasks.pop(key).cancel()

    def close(self) -> None:
        """Cancels everything, and gives the thread a moment to remove what it has begun."""
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()
        self._closed = True
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join(_FAREWELL_S)

    def _begin(self, task: _Task) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="hpo-engine copies", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no room for a thread at present
                task.run()
                return
            self._thread = thread
        self._queue.put(task)

    def _run(self) -> None:
        while (task := self._queue.get()) is not None:
            task.run()
            if not self._closed:
                self._wake()
