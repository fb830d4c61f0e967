"""Requests of WMLA's form with each of its algorithms and all their parameters, from the JSON file to `best`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
TRAIN = """\
import json, math, os
c = json.load(open("config.json"))
epochs = c.get("epochs", 3)
loss = (math.log10(c["lr"]) + 2) ** 2 + 0.1 * abs(c["layers"] - 2) + (c["act"] == "tanh")
rows = [{"step": i, "loss": loss + 1 / i, "accuracy": -loss} for i in range(1, epochs + 1)]
json.dump(rows, open(os.environ["RESULT_DIR"] + "/val_dict_list.json", "w"))
"""
BLANKS = {
    "minDbVal": 0.0, "maxDbVal": 0.0, "minIntVal": 0, "maxIntVal": 0, "discreteDbVal": [], "discreteIntVal": [],
    "discreateStrVal": [], "power": "0", "step": "0", "fixedVal": "", "userDefined": False,
}  # fmt: skip
SPACE = [
    {**BLANKS, "name": "lr", "type": "Range", "dataType": "DOUBLE", "power": "10", "minDbVal": -4.0, "maxDbVal": 0.0},
    {**BLANKS, "name": "layers", "type": "Range", "dataType": "INT", "minIntVal": 1, "maxIntVal": 5},
    {**BLANKS, "name": "act", "type": "Discrete", "dataType": "STR", "discreateStrVal": ["relu", "tanh"]},
]
EXPERIMENTS = [
    {"id": i, "hyperParams": [
        {"name": "lr", "dataType": "double", "fixedVal": str(10.0**-i)},
        {"name": "layers", "dataType": "int", "fixedVal": "2"},
        {"name": "act", "dataType": "str", "fixedVal": "relu"},
    ]}
    for i in range(4)
]  # fmt: skip
# Algorithm, its parameters as text, changes of algoDef, number of trials.
CASES: dict[str, tuple[str, dict[str, str], dict[str, Any], int]] = {
    "Tpe": (
        "Tpe",
        {"RandomSeed": "3", "WarmUp": "4", "EICandidate": "24", "GoodRatio": "0.25", "GoodMax": "25"},
        {"maxJobNum": 12},
        12,
    ),
    "Bayesian": (
        "Bayesian",
        {"RandomSeed": "3", "InitPoints": "3", "CubeSize": "500", "Noiseless": "true"},
        {"maxJobNum": 6},
        6,
    ),
    "Random": ("Random", {"RandomSeed": "3"}, {}, 8),
    "Hyperband": ("Hyperband", {"RandomSeed": "3", "eta": "3", "ResourceName": "epochs", "ResourceValue": "9"}, {}, 8),
    "Hyperband without a limit": (
        "hyperband", {"RandomSeed": "3", "ResourceName": "epochs", "ResourceValue": "9"}, {"maxJobNum": -1}, 22
    ),
    "Hyperband, fractional eta": (
        "Hyperband",
        {"RandomSeed": "3", "eta": "2.5", "ResourceName": "epochs", "ResourceValue": "10"},
        {"maxJobNum": 30, "hyperbandEta": 2.5},
        30,
    ),
}  # fmt: skip


def request(algorithm: str, params: dict[str, str], **changes: Any) -> dict[str, Any]:
    algo = {
        "algorithm": algorithm, "maxRunTime": -1, "maxJobNum": 8, "maxParalleJobNum": 2, "objectiveMetric": "loss",
        "objective": "minimize", "additionalMetrics": {"accuracy": "maximize"}, "hyperbandEta": 0,
        "algoParams": [{"name": k, "value": v} for k, v in params.items()], **changes,
    }  # fmt: skip
    grid = algorithm == "ExperimentGridSearch"
    return {
        "hpoName": "moved",
        "modelSpec": {"sigName": "sig", "args": "--exec-start PyTorch --model-main train.py"},
        "algoDef": algo,
        **({"experiments": EXPERIMENTS} if grid else {"hyperParams": SPACE}),
    }


def hpo_engine(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-m", "engine.cli", *words]
    return subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, timeout=240)


def submitted(folder: Path, what: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    """The result, the trials and the best configuration."""
    (folder / "train.py").write_text(TRAIN)
    (folder / "request.json").write_text(json.dumps(what))
    done = hpo_engine(folder, "submit", "request.json", "--json")
    assert done.returncode == 0, done.stderr
    trials = json.loads(hpo_engine(folder, "show", "moved", "--json").stdout)["trials"]
    best = hpo_engine(folder, "best", "moved", "--config")
    assert best.returncode == 0, best.stderr
    return json.loads(done.stdout.splitlines()[-1]), trials, json.loads(best.stdout)


@pytest.mark.parametrize("case", CASES)
def test_request_runs_from_its_file_to_the_best(case: str, tmp_path: Path) -> None:
    algorithm, params, changes, expected = CASES[case]
    result, trials, best = submitted(tmp_path, request(algorithm, params, **changes))
    assert result["state"] == "finished" and result["counts"] == {"completed": expected}
    assert len(trials) == expected and result["best"]["params"] == best
    assert {"lr", "layers", "act"} <= set(best)
    most = max(t["params"].get("epochs", 0) for t in trials)
    at_most = [t for t in trials if t["params"].get("epochs", 0) == most]
    assert result["best"]["value"] == min(t["value"] for t in at_most)
    if "ResourceValue" in params:
        assert best[params["ResourceName"]] == most == int(params["ResourceValue"])
        assert type(best[params["ResourceName"]]) is int
        assert min(t["params"]["epochs"] for t in trials) < most


def test_the_experiments_of_a_grid_run_once_each(tmp_path: Path) -> None:
    result, trials, best = submitted(tmp_path, request("ExperimentGridSearch", {}, maxJobNum=-1))
    assert [t["params"]["lr"] for t in trials] == [10.0**-i for i in range(4)]
    assert best == {"lr": 0.01, "layers": 2, "act": "relu"} and result["best"]["trial"] == 2


def test_the_seed_of_a_request_makes_it_repeatable(tmp_path: Path) -> None:
    found = []
    for number, name in enumerate(("first", "second")):
        (tmp_path / name).mkdir()
        algorithm, params, changes, _ = CASES["Hyperband"]
        _, trials, best = submitted(
            tmp_path / name, request(algorithm, params, **changes, maxParalleJobNum=1 + 2 * number)
        )
        found.append((best, sorted(json.dumps(t["params"]) for t in trials)))
    assert found[0] == found[1], "the same with another number of workers, too"


def test_a_parameter_of_the_resources_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    what = request("Hyperband", {"ResourceName": "layers", "ResourceValue": "9"})
    (tmp_path / "request.json").write_text(json.dumps(what))
    done = hpo_engine(tmp_path, "submit", "request.json")
    assert done.returncode == 2
    assert "algoDef.algoParams" in done.stderr and "layers is a parameter of the space, too" in done.stderr
