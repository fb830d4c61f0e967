"""The laws of an Executor, as a class to inherit from: give it `make` and `argv` and run pytest.

Programs that the laws need, by name: ("exit", n), ("signal", n), ("sleep",) until stopped, ("stubborn",) ignores
SIGTERM, ("missing",) does not exist.
"""

from __future__ import annotations

import os
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

    def argv(self, *program: str) -> tuple[str, ...]:
        raise NotImplementedError

    def await_trap(self, executor: Any, launch: Launch) -> None:
        """Returns when a ("stubborn",) program ignores SIGTERM."""

    @pytest.fixture(autouse=True)
    def _root(self, tmp_path: Path) -> Any:
        self.root = tmp_path / "a 'b' $c"
        self.root.mkdir()
        self.made: list[Any] = []
        yield
        for executor in self.made:
            for trial_id in range(20):
                executor.stop(trial_id, StopCause.USER, kill=True)
            executor.close()

    def executor(self, parallel: int = 2, gpus: tuple[str, ...] = (), need: float | None = None) -> Any:
        executor = self.make(Resources(parallel=parallel, gpus=need), gpus)
        self.made.append(executor)
        return executor

    def order(self, trial_id: int, *program: str, attempt: int = 1, **more: Any) -> Launch:
        paths = StudyPaths(str(self.root)).trial(trial_id)
        nonce = f"{self.root}-{trial_id}-{attempt}"
        os.makedirs(paths.result_dir, exist_ok=True)
        os.makedirs(paths.attempt(attempt), exist_ok=True)
        env = {**os.environ, "HPO_ATTEMPT": nonce}
        return Launch(trial_id, attempt, nonce, self.argv(*program), env, paths, **{"grace_s": 0.2, **more})

    def begin(self, executor: Any, launch: Launch) -> None:
        executor.reserve(launch.trial_id)
        executor.launch(launch)

    def ended(self, executor: Any, count: int = 1) -> list[Ended]:
        """Waits for `count` ends."""
        found: list[Ended] = []
        deadline = time.monotonic() + _PATIENCE_S
        while len(found) < count:
            assert time.monotonic() < deadline, "an Ended is missing"
            executor.wait(0.1)
            found += [n for n in executor.reap() if isinstance(n, Ended)]
        return found

    def started(self, executor: Any) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not any(isinstance(n, Started) for n in executor.reap()):
            assert time.monotonic() < deadline
            executor.wait(0.1)

    @pytest.mark.parametrize("code", [0, 1, 3, 255])
    def test_exit_code_is_told(self, code: int) -> None:
        executor = self.executor()
        self.begin(executor, self.order(0, "exit", str(code)))
        (end,) = self.ended(executor)
        assert (end.trial_id, end.attempt) == (0, 1)
        assert (end.exit.code, end.exit.signal, end.exit.stop_cause, end.exit.lost) == (code, None, None, False)

    @pytest.mark.parametrize("number", [9, 11, 15])
    def test_signal_is_told(self, number: int) -> None:
        executor = self.executor()
        self.begin(executor, self.order(0, "signal", str(number)))
        (end,) = self.ended(executor)
        assert (end.exit.code, end.exit.signal, end.exit.lost) == (None, number, False)

    def test_missing_program_ends_with_an_error(self) -> None:
        executor = self.executor()
        self.begin(executor, self.order(0, "missing"))
        (end,) = self.ended(executor)
        assert end.exit.error is not None and "missing" in end.exit.error and not end.exit.clean

    def test_started_comes_before_ended(self) -> None:
        executor = self.executor()
        self.begin(executor, self.order(0, "exit", "0"))
        news: list[Any] = []
        deadline = time.monotonic() + _PATIENCE_S
        while not any(isinstance(n, Ended) for n in news):
            assert time.monotonic() < deadline
            executor.wait(0.1)
            news += executor.reap()
        assert [type(n) for n in news] == [Started, Ended]

    def test_slots_are_taken_and_given_back(self) -> None:
        executor = self.executor(parallel=2)
        assert executor.free() == 2
        self.begin(executor, self.order(0, "sleep"))
        assert executor.free() == 1
        executor.reserve(7)
        assert executor.free() == 0
        executor.release(7)
        assert executor.free() == 1
        executor.stop(0, StopCause.USER)
        self.ended(executor)
        assert executor.free() == 2

    def test_gpus_are_not_shared_unless_asked(self) -> None:
        executor = self.executor(parallel=8, gpus=("3", "5"), need=1)
        assert executor.free() == 2
        assert {executor.reserve(0), executor.reserve(1)} == {("3",), ("5",)}
        assert executor.free() == 0
        executor.release(0)
        assert executor.free() == 1

    def test_two_trials_share_a_gpu_of_half_each(self) -> None:
        executor = self.executor(parallel=8, gpus=("0", "1"), need=0.5)
        assert executor.free() == 4
        assert sorted(executor.reserve(i)[0] for i in range(4)) == ["0", "0", "1", "1"]
        assert executor.free() == 0

    def test_two_gpus_go_to_one_trial(self) -> None:
        executor = self.executor(parallel=8, gpus=("0", "1", "2"), need=2)
        assert executor.free() == 1
        assert len(set(executor.reserve(0))) == 2

    def test_stop_ends_with_its_reason(self) -> None:
        executor = self.executor()
        self.begin(executor, self.order(0, "sleep"))
        self.started(executor)
        executor.stop(0, StopCause.USER)
        (end,) = self.ended(executor)
        assert (end.exit.signal, end.exit.stop_cause) == (15, StopCause.USER)

    def test_stop_right_after_launch_is_not_lost(self) -> None:
        executor = self.executor()
        self.begin(executor, self.order(0, "sleep"))
        executor.stop(0, StopCause.USER)
        (end,) = self.ended(executor)
        assert end.exit.stop_cause is StopCause.USER

    def test_stop_escalates_after_grace(self) -> None:
        executor = self.executor()
        launch = self.order(0, "stubborn", grace_s=0.1)
        self.begin(executor, launch)
        self.await_trap(executor, launch)
        executor.stop(0, StopCause.USER)
        (end,) = self.ended(executor)
        assert (end.exit.signal, end.exit.stop_cause) == (9, StopCause.USER)

    def test_kill_does_not_wait_for_the_grace(self) -> None:
        executor = self.executor()
        launch = self.order(0, "stubborn", grace_s=1000.0)
        self.begin(executor, launch)
        self.await_trap(executor, launch)
        executor.stop(0, StopCause.USER)
        executor.stop(0, StopCause.USER, kill=True)
        (end,) = self.ended(executor)
        assert end.exit.signal == 9

    def test_stop_of_an_unknown_trial_is_ignored(self) -> None:
        executor = self.executor()
        executor.stop(5, StopCause.USER)
        assert executor.reap() == []

    def test_each_attempt_ends_once(self) -> None:
        executor = self.executor(parallel=8)
        for i in range(8):
            self.begin(executor, self.order(i, "exit", str(i)))
        ends = self.ended(executor, 8)
        assert sorted((e.trial_id, e.exit.code) for e in ends) == [(i, i) for i in range(8)]
        executor.wait(0.05)
        assert executor.reap() == []

    def test_adopt_says_never_of_what_did_not_start(self) -> None:
        executor = self.executor()
        launch = self.order(0, "exit", "0")
        assert executor.adopt(launch) is Adoption.NEVER
        executor.launch(launch)
        (end,) = self.ended(executor)
        assert end.exit.code == 0
        assert executor.free() == 2
