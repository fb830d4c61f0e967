"""A small study and `hpo-engine` as a process."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support import command
from tests.support.helpers import processes_with

TRAIN = """\
import json, os
c = json.load(open("config.json"))
print("training with", c)
json.dump([{"step": i, "loss": (c["x"] - 1) ** 2 + 1 / i} for i in (1, 2, 3)], open("val_dict_list.json", "w"))
"""
ALGO = """\
command: python train.py
objective: {metric: loss, goal: minimize}
algorithm: random
options: {seed: 1}
trials: 4
parallel: 2
space:
  x: {float: [0, 2]}
  kind: {choice: [a b, "$HOME"]}
"""
SLEEPER = """\
import os, signal, sys, time
open("began", "w").close()
time.sleep(600)
"""
DAEMON = """\
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
open("began", "w").close()
time.sleep(600)
"""


class Shell:
    """A folder with a study in it, and `hpo-engine` run there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "my study"
        self.folder.mkdir()
        self.write("train.py", TRAIN)
        self.write("algo.yaml", ALGO)
        self.env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "MARK": str(folder)}
        self.usual = dict(self.env)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    def start(self, *args: str) -> command.Command:
        return command.start(*args, cwd=self.folder, env=self.env, stdout=command.PIPE, stderr=command.PIPE)

    def run(self, *args: str, code: int = 0) -> str:
        done = self.process(*args)
        out, err = done.stdout, done.stderr
        assert done.returncode == code, (args, done.returncode, out, err)
        assert "Traceback" not in out + err or args[0] in ("show", "logs"), "only a trial's own may be shown"
        self.err = err
        return out

    def process(self, *args: str) -> subprocess.CompletedProcess[str]:
        """A forked process does, unless a test has changed variables that an interpreter reads when it starts."""
        changed = {name for name, _ in {*self.env.items()} ^ {*self.usual.items()}}
        if not any(name.startswith(("PYTHON", "LC_", "LANG")) or name.endswith("_NUM_THREADS") for name in changed):
            return command.run(*args, cwd=self.folder, env=self.env, timeout=300)
        argv = [sys.executable, "-m", "hpo_engine.cli", *args]
        return subprocess.run(argv, cwd=self.folder, env=self.env, text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=300)  # fmt: skip

    def raw(self, *args: str) -> str:
        """What it prints, with carriage returns as they are."""
        argv = [sys.executable, "-m", "hpo_engine.cli", *args]
        return subprocess.run(argv, cwd=self.folder, env=self.env, stdout=subprocess.PIPE, check=True).stdout.decode()

    def json(self, *args: str, code: int = 0) -> Any:
        return json.loads(self.run(*args, "--json", code=code).splitlines()[-1])

    def refuses(self, *args: str, words: str, code: int = 2) -> str:
        """It ends with `code`, says `words` on stderr, and nothing on stdout."""
        out = self.run(*args, code=code)
        assert out == "" and re.search(words, self.err), self.err
        assert all(line.startswith("hpo-engine: ") for line in self.err.splitlines())
        return self.err

    def left(self) -> list[int]:
        """Processes that come from here."""
        return processes_with(f"MARK={self.env['MARK']}")

    def result(self, trial: int, name: str) -> Path:
        return self.folder / "hpo-runs" / "my-study" / "results" / str(trial) / name
