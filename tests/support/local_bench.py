"""Local executors over one study folder, with real processes."""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from pathlib import Path
from typing import Any

from hpo_engine.contract.outputlog import logfiles
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.core.ports import Ended
from hpo_engine.executors.context import ExecutorContext
from hpo_engine.executors.local import records
from hpo_engine.executors.local.bound import BoundLaunch
from hpo_engine.executors.local.executor import LocalExecutor
from hpo_engine.study.spec import Resources
from tests.support.helpers import processes_with, wait_until


class Bench:
    """Executors over one study folder, as engines that come and go would make them."""

    def __init__(self, root: Path) -> None:
        self.paths = StudyPaths(str(root))
        self.token = str(10**9 + secrets.randbelow(10**9))  # seconds to sleep, which no other test's processes have
        self.executors: list[LocalExecutor] = []
        self.executor = self.new_executor()

    def new_executor(self, parallel: int = 100) -> LocalExecutor:
        self.executor = LocalExecutor(
            ExecutorContext(Resources(parallel=parallel), os.environ, errors=f"{self.paths.root}/errors")
        )
        self.executors.append(self.executor)
        return self.executor

    def nonce(self, trial_id: int) -> str:
        return f"nonce-{self.paths.root}-{trial_id}"

    def order(self, trial_id: int, *argv: str, **more: Any) -> BoundLaunch:
        paths = self.paths.trial(trial_id)
        nonce = self.nonce(trial_id)
        os.makedirs(paths.result_dir, exist_ok=True)
        os.makedirs(paths.attempt(1), exist_ok=True)
        env = {"PATH": os.environ["PATH"], "HPO_ATTEMPT": nonce, "RESULT_DIR": paths.result_dir}
        return BoundLaunch(
            trial_id, 1, nonce, Resources(100), argv=argv, env=env, paths=paths, **{"grace_s": 0.3, **more}
        )

    def start(self, trial_id: int, *argv: str, **more: Any) -> BoundLaunch:
        launch = self.order(trial_id, *argv, **more)
        self.executor.launch(launch)
        return launch

    def shell(self, trial_id: int, script: str, **more: Any) -> BoundLaunch:
        return self.start(trial_id, "/bin/sh", "-c", script, **more)

    def python(self, trial_id: int, script: str, **more: Any) -> BoundLaunch:
        return self.start(trial_id, sys.executable, "-c", script, **more)

    def end(self, count: int = 1, timeout_s: float = 120.0) -> list[Ended]:
        ends: list[Ended] = []
        deadline = time.monotonic() + timeout_s
        while len(ends) < count:
            assert time.monotonic() < deadline, "an Ended is missing"
            self.executor.wait(0.1)
            ends += [n for n in self.executor.reap() if isinstance(n, Ended)]
        return ends

    def file(self, trial_id: int, name: str) -> Path:
        return Path(self.paths.trial(trial_id).result_dir, name)

    def output(self, trial_id: int) -> bytes:
        return Path(self.paths.trial(trial_id).attempt(1), logfiles.NAME).read_bytes()

    def shim_pid(self, trial_id: int) -> int:
        path = Path(self.paths.trial(trial_id).attempt(1), records.STARTED)
        wait_until(path.exists)
        return int(json.loads(path.read_text())["pid"])


def nothing_left(bench: Bench) -> bool:
    return not processes_with(f"nonce-{bench.paths.root}-") and not processes_with(bench.token)


def launchers() -> list[int]:
    """Our own children that are launchers (their shims carry the same command line)."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [int(p) for p in children if b"launcher.py" in Path(f"/proc/{p}/cmdline").read_bytes()]
