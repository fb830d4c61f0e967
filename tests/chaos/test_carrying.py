"""kill -9 of the engine while trials are carried on and start from others: no step is lost, and none is trained twice."""

from __future__ import annotations

import json
import os
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hpo_engine import studies
from hpo_engine.contract.paths import StudyPaths
from tests.support import command, doubling
from tests.support.helpers import processes_with, wait_until
from tests.support.scene import killed

SCRIPT = """\
import json, os
config, state, rows = json.load(open("config.json")), {"steps": 0, "of": []}, []
resumed = os.environ.get("HPO_RESUME_FROM")
if resumed is None:
    assert not os.path.exists("state.json"), "a fresh start finds nothing"
else:
    state = json.load(open("state.json"))
    assert state["steps"] >= int(os.environ["HPO_RESUME_RESOURCE"])
while state["steps"] < config["epochs"]:
    state["steps"] += 1
    state["of"].append(os.environ["SUBID"])
    fd = os.open(os.environ["COUNTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{os.environ['SUBID']} {os.environ['HPO_ATTEMPT']} {state['steps']}\\n".encode())
    os.close(fd)
    with open(os.environ["LOG_DIR"] + "/evaluation-metrics.txt", "a") as file:
        file.write(json.dumps({"meta": {}, "steps": {"iteration": state["steps"]}, "values": {"other": 1}}) + "\\n")
    rows.append({"step": state["steps"], "loss": config["x"] + 1 / state["steps"]})
    for name, value in (("val_dict_list.json", rows), ("state.json", state)):
        with open(name + ".new", "w") as file:
            json.dump(value, file)
        os.replace(name + ".new", name)
"""
STUDY = """\
command: [{python}, -S, train.py]
objective: minimize loss
algorithm: doubling.py:Doubling
resource: {{name: epochs, max: 8}}
trials: 5
parallel: 2
trial: {{grace: 1s}}
env: {{COUNTS: {counts}}}
space: {{x: {{float: [0, 10]}}}}
"""
POINTS = (
    "trial.carried-on", "trial.proposed", "attempt.intended", "trial.laid-out", "trial.config-written", "attempt.sent",
    "attempt.started", "attempt.reaped", "attempt.judged", "trial.ended", "journal.before-commit",
    "journal.after-commit", "trial.copying", "trial.kept", "trial.copied", "trial.started-from",
    "trial.emetrics-aside", "trial.earlier-recorded",
)  # fmt: skip
LATE = {"trial.copying", "trial.kept", "trial.copied", "trial.started-from", "trial.emetrics-aside",
        "trial.earlier-recorded"}  # fmt: skip # not in each
RESULTS = [
    (0, "completed", [(1, 1.0), (2, 0.5), (4, 0.25), (8, 0.125)], list(range(1, 9))),
    (1, "completed", [(1, 2.0), (2, 1.5)], [1, 2]),
    (2, "completed", [(1, 3.0)], [1]),
    (3, "completed", [(1, 4.0)], [1]),
    (4, "completed", [(8, 0.625)], [5, 6, 7, 8]),
]


class Carried:
    """The study in its folder; engines are processes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.counts = folder / "a b", folder / "counts"
        self.folder.mkdir()
        (self.folder / "train.py").write_text(SCRIPT)
        (self.folder / "doubling.py").write_text(Path(doubling.__file__).read_text())
        study = STUDY.format(python=json.dumps(sys.executable), counts=json.dumps(str(self.counts)))
        (self.folder / "algo.yaml").write_text(study)
        self.paths = StudyPaths(str(self.folder / "hpo-runs/s"))

    def run(self, failpoint: str = "", *verb: str) -> tuple[int, str]:
        env = {**os.environ, **({"HPO_FAILPOINT": failpoint} if failpoint else {})}
        argv = verb or ("submit", "algo.yaml", "--name", "s")
        done = command.run(*argv, cwd=self.folder, env=env)
        return done.returncode, done.stdout + done.stderr

    def trained(self) -> Counter[tuple[str, str]]:
        """(trial, step) -> how often it was trained."""
        return Counter((line.split()[0], line.split()[2]) for line in self.counts.read_text().splitlines())

    def check(self) -> None:
        history = studies.read(self.paths)
        found: list[Any] = []
        for t in history.trials:
            losses = [(r.resource, r.losses[0]) for r in t.results]
            found.append((t.id, t.state.value, losses, [int(row.step) for row in t.rows]))
        assert found == RESULTS
        assert self.trained() == Counter({(str(i), str(step)): 1 for i, _, _, steps in RESULTS for step in steps}), (
            "a step was lost, or trained twice"
        )
        state = json.loads(Path(self.paths.trial(4).result_dir, "state.json").read_text())
        assert state == {"steps": 8, "of": ["0"] * 4 + ["4"] * 4}
        assert json.loads(Path(self.paths.trial(0).attempt(3), "result/state.json").read_text())["steps"] == 4
        assert not [p for p in Path(self.paths.root).rglob("*.new") if p.name == "result.new"]
        wait_until(lambda: not processes_with(str(self.counts)))


@pytest.fixture
def study(tmp_path: Path) -> Carried:
    return Carried(tmp_path)


def test_trials_are_carried_on_and_start_from_others(study: Carried) -> None:
    code, out = study.run()
    assert code == 0, out
    study.check()
    assert re.search(r"\[[45]/5, run \d+\] trial 0 completed  loss=0.125 \(best 0.125 with epochs 8", out), out
    shown = json.loads(study.run("", "show", "s", "0", "--json")[1])
    assert [(r["resource"], r["attempt"], r["value"]) for r in shown["results"]] == [
        (1, 1, 1.0), (2, 2, 0.5), (4, 3, 0.25), (8, 4, 0.125),
    ]  # fmt: skip
    assert [run["resume_from"] for run in shown["runs"]] == [None, 0, 0, 0]
    assert "attempt 1, from what trial 0 had to epochs 8: exit code 0" in study.run("", "show", "s", "4")[1]
    assert "attempt 4, carried on to epochs 8: exit code 0" in study.run("", "show", "s", "0")[1]
    assert json.loads(study.run("", "best", "s", "--config")[1]) == {"x": 0.0, "epochs": 8}


@pytest.mark.by_default("attempt.intended-2", "trial.started-from-1")
@pytest.mark.parametrize(
    ("name", "number"),
    [
        pytest.param(n, i, marks=() if n in LATE or i == (2, 6)[k % 2] else pytest.mark.slow)
        for k, n in enumerate(POINTS)
        for i in ((1,) if n in LATE else range(1, 10))
    ],
)
def test_kill_while_trials_are_carried_on(study: Carried, name: str, number: int) -> None:
    code, out = study.run(f"{name}:{number}:kill")
    assert killed(code) or (number > 2 and code == 0), out
    if code != 0:
        code, out = study.run()
        assert code == 0, out
    study.check()


def test_kill_of_the_engine_that_goes_on_after_one(study: Carried) -> None:
    for failpoint in ("trial.carried-on:3:kill", "resume.folded:1:kill", "trial.copied:1:kill", "trial.kept:1:kill"):
        code, out = study.run(failpoint)
        assert killed(code), out
    code, out = study.run()
    assert code == 0, out
    study.check()
