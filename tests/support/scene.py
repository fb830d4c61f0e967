"""A study to be killed, and checks on what is left: counters that the trials append to are the witness."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from hpo_engine import studies
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.study.history import History
from tests.support import command
from tests.support.helpers import processes_with, wait_until

SCRIPT = """\
import json, os, sys, time
config = json.load(open("config.json"))
subid, counts = int(os.environ["SUBID"]), os.environ["COUNTS"]
fd = os.open(counts, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
os.write(fd, f"{subid} {os.environ['HPO_ATTEMPT']}\\n".encode())
os.close(fd)
if subid == 1 and not os.path.exists(counts + ".failed"):
    open(counts + ".failed", "w").close()
    sys.exit(7)  # once: its retry works
rows = [{"step": 1, "loss": 10 + config["x"]}]
if subid == 2:
    json.dump(rows, open("val_dict_list.json", "w"))
    time.sleep(LIVE)  # long enough for its first row to be seen live
time.sleep(0.02)
rows.append({"step": 2, "loss": (config["x"] - 3) ** 2 + config["n"]})
json.dump(rows, open("val_dict_list.json", "w"))
"""
CHANGING = (
    "trial.pause-asked",
    "trial.paused",
    "trial.resumed",
    "trial.reopened",
    "trial.queued",
    "study.revised",
    "command.refused",
)
"""Failpoints of requests that change trials or the study, see test_changing."""
STUDY = """\
command: [{python}, -S, train.py]
objective: minimize loss
algorithm: random
options: {{seed: 7}}
trials: {trials}
parallel: 2
trial: {{retries: 1, grace: 1s, preload: {warm}}}
env: {{COUNTS: {counts}}}
space:
  x: {{float: [0, 10]}}
  n: {{int: [1, 5]}}
"""


class Scene:
    """One study folder, engines as processes that can be killed."""

    def __init__(self, folder: Path, trials: int = 6, live_s: float = 0.7, preload: str = "auto") -> None:
        self.folder, self.trials = folder, trials
        (folder / "m").mkdir(parents=True)
        self.counts = folder / "counts"
        (folder / "m" / "train.py").write_text(SCRIPT.replace("LIVE", str(live_s)))
        (folder / "m" / "algo.yaml").write_text(
            STUDY.format(
                python=json.dumps(sys.executable), trials=trials, counts=json.dumps(str(self.counts)), warm=preload
            )
        )
        self.paths = StudyPaths(str(folder / "runs" / "m"))

    def engine(self, failpoint: str = "", once: Path | None = None) -> command.Command:
        env = {**os.environ, "HPO_FAILPOINT": failpoint} if failpoint else dict(os.environ)
        if once is not None:
            env["HPO_FAILPOINT_ONCE"] = str(once)
        argv = ["submit", str(self.folder / "m" / "algo.yaml"), "--root", str(self.folder / "runs")]
        with open(self.folder / "said", "ab") as said:
            return command.start(*argv, cwd=Path.cwd(), env=env, stdout=said)

    def run(self, failpoint: str = "", timeout_s: float = 240.0, once: Path | None = None) -> int:
        """An engine from start to end; its exit code, or minus the signal that ended it."""
        return self.engine(failpoint, once).wait(timeout_s)

    def said(self) -> str:
        return (self.folder / "said").read_text(errors="replace")

    def history(self) -> History:
        return studies.read(self.paths)

    def results(self) -> list[tuple[Any, ...]]:
        """What the seed fixes: parameters, value and last row of every trial."""
        return [
            (t.id, t.state.value, dict(t.params), t.loss, dict(t.rows[-1].values) if t.rows else t.reason)
            for t in self.history().trials
        ]

    def starts(self) -> Counter[str]:
        """Nonce -> how often a process of that attempt has run the script."""
        lines = self.counts.read_text().splitlines() if self.counts.exists() else []
        return Counter(line.split()[1] for line in lines)

    def check(self, expected: list[tuple[Any, ...]]) -> None:
        """After the last engine: everything is there, nothing twice, nobody left."""
        history = self.history()
        assert history.state.value == "finished", self.said()
        assert self.results() == expected
        attempts = [a for t in history.trials for a in t.attempts]
        starts = self.starts()
        assert not [n for n, count in starts.items() if count != 1], "an attempt ran twice"
        assert set(starts) == {a.nonce for a in attempts}, "an attempt is missing, or nobody knows of it"
        assert [len(t.attempts) for t in history.trials] == [2 if t.id == 1 else 1 for t in history.trials]
        wait_until(lambda: not processes_with(str(self.counts)))
        assert [p for p in os.listdir(self.paths.root + "/..") if p.startswith(".")] == []


def killed(code: int) -> bool:
    return code == -signal.SIGKILL
