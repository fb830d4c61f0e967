"""The thread beside the loop: what it delivers, in which order, and for whom nobody waits. Events, not times."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from hpo_engine.trackers.background import Background, Unreachable

SOON_S = 30.0  # more than any step takes, however busy the machine is


class Receiver:
    """Takes items while it is `up`; `began`, `tried` and `taken` count."""

    def __init__(self) -> None:
        self.items: list[int] = []
        self.up, self.gate = True, threading.Event()
        self.gate.set()
        self.began, self.tried, self.taken = (threading.Semaphore(0) for _ in range(3))

    def take(self, item: int) -> None:
        self.began.release()
        assert self.gate.wait(SOON_S)
        self.tried.release()
        if not self.up:
            raise Unreachable("nobody at http://here")
        if item < 0:
            raise ValueError("a negative item")
        self.items.append(item)
        self.taken.release()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.gate.set()


def background(receiver: Receiver, most: int = 100) -> Background[int]:
    return Background(receiver.take, "mine", most=most, pauses_s=(0.01,))


def test_items_are_delivered_in_order_and_the_end_waits_for_them(receiver: Receiver) -> None:
    worker = background(receiver)
    receiver.gate.clear()
    for item in range(50):
        worker.put(item)  # returns although nothing is taken
    receiver.gate.set()
    assert worker.close(SOON_S) and receiver.items == list(range(50))


def test_a_receiver_that_comes_back_gets_what_it_missed_once(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    worker = background(receiver)
    receiver.up = False
    for item in range(3):
        worker.put(item)
    for _ in range(5):
        assert receiver.tried.acquire(timeout=SOON_S)
    receiver.up = True
    for _ in range(3):
        assert receiver.taken.acquire(timeout=SOON_S)
    assert worker.close(SOON_S) and receiver.items == [0, 1, 2]
    said = ["mine: nobody at http://here; the study goes on, and it is tried again"]
    assert caplog.messages == [*said, "mine: it answers again; what was missing is sent"]


def test_the_end_does_not_wait_for_a_receiver_that_is_gone(receiver: Receiver) -> None:
    worker = background(receiver)
    receiver.up = False
    worker.put(1)
    assert receiver.tried.acquire(timeout=SOON_S)
    assert not worker.close(SOON_S) and receiver.items == []


def test_a_receiver_that_is_away_for_a_moment_at_the_end_is_tried_a_few_times() -> None:
    tried = threading.Semaphore(0)
    failing = iter([True] * 5)

    def take(_: int) -> None:
        tried.release()
        if next(failing, False):
            raise Unreachable("being restarted")

    worker = Background(take, "mine", pauses_s=(0.01, 0.01, SOON_S))
    worker.put(1)
    for _ in range(3):
        assert tried.acquire(timeout=SOON_S)
    assert worker.close(SOON_S), "two more tries fail"


def test_the_end_waits_for_a_receiver_that_hangs_no_longer_than_it_says(receiver: Receiver) -> None:
    worker = background(receiver)
    receiver.gate.clear()
    worker.put(1)
    assert not worker.close(0.05)


def test_of_too_many_items_the_newest_are_kept(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    worker = background(receiver, most=3)
    receiver.up = False
    worker.put(0)
    assert receiver.tried.acquire(timeout=SOON_S)
    for item in range(1, 10):
        worker.put(item)
    receiver.up = True
    assert worker.close(SOON_S) and receiver.items[-3:] == [7, 8, 9] and len(receiver.items) <= 4
    assert len([message for message in caplog.messages if "are dropped" in message]) == 1


def test_what_is_no_fault_of_the_receivers_reaches_whoever_puts(receiver: Receiver) -> None:
    worker = background(receiver)
    worker.put(-1)
    assert receiver.tried.acquire(timeout=SOON_S)
    assert not worker.close(SOON_S)
    for call in (lambda: worker.put(1), lambda: worker.ask(lambda: 1, SOON_S)):
        with pytest.raises(ValueError, match="a negative item"):
            call()


def test_a_question_is_answered_in_the_thread_before_waiting_items(receiver: Receiver) -> None:
    worker = background(receiver)
    receiver.gate.clear()
    for item in range(3):
        worker.put(item)
    threading.Timer(0.05, receiver.gate.set).start()
    answer = worker.ask(lambda: (threading.current_thread().name, list(receiver.items)), SOON_S)
    assert answer is not None and answer[0] == "tracker mine" and len(answer[1]) < 3
    assert worker.close(SOON_S) and receiver.items == [0, 1, 2]


def test_nobody_waits_for_the_answer_of_a_silent_receiver_and_later_ones_are_asked_again(receiver: Receiver) -> None:
    worker = background(receiver)
    receiver.gate.clear()
    worker.put(1)
    assert receiver.began.acquire(timeout=SOON_S)
    assert worker.ask(lambda: 1, 0.01) is None, "it is busy with an item"
    receiver.up = False
    receiver.gate.set()
    assert receiver.tried.acquire(timeout=SOON_S)
    while not worker.silent:
        assert receiver.tried.acquire(timeout=SOON_S)
    receiver.up = True
    assert receiver.taken.acquire(timeout=SOON_S)
    while (answer := worker.ask(lambda: 2, SOON_S)) is None:
        pass  # until the thread has noted its success
    assert answer == 2

    def refuse() -> int:
        raise Unreachable("not now")

    assert worker.ask(refuse, SOON_S) is None
    while (answer := worker.ask(lambda: 3, SOON_S)) is None:
        pass  # silent for one pause
    assert answer == 3 and worker.close(SOON_S)
