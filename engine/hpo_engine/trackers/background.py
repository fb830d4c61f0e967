"""Work beside the loop: a thread that delivers items, in order, to a receiver that may be slow or out of reach.

Whoever hands items over never waits. What cannot be delivered is tried again after a growing pause; the end waits for a
bounded time. Knows nothing of studies, and no receiver.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

PAUSES_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Between two tries to deliver an item; the last one repeats."""
CLOSE_S = 5.0
"""How long `close` waits for what has not been delivered."""
_LAST_TRIES = 4
"""Once closing: a server that is being restarted may be back within these, with the shortest pauses in between."""

T = TypeVar("T")
A = TypeVar("A")


class Unreachable(Exception):
    """The receiver cannot take anything at present; the text says which one and why. The item is tried again."""


class Background(Generic[T]):
    """A queue of items, and the thread that delivers them, which starts with the first one.

    Args:
        deliver: passes one item on. Raises Unreachable or OSError: it is tried again; anything else: `put` raises that
            from then on.
        name: of the tracker, for messages. most: items that wait; the oldest ones make room for newer ones.
        pauses_s: see `PAUSES_S`.
    """

    def __init__(
        self, deliver: Callable[[T], None], name: str, *, most: int = 10_000, pauses_s: tuple[float, ...] = PAUSES_S
    ) -> None:
        self._deliver, self._name, self._pauses_s = deliver, name, pauses_s
        self._most = most
        self._items: deque[T] = deque()
        self._questions: deque[_Question] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = self._at_the_end = False
        self._last_tries = 0
        self._failures = 0  # in a row
        self._silent = False
        self._failed: BaseException | None = None
        self._told = self._dropped = False

    @property
    def silent(self) -> bool:
        """Whether the receiver did not answer a moment ago, so that it is pointless to wait for it."""
        return self._silent or self._failed is not None

    def put(self, item: T) -> None:
        """Hands an item over. Raises what `deliver` has raised, if that was no fault of the receiver's."""
        with self._changed:
            self._raise_failure()
            if len(self._items) >= self._most:
                self._items.popleft()
                if self._most > 1 and not self._dropped:
                    self._dropped = True
                    log.warning("%s: more than %d items wait; the oldest ones are dropped", self._name, self._most)
            self._items.append(item)
            self._wake()

    def ask(self, question: Callable[[], A], wait_s: float) -> A | None:
        """What a question that only the thread may ask is answered with; items wait meanwhile.

        None: there is no answer within `wait_s` seconds, or the receiver is silent, which costs no time.
        Raises what `put` raises.
        """
        with self._changed:
            self._raise_failure()
            if self.silent:
                return None
            asked = _Question(question)
            self._questions.append(asked)
            self._wake()
            self._changed.wait_for(lambda: asked.answered or self.silent, wait_s)
            asked.given_up = not asked.answered
            self._raise_failure()
            return asked.answer  # type: ignore[return-value]

    def close(self, wait_s: float = CLOSE_S) -> bool:
        """Delivers what waits, for at most `wait_s` seconds; returns whether nothing is left."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(wait_s)
        with self._changed:
            late = thread is not None and thread.is_alive()
            self._items, left = deque(), bool(self._items) or late
            self._changed.notify_all()
            return not left and self._failed is None

    def _raise_failure(self) -> None:
        if self._failed is not None:
            raise self._failed

    def _wake(self) -> None:
        if self._thread is None:
            # A daemon: a receiver that hangs must not keep the engine's process alive.
            self._thread = threading.Thread(target=self._work, name=f"tracker {self._name}", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    # -- in the thread ---------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while (step := self._next()) is not None:
            try:
                step()
            except (Unreachable, OSError) as error:
                if not self._unreachable(error):
                    return
            except BaseException as error:
                with self._changed:
                    self._failed = error
                    self._changed.notify_all()
                return
            else:
                self._reached()

    def _next(self) -> Callable[[], None] | None:
        """The next thing to do; None: all is done, and no more will come."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._questions or self._items or self._closing)
                self._at_the_end = self._closing
                if self._questions:
                    asked = self._questions.popleft()
                    if not asked.given_up:
                        return lambda: self._answer(asked)
                elif self._items:
                    item = self._items[0]
                    return lambda: self._deliver_one(item)
                else:
                    return None

    def _answer(self, asked: _Question) -> None:
        answer = asked.question()
        with self._changed:
            asked.answer, asked.answered = answer, True
            self._changed.notify_all()

    def _deliver_one(self, item: T) -> None:
        self._deliver(item)
        with self._changed:
            if self._items and self._items[0] is item:  # else a newer one has taken its place
                self._items.popleft()

    def _reached(self) -> None:
        if self._failures:
            log.warning("%s: it answers again; what was missing is sent", self._name)
        with self._changed:
            self._failures, self._told, self._silent = 0, False, False

    def _unreachable(self, error: BaseException) -> bool:
        """Waits until the next try; False: there will be none, as the engine ends."""
        if not self._told:
            self._told = True
            log.warning("%s: %s; the study goes on, and it is tried again", self._name, error)
        with self._changed:
            self._failures, self._silent = self._failures + 1, True
            self._questions.clear()  # nobody waits for a silent receiver
            self._changed.notify_all()
            if self._at_the_end:
                self._last_tries += 1
                if self._last_tries == _LAST_TRIES or not self._items:
                    return False
                self._changed.wait_for(lambda: not self._items, self._pause_s(self._last_tries))
                return bool(self._items)
            self._changed.wait_for(lambda: self._closing, self._pause_s(self._failures))
            self._silent = bool(self._items)  # with none to try again, the next question tries
            return True

    def _pause_s(self, failures: int) -> float:
        return self._pauses_s[min(failures, len(self._pauses_s)) - 1]


class _Question:
    def __init__(self, question: Callable[[], object]) -> None:
        self.question = question
        self.answer: object = None
        self.answered = self.given_up = False
