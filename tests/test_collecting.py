"""Blocks in which Python does not look for garbage."""

from __future__ import annotations

import gc
import multiprocessing
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from hpo_engine.system.collecting import uncollected


@pytest.fixture(autouse=True)
def collecting() -> Iterator[None]:
    gc.enable()
    yield
    gc.enable()


def test_garbage_is_looked_for_again_after_the_last_of_several_blocks() -> None:
    with uncollected():
        with uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_block_that_raises_ends_too() -> None:
    with pytest.raises(OSError, match="broken"), uncollected():
        raise OSError("broken")
    assert gc.isenabled()


def test_where_nobody_collects_nothing_changes() -> None:
    gc.disable()
    with uncollected():
        assert not gc.isenabled()
    assert not gc.isenabled()


def test_blocks_of_several_threads_may_overlap() -> None:
    inside, leave = threading.Event(), threading.Event()

    def longer() -> None:
        with uncollected():
            inside.set()
            leave.wait()

    with ThreadPoolExecutor(1) as pool:
        with uncollected():
            other = pool.submit(longer)
            inside.wait()
        assert not gc.isenabled()
        leave.set()
        other.result()
    assert gc.isenabled()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # a fork beside a thread is what this is about
def test_a_fork_does_not_inherit_the_block_of_another_thread() -> None:
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with uncollected():
            inside.set()
            leave.wait()

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait()
    context: Any = multiprocessing.get_context("fork")
    answer, there = context.Pipe(duplex=False)

    def child() -> None:
        before = gc.isenabled()
        with uncollected():
            pass
        there.send((before, gc.isenabled()))

    forked = context.Process(target=child)
    forked.start()
    found = answer.recv() if answer.poll(60) else "no answer"
    leave.set()
    thread.join()
    forked.join()
    assert found == (True, True)
