"""The laws of an Executor, as a class to inherit from: give it `make` and `bound` and run pytest.

Programs that the laws need, by name: ("exit", n), ("signal", n), ("sleep",) until stopped, ("stubborn",) ignores
SIGTERM, ("missing",) does not exist.
"""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.contract.paths import StudyPaths
from hpo_engine.core.ports import Adoption, Ended, Launch, Started
from hpo_engine.study.spec import Resources
from hpo_engine.study.trial import StopCause

_PATIENCE_S = 20.0


class ExecutorLaws:
    root: Path

    def make(self, resources: Resources, gpus: tuple[str, ...] = ()) -> Any:
        raise NotImplementedError

    def bound(self, launch: Launch, *program: str) -> Launch:
        """An attempt that runs one of the programs."""
        raise NotImplementedError

    def await_trap(self, executor: Any, launch: Launch) -> None:
        """Returns when a ("stubborn",) program ignores SIGTERM."""

    @pytest.fixture(autouse=True)
    def _root(self, tmp_path: Path) -> Any:
        self.root = tmp_path / "a 'b' $c"
        self.root.mkdir()
        self.made: list[Any] = []
        self.token, self.request = secrets.token_hex(8), Resources()
        yield
        for executor in self.made:
            for trial_id in range(20):
                for attempt in (1, 2):
                    executor.stop(self.nonce(trial_id, attempt), StopCause.USER, kill=True)
            executor.close()

    def executor(self, parallel: int = 2, gpus: tuple[str, ...] = (), need: float | None = None) -> Any:
        self.request = Resources(parallel=parallel, gpus=need)
        executor = self.make(self.request, gpus)
        self.made.append(executor)
        return executor

    def nonce(self, trial_id: int, attempt: int = 1) -> str:
        """Names the attempt among all attempts of all studies."""
        return f"{self.token}{trial_id}x{attempt}"

    def order(self, trial_id: int, *program: str, attempt: int = 1, **more: Any) -> Launch:
        paths = StudyPaths(str(self.root)).trial(trial_id)
        os.makedirs(paths.result_dir, exist_ok=True)
        os.makedirs(paths.attempt(attempt), exist_ok=True)
        return self.bound(
            Launch(trial_id, attempt, self.nonce(trial_id, attempt), self.request, **{"grace_s": 0.2, **more}), *program
        )

    def ended(self, executor: Any, count: int = 1) -> list[Ended]:
        """Waits for `count` ends."""
        found: list[Ended] = []
        deadline = time.monotonic() + _PATIENCE_S
        while len(found) < count:
            assert time.monotonic() < deadline, "an Ended is missing"
            executor.wait(0.1)
            found += [n for n in executor.reap() if isinstance(n, Ended)]
        return found

    def started(self, executor: Any, count: int = 1) -> list[Started]:
        """Waits for `count` starts."""
        found: list[Started] = []
        deadline = time.monotonic() + _PATIENCE_S
        while len(found) < count:
            assert time.monotonic() < deadline, "a Started is missing"
            executor.wait(0.1)
            found += [n for n in executor.reap() if isinstance(n, Started)]
        return found

    @pytest.mark.parametrize("code", [0, 1, 3, 255])
    def test_exit_code_is_told(self, code: int) -> None:
        executor = self.executor()
        executor.launch(self.order(0, "exit", str(code)))
        (end,) = self.ended(executor)
        assert end.nonce == self.nonce(0)
        assert (end.exit.code, end.exit.signal, end.exit.stop_cause, end.exit.lost) == (code, None, None, False)

    @pytest.mark.parametrize("number", [9, 11, 15])
    def test_signal_is_told(self, number: int) -> None:
        executor = self.executor()
        executor.launch(self.order(0, "signal", str(number)))
        (end,) = self.ended(executor)
        assert (end.exit.code, end.exit.signal, end.exit.lost) == (None, number, False)

    def test_missing_program_ends_with_an_error(self) -> None:
        executor = self.executor()
        executor.launch(self.order(0, "missing"))
        (end,) = self.ended(executor)
        assert end.exit.error is not None and "missing" in end.exit.error and not end.exit.clean

    def test_started_comes_before_ended(self) -> None:
        executor = self.executor()
        executor.launch(self.order(0, "exit", "0"))
        news: list[Any] = []
        deadline = time.monotonic() + _PATIENCE_S
        while not any(isinstance(n, Ended) for n in news):
            assert time.monotonic() < deadline
            executor.wait(0.1)
            news += executor.reap()
        assert [type(n) for n in news] == [Started, Ended]

    def test_room_is_taken_and_given_back(self) -> None:
        executor = self.executor(parallel=2)
        assert executor.free(self.request, 9) == 2 and executor.free(self.request, 1) == 1
        executor.launch(self.order(0, "sleep"))
        assert executor.free(self.request, 9) == 1
        executor.launch(self.order(7, "sleep"))
        assert executor.free(self.request, 9) == 0
        executor.stop(self.nonce(0), StopCause.USER)
        self.ended(executor)
        assert executor.free(self.request, 9) == 1
        executor.stop(self.nonce(7), StopCause.USER)
        self.ended(executor)
        assert executor.free(self.request, 9) == 2

    @pytest.mark.parametrize(
        ("gpus", "need", "given"),
        [
            (("3", "5"), 1, [("3",), ("5",)]),
            (("0", "1"), 0.5, [("0",), ("0",), ("1",), ("1",)]),
            (("0", "1", "2"), 2, [("0", "1")]),
        ],
    )
    def test_gpus_are_not_shared_unless_asked(
        self, gpus: tuple[str, ...], need: float, given: list[tuple[str, ...]]
    ) -> None:
        executor = self.executor(parallel=8, gpus=gpus, need=need)
        assert executor.free(self.request, 9) == len(given)
        for trial_id in range(len(given)):
            executor.launch(self.order(trial_id, "sleep"))
        assert executor.free(self.request, 9) == 0
        started = self.started(executor, len(given))
        assert sorted(news.devices for news in started) == given
        executor.stop(started[0].nonce, StopCause.USER)
        self.ended(executor)
        executor.launch(self.order(9, "sleep"))
        assert self.started(executor)[0].devices == started[0].devices

    def test_attempt_for_which_there_is_no_room_starts_when_there_is(self) -> None:
        executor = self.executor(parallel=8, gpus=("0",), need=1)
        executor.launch(self.order(0, "sleep"))
        executor.launch(self.order(1, "exit", "0"))
        executor.launch(self.order(2, "exit", "0"))
        assert [news.nonce for news in self.started(executor)] == [self.nonce(0)]
        executor.stop(self.nonce(2), StopCause.USER)
        (end,) = self.ended(executor)
        assert (end.nonce, end.exit.stop_cause) == (self.nonce(2), StopCause.USER), "it has not begun"
        executor.stop(self.nonce(0), StopCause.USER)
        assert [end.nonce for end in self.ended(executor, 2)] == [self.nonce(0), self.nonce(1)]

    def test_stop_ends_with_its_reason(self) -> None:
        executor = self.executor()
        executor.launch(self.order(0, "sleep"))
        self.started(executor)
        executor.stop(self.nonce(0), StopCause.USER)
        (end,) = self.ended(executor)
        assert (end.exit.signal, end.exit.stop_cause) == (15, StopCause.USER)

    def test_stop_right_after_launch_is_not_lost(self) -> None:
        executor = self.executor()
        executor.launch(self.order(0, "sleep"))
        executor.stop(self.nonce(0), StopCause.USER)
        (end,) = self.ended(executor)
        assert end.exit.stop_cause is StopCause.USER

    def test_stop_escalates_after_grace(self) -> None:
        executor = self.executor()
        launch = self.order(0, "stubborn", grace_s=0.1)
        executor.launch(launch)
        self.await_trap(executor, launch)
        executor.stop(self.nonce(0), StopCause.USER)
        (end,) = self.ended(executor)
        assert (end.exit.signal, end.exit.stop_cause) == (9, StopCause.USER)

    def test_kill_does_not_wait_for_the_grace(self) -> None:
        executor = self.executor()
        launch = self.order(0, "stubborn", grace_s=1000.0)
        executor.launch(launch)
        self.await_trap(executor, launch)
        executor.stop(self.nonce(0), StopCause.USER)
        executor.stop(self.nonce(0), StopCause.USER, kill=True)
        (end,) = self.ended(executor)
        assert end.exit.signal == 9

    def test_stop_of_an_unknown_attempt_is_ignored(self) -> None:
        executor = self.executor()
        executor.stop(self.nonce(5), StopCause.USER)
        assert executor.reap() == []

    def test_stop_of_an_earlier_attempt_does_not_reach_the_next_one(self) -> None:
        executor = self.executor()
        executor.launch(self.order(0, "exit", "3"))
        self.ended(executor)
        executor.launch(self.order(0, "sleep", attempt=2))
        self.started(executor)
        executor.stop(self.nonce(0), StopCause.USER, kill=True)
        executor.wait(0.05)
        assert executor.reap() == []
        executor.stop(self.nonce(0, 2), StopCause.USER)
        (end,) = self.ended(executor)
        assert (end.nonce, end.exit.stop_cause) == (self.nonce(0, 2), StopCause.USER)

    def test_each_attempt_ends_once(self) -> None:
        executor = self.executor(parallel=8)
        for i in range(8):
            executor.launch(self.order(i, "exit", str(i)))
        ends = self.ended(executor, 8)
        assert {e.nonce: e.exit.code for e in ends} == {self.nonce(i): i for i in range(8)} and len(ends) == 8
        executor.wait(0.05)
        assert executor.reap() == []

    def test_adopt_says_never_of_what_did_not_start(self) -> None:
        executor = self.executor()
        launch = self.order(0, "exit", "0")
        assert executor.adopt(launch) is Adoption.NEVER
        executor.launch(launch)
        (end,) = self.ended(executor)
        assert end.exit.code == 0
        assert executor.free(self.request, 9) == 2
