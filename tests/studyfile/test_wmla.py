"""The WMLA dialect: a table of requests and what each quirk comes to, its messages, and a history's answers."""

from __future__ import annotations

import json
import random
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine.errors import SpecError
from hpo_engine.space.searchspace import Choice, Constant, Float, Int, SearchSpace
from hpo_engine.study.events import (
    AttemptEnded,
    AttemptIntended,
    AttemptStarted,
    EngineStarted,
    Event,
    MetricsSeen,
    StopAsked,
    StudyClosed,
    StudyOpened,
    TrialCarriedOn,
    TrialEnded,
    TrialProposed,
    fold,
)
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective, Row
from hpo_engine.study.spec import Budget, Named, Resource, Resources, StudySpec
from hpo_engine.studyfile import native, wmla
from hpo_engine.studyfile.document import dump, read_document, read_text
from hpo_engine.studyfile.wmla.request import new_name
from tests.support.examples import some
from tests.support.specs import fact
from tests.support.wmla import ARGS, BAYES, HB, LR, TPE, algo_params, experiment, folder, parse, problems, request

__all__ = ["folder"]

DATA = Path(__file__).parents[1] / "data" / "wmla"
# What real requests send in the fields that do not apply.
BLANKS = {
    "minDbVal": 0, "maxDbVal": 0, "minIntVal": 0, "maxIntVal": 0, "discreteDbVal": [], "discreteIntVal": [],
    "discreateStrVal": [], "step": 0, "power": 0, "fixedVal": "", "userDefined": False,
}  # fmt: skip


# -- whole requests ---------------------------------------------------------------------------------------------------

MNIST = SearchSpace(
    (
        Float("learning_rate", 0.001, 0.1, step=0.002),
        Int("hidden", 6, 11, power=2),
        Choice("batch_size", (32, 64, 128), ordered=True),
        Choice("optimizer", ("adam", "sgd")),
        Constant("momentum", 0.9),
    )
)


@pytest.mark.parametrize("file", ["mnist.json", "mnist.yaml"])
def test_whole_request(file: str, folder: Path) -> None:
    document = read_document(read_text(str(DATA / file)), file)
    found = wmla.parse_request(
        document, base_dir=str(folder), env={"DLI_DATA_FS": "/shared"}, user="ann", now=1.5e9, rng=random.Random(1)
    )
    assert replace(found, dialect={}, submitted_code=None, notes=()) == StudySpec(
        name=new_name("ann", 1.5e9, random.Random(1)),
        space=MNIST,
        objectives=(Objective("loss", "minimize", "best"),),
        command=("python", "train.py", "--epochs", "2"),
        model_dir=str(folder / "model"),
        algorithm=Named("random"),
        budget=Budget(4, 3600),
        resources=Resources(2, gpus=1),
        data_dir="/shared/mnist",
        data_root="/shared",
        extra_metrics={"accuracy": "maximize", "lr_now": "latest"},
        seed=2,
    )
    assert found.dialect["sigName"] == "dli-notebook"
    assert found.dialect["args"] == document.data["modelSpec"]["args"]
    assert StudySpec.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))) == found


def test_native_file_is_no_request() -> None:
    assert not wmla.is_request(read_document("command: cat\nspace: {}", "x"))
    assert not wmla.is_request(read_document("[algoDef]", "x"))


def test_request_survives_the_native_form(folder: Path) -> None:
    found = parse(request(algo={"algorithm": "TPE"}, args=f"{ARGS} --gpuPerWorker 2 --msd-env A=1 -- -x"), folder)
    assert native.parse(dump(native.to_native(found)), file="x", base_dir="/") == found


# -- algoDef ----------------------------------------------------------------------------------------------------------


ALGO: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "absent limits are none": ({}, {"budget": Budget(None, None), "resources": Resources(1)}),
    "-1 is unlimited": ({"maxRunTime": -1, "maxJobNum": -1}, {"budget": Budget(None, None)}),
    "minutes": ({"maxRunTime": 1.5, "maxJobNum": 7}, {"budget": Budget(7, 90.0)}),
    "numbers in text": ({"maxRunTime": "60", "maxJobNum": "7"}, {"budget": Budget(7, 3600.0)}),
    "its own spelling of parallel": ({"maxParalleJobNum": 3}, {"resources": Resources(3)}),
    "another spelling": ({"maxParalleJob": 3}, {"resources": Resources(3)}),
    "the right spelling": ({"maxParallelJobNum": 3}, {"resources": Resources(3)}),
    "two spellings that agree": ({"maxParalleJob": 3, "maxParalleJobNum": 3}, {"resources": Resources(3)}),
    "maximize in any case": ({"objective": "Maximize"}, {"objectives": (Objective("loss", "maximize"),)}),
    "any other word means latest": (
        {"additionalMetrics": {"a": "minimize", "b": "MAXIMIZE", "c": "latest", "d": "last", "e": "", "f": None}},
        {
            "extra_metrics": {
                "a": "minimize",
                "b": "maximize",
                "c": "latest",
                "d": "latest",
                "e": "latest",
                "f": "latest",
            }
        },
    ),
    "no additional metrics": ({"additionalMetrics": None}, {"extra_metrics": {}}),
    "random": ({"algorithm": "RANDOM"}, {"algorithm": "random", "options": {}, "seed": None}),
    "seed in text": (algo_params(RandomSeed="17"), {"seed": 17}),
    "parameter names in any case": (algo_params(randomSEED="17"), {"seed": 17}),
    "algoParams null": ({"algoParams": None}, {"seed": None}),
    "tpe in any case": ({"algorithm": "Tpe"}, {"algorithm": "tpe", "options": TPE}),
    "tpe as listed": ({"algorithm": "TPE"}, {"algorithm": "tpe", "options": TPE}),
    "tpe's parameters": (
        {"algorithm": "tpe", **algo_params(RandomSeed="1", WarmUp="5", EICandidate="30", GoodRatio="0.5", GoodMax="9")},
        {"options": {"n_startup": 5, "ei_candidates": 30, "good_ratio": 0.5, "good_max": 9}, "seed": 1},
    ),
    "tpe's default warm-up fits the trials": (
        {"algorithm": "tpe", "maxJobNum": 8},
        {"options": {**TPE, "n_startup": 8}, "budget": Budget(8)},
    ),
    "tpe's warm-up may be all trials": (
        {"algorithm": "tpe", "maxJobNum": 8, **algo_params(WarmUp="8")},
        {"options": {**TPE, "n_startup": 8}},
    ),
    "bayesian, unlimited": ({"algorithm": "Bayesian"}, {"algorithm": "bayesian", "options": BAYES}),
    "bayesian, limited": (
        {"algorithm": "bayesian", "maxJobNum": 20},
        {"options": {**BAYES, "cube_size": 2000}},
    ),
    "bayesian's parameters": (
        {"algorithm": "bayesian", **algo_params(InitPoints="3", CubeSize="500", Noiseless="False")},
        {"options": {"n_startup": 3, "cube_size": 10_000, "noiseless": False}},
    ),
    "bayesian with more points than ours takes": (
        {"algorithm": "bayesian", "maxJobNum": 5000, **algo_params(CubeSize="500000")},
        {"options": {**BAYES, "cube_size": 100_000}},
    ),
    "bayesian, long": (
        {"algorithm": "bayesian", "maxJobNum": 5000},
        {"options": {**BAYES, "cube_size": 100_000}},
    ),
    "tpe with more candidates than ours takes": (
        {"algorithm": "tpe", **algo_params(EICandidate="1000000000")},
        {"options": {**TPE, "ei_candidates": 100_000}},
    ),
    "hyperband": (
        {"algorithm": "Hyperband", **algo_params(ResourceName="epochs", ResourceValue="27")},
        {"algorithm": "hyperband", "options": {"eta": 3}, "resource": Resource("epochs", 27)},
    ),
    "hyperband's eta": (
        {"algorithm": "hyperband", **algo_params(eta="4", resourcename="n", RESOURCEVALUE=9)},
        {"options": {"eta": 4}, "resource": Resource("n", 9)},
    ),
    "hyperbandEta": (
        {"algorithm": "hyperband", "hyperbandEta": 2.5, **algo_params(ResourceName="n", ResourceValue="9")},
        {"options": {"eta": 2.5}},
    ),
    "hyperbandEta and eta agree": (
        {"algorithm": "hyperband", "hyperbandEta": 2, **algo_params(eta="2", ResourceName="n", ResourceValue="9")},
        {"options": {"eta": 2}},
    ),
    "hyperbandEta 0 elsewhere": ({"hyperbandEta": 0}, {"options": {}}),
    "a plugin gets text": (
        {"algorithm": "MySearch", **algo_params(RandomSeed="1", Depth=3, Mixed="A")},
        {"algorithm": "MySearch", "options": {"RandomSeed": "1", "Depth": "3", "Mixed": "A"}, "seed": None},
    ),
    "fields that nobody documents": ({"someThingElseEntirely": 1}, {"budget": Budget(None)}),
}


@pytest.mark.parametrize("quirk", ALGO)
def test_algo_def(quirk: str, folder: Path) -> None:
    change, expected = ALGO[quirk]
    found = parse(request(algo=change), folder)
    assert {name: fact(found, name) for name in expected} == expected


def test_installed_plugin_in_any_case(folder: Path) -> None:
    assert parse(request(algo={"algorithm": "mysearch"}), folder, plugins=["MySearch"]).algorithm.name == "MySearch"


# -- hyperParams ------------------------------------------------------------------------------------------------------

PARAMS: dict[str, tuple[dict[str, Any], Any]] = {
    "double range": ({"type": "Range", "dataType": "double", "minDbVal": 1, "maxDbVal": 2.5}, Float("p", 1.0, 2.5)),
    "type and dataType in any case": (
        {"type": "RANGE", "dataType": "DOUBLE", "minDbVal": 1, "maxDbVal": 2},
        Float("p", 1.0, 2.0),
    ),
    "int range": ({"type": "Range", "dataType": "INT", "minIntVal": 1, "maxIntVal": 9}, Int("p", 1, 9)),
    "numbers in text": ({"type": "Range", "dataType": "int", "minIntVal": "1", "maxIntVal": "9"}, Int("p", 1, 9)),
    "one value": ({"type": "Range", "dataType": "double", "minDbVal": 2, "maxDbVal": 2}, Float("p", 2, 2)),
    "step": (
        {"type": "Range", "dataType": "double", "minDbVal": 0, "maxDbVal": 1, "step": 0.3},
        Float("p", 0, 1, step=0.3),
    ),
    "step in text": (
        {"type": "Range", "dataType": "int", "minIntVal": 1, "maxIntVal": 9, "step": "3"},
        Int("p", 1, 9, step=3),
    ),
    "power, log-uniform": (
        {"type": "Range", "dataType": "double", "minDbVal": -3, "maxDbVal": 0, "power": 10},
        Float("p", -3, 0, power=10),
    ),
    "power in text, and a step": (
        {"type": "Range", "dataType": "double", "minDbVal": -3, "maxDbVal": 0, "power": "10", "step": "0.5"},
        Float("p", -3, 0, step=0.5, power=10),
    ),
    "int power": (
        {"type": "Range", "dataType": "int", "minIntVal": 6, "maxIntVal": 11, "power": "2"},
        Int("p", 6, 11, power=2),
    ),
    "discrete double": (
        {"type": "Discrete", "dataType": "double", "discreteDbVal": [0.5, 1, "2"]},
        Choice("p", (0.5, 1.0, 2.0), ordered=True),
    ),
    "discrete int": ({"type": "discrete", "dataType": "int", "discreteIntVal": [3, 1]}, Choice("p", (3, 1))),
    "discrete int, repeated": (
        {"type": "Discrete", "dataType": "int", "discreteIntVal": [1, 1, 2]},
        Choice("p", (1, 2), ordered=True),
    ),
    "discrete text, misspelled": (
        {"type": "Discrete", "dataType": "str", "discreateStrVal": ["b", "a", 1]},
        Choice("p", ("b", "a", "1")),
    ),
    "discrete text, spelled": (
        {"type": "Discrete", "dataType": "STRING", "discreteStrVal": ["a"]},
        Choice("p", ("a",)),
    ),
    "fix double": ({"type": "Fix", "dataType": "double", "fixedVal": "3"}, Constant("p", 3.0)),
    "fix int": ({"type": "fix", "dataType": "int", "fixedVal": 3}, Constant("p", 3)),
    "fix text": ({"type": "Fix", "dataType": "Str", "fixedVal": "3"}, Constant("p", "3")),
    "fix empty text": ({"type": "Fix", "dataType": "str", "fixedVal": ""}, Constant("p", "")),
}


@pytest.mark.parametrize("blanks", [{}, BLANKS], ids=["only what counts", "with zeros and empty lists"])
@pytest.mark.parametrize("quirk", PARAMS)
def test_hyper_param(quirk: str, blanks: dict[str, Any], folder: Path) -> None:
    entry, expected = PARAMS[quirk]
    found = parse(request(params=[{"name": "p", **blanks, **entry}]), folder).space.params[0]
    assert found == expected
    values = found.choices if isinstance(found, Choice) else [found.value] if isinstance(found, Constant) else []
    wanted = (
        expected.choices if isinstance(expected, Choice) else [expected.value] if isinstance(expected, Constant) else []
    )
    assert [type(v) for v in values] == [type(v) for v in wanted]


def test_range_is_inclusive_and_powers_are_whole(folder: Path) -> None:
    entry = PARAMS["int power"][0]
    space = parse(request(params=[{"name": "p", **entry}]), folder).space
    assert [p["p"] for p in space.grid()] == [64, 128, 256, 512, 1024, 2048]
    stepped = parse(request(params=[{"name": "p", **PARAMS["step"][0]}]), folder).space
    assert [round(p["p"], 9) for p in stepped.grid()] == [0, 0.3, 0.6, 0.9]


# -- experiments ------------------------------------------------------------------------------------------------------


def test_experiments_become_a_grid(folder: Path) -> None:
    runs = [
        experiment(0, lr=0.1, n=3, kind="a"),
        experiment(1, lr=0.2, n=3, kind="b"),
        experiment(2, lr=0.1, n=3, kind="7"),
    ]
    found = parse(request(algo={"algorithm": "experimentGRIDsearch"}, params=[], experiments=runs), folder)
    assert found.algorithm.name == "grid"
    assert found.experiments == (
        {"lr": 0.1, "n": 3, "kind": "a"},
        {"lr": 0.2, "n": 3, "kind": "b"},
        {"lr": 0.1, "n": 3, "kind": "7"},
    )
    assert found.space == SearchSpace((Choice("lr", (0.1, 0.2)), Constant("n", 3), Choice("kind", ("a", "b", "7"))))
    assert all(found.space.problem_with(e) is None for e in found.experiments)


BAD_EXPERIMENTS = {
    "none": ([], "experiments: is missing: ExperimentGridSearch runs the experiments listed there"),
    "no parameters": ([{"id": 0, "hyperParams": []}], "experiments[0].hyperParams: is empty"),
    "not an object": ([5], "experiments[0]: must be an object, not 5"),
    "wrong type": (
        [{"id": 0, "hyperParams": [{"name": "a", "dataType": "int", "fixedVal": "x"}]}],
        'experiments[0].hyperParams[0].fixedVal: must be a whole number, not "x"',
    ),
    "twice": (
        [{"id": 0, "hyperParams": [{"name": "a", "dataType": "int", "fixedVal": 1}] * 2}],
        'experiments[0].hyperParams[1].name: duplicate name "a"',
    ),
}


@pytest.mark.parametrize("what", BAD_EXPERIMENTS)
def test_message_of_an_experiment(what: str, folder: Path) -> None:
    runs, message = BAD_EXPERIMENTS[what]
    found = problems(request(algo={"algorithm": "ExperimentGridSearch"}, params=[], experiments=runs), folder)
    assert found[0].startswith(message)
    assert len(found) == 1 or what == "not an object"


def test_hyper_params_and_experiments_exclude_each_other(folder: Path) -> None:
    runs = [experiment(0, lr=0.1)]
    grid = {"algorithm": "ExperimentGridSearch"}
    assert problems(request(experiments=runs), folder)[0].startswith("experiments: hyperParams and experiments exclude")
    assert problems(request(algo=grid, experiments=runs), folder)[0].startswith("hyperParams: hyperParams and experim")
    assert problems(request(params=[], experiments=runs), folder)[0].startswith(
        "experiments: only ExperimentGridSearch"
    )
    assert problems(request(algo=grid), folder)[0].startswith("experiments: is missing")
    assert problems(request(params=[]), folder) == ["hyperParams: is missing: the parameters to search"]


# -- modelSpec.args ---------------------------------------------------------------------------------------------------

ARGUMENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "nothing for the script": ("", {"command": ("python", "train.py"), "env": {}, "resources": Resources(1)}),
    "the rest is the script's, in order": (
        "--lr 0.1 --debug-level debug -v --numWorker 1 in.txt",
        {"command": ("python", "train.py", "--lr", "0.1", "-v", "in.txt")},
    ),
    "after -- everything is": (
        "-a -- --python-version 3 -- -b",
        {"command": ("python", "train.py", "-a", "--python-version", "3", "--", "-b")},
    ),
    "quotes": ("""--text 'a b' "c d" """, {"command": ("python", "train.py", "--text", "a b", "c d")}),
    "with =": ("--numWorker=1 --x=1 --exec-start=TF", {"command": ("python", "train.py", "--x=1")}),
    "all that is known": (
        "--python-version 3.7 --edt-options maxWorkers=2 --appName x --debug-level info --rest-host h --numWorker 1",
        {"command": ("python", "train.py", "--numWorker", "1")},  # which scripts for elastic training read, too
    ),
    "environment": ("--msd-env A=1 --msd-env=B=x=y", {"env": {"A": "1", "B": "x=y"}}),
    "GPUs of a worker": ("--gpuPerWorker 2", {"resources": Resources(1, gpus=2)}),
    "GPUs of all workers": ("--gpuPerWorker 2 --numWorker 3", {"resources": Resources(1, gpus=6)}),
    "a GPU": ("--workerDeviceType GPU", {"resources": Resources(1, gpus=1)}),
    "no GPU": ("--workerDeviceType cpu --gpuPerWorker 2", {"resources": Resources(1, gpus=0)}),
    "GPUs not spoken of": ("--numWorker 3", {"resources": Resources(1, gpus=None)}),
    "data": ("--cs-datastore-meta type=fs,data_path=a/b", {"data_root": "/shared", "data_dir": "/shared/a/b"}),
    "data, turned round": ("--cs-datastore-meta data_path=a,type=fs", {"data_dir": "/shared/a"}),
    "data root only": ("--cs-datastore-meta type=fs", {"data_root": "/shared", "data_dir": "/shared"}),
    "devices of a worker": ("--workerDeviceNum 2", {"resources": Resources(1, gpus=2)}),
    "devices that are no GPUs": ("--workerDeviceNum 2 --workerDeviceType cpu", {"resources": Resources(1, gpus=0)}),
    "devices up to a number": ("--edt-options maxWorkers=3", {"resources": Resources(1, gpus=3)}),
    "the vocabulary of others": (
        "--workerMemory 4g --driverMemory=2g --ig /gpu --numPs 0 --msd-image-name i:1 --exclusive --master-host h "
        "--mpiarg '-x A' --accelerators 2 --ddl_opts='-mode r:4' --username ann --password secret -- --exclusive",
        {"command": ("python", "train.py", "--exclusive"), "resources": Resources(1)},
    ),
    "what looks like the launcher's": (
        "--workerThing 3 --msd-x=1 --cs-y --dlz 2 --NUMWORKER 3",
        {
            "command": (
                "python",
                "train.py",
                "--workerThing",
                "3",
                "--msd-x=1",
                "--cs-y",
                "--dlz",
                "2",
                "--NUMWORKER",
                "3",
            )
        },
    ),
    "lines broken by backslashes": (
        "\\\n  --numWorker 1 \\\r\n\\\n --lr 1 \\ --wd 2 \\\n",
        {"command": ("python", "train.py", "--lr", "1", "--wd", "2")},
    ),
    "a slash before the data": ("--cs-datastore-meta type=fs,data_path=/a/b", {"data_dir": "/shared/a/b"}),
    "unknown conda environment": ("--conda-env-name nowhere", {"interpreter": None}),
    "no traversal by a name": ("--conda-env-name ../../../bin", {"interpreter": None}),
}


@pytest.mark.parametrize("quirk", ARGUMENTS)
def test_args(quirk: str, folder: Path) -> None:
    line, expected = ARGUMENTS[quirk]
    found = parse(request(args=f"{ARGS} {line}"), folder, env={"DLI_DATA_FS": "/shared"})
    assert {name: fact(found, name) for name in expected} == expected


def test_data_root_is_the_folder_where_nothing_is_shared(folder: Path) -> None:
    found = parse(request(args=f"{ARGS} --cs-datastore-meta type=fs,data_path=d"), folder)
    assert (found.data_root, found.data_dir) == (str(folder), str(folder / "d"))


def test_uploaded_model_wins_over_model_dir(folder: Path) -> None:
    found = parse(request(args="--model-main train.py --model-dir somewhere"), folder, model_dir=str(folder / "model"))
    assert found.model_dir == str(folder / "model")


def test_conda_environment_is_used_where_it_is_found(folder: Path) -> None:
    for root in ("conda/envs/torch", "home/miniconda3/envs/tf", "conda/envs/base2"):
        python = folder / root / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text("#!/bin/sh\n")
        python.chmod(0o755)
    env = {"CONDA_PREFIX": str(folder / "conda"), "HOME": str(folder / "home")}
    inside = {"CONDA_PREFIX": str(folder / "conda/envs/base2")}
    line = f"{ARGS} --conda-env-name"
    assert parse(request(args=f"{line} torch"), folder, env=env).interpreter == f"{folder}/conda/envs/torch/bin/python"
    assert (
        parse(request(args=f"{line} torch"), folder, env=inside).interpreter == f"{folder}/conda/envs/torch/bin/python"
    )
    found = parse(request(args=f"{line} tf"), folder, env=env)
    assert found.interpreter == f"{folder}/home/miniconda3/envs/tf/bin/python"
    assert not found.notes
    missing = parse(request(args=f"{line} none"), folder, env=env)
    assert missing.notes == ('conda environment "none" was not found; the usual Python runs the script',)
    assert missing.dialect["options"]["--conda-env-name"] == "none"


# -- names ------------------------------------------------------------------------------------------------------------


def test_generated_name_has_the_dialects_form(folder: Path) -> None:
    data = request(hpoName="")
    found = parse(data, folder, user="ann", now=1.6e9, rng=random.Random(3))
    assert re.fullmatch(r"ann-hpo-\d{16}", found.name)
    assert parse(data, folder, user="ann", now=1.6e9, rng=random.Random(3)).name == found.name
    assert parse(data, folder, user="ann").name != parse(data, folder, user="ann").name
    assert parse(data, folder, user="../ö").name.startswith("user-hpo-")


# -- messages ---------------------------------------------------------------------------------------------------------

BAD: dict[str, tuple[Any, str]] = {
    "no algoDef": ({"modelSpec": {"args": ARGS}, "hyperParams": [LR]}, "algoDef: is missing: the algorithm"),
    "algoDef no object": (request() | {"algoDef": 5}, "algoDef: must be an object, not 5"),
    "no modelSpec": (request() | {"modelSpec": None}, "modelSpec: is missing: what to run"),
    "no args": (request() | {"modelSpec": {}}, "modelSpec.args: is missing: what to run, as in"),
    "slip at the top": (
        request() | {"hyperparam": []},
        'hyperparam: unknown key "hyperparam"; did you mean "hyperParams"?',
    ),
    "slip": (
        request(algo={"maxJobNums": 3}),
        'algoDef.maxJobNums: unknown key "maxJobNums"; did you mean "maxJobNum"?',
    ),
    "slip in case": (request(algo={"maxjobnum": 3}), 'algoDef.maxjobnum: unknown key "maxjobnum"; did you mean'),
    "name no text": (request(hpoName=5), "hpoName: must be text, not 5"),
    "no metric": (
        request(algo={"objectiveMetric": ""}),
        "algoDef.objectiveMetric: is missing: a key of val_dict_list.json",
    ),
    "no objective": (request(algo={"objective": None}), "algoDef.objective: is missing; use minimize or maximize"),
    "bad objective": (
        request(algo={"objective": "least"}),
        'algoDef.objective: must be minimize or maximize, not "least"',
    ),
    "no algorithm": (request(algo={"algorithm": None}), "algoDef.algorithm: is missing: one of Random, Bayesian, TPE"),
    "bad algorithm": (request(algo={"algorithm": "../x"}), 'algoDef.algorithm: "../x" is not a valid name'),
    "time 0": (request(algo={"maxRunTime": 0}), "algoDef.maxRunTime: must be above 0, or -1 for unlimited, not 0"),
    "trials -2": (request(algo={"maxJobNum": -2}), "algoDef.maxJobNum: must be above 0, or -1 for unlimited, not -2"),
    "trials 1.5": (request(algo={"maxJobNum": 1.5}), "algoDef.maxJobNum: must be a whole number, not 1.5"),
    "trials x": (request(algo={"maxJobNum": "x"}), 'algoDef.maxJobNum: must be a number, not "x"'),
    "metrics a list": (request(algo={"additionalMetrics": ["a"]}), "algoDef.additionalMetrics: must map metrics"),
    "algoParams no list": (request(algo={"algoParams": {"a": 1}}), "algoDef.algoParams: must be a list"),
    "unknown parameter": (
        request(algo={"algorithm": "tpe", **algo_params(Points="3")}),
        'algoDef.algoParams[0].name: "Points" is not a parameter of TPE; known: RandomSeed, WarmUp, EICandidate, '
        "GoodRatio, GoodMax",
    ),
    "repeated parameter": (
        request(algo=algo_params(RandomSeed=1, randomseed=2)),
        'algoDef.algoParams[1].name: "randomseed" is',
    ),
    "seed x": (
        request(algo=algo_params(RandomSeed="x")),
        "algoDef.algoParams[0].value: RandomSeed must be a whole number, not",
    ),
    "warm-up 2": (request(algo={"algorithm": "tpe", **algo_params(WarmUp="2")}), "WarmUp must be above 2, not"),
    "candidates 1": (request(algo={"algorithm": "tpe", **algo_params(EICandidate="1")}), "EICandidate must be above 1"),
    "ratio 0": (request(algo={"algorithm": "tpe", **algo_params(GoodRatio="0")}), "GoodRatio must be above 0"),
    "good 1": (request(algo={"algorithm": "tpe", **algo_params(GoodMax="1")}), "GoodMax must be above 1"),
    "noiseless maybe": (
        request(algo={"algorithm": "bayesian", **algo_params(Noiseless="1")}),
        "Noiseless must be true or false",
    ),
    "eta 1": (request(algo={**HB, **algo_params(eta=1, ResourceName="n", ResourceValue=3)}), "eta must be above 1"),
    "hyperbandEta 1": (
        request(algo={**HB, "hyperbandEta": 1, **algo_params(ResourceName="n", ResourceValue=3)}),
        "algoDef.hyperbandEta: must be above 1, not 1",
    ),
    "no resource": (
        request(algo={**HB, **algo_params(ResourceValue="9")}),
        "algoDef.algoParams: ResourceName is missing",
    ),
    "no resource value": (
        request(algo={**HB, **algo_params(ResourceName="n")}),
        "algoDef.algoParams: ResourceValue is missing",
    ),
    "resource 1.5": (
        request(algo={**HB, **algo_params(ResourceName="n", ResourceValue="1.5")}),
        "ResourceValue must be a whole",
    ),
    "no type": (request(params=[{**LR, "type": ""}]), "hyperParams[0].type: is missing; use Range, Discrete or Fix"),
    "bad type": (request(params=[{**LR, "type": "R"}]), 'hyperParams[0].type: must be Range, Discrete or Fix, not "R"'),
    "bad dataType": (request(params=[{**LR, "dataType": "x"}]), "hyperParams[0].dataType: must be int, double, str or"),
    "no name": (request(params=[LR, {**LR, "name": ""}]), "hyperParams[1].name: is missing: the parameter's name"),
    "same name": (request(params=[LR, LR]), 'hyperParams[1].name: duplicate name "lr"; hyperParams[0] has it too'),
    "same name, otherwise encoded": (
        request(params=[{**LR, "name": "\u00e9"}, {**LR, "name": "e\u0301"}]),
        "hyperParams[1].name: duplicate name (the same text in another Unicode form)",
    ),
    "long name": (request(params=[{**LR, "name": "n" * 10_000}]), "hyperParams[0].name: the name has 10000 characters"),
    "range of text": (
        request(params=[{**LR, "dataType": "str"}]),
        "hyperParams[0].dataType: a Range has dataType int or",
    ),
    "no end": (
        request(params=[{**LR, "maxDbVal": None}]),
        "hyperParams[0].maxDbVal: is missing: a Range of dataType double",
    ),
    "end no number": (request(params=[{**LR, "maxDbVal": "x"}]), 'hyperParams[0].maxDbVal: must be a number, not "x"'),
    "ends crossed": (request(params=[{**LR, "minDbVal": 2}]), "hyperParams[0].minDbVal: low 2.0 is above high 1.0"),
    "int end 1.5": (
        request(params=[{"name": "n", "type": "Range", "dataType": "int", "minIntVal": 1.5, "maxIntVal": 3}]),
        "hyperParams[0].minIntVal: must be a whole number, not 1.5",
    ),
    "int step 1.5": (
        request(
            params=[{"name": "n", "type": "Range", "dataType": "int", "minIntVal": 1, "maxIntVal": 3, "step": "1.5"}]
        ),
        "hyperParams[0].step: must be a whole number, not 1.5",
    ),
    "step below 0": (request(params=[{**LR, "step": -1}]), "hyperParams[0].step: must be above 0, not -1"),
    "power too high": (
        request(params=[{**LR, "maxDbVal": 400, "power": "10"}]),
        "hyperParams[0].power: 10.0 ** 400.0 is too",
    ),
    "no values": (
        request(params=[{"name": "n", "type": "Discrete", "dataType": "str", "discreateStrVal": []}]),
        "hyperParams[0].discreateStrVal: is empty: a Discrete of dataType str needs its values there",
    ),
    "values of another type": (
        request(params=[{"name": "n", "type": "Discrete", "dataType": "int", "discreteIntVal": [1, 1.5]}]),
        "hyperParams[0].discreteIntVal: 1.5 is not a whole number",
    ),
    "values no list": (
        request(params=[{"name": "n", "type": "Discrete", "dataType": "int", "discreteIntVal": 3}]),
        "hyperParams[0].discreteIntVal: must be a list, not 3",
    ),
    "fix without value": (
        request(params=[{"name": "n", "type": "Fix", "dataType": "int"}]),
        "hyperParams[0].fixedVal: is mi",
    ),
    "parameter no object": (request(params=[5]), "hyperParams[0]: must be an object, not 5"),
    "hyperParams no list": (request() | {"hyperParams": {"lr": 1}}, "hyperParams: must be a list"),
    "open quote": (request(args=f"{ARGS} 'x"), "modelSpec.args: cannot be split into words: a quote is not closed"),
    "no value": (request(args="--model-dir model --model-main"), "modelSpec.args: --model-main needs a value"),
    "option for value": (request(args=f"{ARGS} --appName --debug-level x"), "modelSpec.args: --appName needs a value"),
    "no main": (request(args="--model-dir model x.py"), "modelSpec.args: --model-main is missing: the script"),
    "main not there": (
        request(args="--model-dir model --model-main t.py"),
        'modelSpec.args: --model-main: there is no "t.py"',
    ),
    "main outside": (
        request(args="--model-dir model --model-main ../x.py"),
        'modelSpec.args: --model-main "../x.py" is outs',
    ),
    "main absolute": (
        request(args="--model-dir model --model-main /bin/sh"),
        'modelSpec.args: --model-main "/bin/sh" is out',
    ),
    "no model dir": (
        request(args="--model-main train.py --model-dir x"),
        "modelSpec.args: --model-dir: there is no folder",
    ),
    "data outside": (
        request(args=f"{ARGS} --cs-datastore-meta type=fs,data_path=../x"),
        'modelSpec.args: data_path "../x" is',
    ),
    "GPUs x": (
        request(args=f"{ARGS} --gpuPerWorker x"),
        "modelSpec.args: --gpuPerWorker must be a whole number from 0 up",
    ),
    "workers x": (
        request(args=f"{ARGS} --numWorker x"),
        "modelSpec.args: --numWorker must be a whole number from 0 up",
    ),
    "environment": (request(args=f"{ARGS} --msd-env A"), "modelSpec.args: --msd-env must be NAME=VALUE, not"),
    "args no text": (request(args=5), "modelSpec.args: must be text, not 5"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("what", BAD)
def test_message(what: str, folder: Path) -> None:
    data, message = BAD[what]
    found = problems(data, folder)
    assert len(found) == 1, found
    assert message in found[0]


def test_request_that_is_no_object() -> None:
    with pytest.raises(SpecError, match="must be an object with modelSpec, algoDef and hyperParams, not"):
        wmla.parse_request(read_document("[algoDef]", "r"), base_dir="/")


def test_unknown_algorithm_can_only_be_a_plugin(folder: Path) -> None:
    names = ["Mine", "auto", "bayesian", "grid", "hyperband", "random", "tpe"]
    assert problems(request(algo={"algorithm": "Nope"}), folder, plugins=names) == [
        'algoDef.algorithm: unknown algorithm "Nope": no search plugin of that name is installed; '
        "known: Random, Bayesian, TPE, Hyperband, ExperimentGridSearch, Mine, auto"
    ]
    assert problems(request(algo={"algorithm": "Rndom"}), folder, plugins=names) == [
        'algoDef.algorithm: unknown algorithm "Rndom"; did you mean "Random"?'
    ]


def test_problems_come_with_their_lines_all_at_once(folder: Path) -> None:
    text = json.dumps(request(algo={"maxJobNum": 0}, params=[LR, {**LR, "name": "b", "minDbVal": 9}]), indent=1)
    lines = text.split("\n")
    with pytest.raises(SpecError) as error:
        wmla.parse_request(read_document(text, "r.json"), base_dir=str(folder), env={})
    places = [lines[p.line - 1].strip() for p in error.value.problems if p.line]
    assert places == ['"maxJobNum": 0', '"minDbVal": 9,']


# -- anything ---------------------------------------------------------------------------------------------------------

ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, 0, -1, 1.5, "", "x", "1e999", True, [], {}, [[]], {"name": 1}, "9" * 400, 10**60, "../x", "-3"]
)
FULL = json.loads((DATA / "mnist.json").read_text())


def _places(node: Any, path: tuple[Any, ...] = ()) -> Any:
    yield path
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, inner in items:
        yield from _places(inner, (*path, key))


@given(st.lists(st.tuples(st.sampled_from([p for p in _places(FULL) if p]), ODD), min_size=1, max_size=3))
@settings(max_examples=some(120))
def test_mutated_request_is_a_study_or_refused(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    data = json.loads(json.dumps(FULL))
    for path, value in changes:
        node = data
        for key in path[:-1]:
            node = node[key] if isinstance(node, (dict, list)) and _has(node, key) else {}
        if isinstance(node, (dict, list)) and _has(node, path[-1]):
            node[path[-1]] = value
    begin = time.process_time()
    try:
        found = wmla.parse_request(read_document(json.dumps(data), "r.json"), base_dir=str(DATA), model_dir="/", env={})
        assert StudySpec.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))) == found
    except SpecError as error:
        assert error.problems
        assert all("\n" not in str(p) for p in error.problems)
    assert time.process_time() - begin < 60


def _has(node: Any, key: Any) -> bool:
    return key in node if isinstance(node, dict) else isinstance(key, int) and key < len(node)


@pytest.mark.by_default("[3]")
@pytest.mark.parametrize(
    "data",
    [
        request(params=[{f"nam{i}": "b", "type": "Fix", "dataTyp": "x"} for i in range(9_000)]),
        request(params=[LR] * 5_000),
        request(algo={"algoParams": [{"name": f"x{i}", "value": 1} for i in range(20_000)]}),
        request() | {f"hpoNam{i}": 1 for i in range(40_000)},
    ],
    ids=range(4),
)
def test_hostile_request_costs_little(data: Any, folder: Path) -> None:
    begin = time.process_time()
    problems(data, folder)
    assert time.process_time() - begin < 60  # what grows out of hand takes minutes


# -- answers ----------------------------------------------------------------------------------------------------------

STUDY = StudySpec(
    name="h",
    space=SearchSpace((Float("lr", 0, 1), Int("n", 1, 9), Choice("kind", ("a", "b")), Constant("on", True))),
    objectives=(Objective("acc", "maximize"),),
    command=("python", "train.py"),
    model_dir="/",
    budget=Budget(6),
    extra_metrics={"loss": "minimize"},
    dialect={"creator": "ann"},
    seed=1,
)
AT = 1_600_000_000.0
GOOD = {"lr": 0.5, "n": 3, "kind": "a", "on": True}


def history(*events: Event, study: StudySpec = STUDY) -> History:
    return fold([StudyOpened(AT, study.to_json()), EngineStarted(AT + 1, 1, "host"), *events])


def run(trial: int, at: float, *rows: Row, resource: int | None = None) -> list[Event]:
    """A trial that was proposed, started, and has reported."""
    return [
        TrialProposed(at, trial, GOOD, resource),
        AttemptIntended(at, trial, 1, f"n{trial}"),
        AttemptStarted(at, trial, 1, 99),
        MetricsSeen(at + 1, trial, rows),
    ]


def test_task_without_trials() -> None:
    opened = fold([StudyOpened(AT, STUDY.to_json())])
    answer = wmla.task_object(opened, now=AT + 100)
    assert answer == {
        "hpoName": "h",
        "state": "SUBMITTED",
        "progress": "0/6",
        "running": 0,
        "complete": 0,
        "failed": 0,
        "duration": "00:00:00",
        "creator": "ann",
        "createtime": "2020-09-13 12:26:40",
        "experiments": [],
    }
    assert wmla.task_object(history(), now=AT + 3662)["state"] == "RUNNING"
    assert wmla.task_object(history(), now=AT + 3662)["duration"] == "01:01:01"
    assert wmla.task_object(history(), now=AT, state="RECOVERPEND")["state"] == "RECOVERPEND"


def test_trial_that_ended_well() -> None:
    rows = (Row(1, {"loss": 2.0, "acc": 0.25}), Row(2, {"acc": 0.75, "other": 7.0}), Row(3, {"loss": 1.0, "acc": 0.5}))
    seen = history(*run(0, AT + 10, *rows, resource=9), TrialEnded(AT + 75, 0, "completed", 0.75))
    answer = wmla.task_object(seen, now=AT + 100)
    assert answer["best"] == answer["experiments"][0] == {
        "id": 0,
        "appId": "ann-1600000000000000-0",
        "state": "FINISHED",
        "hyperParams": [
            {"name": "lr", "dataType": "double", "fixedVal": "0.5", "userDefined": False},
            {"name": "n", "dataType": "int", "fixedVal": "3", "userDefined": False},
            {"name": "kind", "dataType": "str", "fixedVal": "a", "userDefined": False},
            {"name": "on", "dataType": "str", "fixedVal": "true", "userDefined": False},
        ],
        "metricVal": 0.75,
        "metrics": [
            {"name": "acc", "min": 0.25, "max": 0.75, "latest": 0.5},
            {"name": "loss", "min": 1.0, "max": 2.0, "latest": 1.0},
            {"name": "other", "min": 7.0, "max": 7.0, "latest": 7.0},
        ],
        "maxiteration": 9,
        "startTime": "2020-09-13 12:26:50",
        "endTime": "2020-09-13 12:27:55",
        "duration": "00:01:05",
    }  # fmt: skip


def test_states_and_counts_of_trials() -> None:
    exit_ = {"code": 1}
    seen = history(
        *run(0, AT, Row(1, {"acc": 0.5})), TrialEnded(AT + 5, 0, "completed", 0.5),
        *run(1, AT, Row(1, {"acc": 0.9})), TrialEnded(AT + 5, 1, "failed", reason="exit code 1", exit=exit_),
        *run(2, AT), TrialEnded(AT + 5, 2, "timed_out"),
        *run(3, AT), TrialEnded(AT + 5, 3, "stopped"),
        *run(4, AT), TrialEnded(AT + 5, 4, "lost"),
        *run(5, AT, Row(1, {"acc": 0.3}), Row(2, {"acc": 0.4}), Row(3, {"acc": 0.1})),
        *run(6, AT), AttemptEnded(AT + 5, 6, 1, exit_, "retry"),
        TrialProposed(AT, 7, GOOD),
    )  # fmt: skip
    answer = wmla.task_object(seen, now=AT + 60)
    assert [e["state"] for e in answer["experiments"]] == [
        "FINISHED", "FAILED", "KILLED", "STOPPED", "ERROR", "RUNNING", "WAITING", "SUBMITTED",
    ]  # fmt: skip
    assert (answer["running"], answer["complete"], answer["failed"], answer["progress"]) == (1, 5, 3, "5/6")
    assert [e["metricVal"] for e in answer["experiments"]] == [0.5, None, None, None, None, 0.4, None, None]
    assert answer["experiments"][5]["duration"] == "00:01:00"
    assert (answer["experiments"][7]["startTime"], answer["experiments"][7]["duration"]) == (None, "00:00:00")
    assert answer["best"]["id"] == 0


@pytest.mark.parametrize("state", ["finished", "failed", "stopped"])
def test_states_of_a_closed_task(state: str) -> None:
    seen = history(StopAsked(AT + 2), StudyClosed(AT + 3, state))
    answer = wmla.task_object(seen, now=AT + 1000)
    assert (answer["state"], answer["duration"]) == (state.upper(), "00:00:02")
    assert "best" not in answer


def test_progress_of_unlimited_and_fixed_tasks() -> None:
    unlimited = replace(STUDY, budget=Budget())
    assert wmla.task_object(history(study=unlimited), now=AT)["progress"] == "0/-"
    runs = ({**GOOD, "n": 1}, {**GOOD, "n": 2})
    assert wmla.task_object(history(study=replace(unlimited, experiments=runs)), now=AT)["progress"] == "0/2"
    assert wmla.task_object(history(study=replace(STUDY, experiments=runs)), now=AT)["progress"] == "0/2"


def test_the_resource_stands_among_the_parameters_as_text() -> None:
    study = replace(STUDY, algorithm=Named("hyperband"), resource=Resource("epochs", 9))
    answer = wmla.task_object(history(*run(0, AT, resource=3), study=study), now=AT)["experiments"][0]
    assert answer["maxiteration"] == 3
    assert answer["hyperParams"][-1] == {"name": "epochs", "dataType": "str", "fixedVal": "3", "userDefined": False}


def test_second_generation_gets_the_request_with_types_in_lower_case(folder: Path) -> None:
    params = [{**BLANKS, **LR, "type": "RANGE", "dataType": "DOUBLE"}]
    study = parse(request(algo={"algorithm": "Tpe", **algo_params(WarmUp="5")}, params=params), folder)
    seen = history(study=study)
    assert not {"algoDef", "hyperParams"} & set(wmla.task_object(seen, now=AT))
    answer = wmla.task_object(seen, now=AT, generation=wmla.Generation.CPD)
    assert answer["algoDef"]["algorithm"] == "Tpe" and answer["algoDef"]["algoParams"] == [
        {"name": "WarmUp", "value": "5"}
    ]
    assert answer["hyperParams"] == [{**BLANKS, **LR, "type": "range", "dataType": "double"}]


def test_answers_are_strict_json() -> None:
    nan, inf = float("nan"), float("inf")
    odd = replace(STUDY, space=SearchSpace((Choice("x", (None, [1, "é"], {"a": 1.5})),)))
    rows = (Row(1, {"acc": nan, "loss": inf}), Row(2, {"acc": 0.5, "loss": 1.0}), Row(3, {"acc": -inf, "loss": nan}))
    events = run(0, AT, *rows)
    events[0] = TrialProposed(AT, 0, {"x": [1, "é"]})
    answer = wmla.task_object(history(*events, study=odd), now=AT + 2)
    json.dumps(answer, allow_nan=False)
    trial = answer["experiments"][0]
    assert trial["metricVal"] == 0.5
    assert trial["metrics"][0] == {"name": "acc", "min": 0.5, "max": 0.5, "latest": None}
    assert trial["hyperParams"] == [{"name": "x", "dataType": "str", "fixedVal": '[1, "é"]', "userDefined": False}]


def test_what_plugins_get() -> None:
    seen = history(
        *run(0, AT, Row(1, {"acc": 0.5})), TrialEnded(AT + 5, 0, "completed", 0.5),
        *run(1, AT), TrialEnded(AT + 5, 1, "failed"),
    )  # fmt: skip
    good, bad = (wmla.plugin_result(seen, trial) for trial in seen.trials)
    assert (good["id"], good["state"], good["score"], good["params"]) == (0, "FINISHED", 0.5, GOOD)
    assert (bad["state"], bad["metricVal"], bad["score"]) == ("FAILED", None, None)


@pytest.mark.parametrize("quirk", [q for q, (_, param) in PARAMS.items() if not isinstance(param, Constant)])
def test_search_params_are_the_request_again(quirk: str, folder: Path) -> None:
    space = SearchSpace((PARAMS[quirk][1],))
    entries = wmla.search_params(space)
    assert set(entries[0]) == {"name", "type", "dataType", *BLANKS}
    assert parse(request(params=entries), folder).space == space


def test_search_params_leave_constants_out() -> None:
    assert [p["name"] for p in wmla.search_params(STUDY.space)] == ["lr", "n", "kind"]


# -- trials that are carried on -----------------------------------------------------------------------------------------

RATIONED = replace(STUDY, resource=Resource("epochs", 9))


def carried_on(*events: Event) -> dict[str, Any]:
    """The task whose trial 0 had 0.5 with 3 epochs, and 1 had 0.4, when 0 was carried on to 9."""
    before = [
        *run(0, AT, Row(1, {"acc": 0.5}), resource=3), TrialEnded(AT + 5, 0, "completed", 0.5, exit={"code": 0}),
        *run(1, AT, Row(1, {"acc": 0.4}), resource=3), TrialEnded(AT + 5, 1, "completed", 0.4, exit={"code": 0}),
        TrialCarriedOn(AT + 6, 0, GOOD, 9),
    ]  # fmt: skip
    return wmla.task_object(history(*before, *events, study=RATIONED), now=AT + 60)


BEGUN = (AttemptIntended(AT + 6, 0, 2, "again"), AttemptStarted(AT + 7, 0, 2, 99))
MORE = MetricsSeen(AT + 8, 0, (Row(2, {"acc": 0.7}), Row(3, {"acc": 0.6})))


@pytest.mark.parametrize(
    ("events", "state", "value", "most", "best", "counts"),
    [
        ((), "WAITING", 0.5, 9, (0, 0.5, 3), ("1/6", 0, 0)),
        (BEGUN, "RUNNING", 0.5, 9, (0, 0.5, 3), ("1/6", 1, 0)),
        ((*BEGUN, MORE), "RUNNING", 0.7, 9, (0, 0.5, 3), ("1/6", 1, 0)),
        ((*BEGUN, MORE, TrialEnded(AT + 9, 0, "completed", 0.7)), "FINISHED", 0.7, 9, (0, 0.7, 9), ("2/6", 0, 0)),
        ((*BEGUN, MORE, TrialEnded(AT + 9, 0, "failed")), "FAILED", 0.5, 3, (0, 0.5, 3), ("2/6", 0, 1)),
        ((*BEGUN, MORE, TrialEnded(AT + 9, 0, "pruned")), "STOPPED", 0.5, 3, (0, 0.5, 3), ("2/6", 0, 0)),
    ],
    ids=["waits", "runs", "has reported", "completed", "failed", "pruned"],
)  # fmt: skip
def test_trial_that_is_carried_on_runs_again_and_keeps_its_value(
    events: tuple[Event, ...], state: str, value: float, most: int, best: tuple[Any, ...], counts: tuple[Any, ...]
) -> None:
    answer = carried_on(*events)
    one = answer["experiments"][0]
    assert (one["state"], one["metricVal"], one["maxiteration"]) == (state, value, most)
    assert one["hyperParams"][-1]["name"] == "epochs" and one["hyperParams"][-1]["fixedVal"] == str(most)
    top = answer["best"]
    assert (top["id"], top["metricVal"], top["maxiteration"]) == best and top["state"] == state
    assert top["hyperParams"][-1]["fixedVal"] == str(best[2])
    assert (answer["progress"], answer["running"], answer["failed"]) == counts
    if MORE in events:
        assert one["metrics"] == [{"name": "acc", "min": 0.5, "max": 0.7, "latest": 0.6}]
