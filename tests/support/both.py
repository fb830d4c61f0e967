"""The same script started by a new interpreter and as a fork with its imports done."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hpo_engine.contract.outputlog import logfiles
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.core.ports import Ended
from hpo_engine.executors.context import ExecutorContext
from hpo_engine.executors.local.bound import BoundLaunch
from hpo_engine.executors.local.executor import LocalExecutor
from hpo_engine.study.spec import Resources


class Both:
    """One study folder for new interpreters and one for forks, with the same files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.said: list[str] = []
        self.executors: dict[str, LocalExecutor] = {}

    def executor(self, kind: str) -> LocalExecutor:
        if kind not in self.executors:
            folder = self.root / kind
            folder.mkdir(exist_ok=True)
            self.executors[kind] = LocalExecutor(
                ExecutorContext(Resources(parallel=100), os.environ, errors=f"{folder}/errors", say=self.said.append)
            )
        return self.executors[kind]

    def launch(
        self, kind: str, files: dict[str, str], argv: tuple[str, ...], trial: int = 0, env: dict[str, str] | None = None,
        modules: str | tuple[str, ...] = "auto", protect: tuple[str, ...] = (),
    ) -> BoundLaunch:  # fmt: skip
        study = StudyPaths(str(self.root / kind))
        paths = study.trial(trial)
        for folder in (study.model, paths.result_dir):
            for name, text in files.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="latin-1")
        os.makedirs(paths.attempt(1), exist_ok=True)
        own = {"PATH": os.environ["PATH"], "HPO_ATTEMPT": f"nonce-{trial}", "RESULT_DIR": paths.result_dir}
        own |= {"PWD": paths.result_dir, "LANG": "C.UTF-8", **(env or {})}
        launch = BoundLaunch(
            trial, 1, f"nonce-{trial}", Resources(100), grace_s=1.0, argv=(sys.executable, *argv), env=own, paths=paths,
            preload=modules if kind == "warm" else "off",
            protect=tuple(os.path.join(study.model, name) for name in protect),
        )  # fmt: skip
        self.executor(kind).launch(launch)
        return launch

    def end(self, kind: str, count: int = 1) -> list[Ended]:
        ends: list[Ended] = []
        deadline = time.monotonic() + 300
        while len(ends) < count:
            assert time.monotonic() < deadline, "an Ended is missing"
            self.executor(kind).wait(0.1)
            ends += [n for n in self.executor(kind).reap() if isinstance(n, Ended)]
        return ends

    def drive_until(self, condition: Callable[[], bool], kind: str = "warm") -> None:
        """An executor does its work in `wait` and `reap`."""
        deadline = time.monotonic() + 120
        while not condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            self.executor(kind).wait(0.02)
            self.executor(kind).reap()

    def refused(self) -> list[str]:
        """What was said of scripts that were not forked."""
        return [text for text in self.said if text.startswith("no preload")]

    def close(self) -> None:
        for executor in self.executors.values():
            with contextlib.suppress(Exception):
                executor.close()

    def seen(self, kind: str, files: dict[str, str], argv: tuple[str, ...], **more: Any) -> tuple[Any, ...]:
        """How it ended, what it printed, the files it left: with the one thing replaced that must differ, the path."""
        launch = self.launch(kind, files, argv, **more)
        (end,) = self.end(kind)
        log = Path(launch.paths.attempt(1), logfiles.NAME)
        text = log.read_text(encoding="latin-1") if log.exists() else ""
        left = {
            p.name: p.read_text(encoding="latin-1")
            for p in sorted(Path(launch.paths.result_dir).iterdir())
            if p.is_file() and p.suffix == ".txt"
        }
        text = re.sub(r"0x[0-9a-f]{6,}", "0x", text.replace(f"{self.root}/{kind}", "ROOT"))
        exit_ = end.exit
        # Not how many processes it left: helpers of multiprocessing may be on their way out.
        return (exit_.code, exit_.signal, exit_.stop_cause, exit_.error), text, left
