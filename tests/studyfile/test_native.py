"""The native study file: every field, every message with path and line, round trip, JSON Schema, hostile input."""

from __future__ import annotations

import functools
import math
import os
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hpo_engine.errors import SpecError
from hpo_engine.space.searchspace import Choice, Constant, Float, Int, SearchSpace
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import (
    ALIKE,
    DIVERGED,
    GUARDS,
    MISNAMED,
    RANK,
    Budget,
    Checkpoints,
    Named,
    Resource,
    Resources,
    StudySpec,
    TrialPolicy,
)
from hpo_engine.studyfile import native as spec
from hpo_engine.studyfile.common import default_name, study_name, study_name_problem
from hpo_engine.studyfile.document import dump, read_document
from tests.support.examples import some
from tests.support.native import folder, parse, problems, small

__all__ = ["folder"]

GOOD = """\
name: digits                      # optional
command: python train.py --epochs 5
objective: {metric: loss, goal: minimize}
algorithm: tpe
options: {seed: 1, n_startup: 5}
trials: 30                        # total, not additional
parallel: 2
time_limit: 10m
trial: {cpus: 1, gpus: 0, time_limit: 2m, retries: 1, grace: 30s, log_limit: 1GB}
space:
  learning_rate: {float: [1e-4, 1e-1], log: true}
  hidden:        {int: [16, 256], log: true}
  width:         {power: 2, int: [5, 9]}          # 32 ... 512
  dropout:       {float: [0, 0.5], step: 0.05}
  optimizer:     {choice: [adam, sgd]}
  layers:        {choice: [1, 2, 4], ordered: true}
  momentum:      {float: [0.5, 0.99], when: {optimizer: sgd}}
  scale:         {power: 10, float: [-3, 0]}
  epochs:        5                                # a constant
  shape:         {constant: [8, 8]}
  nothing:       {constant: null}
env: {A: text, B: 1e-4, C: true, D: 7}
data_dir: data
interpreter: bin/python
metrics: {accuracy: max, time: latest}
"""


@pytest.mark.parametrize(
    ("fields", "starts", "earlier"),
    [
        ("", "auto", ()),
        ("trial: {preload: off}", "off", ()),
        ("trial: {preload: false}", "off", ()),
        ("trial: {preload: [torch]}", ("torch",), ()),
        ("trial: {preload: [torch, sklearn.svm]}", ("torch", "sklearn.svm"), ()),
        ("warm_start: [a]\ntrial: {preload: off}", "off", ("a",)),
        ("warm_start: [auto, off]", "auto", ("auto", "off")),  # names of studies
    ],
)
def test_preload_of_trials_and_warm_start_of_the_search(
    fields: str, starts: str | tuple[str, ...], earlier: tuple[str, ...], folder: Path
) -> None:
    study = parse(small(fields), folder)
    assert study.trial.preload == starts and study.warm_start == earlier
    assert parse(dump(spec.to_native(study)), folder).trial == study.trial


# -- what a good file comes to ----------------------------------------------------------------------------------------


def test_every_field(folder: Path) -> None:
    assert parse(GOOD, folder) == StudySpec(
        name="digits",
        space=SearchSpace(
            (
                Float("learning_rate", 1e-4, 1e-1, log=True),
                Int("hidden", 16, 256, log=True),
                Int("width", 5, 9, power=2),
                Float("dropout", 0, 0.5, step=0.05),
                Choice("optimizer", ("adam", "sgd")),
                Choice("layers", (1, 2, 4), ordered=True),
                Float("momentum", 0.5, 0.99, when={"optimizer": "sgd"}),
                Float("scale", -3, 0, power=10),
                Constant("epochs", 5),
                Constant("shape", [8, 8]),
                Constant("nothing", None),
            )
        ),
        objectives=(Objective("loss", "minimize", "best"),),
        command=("python", "train.py", "--epochs", "5"),
        model_dir=str(folder),
        algorithm=Named("tpe", {"n_startup": 5}),
        metric_sources=(Named("auto"),),
        budget=Budget(30, 600),
        resources=Resources(2, 1, 0),
        trial=TrialPolicy(120, 1, 30, 1024),
        env={"A": "text", "B": "0.0001", "C": "true", "D": "7"},
        data_dir=str(folder / "data"),
        interpreter=str(folder / "bin" / "python"),
        extra_metrics={"accuracy": "maximize", "time": "latest"},
        seed=1,
    )


def test_defaults(folder: Path) -> None:
    found = parse(small(), folder)
    assert (found.algorithm.name, found.budget, found.seed) == ("auto", Budget(20, None), None)
    assert (found.resources, found.trial) == (Resources(1, None, None), TrialPolicy())
    assert (found.model_dir, found.env, found.dialect) == (str(folder), {}, {})


def test_json_file_is_the_same(folder: Path) -> None:
    import json

    assert parse(json.dumps(read_document(GOOD, "x").data), folder) == parse(GOOD, folder)


def test_load_is_relative_to_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "mine.yaml").write_text(small("model_dir: ..\n"))
    monkeypatch.chdir(folder / "data")
    found, text = spec.load("../sub/mine.yaml")
    assert (found.model_dir, found.name, text) == (str(folder), "mine", small("model_dir: ..\n"))


@pytest.mark.parametrize(
    ("fields", "budget"),
    [
        ("trials: null", Budget(None)),
        ("trials: unlimited", Budget(None)),
        ("trials: 1e3", Budget(1000)),
        ("algorithm: grid", Budget(None)),
        ("algorithm: grid\ntrials: 5", Budget(5)),
        ("time_limit: 90", Budget(20, 90)),
        ("time_limit: 1h30m", Budget(20, 5400)),
        ("time_limit: 2d", Budget(20, 172800)),
        ("time_limit: 1.5 h", Budget(20, 5400)),
        ("time_limit: 1 hour 30 min", Budget(20, 5400)),
        ("time_limit: null", Budget(20, None)),
    ],
)
def test_budget(fields: str, budget: Budget, folder: Path) -> None:
    assert parse(small(fields), folder).budget == budget


@pytest.mark.parametrize(
    ("text", "objective"),
    [
        ("minimize loss", Objective("loss")),
        ("max val acc", Objective("val acc", "maximize")),
        ("{metric: a, goal: MAXIMIZE}", Objective("a", "maximize")),
        ("{metric: a, goal: minimise, over: last}", Objective("a", "minimize", "last")),
        ("{metric: a}", Objective("a")),
    ],
)
def test_objective(text: str, objective: Objective, folder: Path) -> None:
    assert parse(small().replace("minimize loss", text), folder).objectives == (objective,)


SEVERAL = (Objective("loss", "minimize", "last"), Objective("acc", "maximize", "last"))


@pytest.mark.parametrize(
    ("text", "objectives"),
    [
        ("[minimize loss, max acc]", SEVERAL),
        ("[{metric: loss}, {metric: acc, goal: maximize, over: last}]", SEVERAL),
        ("[{metric: loss, over: best}, max acc]", (Objective("loss"), SEVERAL[1])),
        ("[min loss, max acc, min size]", (*SEVERAL, Objective("size", over="last"))),
    ],
)
def test_objectives(text: str, objectives: tuple[Objective, ...], folder: Path) -> None:
    study = parse(small().replace("objective: minimize loss", f"objectives: {text}"), folder)
    assert study.objectives == objectives


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("rank", (Named(RANK),)),
        ("{rule: rank}", (Named(RANK),)),
        ("{rule: rank, keep: 0.5}", (Named(RANK),)),
        ("{keep: 0.25, min_rivals: 3, from_step: 2}", (Named(RANK, {"keep": 0.25, "min_rivals": 3, "from_step": 2}),)),
        ("null", ()),
    ],
)
def test_early_stopping(text: str, rule: tuple[Named, ...], folder: Path) -> None:
    assert parse(small(f"early_stopping: {text}"), folder).stop == (*GUARDS, *rule)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("median", 'early_stopping: must be rank, off or {rule: rank, ...}, not "median"'),
        ("{keep: 1}", "early_stopping.keep: must be a number above 0 up to 0.9, not 1"),
        ("{keep: 0}", "early_stopping.keep: must be a number above 0 up to 0.9, not 0"),
        ("{min_rivals: 0}", "early_stopping.min_rivals: must be a whole number from 1 on, not 0"),
        ("{from_step: 0}", "early_stopping.from_step: must be a number above 0, not 0"),
        ("{kep: 0.5}", 'early_stopping.kep: is not an option of rank; did you mean "keep"?'),
        ("5", "early_stopping: must be rank, off or {rule: rank, ...}, not 5"),
    ],
)
def test_wrong_early_stopping_is_told(text: str, told: str, folder: Path) -> None:
    with pytest.raises(SpecError) as caught:
        parse(small(f"early_stopping: {text}"), folder)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("objectives: minimize loss", "2: objectives: must be a list, as in [minimize loss, minimize size], not"),
        ("objectives: []", "2: objectives: must be two or more; for a single one write objective"),
        (f"objectives: [{', '.join(f'min m{i}' for i in range(11))}]", "2: objectives: must be at most 10, not 11"),
        ("objectives: [minimize loss]", "2: objectives: must be two or more; for a single one write objective"),
        ("objectives: [minimize loss, loss]", "2: objectives[1]: must be {metric: ..., goal: ...} or text such as"),
        ("objectives: [min loss, {metric: a, gaol: min}]", '2: objectives[1].gaol: unknown key "gaol"'),
        ("objectives: [min loss, max loss]", '2: objectives[1]: "loss" is already listed'),
        ("objectives: [{metric: a, over: best}, {metric: b, over: best}]", "2: objectives[1].over: a trial counts by"),
        (
            "objectives: [min a, min b]\nobjective: min c",
            "2: objectives: cannot be combined with objective; list all of them here",
        ),
        ("objective: [min a, min b]", '2: objective: is one metric; for several write objectives: ["min a"'),
        ("", "objective: is missing: The metric to optimise"),
        ("objective: null", "objective: is missing: The metric to optimise"),
        ("objectives: null", "objective: is missing: The metric to optimise"),
    ],
)
def test_wrong_objectives_are_told(field: str, told: str, folder: Path) -> None:
    with pytest.raises(SpecError) as caught:
        parse(small().replace("objective: minimize loss", field), folder)
    assert told in str(caught.value)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("python -u train.py 'a b' --x=\"1 2\" $HOME;", ("python", "-u", "train.py", "a b", "--x=1 2", "$HOME;")),
        ("[python, train.py, --n, 5, 1.5, true, a b]", ("python", "train.py", "--n", "5", "1.5", "true", "a b")),
        ("[python, -m, some.module]", ("python", "-m", "some.module")),
        ("{[cat, '']}".strip("{}"), ("cat", "")),
    ],
)
def test_command(command: str, words: tuple[str, ...], folder: Path) -> None:
    assert parse(small(command=command), folder).command == words


@pytest.mark.parametrize(("text", "gpus"), [("null", None), ("0", 0), ("0.5", 0.5), ("1", 1), ("2.0", 2)])
def test_gpus(text: str, gpus: float | None, folder: Path) -> None:
    assert parse(small(f"trial: {{gpus: {text}}}"), folder).resources.gpus == gpus


def test_algorithm_by_file_becomes_absolute(folder: Path) -> None:
    (folder / "mine.py").write_text("")
    assert parse(small("algorithm: mine.py:Search"), folder).algorithm.name == f"{folder}/mine.py:Search"
    assert parse(small("algorithm: a.b:Search"), folder, algorithms=["random"]).algorithm.name == "a.b:Search"
    assert parse(small("algorithm: TPE"), folder, algorithms=["random", "tpe"]).algorithm.name == "tpe"


def test_experiments_need_no_space(folder: Path) -> None:
    text = small("experiments: [{a: 1, b: x}, {a: 2, b: x}]").replace("space: {lr: {float: [0, 1]}}\n", "")
    found = parse(text, folder)
    assert (found.algorithm.name, found.budget.trials) == ("grid", None)
    assert found.experiments == ({"a": 1, "b": "x"}, {"a": 2, "b": "x"})
    assert found.space == SearchSpace((Choice("a", (1, 2)), Constant("b", "x")))
    assert all(found.space.problem_with(e) is None for e in found.experiments)


# -- messages ---------------------------------------------------------------------------------------------------------

BAD_FIELDS = {
    "trails: 30": 'trails: unknown key "trails"; did you mean "trials"?',
    "seed: 3": 'seed: unknown key "seed"; write options: {seed: ...}',
    "n_trials: 3": 'n_trials: unknown key "n_trials"; write trials',
    "xyzzy: 3": 'xyzzy: unknown key "xyzzy"; known: algorithm, base_config, checkpoints, command,',
    'trials: "30"': 'trials: must be a whole number, not the text "30"; remove the quotes',
    "trials: 1.5": "trials: must be a whole number, not 1.5",
    "trials: 0": "trials: must be at least 1, not 0",
    "trials: -1": 'trials: must be at least 1, not -1 ("unlimited" for no limit)',
    "trials: true": "trials: must be a whole number, not true",
    "trials: .nan": "trials: must be a whole number, not NaN",
    "parallel: null": "parallel: must be a whole number, not null",
    "parallel: 0": "parallel: must be at least 1, not 0",
    "time_limit: 1:30": 'time_limit: must be seconds, or text such as "90s", "10m", "1h30m", "2d"; not "1:30"',
    "time_limit: 10": "",
    'time_limit: "10"': "",
    'time_limit: "1e3"': 'time_limit: must be seconds, or text such as "90s"',
    "time_limit: 10 parsecs": "time_limit: must be seconds, or text",
    "time_limit: -1": "time_limit: must be at least 0, not -1",
    "time_limit: 0": "time_limit: must be above 0; leave it out for no limit",
    "time_limit: no": 'time_limit: must be seconds, or text such as "90s", "10m", "1h30m", "2d"; not "no"',
    "time_limit: 2020-01-01": "time_limit: must be seconds",
    "trial: 5": "trial: must be a mapping, not 5",
    "trial: {gpu: 1}": 'trial.gpu: unknown key "gpu"; did you mean "gpus"?',
    "trial: {gpus: 1.5}": "trial.gpus: must be 0, a whole number, or a fraction below 1 (trials that share one)",
    "trial: {gpus: -1}": "trial.gpus: must be 0",
    "trial: {cpus: 0}": "trial.cpus: must be at least 1, not 0",
    "trial: {retries: -1}": "trial.retries: must be at least 0, not -1",
    "trial: {log_limit: 16}": 'trial.log_limit: must be a size such as "16MB", "500kB" or "1GB", not 16',
    "trial: {log_limit: 0MB}": "trial.log_limit: must be above 0",
    "trial: {preload: on the fly}": 'trial.preload: must be auto, off, or a list of modules such as [torch, lightning], not "on the fly"',
    "trial.warm_start: true": 'unknown key "trial.warm_start"; under trial, write preload: auto, off or a list of modules',
    "trial.retrys: 3": 'unknown key "trial.retrys"; under trial, did you mean "retries"?',
    "trial.retries: 3": 'unknown key "trial.retries"; write trial: {retries: ...}',
    "options.seed: 3": 'unknown key "options.seed"; write options: {seed: ...}',
    "early_stopping.keep: 0.3": 'unknown key "early_stopping.keep"; write early_stopping: {keep: ...}',
    "warm_up: 3": 'unknown key "warm_up"; write options: {n_startup: ...}, or early_stopping: ',
    "trial: {preload: torch}": 'trial.preload: must be auto, off, or a list of modules such as [torch, lightning], not "torch"',
    "trial: {preload: [torch, 3]}": "trial.preload: must be auto, off, or a list of modules such as [torch, lightning], not 3",
    "name: ../x": 'name: "../x" cannot name a study',
    "name: .x": 'name: ".x" cannot name a study',
    "name: 5": "name: must be text, not 5",
    'name: "a\\u202eb"': 'name: "a\\u202eb" cannot name a study',
    "algorithm: a/b": 'algorithm: "a/b" is not a valid name',
    "algorithm: x.py:Search": 'algorithm: there is no file "',
    'algorithm: "a:"': 'algorithm: "a:" is neither module:Class nor path/file.py:Class',
    "options: 5": "options: must be a mapping, not 5",
    "options: {seed: -1}": "options.seed: must be at least 0, not -1",
    "options: {seed: x}": 'options.seed: must be a whole number, not "x"',
    "options: {a: .inf}": "options: inf is not a finite number",
    "env: {A: null}": 'env.A: is empty; use "" for an empty text',
    "env: {A: [1]}": "env.A: must be text, not [1]",
    'env: {"A=B": 1}': 'env.A=B: "A=B" cannot name an environment variable',
    "env: [1]": "env: must be a mapping, not [1]",
    "metrics: {a: middle}": 'metrics.a: must be minimize, maximize or latest, not "middle"',
    "data_dir: nowhere": "data_dir: there is no folder ",
    "data_dir: train.py": "train.py is not a folder",
    "interpreter: ./nowhere": "interpreter: there is no program ",
    "model_dir: nowhere": "model_dir: there is no folder ",
    'model_dir: ""': "model_dir: is empty",
    "experiments: [{lr: 2}]": 'experiments[0]: lr: must be within',
    "require: lrr < 1": 'require: column 1: there is no parameter lrr; did you mean "lr"?',
    "require: [lr < 1, lr <]": "require[1]: column 5: a parameter, a number or a text is expected, not the end",
    "require: lr > 2": "require: none of 10,000 random configurations satisfies lr > 2",
    "require: 5": 'require: must be a rule such as "hidden2 <= hidden1", or a list of them, not 5',
    "points: [{lr: 0.1}, {lr: 5}]": "points[1].lr: 5 is outside 0.0 ... 1.0",
    "points: [{rl: 0.1}]": 'points[0].rl: is not a parameter of the space; known: lr',
    "points: [{lr: 0.1}, {}, {lr: 0.1}]": "points[2]: is the same as points[0]",
    "warm_start: [5]": "warm_start[0]: must be text, not 5",
    **dict.fromkeys(
        ("warm_start: off", "warm_start: auto", "warm_start: false", "warm_start: [off]"),
        "warm_start: names earlier studies; imports done before trials start are trial: {preload: auto or off}",
    ),
    "trial: {warm_start: off}": 'trial.warm_start: unknown key "warm_start"; write preload: auto, off or a list of modules',
    "preload: off": 'preload: unknown key "preload"; write trial: {preload: ...}',
    "early_stopping: {warm_up: 3}": 'early_stopping.warm_up: unknown key "warm_up"; write min_rivals',
    "points: [3]": "points[0]: must be a mapping, not 3",
    "resource: {name: epochs}": "resource.max: is missing: The most that one trial gets.",
    "resource: {name: epochs, max: 0}": "resource.max: must be at least 1, not 0",
    "resource: {name: epochs, max: 3, min: 4}": "resource.min: must be at most the max, which is 3, not 4",
    "labels: {a: 1}": 'labels: unknown key "labels"; they had no effect; leave them out',
    "dialect: [1]": "dialect: must be a mapping, not [1]",
}  # fmt: skip


@pytest.mark.parametrize("fields", BAD_FIELDS)
def test_message_names_field_line_and_value(fields: str, folder: Path) -> None:
    message = BAD_FIELDS[fields]
    if not message:
        parse(small(fields), folder)
        return
    found = problems(small(fields), folder)
    assert len(found) == 1, found
    assert found[0].startswith("algo.yaml:4: ")
    assert message.split("must be within")[0] in found[0]


BAD_PARAMETERS = {
    '{float: ["1e-4", 1]}': 'space.a.float: must be two numbers, not the text "1e-4"; remove the quotes',
    "{float: [2, 1]}": "space.a.float: low 2.0 is above high 1.0",
    "{float: [0, .inf]}": "space.a.float: must be two numbers, not Infinity",
    "{float: 1}": "space.a.float: must be [lowest, highest], not 1",
    "{float: [0, 1, 2]}": "space.a.float: must be [lowest, highest], not [0, 1, 2]",
    "{float: [0, 1], log: true}": "space.a.float: must be above 0 for a log scale, not 0.0",
    "{float: [0, 1], log: yes}": 'space.a.log: must be true or false, not "yes"',
    "{float: [0, 1], step: 0}": "space.a.step: must be above 0",
    "{float: [0, 1], step: '0.1'}": 'space.a.step: must be a finite number, not "0.1"',
    "{float: [0, 1], setp: 1}": 'space.a.setp: unknown key "setp"; did you mean "step"?',
    "{int: [1.5, 3]}": "space.a.int: must be a whole number, not 1.5",
    "{int: [1, 99999999999999999999]}": "space.a.int: must fit in 64 bits",
    "{int: [1, 5], step: 1.5}": "space.a.step: must be a whole number, not 1.5",
    "{int: [1, 5], power: 1}": "space.a.power: must be at least 2",
    "{choice: []}": "space.a.choice: is empty",
    "{choice: x}": 'space.a.choice: must be a list, not "x"',
    "{choice: [1, 1]}": "space.a.choice: 1 is listed twice",
    "{choice: [a, b], ordered: 1}": "space.a.ordered: must be true or false, not 1",
    "{float: [0, 1], when: {b: 1}}": "space.a.when.b: there is no such parameter",
    "{float: [0, 1], when: 5}": "space.a.when: must map parameters to values, not 5",
    "{float: [0, 1], when: {a: 1}}": "space.a.when.a: a parameter cannot be its own condition",
    "[1, x]": "space.a: a list is not a parameter; use {choice: [1, x]} or {constant: [1, x]}",
    "": "space.a: is empty; give a range",
    ".nan": "space.a: nan is not a finite number",
    "{constant: .nan}": "space.a.constant: nan is not a finite number",
    "{min: 1, max: 2}": "space.a: has none of float, int, choice, constant; write {int: [1, 2]}",
    "{low: 0.001, high: 1, log: true}": "space.a: has none of float, int, choice, constant; write {float: [0.001, 1], log: true}",
    "{type: float, min: 1, max: 2}": "space.a: has none of float, int, choice, constant; write {float: [1, 2]}",
    "{flaot: [0, 1]}": 'space.a: has none of float, int, choice, constant; did you mean "float"?',
    "{Int: [0, 1]}": 'space.a: has none of float, int, choice, constant; did you mean "int"?',
    "{values: [1, 2]}": 'space.a: has none of float, int, choice, constant; did you mean "choice"?',
    "{loguniform: [0.1, 1]}": "space.a: has none of float, int, choice, constant; write {float: [0.1, 1], log: true}",
    "{min: 1, max: .inf}": "space.a: has none of float, int, choice, constant, as in",
    "{min: 1, max: 1000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000}": "space.a: has none of float, int, choice, constant",
    "{}": "space.a: has none of float, int, choice, constant, as in {float: [1e-4, 0.1], log: true}",
    "1e-3..1e-1": 'space.a: "1e-3..1e-1" looks like a range, which is written {float: [1e-3, 1e-1]}; as a fixed text it is '
    '{constant: "1e-3..1e-1"}',
    "'[0.001, 0.1]'": 'space.a: "[0.001, 0.1]" looks like a range, which is written {float: [0.001, 0.1]}',
    "0.001-0.1": 'space.a: "0.001-0.1" looks like a range, which is written {float: [0.001, 0.1]}',
    "16 to 256": 'space.a: "16 to 256" looks like a range, which is written {int: [16, 256]}',
    "uniform(1, 2)": 'space.a: "uniform(1, 2)" looks like a range, which is written {int: [1, 2]}',
    "log[1e-3, 1e-1]": 'space.a: "log[1e-3, 1e-1]" looks like a range, which is written {float: [1e-3, 1e-1], log: true}',
    "[0.1, 0.2]": "space.a: a list is not a parameter; use {float: [0.1, 0.2]} for a range, {choice: [0.1, 0.2]} or {constant",
    "{power: 2, int: [16, 256]}": "space.a.power: 2 ** 256 does not fit in 64 bits; with power, int holds the exponents of 2: "
    "for 16 ... 256 write {power: 2, int: [4, 8]}",
    "{power: 2, int: [10, 100]}": "space.a.power: 2 ** 100 does not fit in 64 bits; with power, int holds the exponents of 2",
    "{float: [0, 1], int: [0, 1]}": "space.a: has both float and int; keep one",
}


@pytest.mark.parametrize("entry", BAD_PARAMETERS)
def test_message_of_a_parameter(entry: str, folder: Path) -> None:
    found = problems(small(space=f"\n  a: {entry}"), folder)
    assert len(found) == 1, found
    assert found[0].startswith(f"algo.yaml:4: {BAD_PARAMETERS[entry]}")


@pytest.mark.parametrize(
    ("entry", "note"),
    [
        ("16:9", 'space.a: "16:9" is a fixed text, the same in every trial; a range is written {'),
        ("2-4", 'space.a: "2-4" is a fixed text, the same in every trial; a range is written {int: [2, 4]}'),
        (
            "{power: 10, float: [1e-4, 1e-1]}",
            "space.a: float holds the exponents of power: values are 1 to 1.26; perhaps",
        ),
        ("adam-2", ""),
        ("2020-01-01", ""),
        ("9-2", ""),
        ("{power: 10, float: [-4, -1]}", ""),
        ("{power: 10, float: [0.5, 0.7]}", ""),
    ],
)
def test_notes_on_what_may_be_a_range(entry: str, note: str, folder: Path) -> None:
    notes = parse(small(space=f"\n  a: {entry}"), folder).notes
    if entry == "16:9":  # it does not rise
        assert not notes
    else:
        assert [n[: len(note)] for n in notes] == ([note] if note else [])


def test_rules_patterns_and_the_base_are_told_together_with_the_rest(folder: Path) -> None:
    (folder / "base.json").write_text("[1]")
    text = small(
        'base_config: base.json\nexclude: ["a/**/[b"]\nrequire: [a < b, b > aa, a + > 1]',
        space="{a: {flaot: [0, 1]}, b: 3}",
    )
    found = problems(text, folder)
    told = (
        "base_config: ",
        "space.a: has none of",
        "require[1]: column 5: there is no parameter aa",
        "require[2]: column 5",
    )
    assert all(any(start in line for line in found) for start in told), found


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("python tarin.py", 'there is no "tarin.py" in '),
        ("python my script.py 3", 'there is no "my", but there is "my script.py"; quote it: python \'my script.py\''),
        ("./my script.py", 'there is no "./my", but there is "./my script.py"; quote it: \'./my script.py\''),
        ("python3.11 -u -W ignore sub/x.py", 'there is no "sub/x.py" in '),
        ("python ../train.py", '"../train.py" is outside model_dir '),
        ("sh run.sh", 'there is no "run.sh" in '),
        ("./run", 'there is no "./run" in '),
        ("./data", 'there is no "./data" in '),
        ("./train.py", '"./train.py" is not executable; run: chmod +x '),
        ("''", "is empty; write the command"),
        ("'\"\"'", "is empty; write the command"),
        ("[]", "is empty; write the command"),
        ("'python \"train.py'", "cannot be split into words: a quote is not closed"),
        ("5", "must be text or a list of words, not 5"),
        ("[python, [x]]", "must be a list of words, not"),
        ("[python, null]", "must be a list of words, not"),
    ],
)
def test_message_of_a_command(command: str, message: str, folder: Path) -> None:
    (folder / "my script.py").touch()
    found = problems(small(command=command), folder)
    assert len(found) == 1, found
    assert found[0].startswith(f"algo.yaml:1: command: {message}")


@pytest.mark.parametrize(
    "command",
    ["python -m x.py", "python -c 'import x'", "python", "cat x.py", "python /abs/x.py", "node -e 1", "python data"],
)
def test_commands_that_name_no_script_of_the_folder(command: str, folder: Path) -> None:
    parse(small(command=command), folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "algo.yaml:1: must be a mapping of fields (command, objective, space, ...), not [1]"),
        ("just text", 'algo.yaml:1: must be a mapping of fields (command, objective, space, ...), not "just text"'),
        (small(space="{}"), "algo.yaml:3: space: is empty; name at least one parameter"),
        (small(space=""), "algo.yaml:3: space: must be a mapping of names to parameters"),
        (small().replace("space: {lr: {float: [0, 1]}}", ""), "algo.yaml:1: space: is missing: the parameters"),
        (small().replace("minimize loss", "loss"), "algo.yaml:2: objective: must be {metric: ..., goal: ...} or text"),
        (small().replace("minimize loss", "{goal: min}"), "algo.yaml:2: objective.metric: is missing: A metric"),
        (small().replace("minimize loss", "{metric: a, goal: least}"), "algo.yaml:2: objective.goal: must be minimize"),
    ],
)
def test_message_of_the_rest(text: str, message: str, folder: Path) -> None:
    found = problems(text, folder)
    assert len(found) == 1, found
    assert found[0].startswith(message)


def test_unknown_algorithm_names_the_nearest(folder: Path) -> None:
    known = ["random", "tpe", "grid"]
    assert problems(small("algorithm: gird"), folder, algorithms=known) == [
        'algo.yaml:4: algorithm: unknown algorithm "gird"; did you mean "grid"?'
    ]
    assert problems(small("algorithm: xyz"), folder, algorithms=known)[0].endswith("; known: grid, random, tpe")


def test_all_problems_at_once_in_the_order_of_the_file(folder: Path) -> None:
    text = """\
command: python nowhere.py
objective: {metric: 5, gaol: minimize}
algorithm: tpee
trails: 3
trials: many
space:
  a: {float: [2, 1]}
  b: {float: [0]}
  c: {int: [1, 2], when: {nobody: 1}}
  d: {int: [1, 2], when: {b: 1}}
data_dir: nowhere
"""
    found = problems(text, folder, algorithms=["tpe"])
    assert [line.split(": ")[:2] for line in found] == [
        ["algo.yaml:1", "command"],
        ["algo.yaml:2", "objective.metric"],
        ["algo.yaml:2", "objective.gaol"],
        ["algo.yaml:3", "algorithm"],
        ["algo.yaml:4", "trails"],
        ["algo.yaml:5", "trials"],
        ["algo.yaml:7", "space.a.float"],
        ["algo.yaml:8", "space.b.float"],
        ["algo.yaml:9", "space.c.when.nobody"],
        ["algo.yaml:11", "data_dir"],
    ]


@pytest.mark.parametrize("name", ["a.b", "x y", "é", "__proto__", "constructor", "n" * 200, "float"])
def test_odd_parameter_names_work_and_are_named(name: str, folder: Path) -> None:
    assert parse(small(space=f'{{"{name}": {{float: [0, 1]}}}}'), folder).space.names == (name,)
    found = problems(small(space=f'\n  "{name}": {{float: [1, 0]}}'), folder)
    assert found[0].startswith(f"algo.yaml:4: space.{name}"[:60])


@pytest.mark.parametrize("name", ["", " ", "n" * 201, "a\\nb", "\\u202e", "\\e[31m"])
def test_parameter_names_that_are_refused(name: str, folder: Path) -> None:
    found = problems(small(space=f'\n  "{name}": {{float: [0, 1]}}'), folder)
    assert len(found) == 1
    assert all(c.isprintable() for c in found[0])


# -- names of studies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("tune.yaml", "tune"),
        ("/x/my study (2).yaml", "my-study-2"),
        ("algo.yaml", "folder"),
        ("Algo.YML", "folder"),
        ("/else/where/algo.json", "folder"),
        ("algo.py", "folder"),
        ("my-request.py", "my-request"),
        ("-", "study"),
        (".hidden.yaml", "hidden"),
        ("con.yaml", "con"),
        ("привет.yaml", "study"),
        ("x" * 300 + ".yaml", "x" * 100),
        ("<request>", "request"),
    ],
)
def test_default_name(file: str, name: str) -> None:
    assert default_name(file, "/some/folder") == name


@pytest.mark.parametrize(
    "name",
    ["..", "../x", "/abs", "a/b", "a\\b", "%2e%2e", "%252e", "a;b", "a\0", "~", "~root",
     "\u202ex", "", " ", "a b", ".a", "-a", "_a", "a.", "a\n", "é", "x" * 101],
)  # fmt: skip
def test_names_that_would_lead_astray_are_refused(name: str) -> None:
    assert study_name_problem(name)
    assert study_name_problem(study_name(name)) is None


@given(st.text(max_size=120))
def test_any_text_becomes_a_name(text: str) -> None:
    assert study_name_problem(study_name(text)) is None


def test_given_name_is_a_default_only(folder: Path) -> None:
    assert parse(small(), folder, name="mine").name == "mine"
    assert parse(small("name: own"), folder, name="mine").name == "own"
    assert "cannot name a study" in problems(small(), folder, name="../x")[0]


# -- round trip -------------------------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=6)
words = texts.filter(lambda t: t == t.strip() and t.strip() != "")
names = st.from_regex(r"[A-Za-z][A-Za-z0-9_.]{0,6}", fullmatch=True)
scalars = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False) | texts
seconds = st.floats(1e-3, 1e9) | st.integers(1, 10**6)
ends = st.tuples(st.floats(1e-3, 1), st.floats(1, 1e6))
goals = st.sampled_from(["minimize", "maximize"])
gpus = st.sampled_from([None, 0, 0.5, 2])
megabytes = st.floats(1e-3, 1e6)


@st.composite
def params(draw: st.DrawFn, name: str) -> Any:
    kind = draw(st.sampled_from(["float", "int", "choice", "constant"]))
    if kind == "float":
        log = draw(st.booleans())
        power = None if log else draw(st.sampled_from([None, 2.0, 10.0]))
        low, high = (0.001, draw(st.floats(1, 9))) if power else draw(ends)
        return Float(name, low, high, log, draw(st.sampled_from([None, 0.25])), power)
    if kind == "int":
        return Int(
            name,
            1,
            draw(st.integers(1, 9)),
            step=draw(st.sampled_from([None, 2])),
            power=draw(st.sampled_from([None, 2])),
        )
    if kind == "choice":
        values = draw(st.lists(scalars | st.lists(scalars, max_size=2), min_size=1, max_size=4, unique_by=repr))
        return Choice(name, tuple(values), draw(st.booleans()))
    return Constant(name, draw(scalars | st.lists(scalars, max_size=2) | st.dictionaries(texts, scalars, max_size=2)))


@st.composite
def specs(draw: st.DrawFn) -> StudySpec:
    space = [draw(params(name)) for name in draw(st.lists(names, min_size=1, max_size=4, unique=True))]
    parents = [p for p in space if isinstance(p, Choice)]
    if parents:
        space.append(Float("\u00e9 child", 0, 1, when={parents[0].name: parents[0].choices[0]}))
    try:
        whole = SearchSpace(tuple(space))
    except SpecError:  # 0.0 and -0.0 as choices, and the like
        whole = SearchSpace((Int("a", 1, 3),))
    listed = whole.names == ("a",) and draw(st.booleans())
    if draw(st.booleans()) and not listed:
        rules = [f"`{name}` == `{name}`" for name in whole.names if "`" not in name]
        whole = SearchSpace(whole.params, tuple(rules))
    first = whole.decode([draw(st.floats(0, 1)) for _ in whole.dimensions])
    metrics = draw(st.lists(words, min_size=1, max_size=3, unique=True))
    overs = [draw(st.sampled_from(["best", "last"])), *["last"] * 2]
    aims = tuple(Objective(m, draw(goals), over) for m, over in zip(metrics, overs, strict=False))
    return StudySpec(
        name=draw(names.filter(lambda n: study_name_problem(n) is None)),
        space=whole,
        objectives=aims,
        command=("cat", *draw(st.lists(texts | st.just(""), max_size=3))),
        model_dir="/",
        exclude=draw(st.sampled_from([(), ("*.ckpt",), ("a b/", "!c", "\\#d"), ("checkpoints/", "*.pt")])),
        algorithm=Named(draw(st.sampled_from(["random", "grid", "tpe", "some.module:Class"])), draw(st.dictionaries(names.filter(lambda n: n != "seed"), scalars, max_size=2))),
        budget=Budget(draw(st.none() | st.integers(1, 10**6)), draw(st.none() | seconds)),
        resources=Resources(draw(st.integers(1, 9)), draw(st.none() | st.integers(1, 9)), draw(gpus)),
        trial=TrialPolicy(draw(st.none() | seconds), draw(st.integers(0, 3)), draw(seconds), draw(megabytes)),
        env=draw(st.dictionaries(st.from_regex(r"[A-Z_]{1,5}", fullmatch=True), texts | st.just(""), max_size=2)),
        data_dir=draw(st.sampled_from([None, "/"])),
        data_root=draw(st.sampled_from([None, "/data"])),
        interpreter=draw(st.sampled_from([None, "python3.12", "/bin/sh"])),
        resource=Resource("epochs", most, draw(st.integers(1, most)), draw(st.sampled_from(["auto", "always", "never"]))) if (most := draw(st.none() | st.integers(1, 99))) else None,
        stop=draw(st.sampled_from([GUARDS, (*GUARDS, Named(RANK)), (Named(RANK, {"keep": 0.1}),), (), (Named(MISNAMED), Named(ALIKE, {"first": None}))])),
        resume_key=draw(st.sampled_from([None, "resume from"])),
        checkpoints=draw(st.sampled_from([Checkpoints(), Checkpoints(("*.state", "a/b/")), Checkpoints((), "promotable", 5 << 40), Checkpoints(("x",), "promotable", 1025)])),
        experiments=({"a": 1}, {"a": 3}) if listed else (),
        points=() if listed else draw(st.sampled_from([(), (first,), ({},), (dict(list(first.items())[:1]),)])),
        warm_start=() if listed else draw(st.sampled_from([(), ("first",), ("/runs/first", "second")])),
        extra_metrics=draw(st.dictionaries(words, st.sampled_from(["minimize", "maximize", "latest"]), max_size=2)),
        dialect=draw(st.dictionaries(texts, scalars | st.lists(scalars, max_size=2), max_size=2)),
        seed=draw(st.none() | st.integers(0, 2**64)),
    )  # fmt: skip


@pytest.mark.parametrize("examples", [30, pytest.param(1000, marks=pytest.mark.slow)])
def test_what_is_written_is_parsed_back(examples: int) -> None:
    settings(max_examples=examples)(given(specs())(_is_parsed_back))()


def _is_parsed_back(study: StudySpec) -> None:
    assume(all(study.space.problem_with(experiment) is None for experiment in study.experiments))
    text = dump(spec.to_native(study))
    again = spec.parse(text, file="x.yaml", base_dir="/nowhere")
    assert replace(again, notes=()) == study  # there may be some on steps, say


@pytest.mark.parametrize(
    ("entry", "note"),
    [
        ("{float: [0, 0.9], step: 0.2}", "space.p: steps of 0.2 from 0 end at 0.8, not at 0.9"),
        ("{int: [1, 64], step: 4}", "space.p: steps of 4 from 1 end at 61, not at 64"),
        (
            "{float: [0.001, 0.01], step: 0.002, log: true}",
            "space.p: steps of 0.002 from 0.001 end at 0.009, not at 0.01",
        ),
        ("{power: 2, int: [1, 8], step: 2}", "space.p: steps of 2 from 1 end at 7, not at 8"),
        ("{float: [0, 1], step: 3}", "space.p: steps of 3 from 0 end at 0, not at 1"),
        ("{float: [0, 0.9], step: 0.1}", ""),
        ("{float: [0.1, 0.7], step: 0.2}", ""),
        ("{int: [1, 9]}", ""),
        ("{int: [3, 3], step: 2}", ""),
    ],
)
def test_steps_that_do_not_reach_the_end_of_the_range_are_noted(entry: str, note: str, folder: Path) -> None:
    assert parse(small(space=f"{{p: {entry}}}"), folder).notes == ((note,) if note else ())


def test_written_form_is_short(folder: Path) -> None:
    native = spec.to_native(parse(small(), folder))
    assert set(native) == {"name", "command", "model_dir", "objective", "algorithm", "trials", "parallel", "space"}
    assert native["command"] == "python train.py"


def test_points_and_rules_that_break_each_other_are_told(folder: Path) -> None:
    space = "{a: {int: [1, 9]}, b: {int: [1, 9]}, opt: {choice: [x, y]}, m: {float: [0, 1], when: {opt: x}}}"
    rules = 'require: ["b <= a", "b > 1"]\n'
    points = "points:\n- {a: 2, b: 3}\n- {b: 1}\n- {opt: y, m: 0.5}\n- {m: 0.5}\n- {a: 9}\n- {}\n- {}\n"
    assert problems(small(rules + points, space), folder) == [
        "algo.yaml:6: points[0]: no configuration with these values satisfies b <= a and b > 1",
        "algo.yaml:7: points[1]: no configuration with these values satisfies b <= a and b > 1",
        'algo.yaml:8: points[2].m: applies only if "opt" is "x", which does not apply here'.replace('"opt"', "opt"),
    ]


def test_rules_need_a_space_and_points_a_search(folder: Path) -> None:
    text = small("experiments: [{a: 1}]\nrequire: a == 1\npoints: [{a: 1}]").replace(
        "space: {lr: {float: [0, 1]}}\n", ""
    )
    said = problems(text, folder)
    assert any("require: needs a space" in line for line in said)
    assert any("points: need a space to search" in line for line in said)


# -- JSON Schema ------------------------------------------------------------------------------------------------------


@functools.cache
def _schema() -> Any:
    jsonschema = pytest.importorskip("jsonschema")
    schema = spec.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def _schema_accepts(text: str) -> bool:
    return bool(_schema().is_valid(read_document(text, "x").data))


@pytest.mark.parametrize(
    "text",
    [GOOD, small(), small("trials: unlimited"), small("trial: {gpus: 0.5, time_limit: 5}"), small("time_limit: null"),
     small("resource: {name: e, max: 3}"), small(command="[python, train.py, 5]"), small("experiments: [{lr: 1}]"),
     small("require: lr < 0.5"), small("require: [lr < 0.5, lr > 0.1]"), small("points: [{lr: 0.5}, {}]"),
     small().replace("minimize loss", "{metric: loss, over: last}")],
)  # fmt: skip
def test_schema_accepts_what_parse_accepts(text: str, folder: Path) -> None:
    parse(text, folder)
    assert _schema_accepts(text)


@pytest.mark.parametrize(
    "text",
    [small(fields) for fields in (
        "trails: 3", 'trials: "3"', "trials: 0", "trials: 1.5", "parallel: null", "time_limit: 1:30", "time_limit: 0",
        "trial: 5", "trial: {gpu: 1}", "trial: {gpus: 1.5}", "trial: {log_limit: 16}", "name: ../x", "env: {A: null}",
        "metrics: {a: x}",
        "resource: {name: a}", "options: 5", "experiments: 5", "require: 5", "require: [[lr]]", "points: {lr: 1}",
    )]
    + [small(space=f"\n  a: {entry}") for entry in (
        '{float: ["1", 2]}', "{float: [1]}", "{float: [0, 1], log: yes}", "{float: [0, 1], setp: 1}", "{int: [1.5, 3]}",
        "{choice: []}", "{choice: x}", "[1, 2]", "", "{min: 1}", "{float: [0, 1], int: [0, 1]}",
        "{float: [0, 1], step: 0}",
    )]
    + [small(command="[]"), small(command="''"), small().replace("minimize loss", "loss")]
    + [small().replace("objective: minimize loss", f"objectives: {o}") for o in ("[min a]", "min a", "[min a, b]")]
    + [small("objectives: [min a, min b]"), small().replace("objective: minimize loss", "")]
    + [small().replace("command", "comand")],
)  # fmt: skip
def test_schema_refuses_what_parse_refuses(text: str, folder: Path) -> None:
    problems(text, folder)
    assert not _schema_accepts(text)


def test_schema_describes_every_field() -> None:
    def walk(node: Any) -> Any:
        if isinstance(node, dict):
            yield from node.get("properties", {}).items()
            for inner in node.values():
                yield from walk(inner)
        elif isinstance(node, list):
            for inner in node:
                yield from walk(inner)

    schema = spec.json_schema()
    fields = list(walk(schema))
    assert len(fields) > 30
    assert [name for name, field in fields if not field.get("description")] == []
    assert schema["additionalProperties"] is False
    open_ = [name for name, form in schema["$defs"].items() if form["additionalProperties"] is not False]
    assert open_ == ["NamedForm"], "all other keys are options of what is named"


# -- hostile input ----------------------------------------------------------------------------------------------------

HEAD = "command: cat\nobjective: minimize loss\nspace:\n"


HOSTILE: list[Callable[[int], str]] = [  # texts, of a size
    lambda n: "".join(f"p{i}: x\n" for i in range(n * 60)),
    lambda n: HEAD + "  a: 1\nmetrics:\n" + "".join(f"  p{i}: x\n" for i in range(n * 40)),
    lambda n: HEAD + "".join(f"  p{i}: {{}}\n" for i in range(n * 20)),
    lambda n: HEAD + "".join(f"  p{i}: {{float: [2, 1]}}\n" for i in range(n * 9)),
    lambda n: HEAD + "  a: {choice: [" + ",".join("11" for _ in range(n * 90)) + "]}",
    lambda n: HEAD + '  "' + "." * 900 + '": {float: [2, 1]}',
    lambda n: "command: " + "'a " * (n * 300),
    lambda n: HEAD + "  a: 1\ntime_limit: " + "1m" * (n * 400),
]


@pytest.mark.by_default("[3-100]")
@pytest.mark.parametrize("size", [100, pytest.param(1000, marks=pytest.mark.slow)])  # the latter: near the size limit
@pytest.mark.parametrize("text", HOSTILE, ids=range(8))
def test_hostile_file_costs_little(text: Callable[[int], str], size: int, folder: Path) -> None:
    begin = time.thread_time()
    found = problems(text(size), folder)
    # A tenth of it on an idle machine. What grows out of hand takes minutes.
    assert time.thread_time() - begin < 60
    assert len(found) <= 100
    assert sum(map(len, found)) < 40_000


def test_the_keys_that_there_are_stand_once(folder: Path) -> None:
    found = problems(HEAD + "  a: 1\nxyzzy: 1\nplugh: 1\ntrial: {zzz: 1, yyy: 1}\n", folder)
    assert [(text.split(": ")[1], "; known: " in text) for text in found if "unknown key" in text] == [
        ("xyzzy", True), ("plugh", False), ("trial.zzz", True), ("trial.yyy", False),
    ]  # fmt: skip


@pytest.mark.parametrize("count", [2_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_thousands_of_parameters_are_fine(count: int, folder: Path) -> None:
    assert len(parse(HEAD + "".join(f"  p{i}: {{float: [0, 1]}}\n" for i in range(count)), folder).space) == count


@given(st.text(max_size=60) | st.dictionaries(texts, scalars | st.lists(scalars), max_size=4).map(dump))
@settings(max_examples=some(60))
def test_any_text_is_a_study_or_refused(text: str) -> None:
    _study_or_refusal(text)


ANYWHERE = GOOD.replace("python train.py --epochs 5", "cat").replace("data_dir: data\ninterpreter: bin/python\n", "")
FRAGMENTS = [
    "",
    " ",
    "\n",
    ":",
    "[",
    "]",
    "{",
    "}",
    "-",
    "'",
    '"',
    "#",
    "null",
    "1e999",
    "-1",
    "é",
    "\0",
    "&a",
    "*a",
    "0",
    ",",
]


@given(st.integers(0, 2**32), st.integers(1, 4))
@settings(max_examples=some(120))
def test_mutated_good_file_is_a_study_or_refused(seed: int, count: int) -> None:
    rng = random.Random(seed)
    text = ANYWHERE
    for _ in range(count):
        at = rng.randrange(len(text))
        cut = rng.choice([0, 1, 1, 3, 20])
        text = text[:at] + rng.choice([*FRAGMENTS, ANYWHERE[at : at + 9]]) + text[at + cut :]
    _study_or_refusal(text)


@given(
    st.sampled_from([line.split(":")[0].strip() for line in ANYWHERE.splitlines()]),
    scalars | st.lists(scalars, max_size=3),
)
@settings(max_examples=some(60))
def test_any_value_in_any_field(field: str, value: Any) -> None:
    data: Any = read_document(ANYWHERE, "x").data
    (data if field in data else data["space"])[field] = value
    if not (isinstance(value, str) and "\0" in value):
        _study_or_refusal(dump(data))


def test_the_file_that_is_mutated_is_good() -> None:
    spec.parse(ANYWHERE, file="a.yaml", base_dir="/")


def _study_or_refusal(text: str) -> None:
    begin = time.process_time()
    try:
        study = spec.parse(text, file="a.yaml", base_dir=os.path.dirname(__file__))
        assert StudySpec.from_json(study.to_json()) == study
        assert not any(isinstance(v, float) and math.isnan(v) for v in study.algorithm.options.values())
    except SpecError as error:
        assert error.problems
        assert all("\n" not in str(p) for p in error.problems)
    assert time.process_time() - begin < 60


@pytest.mark.parametrize(
    ("text", "failures"),
    [
        ("", {}),
        ("failures: off", None),
        ("failures: false", None),
        ("failures: 5", {"first": 5}),
        ("failures: {first: 1}", {"first": 1}),
        ("failures: {in_a_row: 20}", {"in_a_row": 20}),
        ("failures: {first: off, in_a_row: 4}", {"first": None, "in_a_row": 4}),
        ("failures: {first: null, in_a_row: off}", None),
    ],
)
def test_failures(text: str, failures: dict[str, Any] | None, folder: Path) -> None:
    study = parse(small(text), folder)
    assert study.stop == (*(() if failures is None else (Named(MISNAMED), Named(ALIKE, failures))), Named(DIVERGED))
    assert parse(dump(spec.to_native(study)), folder).stop == study.stop == StudySpec.from_json(study.to_json()).stop


@pytest.mark.parametrize(
    ("text", "rule", "diverged"),
    [
        ("", None, True),
        ("early_stopping: rank", {}, True),
        ("early_stopping: off", None, False),
        ("early_stopping: false", None, False),
        ("early_stopping: {diverged: off}", None, False),
        ("early_stopping: {diverged: on}", None, True),
        ("early_stopping: {keep: 0.3, diverged: false}", {"keep": 0.3}, False),
        ("early_stopping: {rule: rank, diverged: off}", {}, False),
    ],
)
def test_diverged_trials(text: str, rule: dict[str, Any] | None, diverged: bool, folder: Path) -> None:
    study = parse(small(text), folder)
    assert study.stop[2:] == (*([Named(DIVERGED)] * diverged), *([] if rule is None else [Named(RANK, rule)]))
    assert parse(dump(spec.to_native(study)), folder).stop == study.stop


def test_on_time_limit(folder: Path) -> None:
    study = parse(small("trial: {time_limit: 5m, on_time_limit: keep}"), folder)
    assert study.trial.on_time_limit == "keep" and parse(small(), folder).trial.on_time_limit == "fail"
    assert parse(dump(spec.to_native(study)), folder).trial == study.trial


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("failures: 0", "failures: must be off, a whole number from 1 up or {first: N, in_a_row: M}, not 0"),
        ("failures: never", 'failures: must be off, a whole number from 1 up or {first: N, in_a_row: M}, not "never"'),
        ("failures: {first: never}", 'failures.first: must be a whole number from 1 on, or off, not "never"'),
        ("failures: {frist: 1}", 'failures.frist: is not an option of alike; did you mean "first"?'),
        ("max_failures: 3", 'max_failures: unknown key "max_failures"; write failures: {in_a_row: ...}'),
        ("early_stopping: none", 'early_stopping: must be rank, off or {rule: rank, ...}, not "none"'),
        ("early_stopping: 3", "early_stopping: must be rank, off or {rule: rank, ...}, not 3"),
        ("early_stopping: {rule: none}", 'early_stopping.rule: must be rank, not "none" (or off)'),
        ("early_stopping: {diverged: 3}", "early_stopping.diverged: must be on or off, not 3"),
        ("trial: {on_time_limit: stop}", "trial.on_time_limit: must be fail or keep"),
    ],
)
def test_wrong_failures_and_limits_are_told(text: str, told: str, folder: Path) -> None:
    assert [line for line in problems(small(text), folder) if line.startswith(f"algo.yaml:4: {told}")]
