"""Requests in the forms that clients of both generations send: accepted, with notes where they mean less than they say,
and every value that is tried is one that the request allows (held against an oracle that reads the request by itself).
"""

from __future__ import annotations

import ast
import json
import math
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from hpo_engine import assembly
from hpo_engine.executors import devices
from hpo_engine.study.spec import Budget, Resource, Resources, StudySpec
from tests.support.specs import fact

REQUESTS = Path(__file__).parents[1] / "data" / "wmla" / "requests"
TPE = {"n_startup": 20, "ei_candidates": 24, "good_ratio": 0.25, "good_max": 25}
# File -> folder and script of its model, fields of the study, what its notes say (and nothing else).
ACCEPTED: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "pytorch_random.py": (
        "pytorch_mnist/pytorch_mnist_HPO.py",
        {"algorithm": "random", "budget": Budget(4, 3600.0), "resources": Resources(2), "name": "pytorch_random"},
        [
            "in steps of 0.002 from 0.001 it ends at 0.099, below 0.1",
            "asks for 1 GPU for each trial; this machine has none",
        ],
    ),
    "pytorch_tpe_all_fields.json": (
        "model/train.py",
        {"options": {**TPE, "n_startup": 4}, "seed": 2, "budget": Budget(4), "resources": Resources(2)},
        ['WarmUp "20" counts as 4, with maxJobNum 4'],
    ),
    "tf_bayesian_unlimited.py": (
        "tf_cnn/cnn.py",
        {
            "options": {"n_startup": 2, "cube_size": 10_000, "noiseless": True},
            "budget": Budget(80, 1800.0),  # all there are
            "command": ("python", "cnn.py", "--epochs", "3"),
            "resources": Resources(1, gpus=0),
        },
        ['CubeSize "1000" counts as 10,000, as maxJobNum is unlimited', 'conda environment "dlipy3" was not found'],
    ),
    "hyperband_81.json": (
        "hb/main.py",
        {"algorithm": "hyperband", "resource": Resource("epochs", 81), "budget": Budget(runs=8)},
        ['"epochs" is Hyperband\'s resource'],
    ),
    "grid_ragged.json": (
        "grid/t.py",
        {
            "algorithm": "grid",
            "experiments": ({"lr": 0.1}, {"lr": 0.2, "momentum": 0.9}, {"optimizer": "adam", "layers": 3}),
            "resource": None,
        },
        [
            "ResourceName is a parameter of Hyperband; ExperimentGridSearch ignores it",
            "ResourceValue is a parameter of Hyperband",
            'not all set the same parameters ("lr" in 2 of 3, "momentum" in 1 of 3, "optimizer" in 1 of 3 and 1 more)',
        ],
    ),
    "xgboost.txt": (
        "xgb/train-xgb-HPO.py",
        {"resources": Resources(30, gpus=0), "command": ("python", "train-xgb-HPO.py"), "name": "xgboost"},
        ["in steps of 0.02 from 0.001 it ends at 0.281, below 0.3", "in steps of 50 from 10 it ends at 460, below 500"],
    ),
    "cpd_devices.py": (
        "cpd/train.py",
        {"command": ("python", "train.py", "--msd-priority", "5"), "env": {"NCCL_DEBUG": "INFO"}, "seed": 2},
        [
            "ResourceName is a parameter of Hyperband; Random ignores it",
            "--password is not needed here, and was not kept",
            "--msd-priority looks like an option of WMLA's launcher",
            "asks for 2 GPUs for each trial; this machine has none",
        ],
    ),
    "edt.py": (
        "edt/main.py",
        {"command": ("python", "main.py", "--numWorker", "1"), "options": {**TPE, "n_startup": 5}},
        ["asks for up to 4 GPUs for each trial; this machine has none"],
    ),
    "ddl.json": (
        "ddl/d.py",
        {"command": ("python", "d.py", "--dl-sync", "3"), "budget": Budget(2), "options": {}},
        ["--dl-sync looks like an option of WMLA's launcher", "asks for 4 GPUs for each trial"],
    ),
    "bayesian_limited.yaml": (
        "bayes/b.py",
        {
            "options": {"n_startup": 10, "cube_size": 5000, "noiseless": True},
            "seed": None,
            "extra_metrics": {"loss": "latest", "f1": "maximize"},
        },
        ["WarmUp is a parameter of TPE; Bayesian ignores it"],
    ),
    "hyperband_eta.json": (
        "h/h.py",
        {"options": {"eta": 2}, "resource": Resource("iters", 8), "seed": None},
        [
            'RandomSeed "-1" is taken as no seed',
            "with power 1 the value is always 1",
            "3 is ignored, since algoParams has eta 2",
        ],
    ),
    "names.json": (
        "n.py",
        {"name": "my-first-search-2", "resources": Resources(1)},
        [
            "cannot name a folder; the study is called my-first-search-2",
            "0 counts as 1",
            "does not exist here; the folder of the request is used",
        ],
    ),
    "tpe_limits.json": (
        "l/l.py",
        {"options": {"n_startup": 2, "ei_candidates": 100_000, "good_ratio": 3, "good_max": 1000}},
        [
            'WarmUp "20" counts as 2, with maxJobNum 2',
            'EICandidate "1000000" counts as 100,000',
            "InitPoints is a parameter of Bayesian; TPE ignores it",
            "eta is a parameter of Hyperband",
            "in steps of 4 from 0 it ends at 8, below 10",
            "7 is larger than the range",
        ],
    ),
    "grid_fixed.py": (
        "g/g.py",
        {
            "experiments": tuple({"epochs": 2, "units": units} for units in (32, 64, 64)),
            "budget": Budget(2),
        },
        [],
    ),
    "only_fixed.json": ("f/f.py", {"budget": Budget(1)}, []),
    "script_words": (
        "w/w.py",
        {
            "command": ("python", "w.py", "--batch-size", "64", "--name", "a b", "--worker", "3", "--password", "mine"),
            "name": "script_words",
        },
        [],
    ),
    "resubmitted.json": ("r/r.py", {"options": {**TPE, "n_startup": 3}, "name": "ann-hpo-1600000000001"}, []),
    "powers.json": ("p/p.py", {"budget": Budget(20)}, []),
    "steps.json": (
        "s/s.py",
        {"budget": Budget(20)},
        ["in steps of 0.02 from 0.001 it ends at 0.081, below 0.1"],
    ),
    "elog.py": (
        "elog model/e.py",
        {"resources": Resources(1, gpus=0), "budget": Budget(2, 30.0)},
        ["2 is ignored, since maxParalleJobNum is 1"],
    ),
}


def beside(file: str, folder: Path) -> Path:
    """The request's file in a folder, with its model."""
    script = folder / ACCEPTED[file][0]
    script.parent.mkdir(exist_ok=True)
    script.write_text("")
    path = folder / file
    path.write_text((REQUESTS / file).read_text(encoding="utf-8"), encoding="utf-8")
    return path


def loaded(file: str, folder: Path, **env: str) -> StudySpec:
    return assembly.load_spec(str(beside(file, folder)), {"PATH": "/usr/bin", "HPO_ENGINE_GPUS": "", **env})[0]


def test_every_request_is_tried() -> None:
    assert {path.name for path in REQUESTS.iterdir()} == set(ACCEPTED)


@pytest.mark.parametrize("file", ACCEPTED)
def test_request_is_accepted_and_means_what_it_says(file: str, tmp_path: Path) -> None:
    _, expected, wanted = ACCEPTED[file]
    spec = loaded(file, tmp_path)
    assert {name: fact(spec, name) for name in expected} == expected
    notes = list(spec.notes)
    for text in wanted:
        assert [note for note in notes if text in note], (text, notes)
    assert len(notes) == len(wanted), notes
    assert assembly.searcher(spec) is not None
    assert StudySpec.from_json(json.loads(json.dumps(spec.to_json(), allow_nan=False))) == spec


# -- the oracle -------------------------------------------------------------------------------------------------------


def raw(file: str) -> dict[str, Any]:
    text = (REQUESTS / file).read_text(encoding="utf-8")
    if file.endswith((".json", ".yaml")):
        found: dict[str, Any] = yaml.safe_load(text)
        return found
    body = text[text.index("{") :] if "= {" not in text.split("\n{")[0] else text[text.index("= {") + 2 :]
    return dict(ast.literal_eval(re.sub(r"\" \+\n", '"\n', body)))


def allows(entry: dict[str, Any], value: Any) -> bool:
    """Whether an entry of hyperParams allows a value, by the dialect's own words."""
    kind, data_type = entry.get("type", "Fix").lower(), str(entry.get("dataType", "")).lower()
    types: dict[str, tuple[Any, str, str]] = {
        "int": (int, "Int", "discreteIntVal"),
        "double": (float, "Db", "discreteDbVal"),
    }
    of, ends, listed = types.get(data_type, (str, "", "discreateStrVal"))
    if type(value) is not of:
        return False
    if kind == "fix":
        return bool(of(entry["fixedVal"]) == value)
    if kind == "discrete":
        given = entry.get(listed) or entry["discreteStrVal"]
        return value in [of(v) for v in given]
    low, high, step, power = (
        Decimal(str(entry.get(name) or 0)) for name in (f"min{ends}Val", f"max{ends}Val", "step", "power")
    )
    if not power:
        at = Decimal(repr(value))
        return low <= at <= high and (not step or (at - low) % step == 0)
    if power == 1:
        return value == 1
    exponent = math.log(value) / math.log(float(power))
    if step or of is int:
        k = round((exponent - float(low)) / float(step or 1))
        exact = float(power) ** float(low + k * (step or 1))
        return k >= 0 and low + k * (step or 1) <= high and math.isclose(value, exact, rel_tol=1e-12)
    return float(low) - 1e-9 <= exponent <= float(high) + 1e-9


def test_the_oracle_can_say_no() -> None:
    entry = {"type": "Range", "dataType": "DOUBLE", "minDbVal": 0.001, "maxDbVal": 0.1, "step": "0.02"}
    assert allows(entry, 0.081)
    assert not any(allows(entry, value) for value in (0.08100000000000002, 0.1, 0.101, -0.019, 1, "0.081"))
    assert not allows({"type": "Range", "dataType": "INT", "minIntVal": 6, "maxIntVal": 11, "power": "2"}, 4096)


@pytest.mark.parametrize("file", [f for f in ACCEPTED if not f.startswith(("grid", "only"))])
def test_values_obey_the_request(file: str, tmp_path: Path) -> None:
    spec, data, rng = loaded(file, tmp_path), raw(file), np.random.default_rng(1)
    entries = {e["name"]: e for e in [*data["hyperParams"], *data.get("fixedHyperParams", ())]}
    entries.pop(spec.resource.name if spec.resource else "", None)
    seen: dict[str, set[Any]] = {name: set() for name in entries}
    for _ in range(300):
        params = spec.space.sample(rng)
        assert set(params) == set(entries)
        for name, value in json.loads(json.dumps(params)).items():
            assert allows(entries[name], value), (name, value)
            seen[name].add(value)
    for name, entry in entries.items():
        if entry.get("step") not in (None, "0", 0, "") and not float(entry.get("power") or 0):
            assert all(len(repr(value)) <= 8 for value in seen[name]), "clean decimals"


def test_constants_of_the_older_spelling_are_in_every_trial(tmp_path: Path) -> None:
    params = loaded("only_fixed.json", tmp_path).space.sample(np.random.default_rng(1))
    assert params == {"lr": 0.5, "layers": 2, "act": "relu"}
    assert [type(v) for v in params.values()] == [float, int, str]


# -- the machine ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "gpus", "given", "note"),
    [
        ("cpd_devices.py", "0,1,2,3", 2, ""),
        ("cpd_devices.py", "0", 1, "asks for 2 GPUs for each trial; this machine has 1, so each gets 1"),
        ("ddl.json", "0,1", 2, "asks for 4 GPUs for each trial; this machine has 2, so each gets 2"),
        ("edt.py", "0,1", 2, "asks for up to 4 GPUs for each trial; this machine has 2, so each gets 2"),
        ("edt.py", "0,1,2,3,4", 4, ""),
        ("elog.py", "0,1", 0, ""),
        ("xgboost.txt", "0,1", 0, ""),
    ],
)
def test_gpus_are_what_the_machine_has(file: str, gpus: str, given: int, note: str, tmp_path: Path) -> None:
    spec = loaded(file, tmp_path, HPO_ENGINE_GPUS=gpus)
    assert spec.resources.gpus == given
    found = [n for n in spec.notes if "GPU" in n]
    assert (note in found[0] and len(found) == 1) if note else not found


def test_elastic_trials_share_the_gpus(tmp_path: Path) -> None:
    text = (REQUESTS / "edt.py").read_text().replace("'maxParalleJobNum': 1", "'maxParalleJobNum': 2")
    path = beside("edt.py", tmp_path)
    path.write_text(text)
    spec, _ = assembly.load_spec(str(path), {"PATH": "/usr/bin", "HPO_ENGINE_GPUS": "0,1,2,3"})
    assert spec.resources == Resources(2, gpus=2)


def test_elastic_trials_on_the_cpu_share_the_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "count_cores", lambda: 2)
    text = (REQUESTS / "edt.py").read_text().replace("--numWorker 1", "--numWorker 1 --workerDeviceType cpu")
    for parallel, cpus in ((1, 2), (2, 1), (9, 1)):
        path = beside("edt.py", tmp_path)
        path.write_text(text.replace("'maxParalleJobNum': 1", f"'maxParalleJobNum': {parallel}"))
        spec, _ = assembly.load_spec(str(path), {"PATH": "/usr/bin"})
        assert spec.resources == Resources(parallel, cpus=cpus, gpus=0)
