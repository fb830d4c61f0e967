"""A script that searches with Optuna, run for one trial."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna")

SEARCH = """\
import sys, optuna
def objective(trial):
    x = trial.suggest_float("x", -10, 10)
    kind = trial.suggest_categorical("kind", ["a", "b"])
    for step in range(3):
        trial.report(x + step, step)
        if trial.should_prune():
            raise optuna.TrialPruned()
    return {result}
study = optuna.create_study({study})
study.optimize(objective, n_trials=1000, timeout=600)
print(len(study.trials), sys.argv[1:], __name__)
"""


def rows(folder: Path, script: str, config: dict[str, Any]) -> tuple[list[dict[str, Any]], str]:
    (folder / "search.py").write_text(script)
    (folder / "config.json").write_text(json.dumps(config))
    words = [sys.executable, "-m", "hpo_trainees.optuna", "search.py", "--data", "x"]
    out = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True, env=_variables(folder)).stdout
    return json.loads((folder / "val_dict_list.json").read_text()), out.strip()


def _variables(folder: Path) -> dict[str, str]:
    return {**os.environ, "RESULT_DIR": str(folder)}


def test_the_objective_runs_once_with_the_trials_parameters(tmp_path: Path) -> None:
    found, out = rows(tmp_path, SEARCH.format(result="x**2 + (kind == 'b')", study=""), {"x": 3.0, "kind": "b"})
    assert [row["value"] for row in found] == [3.0, 4.0, 5.0, 10.0]
    assert [row.get("step") for row in found[:3]] == [0, 1, 2]
    assert out == "1 ['--data', 'x'] __main__"


@pytest.mark.slow
def test_several_objectives_have_a_value_each(tmp_path: Path) -> None:
    script = SEARCH.format(result="x, -x", study='directions=["minimize", "maximize"]')
    script = "\n".join(line for line in script.splitlines() if "report" not in line and "prune" not in line.lower())
    script = script.replace("    for step in range(3):\n", "")
    found, _ = rows(tmp_path, script, {"x": 2.0, "kind": "a"})
    assert found == [{"value_0": 2.0, "value_1": -2.0}]
