"""kill -9 of the engine while a population trains: no step is lost, none is trained twice, and each decision stands."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hpo_engine import studies
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.study.lineage import schedule
from tests.support import command
from tests.support.helpers import processes_with, wait_until
from tests.support.scene import killed

SCRIPT = """\
import json, os
config, state, rows = json.load(open("config.json")), {"steps": 0, "theta": [0.9, 0.9], "of": []}, []
if os.environ.get("HPO_RESUME_FROM"):
    state = json.load(open("state.ckpt"))
    assert state["steps"] == int(os.environ["HPO_RESUME_RESOURCE"])
else:
    assert not os.path.exists("state.ckpt"), "a fresh start finds nothing"
while state["steps"] < config["epochs"]:
    state["steps"] += 1
    state["of"].append([int(os.environ["SUBID"]), config["h0"], config["h1"]])
    a, b = state["theta"]
    state["theta"] = [a - 0.1 * config["h0"] * a, b - 0.1 * config["h1"] * b]
    fd = os.open(os.environ["COUNTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{os.environ['SUBID']} {os.environ['HPO_ATTEMPT']} {state['steps']}\\n".encode())
    os.close(fd)
    a, b = state["theta"]
    rows.append({"step": state["steps"], "q": 1.2 - a * a - b * b})
for name, value in (("val_dict_list.json", rows), ("state.ckpt", state)):
    with open(name + ".new", "w") as file:
        json.dump(value, file)
    os.replace(name + ".new", name)
"""
STUDY = """\
command: [{python}, -S, train.py]
objective: {{metric: q, goal: maximize, over: last}}
algorithm: pbt
options: {{interval: 2, exploit: 0.5, seed: 3, mode: {mode}}}
resource: {{name: epochs, max: 6}}
trials: 4
parallel: 2
trial: {{grace: 1s}}
env: {{COUNTS: {counts}}}
space: {{h0: {{float: [0, 1]}}, h1: {{float: [0, 1]}}}}
"""
POINTS = (
    "trial.carried-on", "trial.proposed", "attempt.intended", "trial.laid-out", "trial.config-written", "attempt.sent",
    "attempt.started", "attempt.reaped", "attempt.judged", "trial.ended", "journal.before-commit",
    "journal.after-commit", "trial.copying", "trial.copied", "trial.started-from", "trial.earlier-recorded",
)  # fmt: skip
BY_DEFAULT = {("trial.copying", 1), ("trial.started-from", 2), ("trial.carried-on", 2), ("trial.ended", 5)}


class Bred:
    """The study in its folder; engines are processes."""

    def __init__(self, folder: Path, mode: str) -> None:
        self.folder, self.counts = folder / "a b", folder / "counts"
        self.folder.mkdir()
        (self.folder / "train.py").write_text(SCRIPT)
        python, counts = json.dumps(sys.executable), json.dumps(str(self.counts))
        (self.folder / "algo.yaml").write_text(STUDY.format(python=python, counts=counts, mode=mode))
        self.paths = StudyPaths(str(self.folder / "hpo-runs/s"))

    def run(self, failpoint: str = "", *verb: str) -> tuple[int, str]:
        env = {**os.environ, **({"HPO_FAILPOINT": failpoint} if failpoint else {})}
        done = command.run(*(verb or ("submit", "algo.yaml", "--name", "s")), cwd=self.folder, env=env)
        return done.returncode, done.stdout + done.stderr

    def check(self) -> list[Any]:
        """What each trial was, after the checks that hold whatever was decided."""
        history = studies.read(self.paths)
        trained = Counter((line.split()[0], line.split()[2]) for line in self.counts.read_text().splitlines())
        expected: Counter[tuple[str, str]] = Counter()
        found = []
        for trial in history.trials:
            runs = schedule(history, trial)
            state = json.loads(Path(self.paths.trial(trial.id).result_dir, "state.ckpt").read_text())
            lived = [[r.trial, r.params["h0"], r.params["h1"]] for r in runs for _ in range(r.start, r.end)]
            assert state["of"] == lived, "what the files have been through is what the lineage says"
            expected.update(
                (str(trial.id), str(s)) for r in runs if r.trial == trial.id for s in range(r.start + 1, r.end + 1)
            )
            assert [run.start for run in runs] == [0, *(run.end for run in runs[:-1])], "no gap"
            found.append(
                (trial.id, trial.params, trial.origin, trial.proposal.replaces, trial.trained, trial.state.value)
            )
        assert trained == expected, "a step was lost, or trained twice"
        members = {t.proposal.note["member"]: t for t in history.trials if t.proposal.note}
        assert sorted(members) == [0, 1, 2, 3] and all(t.trained == 6 for t in members.values())
        assert not [p for p in Path(self.paths.root).rglob("*.new") if p.name == "result.new"]
        wait_until(lambda: not processes_with(str(self.counts)))
        return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What generations come to: the same for any number of workers and any order of arrival."""
    study = Bred(tmp_path_factory.mktemp("generations"), "generations")
    code, out = study.run()
    assert code == 0, out
    found = study.check()
    assert len(found) > 4 and {entry[4] for entry in found} >= {6}, "somebody was replaced"
    return found


@pytest.mark.by_default("trial.copying-1")
@pytest.mark.parametrize(
    ("name", "number"),
    [
        pytest.param(n, i, marks=() if (n, i) in BY_DEFAULT else pytest.mark.slow)
        for n in POINTS
        for i in (1, 2, 3, 5, 8)
    ],
)
def test_kill_in_a_generation(tmp_path: Path, undisturbed: list[Any], name: str, number: int) -> None:
    study = Bred(tmp_path, "generations")
    code, out = study.run(f"{name}:{number}:kill")
    assert killed(code) or (code == 0 and (name, number) not in BY_DEFAULT), out
    if code != 0:
        code, out = study.run()
        assert code == 0, out
    assert study.check() == undisturbed


@pytest.mark.parametrize(
    ("name", "number"),
    [
        pytest.param(n, i, marks=() if (n, i) == ("trial.kept", 1) else pytest.mark.slow)
        for n in (*POINTS, "trial.kept")
        for i in (1, 2, 4)
    ],
)
def test_kill_where_members_do_not_wait(tmp_path: Path, name: str, number: int) -> None:
    study = Bred(tmp_path, "asynchronous")
    code, out = study.run(f"{name}:{number}:kill")
    assert killed(code) or (code == 0 and (name, number) != ("trial.kept", 1)), out
    if code != 0:
        code, out = study.run()
        assert code == 0, out
    study.check()


def test_kill_while_a_schedule_is_replayed(tmp_path: Path, undisturbed: list[Any]) -> None:
    study = Bred(tmp_path, "generations")
    assert study.run()[0] == 0
    best = studies.read(study.paths).best
    assert best is not None
    code, out = study.run("trial.carried-on:2:kill", "replay", "s", str(best.id), "--name", "again")
    assert killed(code), out
    code, out = study.run("", "replay", "s", str(best.id), "--name", "again")
    assert code == 0, out
    again = studies.read(StudyPaths(str(study.folder / "hpo-runs/again")))
    assert again.best_value == studies.read(study.paths).best_value and len(again.trials) == 1
    old, new = (
        schedule(history, history.trials[number])
        for history, number in ((studies.read(study.paths), best.id), (again, 0))
    )
    assert [(r.start, r.end, r.params, r.losses) for r in new] == [(r.start, r.end, r.params, r.losses) for r in old]
