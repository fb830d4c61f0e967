"""What WMLA ran, runs: rules that were only ours are notes, options of the launcher are an open vocabulary, and what has
no meaning here is kept, or (a password) not kept at all.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.space.searchspace import Choice, Constant, Float, SearchSpace
from hpo_engine.study.spec import Resource, Resources
from hpo_engine.studyfile import native, wmla
from hpo_engine.studyfile.document import dump, read_document
from tests.support.specs import fact
from tests.support.wmla import ARGS, BAYES, HB, LR, TPE, algo_params, experiment, folder, parse, problems, request

__all__ = ["folder"]


def test_model_dir_of_another_machine_is_the_requests_own_folder(folder: Path) -> None:
    (folder / "main.py").write_text("")
    for named in ("/home/ibm/mnist", "mnist", "../mnist"):
        found = parse(request(args=f"--model-dir {named} --model-main main.py"), folder)
        assert found.model_dir == str(folder)
        assert found.submitted_code == "mnist"
        assert found.notes == (
            f'modelSpec.args: --model-dir "{named}" does not exist here; the folder of the request is used',
        )


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ("--model-dir ./model/", "model"),
        ("--model-dir .", "{folder}"),
        ("", "{folder}"),
        ("--model-dir x/..", "{folder}"),
    ],
)
def test_name_of_the_submitted_code(options: str, name: str, folder: Path) -> None:
    (folder / "x").mkdir()
    (folder / "train.py").write_text("")
    found = parse(request(args=f"--model-main train.py {options}"), folder)
    assert found.submitted_code == name.format(folder=folder.name)


@pytest.mark.parametrize(
    "option", ["--password s3cret!", "--password='s3cret!'", "--password s3cret! --password=s3cret!x"]
)
def test_password_is_kept_nowhere(option: str, folder: Path) -> None:
    data = request(args=f"{option} {ARGS} --username ann -- --password mine")
    found = parse(data, folder)
    assert "s3cret" not in json.dumps(found.to_json())
    assert found.command == ("python", "train.py", "--password", "mine")
    assert found.notes == ("modelSpec.args: --password is not needed here, and was not kept",)
    hidden = wmla.without_secrets(read_document(json.dumps(data), "r.json"))
    assert "s3cret" not in json.dumps(hidden) and hidden["hyperParams"] == data["hyperParams"]
    again = parse(hidden, folder)
    assert again.dialect["args"] == found.dialect["args"] and again.command == found.command
    assert wmla.without_secrets(read_document(json.dumps(request(args=f"{ARGS} -- --password mine")), "r")) is None


# -- what was a rule of ours only --------------------------------------------------------------------------------------

GRID = {"algorithm": "ExperimentGridSearch"}
HYPERBAND = {"algorithm": "Hyperband", **algo_params(ResourceName="n", ResourceValue="9")}
NOTED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "a name that is no folder's": (
        request(hpoName="../x y"), {"name": "x-y"}, 'hpoName: "../x y" cannot name a folder; the study is called x-y'
    ),
    "no trial at a time": (
        request(algo={"maxParalleJobNum": 0}), {"resources": Resources(1)}, "algoDef.maxParalleJobNum: 0 counts as 1"
    ),
    "spellings that differ": (
        request(algo={"maxParallelJobNum": 2, "maxParalleJobNum": 3}),
        {"resources": Resources(3)},
        "algoDef.maxParallelJobNum: 2 is ignored, since maxParalleJobNum is 3",
    ),
    "a parameter of another algorithm": (
        request(algo=algo_params(ResourceName="epochs")),
        {"options": {}, "resource": None},
        "algoDef.algoParams[0]: ResourceName is a parameter of Hyperband; Random ignores it",
    ),
    "a parameter of two others": (
        request(algo={**HYPERBAND, **algo_params(ResourceName="n", ResourceValue="9", cubesize="5")}),
        {"options": {"eta": 3}},
        "algoDef.algoParams[2]: cubesize is a parameter of Bayesian; Hyperband ignores it",
    ),
    "a warm-up beyond the trials": (
        request(algo={"algorithm": "tpe", "maxJobNum": 4, **algo_params(WarmUp="20")}),
        {"options": {**TPE, "n_startup": 4}},
        'algoDef.algoParams[0]: WarmUp "20" counts as 4, with maxJobNum 4',
    ),
    "a small cube without a limit": (
        request(algo={"algorithm": "bayesian", **algo_params(CubeSize="500")}),
        {"options": BAYES},
        'algoDef.algoParams[0]: CubeSize "500" counts as 10,000, as maxJobNum is unlimited',
    ),
    "a seed below 0": (
        request(algo=algo_params(RandomSeed="-1")),
        {"seed": None},
        'algoDef.algoParams[0]: RandomSeed "-1" is taken as no seed; one is drawn',
    ),
    "two etas": (
        request(algo={**HYPERBAND, "hyperbandEta": 3, **algo_params(eta="4", ResourceName="n", ResourceValue="9")}),
        {"options": {"eta": 4}},
        "algoDef.hyperbandEta: 3 is ignored, since algoParams has eta 4",
    ),
    "a parameter that is the resource, too": (
        request(algo=HYPERBAND, params=[LR, {"name": "n", "type": "Fix", "dataType": "int", "fixedVal": 5}]),
        {"space": SearchSpace((Float("lr", 0, 1),))},
        'hyperParams[1].name: "n" is Hyperband\'s resource: each trial gets the resource\'s value',
    ),
    "a step that does not divide": (
        request(params=[{**LR, "step": "0.3"}]),
        {"space": SearchSpace((Float("lr", 0, 1, step=0.3),))},
        "hyperParams[0].step: in steps of 0.3 from 0 it ends at 0.9, below 1",
    ),
    "a step beyond the range": (
        request(params=[{**LR, "step": 5}]),
        {"space": SearchSpace((Float("lr", 0, 1, step=5),))},
        "hyperParams[0].step: 5 is larger than the range, so the value is always the lowest",
    ),
    "a power of 1": (
        request(params=[{**LR, "power": "1"}]),
        {"space": SearchSpace((Constant("lr", 1.0),))},
        "hyperParams[0].power: with power 1 the value is always 1",
    ),
    "no worker": (request(args=f"{ARGS} --numWorker 0"), {"resources": Resources(1)}, "modelSpec.args: --numWorker 0 counts as 1"),
    "a device of another kind": (
        request(args=f"{ARGS} --workerDeviceType tpu"),
        {"resources": Resources(1)},
        'modelSpec.args: --workerDeviceType "tpu" is neither cpu nor gpu and is ignored',
    ),
    "an option that may be the launcher's": (
        request(args=f"{ARGS} --workerThing 3"),
        {"command": ("python", "train.py", "--workerThing", "3")},
        "modelSpec.args: --workerThing looks like an option of WMLA's launcher but is not a known one; it is passed to the script",
    ),
    "experiments that set different parameters": (
        request(algo=GRID, params=[], experiments=[experiment(0, a=1), experiment(1, a=1, b="x"), experiment(2, c=0.5)]),
        {
            "experiments": ({"a": 1}, {"a": 1, "b": "x"}, {"c": 0.5}),
            "space": SearchSpace((Choice("a", (1,)), Choice("b", ("x",)), Choice("c", (0.5,)))),
        },
        'experiments: not all set the same parameters ("a" in 2 of 3, "b" in 1 of 3, "c" in 1 of 3); each runs as given',
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", NOTED)
def test_what_ran_on_wmla_runs_with_a_note(what: str, folder: Path) -> None:
    data, expected, note = NOTED[what]
    found = parse(data, folder)
    assert {name: fact(found, name) for name in expected} == expected
    assert found.notes == (note,)
    again = native.parse(
        dump(native.to_native(found)), file="x", base_dir="/"
    )  # which has notes of its own, on steps say
    assert replace(again, notes=(note,)) == found


def test_resource_may_be_all_there_is(folder: Path) -> None:
    found = parse(request(algo=HYPERBAND, params=[{**LR, "name": "n"}]), folder)
    assert (found.space, found.resource, len(found.notes)) == (SearchSpace(()), Resource("n", 9), 1)


@pytest.mark.slow
def test_notes_of_a_hostile_request_are_few(folder: Path) -> None:
    params = [{"name": f"{'eta' if i % 2 else 'ETA'}", "value": 1} for i in range(2)]
    params += [{**LR, "name": f"p{i}", "step": 0.3} for i in range(5000)]
    notes = parse(request(params=params[2:]), folder).notes
    assert len(notes) == 21 and notes[-1] == "4980 more of the kind"


def test_blank_values_of_algo_params_are_the_defaults(folder: Path) -> None:
    found = parse(request(algo={"algorithm": "tpe", **algo_params(RandomSeed="", WarmUp=None, GoodMax=" ")}), folder)
    assert (found.seed, found.algorithm.options, found.notes) == (None, TPE, ())
    assert problems(request(algo={**HB, **algo_params(ResourceName="", ResourceValue="9")}), folder)[0].endswith(
        "ResourceName is missing: Hyperband needs ResourceName and ResourceValue"
    )


FIXED: dict[str, tuple[Any, dict[str, Any]]] = {
    "a list": ([{"name": "m", "dataType": "DOUBLE", "fixedVal": "0.9", "type": "Fix"}], {"m": 0.9}),
    "without types": ([{"name": "m", "fixedVal": 3}, {"name": "t", "fixedVal": "3"}], {"m": 3, "t": "3"}),
    "an object": ({"m": 0.5, "t": "x"}, {"m": 0.5, "t": "x"}),
    "none": (None, {}),
}


@pytest.mark.parametrize("what", FIXED)
def test_fixed_hyper_params_are_an_older_spelling(what: str, folder: Path) -> None:
    given_, values = FIXED[what]
    searched = parse({**request(), "fixedHyperParams": given_}, folder).space
    assert searched == SearchSpace((Float("lr", 0, 1), *(Constant(n, v) for n, v in values.items())))
    runs = [experiment(0, a=1), experiment(1, a=2)]
    listed = parse({**request(algo=GRID, params=[], experiments=runs), "fixedHyperParams": given_}, folder)
    assert listed.experiments == ({**values, "a": 1}, {**values, "a": 2})
