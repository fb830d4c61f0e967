"""Asking a searcher in line and in a thread: once each, errors as answers, nothing after the close."""

from __future__ import annotations

import threading
from asyncio import CancelledError
from collections.abc import Sequence

import pytest

from hpo_engine.core.searcher_thread import Answer, Asker, InLine, InThread
from hpo_engine.study.history import History
from hpo_engine.study.trial import Proposal
from hpo_engine.testing.histories import SPACES, opened, spec_of

HISTORY = opened(spec_of(SPACES["tiny"]))


class Slow:
    """Answers when it is let."""

    def __init__(self) -> None:
        self.let, self.threads = threading.Semaphore(0), set[int]()

    def ask(self, history: History, count: int) -> Sequence[Proposal]:
        self.threads.add(threading.get_ident())
        assert self.let.acquire(timeout=10)
        return [Proposal({"a": 0, "b": 1})] * count


def answer(asker: Asker) -> Answer:
    found = asker.take(10.0)
    assert found is not None
    return found


@pytest.mark.parametrize("threaded", [False, True])
def test_answer_comes_once_and_says_what_was_asked(threaded: bool) -> None:
    searcher = Slow()
    asker: Asker = InThread(searcher.ask, lambda: None) if threaded else InLine(searcher.ask)
    for count in (1, 3):
        searcher.let.release()
        asker.ask(HISTORY, count)
        found = answer(asker)
        assert found.history is HISTORY and found.count == count == len(found.proposals) and found.error is None
        assert asker.take() is None and not asker.busy
    asker.close()


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt(), CancelledError()])
@pytest.mark.parametrize("threaded", [False, True])
def test_error_is_an_answer(threaded: bool, error: BaseException) -> None:
    def ask(history: History, count: int) -> Sequence[Proposal]:
        raise error

    asker: Asker = InThread(ask, lambda: None) if threaded else InLine(ask)
    asker.ask(HISTORY, 1)
    assert answer(asker).error is error
    asker.close()


def test_thread_answers_later_wakes_and_stays_the_same() -> None:
    searcher, woken = Slow(), threading.Event()
    asker = InThread(searcher.ask, woken.set)
    for _ in range(3):
        asker.ask(HISTORY, 1)
        assert asker.take() is None and asker.take(0.01) is None and asker.busy and not woken.is_set()
        searcher.let.release()
        assert woken.wait(10) and asker.busy, "until the answer is taken"
        assert answer(asker).proposals and not asker.busy
        woken.clear()
    assert len(searcher.threads) == 1 and threading.get_ident() not in searcher.threads
    asker.close()


def test_close_waits_for_nothing_and_a_late_answer_wakes_nobody() -> None:
    searcher, woken = Slow(), threading.Event()
    asker = InThread(searcher.ask, woken.set)
    asker.ask(HISTORY, 1)
    asker.close()
    assert asker._thread is not None and asker._thread.is_alive() and asker._thread.daemon
    searcher.let.release()
    asker._thread.join(10)
    assert not asker._thread.is_alive() and not woken.is_set()


def test_close_ends_an_idle_thread() -> None:
    searcher = Slow()
    asker = InThread(searcher.ask, lambda: None)
    asker.close()  # before any question: there is no thread
    asker = InThread(searcher.ask, lambda: None)
    searcher.let.release()
    asker.ask(HISTORY, 1)
    answer(asker)
    asker.close()
    assert asker._thread is not None
    asker._thread.join(10)
    assert not asker._thread.is_alive()
