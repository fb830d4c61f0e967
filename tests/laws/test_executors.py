from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import Any

from hpo_engine.contract.paths import StudyPaths
from hpo_engine.core.ports import Launch
from hpo_engine.executors.context import ExecutorContext
from hpo_engine.executors.local.bound import BoundLaunch
from hpo_engine.executors.local.executor import LocalExecutor
from hpo_engine.study.spec import Resources
from hpo_engine.testing.executors import ExecutorLaws
from tests.support.fakes import FakeExecutor
from tests.support.helpers import wait_until

_PROGRAMS = {
    "exit": 'exit "$1"',
    "signal": 'kill -"$1" $$; sleep 60',
    "sleep": "exec sleep 60",
    "stubborn": "trap '' TERM; : > trapped; while :; do sleep 1; done",
}


class TestLocalExecutor(ExecutorLaws):
    def make(self, resources: Resources, gpus: tuple[str, ...] = ()) -> Any:
        return LocalExecutor(ExecutorContext(resources, {**os.environ, "HPO_ENGINE_GPUS": ",".join(gpus)}))

    def argv(self, *program: str) -> tuple[str, ...]:
        if program[0] == "missing":
            return ("missing-program",)
        return ("/bin/sh", "-c", _PROGRAMS[program[0]], "sh", *program[1:])

    def bound(self, launch: Launch, *program: str) -> BoundLaunch:
        paths = StudyPaths(str(self.root)).trial(launch.trial_id)
        env = {**os.environ, "HPO_ATTEMPT": launch.nonce}
        return BoundLaunch(**vars(launch), argv=self.argv(*program), env=env, paths=paths)

    def await_trap(self, executor: Any, launch: Any) -> None:
        wait_until(lambda: executor.wait(0.01) or os.path.exists(f"{launch.paths.result_dir}/trapped"))


_SCRIPT = """
import os, signal, sys, time
what = sys.argv[1]
if what == "exit":
    sys.exit(int(sys.argv[2]))
if what == "signal":
    os.kill(os.getpid(), int(sys.argv[2]) if sys.argv[2].isdigit() else getattr(signal, "SIG" + sys.argv[2]))
if what == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    open("trapped", "w").close()
while True:
    time.sleep(60)
"""


class TestLocalExecutorWarm(TestLocalExecutor):
    """Attempts that are forked with their imports done."""

    def argv(self, *program: str) -> tuple[str, ...]:
        return ("missing-program",) if program[0] == "missing" else (sys.executable, "program.py", *program)

    def bound(self, launch: Launch, *program: str) -> BoundLaunch:
        bound = super().bound(launch, *program)
        os.makedirs(bound.paths.study.model, exist_ok=True)
        for folder in (bound.paths.study.model, bound.paths.result_dir):
            with open(f"{folder}/program.py", "w") as file:
                file.write(_SCRIPT)
        return replace(bound, preload="auto")


class TestFakeExecutor(ExecutorLaws):
    def make(self, resources: Resources, gpus: tuple[str, ...] = ()) -> Any:
        return FakeExecutor(resources, gpus)

    def bound(self, launch: Launch, *program: str) -> BoundLaunch:
        paths = StudyPaths(str(self.root)).trial(launch.trial_id)
        return BoundLaunch(**vars(launch), argv=program, env={}, paths=paths)
