"""kill -9 of the engine while promoted trials go on from their checkpoints and those of losers are deleted: no epoch is
trained twice, what has to go is gone, and what has to stay is there."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path

import pytest

from hpo_engine import studies
from hpo_engine.contract.paths import StudyPaths
from tests.support import command
from tests.support.helpers import processes_with, wait_until
from tests.support.scene import killed

SCRIPT = """\
import json, os, sys
epochs, x, resume_from = int(sys.argv[1]), float(sys.argv[2]), (sys.argv[3:] or [None])[0]
done = json.loads(open(resume_from).read().partition(" ")[0]) if resume_from else 0
os.makedirs("checkpoints", exist_ok=True)
for epoch in range(done + 1, epochs + 1):
    fd = os.open(os.environ["COUNTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{os.environ['SUBID']} {epoch}\\n".encode())
    os.close(fd)
    print(f"epoch={epoch} loss={x + 1 / epoch}", flush=True)
    with open("new", "w") as file:
        file.write(f"{epoch} " + "x" * 30_000)
    os.replace("new", f"checkpoints/epoch_{epoch}.pt")
"""
STUDY = """\
command: [{python}, -S, train.py, "{{epochs}}", "{{x}}", "{{resume_from}}"]
objective: minimize loss
algorithm: hyperband
options: {{seed: 1, rounds: 1}}
resource: {{name: epochs, min: 1, max: 9}}
checkpoints: {{keep: promotable, disk: 300kB}}
parallel: 1
results: stdout
trial: {{grace: 1s}}
env: {{COUNTS: {counts}}}
space: {{x: {{float: [0, 10]}}}}
"""
POINTS = ("checkpoints.deletion-recorded", "checkpoints.deleted", "trial.carried-on", "attempt.judged")


class Limited:
    """The study in its folder; engines are processes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.counts = folder / "a b", folder / "counts"
        self.folder.mkdir()
        (self.folder / "train.py").write_text(SCRIPT)
        study = STUDY.format(python=json.dumps(sys.executable), counts=json.dumps(str(self.counts)))
        (self.folder / "algo.yaml").write_text(study)
        self.paths = StudyPaths(str(self.folder / "hpo-runs/s"))

    def run(self, failpoint: str = "") -> tuple[int, str]:
        env = {**os.environ, **({"HPO_FAILPOINT": failpoint} if failpoint else {})}
        done = command.run("submit", "algo.yaml", "--name", "s", cwd=self.folder, env=env)
        return done.returncode, done.stdout + done.stderr

    def check(self) -> None:
        history = studies.read(self.paths)
        trained = Counter(tuple(map(int, line.split())) for line in self.counts.read_text().splitlines())
        wanted = {(trial.id, epoch): 1 for trial in history.trials for epoch in range(1, trial.trained + 1)}
        assert trained == wanted, "an epoch was lost, or trained twice"
        cleared = {trial.id for trial in history.trials if trial.cleared}
        assert cleared and history.best_id not in cleared
        for trial in history.trials:
            left = list(Path(self.paths.trial(trial.id).result_dir).glob("checkpoints/*.pt"))
            assert bool(left) is (trial.id not in cleared)
            assert trial.id not in cleared or trial.trained < 9, "winners stay"
        wait_until(lambda: not processes_with(str(self.counts)))


@pytest.fixture
def study(tmp_path: Path) -> Limited:
    return Limited(tmp_path)


@pytest.mark.slow
def test_every_epoch_is_trained_once_and_losers_make_room(study: Limited) -> None:
    code, out = study.run()
    assert code == 0, out
    study.check()
    assert out.count("are deleted: all of the study's are more than `checkpoints` allows") == 1
    assert "promoted trials go on from their newest checkpoint" in out


@pytest.mark.parametrize(
    ("name", "number"),
    [
        pytest.param(n, i, marks=() if i == 1 and "deleti" in n else pytest.mark.slow)
        for n in POINTS
        for i in range(1, 5)
    ],
)
def test_kill_while_checkpoints_are_deleted(study: Limited, name: str, number: int) -> None:
    code, out = study.run(f"{name}:{number}:kill")
    assert killed(code) or (number > 1 and code == 0), out
    if code != 0:
        code, out = study.run()
        assert code == 0, out
    study.check()
