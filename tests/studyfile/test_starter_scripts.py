"""What init finds in scripts that take their parameters in different manners; the scripts are in tests/data/scripts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from hpo_engine.studyfile import native
from hpo_engine.studyfile.starter import find, starter
from hpo_engine.studyfile.starter.interface import Parameter, Texts
from hpo_engine.studyfile.starter.kinds import Kind, kind_of
from hpo_engine.studyfile.starter.ranges import propose
from hpo_engine.studyfile.starter.report import summary

SCRIPTS = Path(__file__).parents[1] / "data/scripts"

# script -> (the end of its command, what is searched, the objective)
EXPECTED: dict[str, tuple[str, str, str]] = {
    "mnist_style.py": ("{params:-}", "batch_size lr gamma", "minimize Test_Average_loss"),
    "language_model.py": (
        "corpus.txt --out-dir {result_dir} {params:-}",
        "model nhid nlayers dropout lr weight_decay clip optimizer",
        "minimize valid_loss",
    ),
    "click_trainer.py": (
        "train {nesterov?--nesterov:--no-nesterov} {normalize?--normalize} {params:-}",
        "learning_rate momentum nesterov batch_size normalize",
        "minimize val_loss",
    ),
    "typer_trainer.py": (
        "{augment?--augment:--no-augment} {params:-}",
        "learning_rate hidden_dim dropout optim schedule augment",
        "minimize val_loss",
    ),
    "absl_trainer.py": (
        "--model_dir {result_dir} {use_bn?--use_bn:--nouse_bn} {params}",
        "learning_rate train_batch_size num_layers use_bn activation",
        "minimize eval_loss",
    ),
    "fire_trainer.py": (
        "{use_bias?--use_bias:--nouse_bias} {params}",
        "batch_size learning_rate lora_r lora_dropout use_bias",
        "minimize eval_loss",
    ),
    "tyro_agent.py": (
        "{optim.anneal_lr?--optim.anneal-lr:--optim.no-anneal-lr} {params:-}",
        "gamma gae_lambda clip_coef ent_coef optim.lr optim.anneal_lr optim.max_grad_norm",
        "maximize charts/episodic_return",
    ),
    "optuna_study.py": ("optuna_study.py", "classifier svc_c rf_max_depth", "maximize value"),
    "words.py": ("{alpha} {l1_ratio}", "alpha l1_ratio", "minimize MAE"),
    "variables.py": ("variables.py", "lr batch_size", "minimize val_loss"),
    "pipeline.sh": ("bash pipeline.sh {params:-}", "lr max_depth", "minimize loss"),
    "hf_trainer.py": (
        "--output_dir {result_dir} {params}",
        "hidden_dropout_prob pooling learning_rate per_device_train_batch_size weight_decay lr_scheduler_type "
        "label_smoothing_factor max_grad_norm",
        "minimize eval_loss",
    ),
    "subcommands.py": ("train {params}", "eta max_depth subsample reg_lambda", "minimize valid-rmse"),
}


def written(name: str) -> str:
    texts = {path.name: path.read_text() for path in SCRIPTS.iterdir() if path.is_file()}
    return starter(find(name, texts[name], Texts(texts)))


def space_of(text: str, name: str = "train.py") -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(starter(find(name, text)))["space"]
    return found


@pytest.mark.parametrize("name", EXPECTED)
def test_a_script_of_each_manner(name: str) -> None:
    text = written(name)
    data = yaml.safe_load(text)
    end, searched, objective = EXPECTED[name]
    assert data["command"].endswith(end)
    assert list(data["space"]) == searched.split()
    assert f"{data['objective']['goal']} {data['objective']['metric']}" == objective
    assert "results" not in data
    study = native.parse(text, file="algo.yaml", base_dir=str(SCRIPTS))
    for parameter in find(name, (SCRIPTS / name).read_text()).plan.searched:
        if parameter.parameter.default is not None:
            point = {**study.space.decode([0.5] * len(study.space.dimensions))}
            point[parameter.parameter.name] = parameter.parameter.default
            assert study.space.problem_with(point) is None, "the script's own default is outside"


@pytest.mark.parametrize("name", EXPECTED)
def test_the_file_and_the_summary_fit_a_terminal(name: str) -> None:
    for line in written(name).splitlines():
        assert len(line) <= 80 or line.startswith("command:") or not line.lstrip().startswith("#"), line
    found = find(name, (SCRIPTS / name).read_text())
    assert all(len(line) <= 80 for line in summary(found, 80))


# -- odd forms -------------------------------------------------------------------------------------------------------


def test_bounds_that_the_script_declares_are_kept() -> None:
    text = """\
import click
@click.command()
@click.option("--lr", type=click.FloatRange(0.001, 0.02, max_open=True), default=0.01)
@click.option("--depth", type=click.IntRange(2, 4), default=3)
def main(lr, depth): ...
"""
    space = space_of(text)
    assert space["lr"] == {"float": [0.001, 0.02 - 1e-6], "log": True} and space["depth"] == {"int": [2, 4]}


def test_what_is_compared_with_texts_is_a_choice_of_these() -> None:
    text = """\
p.add_argument("--optimizer", default="sgd")
p.add_argument("--name", default="x")
if args.optimizer == "sgd": pass
elif args.optimizer in ("adam", "rmsprop"): pass
"""
    assert space_of(text) == {"optimizer": {"choice": ["sgd", "adam", "rmsprop"]}}


def test_a_flag_that_is_on_already_is_left_alone() -> None:
    text = """\
p.add_argument("--lr", type=float, default=0.1)
p.add_argument("--pretrained", action="store_true", default=True)
p.add_argument("--no-bias", dest="bias", action="store_false")
"""
    found = yaml.safe_load(starter(find("train.py", text)))
    assert list(found["space"]) == ["lr", "no_bias"] and "{no_bias?--no-bias}" in found["command"]


def test_booleans_that_are_not_read_from_true_and_false_get_what_their_types_take() -> None:
    text = """\
p.add_argument("--nesterov", type=bool, default=False)
p.add_argument("--amsgrad", type=eval, choices=[True, False], default=True)
p.add_argument("augment", type=bool, nargs="?", default=False)
"""
    found = yaml.safe_load(starter(find("train.py", text)))
    assert found["command"] == (
        "python train.py {nesterov?--nesterov=1:--nesterov=} {amsgrad?--amsgrad=True:--amsgrad=False}"
    )
    assert list(found["space"]) == ["nesterov", "amsgrad"]


def test_rounds_of_optuna_that_may_be_left_out_depend_on_their_number() -> None:
    text = """\
import optuna
def define(trial):
    n_layers = trial.suggest_int("n_layers", 1, 3)
    for i in range(n_layers):
        trial.suggest_int(f"n_units_l{i}", 4, 128, log=True)
        trial.suggest_float("dropout_l{}".format(i), 0.2, 0.5, step=0.1)
study = optuna.create_study(directions=["minimize", "maximize"])
"""
    space = space_of(text)
    assert "when" not in space["n_units_l0"] and space["n_units_l1"]["when"] == {"n_layers": [2, 3]}
    assert space["dropout_l2"] == {"float": [0.2, 0.5], "step": 0.1, "when": {"n_layers": [3]}}
    objectives = yaml.safe_load(starter(find("train.py", text)))["objectives"]
    assert [(o["metric"], o["goal"]) for o in objectives] == [("value_0", "minimize"), ("value_1", "maximize")]


def test_getopts_and_places_of_a_shell_script() -> None:
    text = 'LR=0.1\nwhile getopts "l:e:" o; do case $o in\nl) LR=$OPTARG ;;\nesac; done\necho "loss=$x"\n'
    found = yaml.safe_load(starter(find("run.sh", text)))
    assert found["command"] == "sh run.sh {params}" and found["space"]["lr"]["arg"] == "-l"
    text = 'LR=${1:-0.1}\nWIDTH="${2:-64}"\necho "loss=$x"\n'
    found = yaml.safe_load(starter(find("run.sh", text)))
    assert found["command"] == "sh run.sh {lr} {width}" and found["space"]["width"] == {"power": 2, "int": [4, 8]}
    text = 'export LR=${LR:-0.1}\nloss=$(train "$LR")\necho "loss: $loss"\n'
    found = yaml.safe_load(starter(find("run.sh", text)))
    assert (found["env"], found["objective"]["metric"]) == ({"LR": "{lr}"}, "loss")


@pytest.mark.parametrize(
    ("name", "text", "command"),
    [
        (
            "train.R",
            'o <- list(make_option(c("-l", "--lr"), type = "double", default = 0.1),\n  make_option("--n-trees", type = '
            '"integer", default = 100)\n)\ncat(sprintf("rmse: %f\\n", x))\n',
            "Rscript train.R {params:-}",
        ),
        ("train.R", "args <- commandArgs(TRUE)\nlr <- as.numeric(args[1])\n", "Rscript train.R {lr}"),
        (
            "train.jl",
            '@add_arg_table s begin\n  "--lr", "-l"\n    arg_type = Float64\n    default = 0.1\nend\n',
            "julia train.jl {params}",
        ),
        ("train.jl", "lr = parse(Float64, ARGS[1])\n", "julia train.jl {lr}"),
    ],
)
def test_other_languages(name: str, text: str, command: str) -> None:
    found = yaml.safe_load(starter(find(name, text)))
    assert found["command"] == command and found["space"]["lr"]["float"]


# -- ranges ----------------------------------------------------------------------------------------------------------

RANGES: dict[tuple[str, Any], Any] = {
    ("learning_rate", 0.001): {"float": [0.0001, 0.01], "log": True},
    ("eta", 0.3): {"float": [0.03, 1.0], "log": True},
    ("weight_decay", 0.0): {"choice": [0, 1e-05, 0.0001, 0.001, 0.01], "ordered": True},
    ("dropout", 0.1): {"float": [0, 0.5]},
    ("drop_path_rate", 0.7): {"float": [0, 0.7]},
    ("beta2", 0.999): {"float": [0.9, 0.9999]},
    ("gamma", 0.99): {"float": [0.9, 0.999]},
    ("gamma", 0.01): {"float": [0.001, 0.1], "log": True},
    ("gamma", 0.1): {"float": [0.01, 1.0], "log": True},
    ("gamma", 0): {"choice": [0, 0.001, 0.01, 0.1, 1], "ordered": True},
    ("label_smoothing", 0.0): {"float": [0, 0.5]},
    ("subsample", 0.8): {"float": [0.4, 1]},
    ("batch_size", 64): {"power": 2, "int": [4, 8]},
    ("batch_size", 100): {"int": [25, 400], "log": True},
    ("warmup_steps", 500): {"int": [0, 1000]},
    ("warmup_ratio", 0.03): {"float": [0, 0.2]},
    ("temperature", 0.07): {"float": [0.007, 0.7], "log": True},
    ("patience", 10): {"int": [5, 20]},
    ("max_depth", 6): {"int": [1, 12]},
    ("kernel_size", 3): {"choice": [3, 5, 7]},
    ("C", 1): {"float": [0.1, 10.0], "log": True},
    ("n_estimators", 100): {"int": [25, 400], "log": True},
    ("min_child_weight", 1.0): {"float": [0.1, 10.0], "log": True},
    ("min_samples_leaf", 0.01): {"float": [0.001, 0.1], "log": True},
    ("min_samples_leaf", 1): {"int": [1, 10]},
    ("min_samples_split", 2): {"int": [2, 10]},
}


@pytest.mark.parametrize(("name", "default"), RANGES)
def test_ranges(name: str, default: Any) -> None:
    assert propose(Parameter(name, default))[0] == RANGES[name, default]


@pytest.mark.parametrize(
    "name",
    ["data_dir", "output-path", "seed", "num_workers", "device", "verbose", "port", "epochs", "max_steps", "log_interval",
     "save_model", "eval_batch_size", "run_name", "wandb_project", "local_rank", "adam_epsilon", "trainer.max_epochs",
     "model_name_or_path", "min_lr", "print_freq", "no_cuda", "dry_run", "vocab_size", "num_classes"],
)  # fmt: skip
def test_what_nobody_searches(name: str) -> None:
    assert not kind_of(name).searched


def test_kinds_of_dotted_names() -> None:
    assert kind_of("model.optimizer.lr") is Kind.RATE and kind_of("module.net.hidden_dim") is Kind.WIDTH
