"""The same script many times: by a bare loop, by a bare fork server, by the engine, by other tools. Seconds of each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

SCRIPTS = Path(__file__).parent / "scripts"
PEERS = Path(__file__).parent / "peers"
STUDY = """\
command: [{python}, train.py]
objective: minimize loss
algorithm: random
options: {{seed: 1}}
trials: {trials}
parallel: {parallel}
trial: {{preload: {preload}}}
space:
  x: {{float: [-1, 1]}}
"""
Loop = Callable[[str, int, int], float]
"""(script, trials, parallel) -> seconds"""


class Bench:
    """Runs in one folder, which is deleted at the end only: on ext4, making files is slow for half a minute after many
    were deleted, and that is no cost of anybody's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self.between: dict[str, list[float]] = {}  # by preload: seconds a trial from the first one's end on

    def new(self) -> Path:
        self._number += 1
        made = self._folder / str(self._number)
        made.mkdir()
        return made

    @contextmanager
    def without(self, names: Iterable[str]) -> Iterator[None]:
        """Meanwhile no loop finds these variables in its environment."""
        kept = dict(os.environ)
        for name in names:
            os.environ.pop(name, None)
        try:
            yield
        finally:
            os.environ.update(kept)

    def bare(self, script: str, trials: int, parallel: int) -> float:
        """The loop that anybody would write: one thread per slot, one process and one folder per trial."""
        path, results = str(SCRIPTS / f"{script}.py"), self.new()

        def one(number: int) -> None:
            cwd = results / str(number)
            cwd.mkdir()
            (cwd / "config.json").write_text('{"x": 0.5}')
            subprocess.run(
                [sys.executable, path], cwd=cwd, env={**os.environ, "RESULT_DIR": str(cwd)}, check=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip

        begin = time.perf_counter()
        with ThreadPoolExecutor(parallel) as pool:
            list(pool.map(one, range(trials)))
        return time.perf_counter() - begin

    def fork_server(self, script: str, trials: int, parallel: int) -> float:
        """The least that forks can cost: no folders of a study, no log, no supervision, the script's file as it is."""
        code = _FORK_SERVER.format(script=str(SCRIPTS / f"{script}.py"), root=str(self.new()))
        argv = [sys.executable, "-c", code, str(trials), str(parallel)]
        return float(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)

    def engine(self, script: str, trials: int, parallel: int, preload: str, whole: bool = False) -> float:
        """From the study's start to its close; `whole`: of the process `hpo-engine submit`, imports included."""
        folder = self.new()
        (folder / "train.py").write_text((SCRIPTS / f"{script}.py").read_text())
        (folder / "algo.yaml").write_text(
            STUDY.format(python=json.dumps(sys.executable), trials=trials, parallel=parallel, preload=preload)
        )
        argv = [sys.executable, "-m", "hpo_engine.cli", "submit", "algo.yaml", "--name", "study", "--root", "../runs"]
        argv[-1] = runs = str(folder / "runs")
        env = {**os.environ, "PYTHONPATH": os.getcwd()}
        begin = time.perf_counter()
        done = subprocess.run(
            [*argv, "--json"], cwd=folder, env=env, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        seconds = time.perf_counter() - begin
        result = json.loads(done.stdout.splitlines()[-1])
        if result["counts"] != {"completed": trials}:
            raise SystemExit(f"the study did not do its work: {result}")
        argv = [sys.executable, "-m", "hpo_engine.cli", "export", "study", "--root", runs, "--format", "json"]
        table = subprocess.run(argv, env=env, check=True, capture_output=True).stdout
        ends = sorted(trial["ended_at"] for trial in json.loads(table))
        self.between.setdefault(preload, []).append((ends[-1] - ends[0]) / max(1, trials - 1))
        return seconds if whole else float(result["seconds"])

    def peer(self, python: str, file: str, script: str, trials: int, parallel: int, *more: str) -> tuple[str, float]:
        """(version, seconds). Raises RuntimeError with the last line that it printed."""
        argv = [python, str(PEERS / file), str(SCRIPTS / f"{script}.py"), str(trials), str(parallel), *more]
        env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        done = subprocess.run(argv, capture_output=True, text=True, env={**env, "TMPDIR": str(self.new())}, timeout=900)
        try:
            answer = json.loads(done.stdout.splitlines()[-1])
        except (IndexError, ValueError):
            lines = (done.stderr or done.stdout).strip().splitlines() or ["it printed nothing"]
            raise RuntimeError(lines[-1]) from None
        return str(answer["version"]), float(answer["seconds"])


_FORK_SERVER = """
import json, os, runpy, pkgutil, sys, time
trials, parallel = int(sys.argv[1]), int(sys.argv[2])
begin, running = time.perf_counter(), 0
for number in range(trials):
    if running == parallel:
        os.wait()
        running -= 1
    folder = "{root}/%d" % number
    os.mkdir(folder)
    with open(folder + "/config.json", "w") as file:
        file.write('{{"x": 0.5}}')
    if os.fork() == 0:
        os.chdir(folder)
        os.environ["RESULT_DIR"] = folder
        runpy.run_path("{script}", run_name="__main__")
        os._exit(0)
    running += 1
for _ in range(running):
    os.wait()
print(time.perf_counter() - begin)
"""
