"""How the loop asks its searcher: in line, or in a thread beside the loop. One question at a time.

A question is an immutable history and a number; the caller decides whether the answer still applies. Knows no executor.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from hpo_engine.study.history import History
from hpo_engine.study.trial import Proposal

THREAD_NAME = "hpo-engine searcher"

Ask = Callable[[History, int], Sequence[Proposal]]


@dataclass(frozen=True)
class Answer:
    """`proposals` to the question (`history`, `count`), or the `error` that it ended with."""

    history: History
    count: int
    proposals: Sequence[Proposal] = ()
    error: BaseException | None = None


class Asker(Protocol):
    """Puts questions to a searcher."""

    @property
    def busy(self) -> bool:
        """Whether there is a question whose answer has not been taken yet."""

    def ask(self, history: History, count: int) -> None:
        """Asks a question; call only while not `busy`."""

    def take(self, patience_s: float = 0.0) -> Answer | None:
        """The answer, once; None if there is none after `patience_s` seconds."""

    def close(self) -> None:
        """Returns at once; an answer that comes later is dropped."""


class InLine:
    """Answers before `ask` returns."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._answer: Answer | None = None

    @property
    def busy(self) -> bool:
        return self._answer is not None

    def ask(self, history: History, count: int) -> None:
        self._answer = _answered(self._ask, history, count)

    def take(self, patience_s: float = 0.0) -> Answer | None:
        answer, self._answer = self._answer, None
        return answer

    def close(self) -> None:
        pass


class InThread:
    """Answers from a thread of its own, the same one for all questions, which dies with the process.

    Args:
        wake: called from that thread when an answer is there; never after `close`.
    """

    def __init__(self, ask: Ask, wake: Callable[[], None]) -> None:
        self._ask, self._wake = ask, wake
        self._questions: queue.SimpleQueue[tuple[History, int] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()  # guards what follows
        self._answer: Answer | None = None
        self._busy = self._closed = False
        self._answered = threading.Event()

    @property
    def busy(self) -> bool:
        return self._busy

    def ask(self, history: History, count: int) -> None:
        assert not self._busy
        if self._thread is None:
            thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no thread can be started now: answer in line
                self._answer, self._busy = _answered(self._ask, history, count), True
                return
            self._thread = thread
        self._answered.clear()
        self._busy = True
        self._questions.put((history, count))

    def take(self, patience_s: float = 0.0) -> Answer | None:
        if patience_s:
            self._answered.wait(patience_s)
        with self._lock:
            answer, self._answer = self._answer, None
            self._busy = self._busy and answer is None
        return answer

    def close(self) -> None:
        with self._lock:
            self._closed = True
        self._questions.put(None)

    def _run(self) -> None:
        while (question := self._questions.get()) is not None:
            answer = _answered(self._ask, *question)
            with self._lock:
                self._answer = answer
                self._answered.set()
                if self._closed:
                    return
                self._wake()


def thinking() -> bool:
    """Whether a searcher of this process still computes an answer that is no longer needed."""
    return any(t.name == THREAD_NAME for t in threading.enumerate())


def _answered(ask: Ask, history: History, count: int) -> Answer:
    try:
        return Answer(history, count, tuple(ask(history, count)))
    except BaseException as error:  # SystemExit, CancelledError: a plugin ends its study, not the engine or its thread
        return Answer(history, count, error=error)
