from __future__ import annotations

import os
from typing import Any

from engine.executors.local import LocalExecutor
from engine.ports import Launch
from engine.study import Resources
from tests.fakes import FakeExecutor
from tests.helpers import wait_until
from tests.laws.executor_laws import ExecutorLaws

_PROGRAMS = {
    "exit": 'exit "$1"',
    "signal": 'kill -"$1" $$; sleep 60',
    "sleep": "exec sleep 60",
    "stubborn": "trap '' TERM; : > trapped; while :; do sleep 1; done",
}


class TestLocalExecutor(ExecutorLaws):
    def make(self, resources: Resources, gpus: tuple[str, ...] = ()) -> Any:
        return LocalExecutor(resources, {**os.environ, "HPO_ENGINE_GPUS": ",".join(gpus)})

    def argv(self, *program: str) -> tuple[str, ...]:
        if program[0] == "missing":
            return ("missing-program",)
        return ("/bin/sh", "-c", _PROGRAMS[program[0]], "sh", *program[1:])

    def await_trap(self, launch: Launch) -> None:
        wait_until(lambda: os.path.exists(f"{launch.paths.result_dir}/trapped"))


class TestFakeExecutor(ExecutorLaws):
    def make(self, resources: Resources, gpus: tuple[str, ...] = ()) -> Any:
        return FakeExecutor(resources, gpus)

    def argv(self, *program: str) -> tuple[str, ...]:
        return program
