"""kill -9 of the engine, and of the supervisor, while a trial is ended: it ends once, with its reason, and keeps what
it wrote in its grace."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from hpo_engine import studies
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.study.history import History
from tests.support import command
from tests.support.helpers import processes_with, wait_until
from tests.support.scene import killed

SCRIPT = """\
import json, os, signal, sys, time
number, rows = json.load(open("config.json"))["number"], []
def report(loss):
    rows.append({"step": len(rows) + 1, "loss": loss})
    with open("new", "w") as file:
        json.dump(rows, file)
    os.replace("new", "val_dict_list.json")
def end(*_):
    note = json.load(open("stop.json"))
    open(os.environ["LOG_DIR"] + "/in-grace", "w").close()
    deadline = time.time() + float(os.environ["GRACE"])
    while time.time() < deadline and not os.path.exists(os.environ["LOG_DIR"] + "/go"):
        time.sleep(0.02)
    report(number)
    print(note["cause"], note["reason"], sep=": ", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
with open(os.environ["COUNTS"], "a") as file:
    file.write(f"{number}\\n")
report(number)
time.sleep(60 if number == 3 else 0)
report(number)
"""
STUDY = """\
command: python train.py
objective: minimize loss
stop: rank min_rivals=3
experiments: [{{number: 0}}, {{number: 1}}, {{number: 2}}, {{number: 3}}, {{number: 4}}]
parallel: 1
trial: {{preload: {preload}, grace: 30s}}
env: {{COUNTS: "{counts}", GRACE: "{grace}"}}
"""
REASON = "not promising: 3 of 3 other trials were better at step 1"


class Stopped:
    """A study in which trial 3 is ended by a rule."""

    def __init__(self, folder: Path, preload: str, grace_s: float = 0.0) -> None:
        self.folder, self.counts = folder, folder / "counts"
        (folder / "train.py").write_text(SCRIPT)
        (folder / "algo.yaml").write_text(STUDY.format(preload=preload, counts=self.counts, grace=grace_s))
        self.paths = StudyPaths(str(folder / "hpo-runs/s"))
        self.log_dir = Path(self.paths.trial(3).log_dir)

    def env(self, **more: str) -> dict[str, str]:
        return {**os.environ, **more}

    def run(self, **env: str) -> subprocess.CompletedProcess[str]:
        return command.run("submit", "algo.yaml", "--name", "s", cwd=self.folder, env=self.env(**env))

    def check(self, rows: int) -> History:
        history = studies.read(self.paths)
        trial = history.trials[3]
        assert [t.state.value for t in history.trials] == ["completed"] * 3 + ["pruned", "completed"]
        assert (trial.reason, len(trial.attempts)) == (REASON, 1)
        assert trial.attempts[0].exit is not None and trial.attempts[0].exit.stop_cause == "early"
        assert len(trial.rows) == rows
        assert sorted(self.counts.read_text().split()) == ["0", "1", "2", "3", "4"], "each was started once"
        note = json.loads(Path(self.paths.trial(3).result_dir, "stop.json").read_text())
        assert (note["cause"], note["reason"]) == ("early", REASON)
        wait_until(lambda: not processes_with(str(self.counts)))
        return history


def _each(*pairs: tuple[str, str]) -> list[Any]:
    """Each point with each way to start; the default suite has these pairs."""
    points = dict.fromkeys(point for point, _ in pairs)
    return [
        pytest.param(point, way, marks=[] if (point, way) in pairs else pytest.mark.slow)
        for point in points
        for way in ("auto", "off")
    ]


@pytest.mark.by_default("attempt.reaped:4-auto")
@pytest.mark.parametrize(
    ("point", "preload"),
    _each(("trial.stop-asked", "auto"), ("stop.before-reason", "off"), ("attempt.reaped:4", "auto")),
)
def test_kill_of_the_engine_before_and_after(tmp_path: Path, point: str, preload: str) -> None:
    study = Stopped(tmp_path, preload)
    name, _, number = point.partition(":")
    assert killed(study.run(HPO_FAILPOINT=f"{name}:{number or 1}:kill").returncode)
    done = study.run()
    assert done.returncode == 0, done.stderr
    study.check(rows=2)


@pytest.mark.by_default(1)
@pytest.mark.parametrize(("ends", "preload"), _each(("with the next engine", "auto"), ("without any engine", "off")))
def test_kill_of_the_engine_in_the_grace(tmp_path: Path, ends: str, preload: str) -> None:
    study = Stopped(tmp_path, preload, grace_s=25.0)
    argv = ["submit", "algo.yaml", "--name", "s"]
    said = (tmp_path / "said").open("ab")
    engine = command.start(*argv, cwd=tmp_path, env=study.env(), stdout=said)
    wait_until((study.log_dir / "in-grace").exists)
    os.kill(engine.pid, signal.SIGKILL)
    engine.wait()
    again = None
    if ends == "with the next engine":
        again = command.start(*argv, cwd=tmp_path, env=study.env(), stdout=said)
        wait_until(lambda: _engines(study.paths) == 2)
    (study.log_dir / "go").touch()
    if again is None:
        wait_until(Path(study.paths.trial(3).own, "exit.json").exists)
        assert study.run().returncode == 0
    else:
        assert again.wait(60) == 0
    said.close()
    study.check(rows=2)


def _engines(paths: StudyPaths) -> int:
    db = sqlite3.connect(f"file:{paths.db}?mode=ro", uri=True)
    try:
        found: int = db.execute("SELECT count(*) FROM events WHERE kind = 'engine_started'").fetchone()[0]
        return found
    finally:
        db.close()


@pytest.mark.parametrize("preload", ["auto", pytest.param("off", marks=pytest.mark.slow)])
def test_kill_of_the_supervisor_between_note_and_signal(tmp_path: Path, preload: str) -> None:
    """Its tree is killed: nothing can be written in a grace that nobody keeps."""
    study = Stopped(tmp_path, preload)
    done = study.run(HPO_FAILPOINT="shim.stop-noted:1:kill", HPO_FAILPOINT_ONCE=str(tmp_path / "once"))
    assert done.returncode == 0 and (tmp_path / "once").exists(), done.stderr
    study.check(rows=1)
    assert time.time() < os.stat(tmp_path / "once").st_mtime + 25, "nobody waits for the grace"
