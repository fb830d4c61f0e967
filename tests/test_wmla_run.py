"""Requests of WMLA's form with each of its algorithms and all their parameters, from the JSON file to `best`."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support import command

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
    return command.run(*words, cwd=folder, env=env)


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


@pytest.mark.by_default("Tpe")
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


@pytest.mark.slow
def test_the_experiments_of_a_grid_run_once_each(tmp_path: Path) -> None:
    result, trials, best = submitted(tmp_path, request("ExperimentGridSearch", {}, maxJobNum=-1))
    assert [t["params"]["lr"] for t in trials] == [10.0**-i for i in range(4)]
    assert best == {"lr": 0.01, "layers": 2, "act": "relu"} and result["best"]["trial"] == 2


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_parameter_of_the_resources_name_gets_the_resource(tmp_path: Path) -> None:
    space = [p for p in SPACE if p["name"] != "lr"]
    what = request("Hyperband", {"ResourceName": "layers", "ResourceValue": "9"}, maxJobNum=3)
    what["hyperParams"] = [*space, {**BLANKS, "name": "lr", "type": "Fix", "dataType": "DOUBLE", "fixedVal": "0.1"}]
    result, trials, best = submitted(tmp_path, what)
    # `act` has two values: two runs, each with the most, are all that there is to search.
    assert result["counts"] == {"completed": 2} and best["layers"] == 9
    assert all(set(t["params"]) == {"act", "lr", "layers"} and 1 <= t["params"]["layers"] <= 9 for t in trials)


# -- what scripts of WMLA do ------------------------------------------------------------------------------------------

# In the manner of the first public emetrics.py: where the folder is missing it calls a function that does not exist.
EMETRICS = """\
import json, os
c = json.load(open("config.json"))
assert os.environ["MODEL_PATH"] == os.environ["DLI_WORK_DIR"] == os.getcwd(), os.environ["MODEL_PATH"]
folder = os.path.join(os.environ["LOG_DIR"], os.environ["SUBID"])
if not os.path.exists(folder):
    os.makedir(folder)
with open(os.path.join(folder, "evaluation-metrics.txt"), "a") as f:
    for i in range(3):
        for group, loss in (("train", c["x"]), ("test", c["x"] + 1 / (i + 1))):
            f.write(json.dumps({"meta": {"training_id": os.environ["TRAINING_ID"], "subid": os.environ["SUBID"]},
                "grouplabel": group, "etimes": {"iteration": {"type": 2, "value": str(i)}, "time_stamp": {}},
                "values": {"loss": {"type": 3, "value": str(loss)}}}) + "\\n")
os.makedirs(os.path.join(os.environ["LOG_DIR"], os.environ["SUBID"], "logs", "tb"))
os.makedirs(os.path.join(os.environ["JOB_STATE_DIR"], "logs", "tb", "test"))
open(os.path.join(os.environ["LOG_DIR"], "stdout"), "w").write("seen")
"""
RESULT_LIST = """\
import json, os
c = json.load(open("config.json"))
os.makedirs(os.environ["RESULT_DIR"] + "/model")
rows = [{"steps": str(i), "loss": c["x"] + 1 / i} for i in range(1, 4)]
open(os.environ["RESULT_DIR"] + "/val_dict_list.json", "w")  # empty, then full
json.dump(rows, open(os.environ["RESULT_DIR"] + "/val_dict_list.json", "w"))
"""
OLDER = """\
import json, os
user_dir = os.path.join(os.environ["DLI_RESULT_FS"], os.environ["USER"], "batchworkdir", os.environ["DLI_EXECID"])
c = json.load(open(os.path.join(user_dir, "config.json")))
json.dump({"loss": c["x"]}, open(os.path.join(user_dir, "val_dict_list.json"), "w"))
"""
OF_1_2_3 = """\
import json, os, sys
code = os.path.join(os.environ["RESULT_DIR"], "_submitted_code", "the model")
c = json.load(open(os.path.join(code, "config.json")))
sys.path.append(code)
from net import offset
assert open(os.path.join(code, "data", "x.csv")).read() == "1,2"
assert sum(len(names) for _, _, names in os.walk(os.environ["RESULT_DIR"])) < 9, "the walk ends"
open(os.path.join(code, "out.txt"), "w").write("x")
assert open("out.txt").read() == "x"
json.dump([{"epoch": 1, "loss": c["x"] + offset}], open(os.environ["RESULT_DIR"] + "/val_dict_list.json", "w"))
"""
STYLES = {
    "emetrics": (EMETRICS, 4 / 3),
    "result list": (RESULT_LIST, 4 / 3),
    "older": (OLDER, 1.0),
    "1.2.3": (OF_1_2_3, 3.0),
}
NOTEBOOK = """\
hpo_input = {{
    'modelSpec': {{'sigName': None, 'args': '--exec-start PyTorch --model-dir "the model" \\
                  --model-main main.py --password s3cret --workerMemory 2g'}},
    'algoDef': {{'algorithm': 'Random', 'maxRunTime': -1, 'maxJobNum': 3, 'maxParalleJobNum': {parallel},
                'objectiveMetric': 'loss', 'objective': 'minimize',
                'algoParams': [{{'name': 'ResourceName', 'value': 'epochs'}}]}},
    'hyperParams': [{{'name': 'x', 'type': 'Discrete', 'dataType': 'INT', 'discreteIntVal': [1, 2, 3]}},],
}}
"""


@pytest.mark.by_default("older")
@pytest.mark.parametrize("style", STYLES)
def test_scripts_in_every_style_run_from_a_notebooks_dict(style: str, tmp_path: Path) -> None:
    script, least = STYLES[style]
    (tmp_path / "the model" / "data").mkdir(parents=True)
    (tmp_path / "the model" / "main.py").write_text(script)
    (tmp_path / "the model" / "net.py").write_text("offset = 2\n")
    (tmp_path / "the model" / "data" / "x.csv").write_text("1,2")
    (tmp_path / "cell.py").write_text(NOTEBOOK.format(parallel=2))
    done = hpo_engine(tmp_path, "submit", "cell.py", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["counts"] == {"completed": 3}
    assert result["best"]["value"] == pytest.approx(least) and result["best"]["params"] == {"x": 1}
    assert "ResourceName is a parameter of Hyperband; Random ignores it" in done.stderr
    for path in (tmp_path / "hpo-runs").rglob("*"):
        assert not path.is_file() or b"s3cret" not in path.read_bytes(), path
    assert hpo_engine(tmp_path, "remove", "cell", "--yes").returncode == 0
    assert not os.path.exists(tmp_path / "hpo-runs" / "cell")


@pytest.mark.slow
def test_more_trials_at_a_time_than_cores_are_noted(tmp_path: Path) -> None:
    (tmp_path / "the model").mkdir()
    (tmp_path / "the model" / "main.py").write_text(RESULT_LIST)
    (tmp_path / "cell.py").write_text(NOTEBOOK.format(parallel=3000).replace("'maxJobNum': 3", "'maxJobNum': 3000"))
    crowded = hpo_engine(tmp_path, "submit", "cell.py", "--name", "many")
    assert crowded.returncode == 0 and "note: maxParalleJobNum is 3000: 3000 trials at a time share" in crowded.stderr
    fine = hpo_engine(tmp_path, "submit", "cell.py", "--parallel", "1")
    assert fine.returncode == 0 and "maxParalleJobNum" not in fine.stderr


@pytest.mark.slow
def test_ragged_experiments_run_each_as_it_is(tmp_path: Path) -> None:
    what = request("ExperimentGridSearch", {"ResourceName": "epochs"}, maxJobNum=-1)
    what["experiments"] = [
        {"id": i, "hyperParams": [{"name": n, "dataType": "str", "fixedVal": n} for n in names]}
        for i, names in enumerate(("a", "ab", "c"))
    ]
    (tmp_path / "train.py").write_text(
        "import json\nc = json.load(open('config.json'))\njson.dump([{'loss': len(c)}], open('val_dict_list.json', 'w'))"
    )
    (tmp_path / "request.json").write_text(json.dumps(what))
    done = hpo_engine(tmp_path, "submit", "request.json")
    assert done.returncode == 0 and "each runs as given" in done.stderr
    shown = hpo_engine(tmp_path, "show", "moved").stdout
    assert "a=a b=b" in shown
    rows = list(csv.DictReader(io.StringIO(hpo_engine(tmp_path, "export", "moved").stdout)))
    assert [(r["params.a"], r["params.b"], r["params.c"], r["value"]) for r in rows] == [
        ("a", "", "", "1.0"), ("a", "b", "", "2.0"), ("", "", "c", "1.0"),
    ]  # fmt: skip
    assert [t["params"] for t in json.loads(hpo_engine(tmp_path, "export", "moved", "--format", "json").stdout)] == [
        {"a": "a"}, {"a": "a", "b": "b"}, {"c": "c"},
    ]  # fmt: skip


@pytest.mark.slow
def test_hyperband_says_what_it_costs_before_it_starts(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    what = request("Hyperband", {"ResourceName": "epochs", "ResourceValue": "9"}, maxJobNum=4, maxParalleJobNum=1)
    (tmp_path / "request.json").write_text(json.dumps(what))
    done = hpo_engine(tmp_path, "submit", "request.json")
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[:2]
    assert first[0].startswith("hyperband: a round is 3 brackets") and first[0].endswith("its brackets are smaller")
    assert first[1] == "plan: 4 runs: 3 of 3, 1 of 9 epochs; 18 epochs in all"
    assert "cut Hyperband off at maxJobNum (4 runs of 1 epochs; 4 epochs in all)" in done.stderr
    assert "every bracket ends with a run of 9, so this study takes 18 epochs" in done.stderr
    trials = json.loads(hpo_engine(tmp_path, "show", "moved", "--json").stdout)["trials"]
    assert sum(t["params"]["epochs"] for t in trials) == 18, "and it kept its word"
    enough = hpo_engine(tmp_path, "submit", "request.json", "--name", "whole", "--trials", "22")
    assert "cut Hyperband" not in enough.stderr and "plan: 22 runs: 9 of 1, 8 of 3, 5 of 9" in enough.stdout
