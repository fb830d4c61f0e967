"""Real studies whose scripts leave their metrics in files of their own: what lay there before counts for no trial."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from hpo_engine import studies
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.study.history import History
from tests.support import command, doubling

# Each appends to what it finds, as scripts do, and goes on from its checkpoint.
SCRIPT = """\
import csv, json, os
config = json.load(open("config.json"))
done = json.load(open("state.json")) if os.path.exists("state.json") else 0
for step in range(done + 1, config["epochs"] + 1):
    row = {"epoch": step, "loss": config["x"] + 1 / step}
    WRITE
    json.dump(step, open("state.json", "w"))
"""
WRITE = {
    "csv": """
    new = not os.path.exists("out/log.csv")
    with open("out/log.csv", "a") as file:
        file.write("epoch,loss\\n" * new + f"{row['epoch']},{row['loss']}\\n")
""",
    "jsonl": """
    with open("out/log.jsonl", "a") as file:
        file.write(json.dumps(row) + "\\n")
""",
    "json": """
    rows = json.load(open("out/log.json")) + [row]
    json.dump(rows, open("out/log.json", "w"))
""",
}
OLD = {
    "log.csv": "epoch,loss\n1,-9.0\n2,-9.5\n",
    "log.jsonl": '{"epoch": 1, "loss": -9.0}\n{"epoch": 2, "loss": -9.5}\n',
    "log.json": '[{"epoch": 1, "loss": -9.0}, {"epoch": 2, "loss": -9.5}]',
    "other.csv": "id,loss\n1,-99\n",
}
STUDY = """\
command: [{python}, -S, train.py]
objective: minimize loss
algorithm: {algorithm}
resource: {{name: epochs, max: {most}}}
trials: 5
parallel: 2
results: {results}
space: {{x: {{float: [0, 10]}}}}
"""


def ran(folder: Path, kind: str, results: str, algorithm: str = "random", most: int = 3) -> History:
    (folder / "out").mkdir()
    for name, text in OLD.items():
        (folder / "out" / name).write_text(text)
    (folder / "train.py").write_text(SCRIPT.replace("    WRITE", WRITE[kind]))
    (folder / "doubling.py").write_text(Path(doubling.__file__).read_text())
    python = f'"{sys.executable}"'
    (folder / "algo.yaml").write_text(STUDY.format(python=python, results=results, algorithm=algorithm, most=most))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    done = command.run("submit", "algo.yaml", "--name", "s", cwd=folder, env=os.environ)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path: path.read_bytes() for path in before} == before, "the script's own folder was changed"
    return studies.read(StudyPaths(str(folder / "hpo-runs/s")))


@pytest.mark.by_default("csv")
@pytest.mark.parametrize("kind", ["csv", "jsonl", "json"])
def test_rows_of_an_earlier_run_by_hand_count_for_no_trial(kind: str, tmp_path: Path) -> None:
    for trial in ran(tmp_path, kind, kind).trials:
        x = trial.params["x"]
        assert [(row.step, row.values) for row in trial.rows] == [(s, {"loss": x + 1 / s}) for s in (1, 2, 3)]


@pytest.mark.parametrize("kind", ["csv", pytest.param("jsonl", marks=pytest.mark.slow)])
def test_trials_that_continue_or_start_from_another_count_their_own_rows(kind: str, tmp_path: Path) -> None:
    history = ran(tmp_path, kind, f'{{name: {kind}, file: "**/log.*"}}', "doubling.py:Doubling", 8)
    found = [([r.losses[0] for r in trial.results], [row.step for row in trial.rows]) for trial in history.trials]
    assert found == [
        ([1.0, 0.5, 0.25, 0.125], [*range(1, 9)]),
        ([2.0, 1.5], [1, 2]),
        ([3.0], [1]),
        ([4.0], [1]),
        ([0.625], [5, 6, 7, 8]),
    ]


def test_two_sources_of_one_kind_are_tried_in_their_order(tmp_path: Path) -> None:
    results = "[{name: csv, file: none.csv}, {name: csv, file: out/log.csv}, stdout]"
    assert all(trial.loss == trial.params["x"] + 1 / 3 for trial in ran(tmp_path, "csv", results).trials)
