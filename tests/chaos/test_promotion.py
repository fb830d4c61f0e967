"""Promoted trials go on from their checkpoints: each epoch is trained once, whatever kills the engine, and when.

What was trained is what the trials themselves have logged: a line for each epoch, in a file beside the study.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from hpo_engine import assembly, studies
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.study.history import History
from hpo_engine.study.trial import TrialState
from tests.support import command
from tests.support.helpers import processes_with, wait_until
from tests.support.scene import killed

SCRIPT = """\
import json, os, pickle
config, state = json.load(open("config.json")), {"epoch": 0}
if os.environ.get("HPO_RESUME_FROM"):
    with open(os.environ["HPO_RESUME_FROM"], "rb") as file:
        state = pickle.load(file)
    assert state["epoch"] >= float(os.environ["HPO_RESUMED_STEP"])
leaves = config["kind"] != "never" and (config["kind"] != "late" or config["epochs"] > 1)
while state["epoch"] < config["epochs"]:
    state["epoch"] += 1
    fd = os.open(os.environ["COUNTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{os.environ['SUBID']} {state['epoch']}\\n".encode())
    os.close(fd)
    loss = (config["x"] - 0.3) ** 2 + 1 / state["epoch"]
    print(json.dumps({"epoch": state["epoch"], "loss": loss}), flush=True)
    if leaves:
        with open("last.ckpt.new", "wb") as file:
            pickle.dump(state, file)
        os.replace("last.ckpt.new", "last.ckpt")
"""
STUDY = """\
command: [{python}, -S, train.py]
objective: minimize loss
algorithm: {algorithm}
options: {{seed: 3}}
resource: {{name: epochs, max: {most}, resume: {resume}}}
trials: {trials}
parallel: {parallel}
trial: {{grace: 1s}}
env: {{COUNTS: {counts}}}
space: {{x: {{float: [0, 1]}}, kind: {{choice: {kinds}}}}}
"""
POINTS = (
    "trial.carried-on", "trial.proposed", "attempt.intended", "trial.laid-out", "trial.config-written", "attempt.sent",
    "attempt.started", "attempt.reaped", "attempt.judged", "trial.ended", "journal.before-commit",
    "journal.after-commit", "trial.metrics-seen", "trial.earlier-recorded",
)  # fmt: skip


class Promoting:
    """A study in its folder; engines are processes."""

    def __init__(
        self, folder: Path, algorithm: str = "hyperband", *, most: int = 9, trials: int = 9, parallel: int = 2,
        resume: str = "auto", kinds: str = "[steady]",
    ) -> None:  # fmt: skip
        self.folder, self.counts = folder, folder / "counts"
        (folder / "train.py").write_text(SCRIPT)
        counts, python = json.dumps(str(self.counts)), json.dumps(sys.executable)
        (folder / "algo.yaml").write_text(
            STUDY.format(
                python=python, counts=counts, algorithm=algorithm, most=most, trials=trials, parallel=parallel,
                resume=resume, kinds=kinds,
            )
        )  # fmt: skip
        self.paths = StudyPaths(str(folder / "hpo-runs/s"))

    def run(self, failpoint: str = "") -> tuple[int, str]:
        env = {**os.environ, **({"HPO_FAILPOINT": failpoint} if failpoint else {})}
        done = command.run("submit", "algo.yaml", "--name", "s", cwd=self.folder, env=env)
        return done.returncode, done.stdout + done.stderr

    def trained(self) -> dict[int, Counter[int]]:
        """Trial -> epoch -> how often it was trained."""
        out: dict[int, Counter[int]] = {}
        for line in self.counts.read_text().splitlines():
            trial, epoch = map(int, line.split())
            out.setdefault(trial, Counter())[epoch] += 1
        return out

    def check(self) -> History:
        """Every epoch up to each trial's amount was trained once, and is once in its curve."""
        history = studies.read(self.paths)
        found = self.trained()
        assert found.keys() == {trial.id for trial in history.trials}
        for trial in history.trials:
            assert trial.state is TrialState.COMPLETED and trial.trained == trial.proposal.resource
            epochs = range(1, trial.trained + 1)
            assert found[trial.id] == Counter(epochs), "an epoch was lost, or trained twice"
            assert [row.step for row in trial.rows] == list(epochs), "one curve"
            config = json.loads(Path(self.paths.trial(trial.id).config).read_text())
            assert config == {**trial.params, "epochs": trial.trained}
        wait_until(lambda: not processes_with(str(self.counts)))
        return history


@pytest.mark.parametrize(
    ("algorithm", "parallel"),
    [
        pytest.param(algorithm, parallel, marks=() if (algorithm, parallel) == ("hyperband", 4) else pytest.mark.slow)
        for algorithm in ("hyperband", "asha", "bohb", "auto")
        for parallel in (1, 4)
    ],
)
def test_rungs_train_each_epoch_once(tmp_path: Path, algorithm: str, parallel: int) -> None:
    study = Promoting(tmp_path, algorithm, most=27, trials=27, parallel=parallel)
    code, out = study.run()
    assert code == 0, out
    history = study.check()
    assert out.count("promoted trials go on from their newest checkpoint") == 1
    assert "note: trial" in out and "left last.ckpt" in out
    assert history.begun == history.next_id == 27 < history.runs, "promotions are no trials"
    winner = history.best
    assert winner is not None and winner.trained == 27
    assert sum(study.trained()[winner.id].values()) == 27, "not 40"
    if algorithm in ("hyperband", "asha"):
        assert [result.resource for result in winner.results] == [1, 3, 9, 27]
    if algorithm == "hyperband":
        assert Counter(r.resource for t in history.trials for r in t.results) == {1: 27, 3: 9, 9: 3, 27: 1}
        assert sum(map(Counter.total, study.trained().values())) == 27 + 9 * 2 + 3 * 6 + 18
        assert f"27/27, run {history.runs}" in out


@pytest.mark.parametrize("kind", ["late", pytest.param("never", marks=pytest.mark.slow)])
def test_trials_that_leave_no_checkpoint_are_repeated_beside_those_that_do(tmp_path: Path, kind: str) -> None:
    study = Promoting(tmp_path, kinds=f"[steady, {kind}]", trials=12)
    code, out = study.run("trial.carried-on:1:kill")
    assert killed(code), out
    code, more = study.run()
    assert code == 0, more
    history = study.check()
    anew = [t for t in history.trials if t.proposal.repeats is not None]
    assert anew and any(len(t.results) > 1 for t in history.trials), "some are repeated, some carried on"
    for trial in anew:
        assert trial.params == history.trials[trial.proposal.repeats or 0].params
        assert trial.params["kind"] == kind
    assert history.begun == 12
    assert (out + more).count("left no checkpoint, so trial") == 1
    assert (out + more).count("promoted trials go on from") == 1


@pytest.mark.parametrize(
    ("name", "number"),
    [
        pytest.param(name, number, marks=() if (name, number) in {("trial.carried-on", 2)} else pytest.mark.slow)
        for name in POINTS
        for number in (1, 2, 10, 14)
    ],
)
def test_kill_while_trials_are_promoted(tmp_path: Path, name: str, number: int) -> None:
    study = Promoting(tmp_path)
    code, out = study.run(f"{name}:{number}:kill")
    assert killed(code) or (code == 0 and (name, number) != ("trial.carried-on", 2)), out
    if code != 0:
        code, out = study.run()
        assert code == 0, out
    history = study.check()
    assert Counter(r.resource for t in history.trials for r in t.results) == {1: 9, 3: 3, 9: 1}


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["hyperband", "asha", "bohb", "auto"])
@pytest.mark.parametrize("parallel", [1, 4])
def test_kills_at_random_moments(tmp_path: Path, algorithm: str, parallel: int) -> None:
    study = Promoting(tmp_path, algorithm, most=27, trials=27, parallel=parallel, kinds="[steady, late]")
    rng, deaths = random.Random(parallel), 0
    for _ in range(40):
        engine = command.start("submit", "algo.yaml", "--name", "s", cwd=tmp_path, env=os.environ, stdout=command.PIPE)
        time.sleep(rng.uniform(0.2, 2.0))
        if engine.poll() is not None:
            break
        os.kill(engine.pid, signal.SIGKILL)
        engine.communicate()
        deaths += 1
    code, out = study.run()
    assert code == 0, out
    assert deaths > 2
    history = study.check()
    assert history.begun == 27 and history.best is not None and history.best.trained == 27


@pytest.mark.slow
def test_a_resumed_study_proposes_what_an_uninterrupted_one_would(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = Promoting(tmp_path / "a", parallel=1)
    cut = Promoting(tmp_path / "b", parallel=1)
    assert whole.run()[0] == 0
    assert killed(cut.run("trial.carried-on:2:kill")[0])
    assert cut.run()[0] == 0
    runs = [
        [(t.id, dict(t.params), [(r.resource, r.losses) for r in t.results]) for t in study.check().trials]
        for study in (whole, cut)
    ]
    assert runs[0] == runs[1]
    assert assembly.searcher(studies.read(cut.paths).spec).ask(studies.read(cut.paths), 3) == []
