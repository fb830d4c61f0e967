"""The starter file: it parses, its commented lines parse too, and its guesses follow the script."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine.contract.placing import Placed
from hpo_engine.errors import SpecError
from hpo_engine.study.spec import StudySpec
from hpo_engine.studyfile import native
from hpo_engine.studyfile.document import read_document
from hpo_engine.studyfile.starter import find
from hpo_engine.studyfile.starter import starter as write
from hpo_engine.studyfile.starter.interface import Parameter
from hpo_engine.studyfile.starter.ranges import propose
from tests.support.examples import some

SCRIPT = """\
import json, os

with open("config.json") as f:
    config = json.load(f)

lr = config["lr"]
momentum = config.get("momentum", 0.9)
hidden = int(config.get("hidden", 64))
dropout = float(config["dropout"])
layers = config.get("layers", 3)
rounds = config.get("rounds", 300)
wide = config.get("wide", True)
scale = config.get("scale", 2.0)
shift = config.get("shift", -4)
noise = config.get("noise", 0.0)
weight_decay = config.get("weight_decay", 1e-4)
optimizer = config.get("optimizer", "adamw")
path = config.get("path", "x y: #z")
if config["kind"] == "tree" or config["kind"] in ("net", "svm"):
    pass
for epoch in range(config.get("epochs", 5)):
    rows.append({"step": epoch, "train_loss": 1.0, "val_loss": 0.5, "accuracy": 0.9})
json.dump(rows, open(os.environ["RESULT_DIR"] + "/val_dict_list.json", "w"))
"""


def starter(path: str, script: str) -> str:
    return write(find(path, script))


def remarks(path: str, script: str) -> list[str]:
    return list(find(path, script).remarks)


def data(script: str = SCRIPT, path: str = "train.py") -> Any:
    return read_document(starter(path, script), "algo.yaml").data


def params(path: str, script: str) -> dict[str, Any]:
    """Name -> default of what the script takes."""
    return {p.name: p.default for p in find(path, script).reading.parameters}


def parse(text: str, folder: Path) -> StudySpec:
    return native.parse(text, file="algo.yaml", base_dir=str(folder))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text(SCRIPT)
    return tmp_path


# -- a script that reads config.json ----------------------------------------------------------------------------------


def test_it_parses(folder: Path) -> None:
    study = parse(starter("train.py", SCRIPT), folder)
    assert (study.command, study.model_dir, study.seed) == (("python", "train.py"), str(folder), 1)
    assert (study.objectives[0].metric, study.objectives[0].goal) == ("val_loss", "minimize")
    assert study.budget.trials == 20


def test_proposals_follow_names_and_defaults() -> None:
    assert data()["space"] == {
        "lr": {"float": [0.0001, 0.1], "log": True},
        "momentum": {"float": [0.5, 0.99]},
        "hidden": {"power": 2, "int": [4, 8]},
        "dropout": {"float": [0, 0.5]},
        "layers": {"int": [1, 6]},
        "rounds": {"int": [75, 1200], "log": True},
        "wide": {"choice": [True, False]},
        "scale": {"float": [1.0, 4.0]},
        "shift": {"int": [-8, 0]},
        "noise": {"float": [0, 1]},
        "weight_decay": {"float": [1e-05, 0.001], "log": True},
        "optimizer": {"choice": ["adamw", "adam", "sgd"]},
        "path": "x y: #z",
        "kind": {"choice": ["tree", "net", "svm"]},
        "epochs": 5,
    }


def test_every_default_is_inside_its_range(folder: Path) -> None:
    space = parse(starter("train.py", SCRIPT), folder).space
    for name, default in params("train.py", SCRIPT).items():
        if default is not None and name != "hidden":
            point = {**space.decode([0.5] * len(space.dimensions)), name: default}
            assert space.problem_with(point) is None


def test_every_line_that_is_a_field_has_a_comment() -> None:
    for line in starter("train.py", SCRIPT).splitlines():
        assert line.count("#") or line in ("", "objective:"), line


def test_commented_lines_hold_when_uncommented(folder: Path) -> None:
    text = starter("train.py", SCRIPT)
    active = re.sub(r"(?m)^( *)# ((?:  )?[a-z_]+:.*)$", r"\1\2", text).replace("#   ", "  ")
    study = parse(active, folder)
    assert study.name == "my-study"
    assert study.objectives[0].over == "last"
    assert study.budget.time_s == 3600
    assert (study.trial.time_limit_s, study.trial.retries) == (600, 1)
    assert (study.resources.cpus, study.resources.gpus) == (2, 1)
    assert {"width"} <= set(study.space.names)
    assert study.extra_metrics == {"accuracy": "maximize"}
    assert study.env == {"OMP_NUM_THREADS": "1"}
    assert study.data_dir == str(folder)


# -- ways to read it --------------------------------------------------------------------------------------------------

READS = {
    "open in load": 'c = json.load(open("config.json"))\nc["a"]',
    "path object": 'c = json.loads(Path("config.json").read_text())\nc["a"]',
    "joined path": 'c = json.load(open(os.path.join(os.environ["RESULT_DIR"], "config.json")))\nc["a"]',
    "name in a constant": 'FILE = "config.json"\nwith open(FILE) as f:\n    c = json.load(f)\nc.get("a")',
    "handed to a function": 'def run(p):\n    return p["a"]\nc = json.load(open("config.json"))\nrun(c)',
    "into defaults": 'c = {"a": 2}\nwith open("config.json") as f:\n    c.update(json.load(f))',
    "merged": 'D = {"a": 2}\nc = {**D, **json.load(open("config.json"))}',
    "or-ed": 'D = {"a": 2}\nc = D | json.load(open("config.json"))',
    "helper": 'from hpo_trainees.report import config\nc = config({"a": 2})',
    "helper module": "from hpo_trainees import report\nc = report.config()\nc['a']",
    "set by hand": 'try:\n    c = json.load(open("config.json"))\nexcept OSError:\n    c = {}\nc["a"] = 2',
    "annotated": 'c: dict = json.load(open("config.json"))\nc["a"]',
    "not another file": 'r = json.load(open("other.json"))\nr["b"]\nc = json.load(open("config.json"))\nc["a"]',
}


@pytest.mark.parametrize("how", READS)
def test_ways_to_read_config(how: str) -> None:
    assert list(params("train.py", READS[how])) == ["a"]


def test_known_values_of_a_choice() -> None:
    text = """\
c = json.load(open("config.json"))
M = {"x": 1, "y": 2}
k = c["kind"]
M[c["model"]]
if k == "a": pass
elif k == "b": pass
"""
    assert data(text)["space"] == {"kind": {"choice": ["a", "b"]}, "model": {"choice": ["x", "y"]}}


def test_options_of_the_command_line() -> None:
    text = """\
parser.add_argument("--learning-rate", type=float, default=0.01)
parser.add_argument("-o", "--optim", choices=["adam", "sgd"], default="sgd")
parser.add_argument("--data-dir", default="/data")
parser.add_argument("--debug", action="store_true")
parser.add_argument("input")
"""
    assert data(text)["space"] == {
        "learning_rate": {"float": [0.001, 0.1], "log": True},
        "optim": {"choice": ["sgd", "adam"]},
    }
    assert data(text)["command"] == "python train.py INPUT {params:-}" and "config.json" not in starter(
        "train.py", text
    )
    assert remarks("train.py", text) == ["the script needs a word for INPUT in command."]
    assert "# Left alone: data_dir, debug" in starter("train.py", text)


@pytest.mark.parametrize(
    ("options", "command", "args"),
    [
        (("--lr", "--hidden_size"), "python train.py {params}", {}),
        (("--lr", "--hidden-size"), "python train.py {params:-}", {"lr": None, "hidden_size": None}),
        (("--lr", "--hidden-size", "--max_norm"), "python train.py {params:-}", {"max_norm": "--max_norm"}),
        (("-r", "--hidden_size"), "python train.py {params}", {"rate": "-r"}),
    ],
)
def test_options_of_the_command_line_are_written_as_the_script_calls_them(
    folder: Path, options: tuple[str, ...], command: str, args: dict[str, str | None]
) -> None:
    """With the values that argparse accepts: each trial of the study would be an error otherwise."""
    dest = {"-r": ', dest="rate"'}
    text = "".join(f'p.add_argument("{o}", type=float, default=1{dest.get(o, "")})\n' for o in options)
    text += 'p.add_argument("--epochs", type=int, default=3)\n'
    found = data(text)
    assert found["command"] == command
    assert {name: found["space"][name].get("arg") for name in args} == args
    assert all("float" in entry for name, entry in found["space"].items() if name != "epochs")
    spec = parse(starter("train.py", text), folder)
    words = Placed(spec, spec.command, spec.env).command(dict.fromkeys(spec.space.names, 1))
    assert sorted(word for word in words if word.startswith("-")) == sorted(options)
    assert re.search(r"(?m)^  # epochs: 3 +# how long it trains$", starter("train.py", text))


def test_command_in_quotes_has_its_placeholder_within_them() -> None:
    text = 'parser.add_argument("--lr", type=float, default=0.01)\n'
    assert yaml.safe_load(starter("my train.py", text))["command"] == "python 'my train.py' {params}"


def test_required_numbers_of_the_command_line_are_parameters() -> None:
    text = """\
parser.add_argument("--dropout", type=float, required=True)
parser.add_argument("--layers", type=int, required=True)
parser.add_argument("--max-steps", type=int)
parser.add_argument("--out", required=True)
"""
    assert data(text)["space"] == {"dropout": {"float": [0, 0.5]}, "layers": {"int": [1, 5]}}


def test_numbers_that_the_command_line_accepts_are_the_choices() -> None:
    text = 'parser.add_argument("--batch-size", type=int, default=32, choices=[16, 32, 64])\n'
    assert data(text)["space"] == {"batch_size": {"choice": [16, 32, 64]}}


ARGUMENTS = """\
import argparse, json
parser = argparse.ArgumentParser()
parser.add_argument("--optim", choices=["adam", "sgd"], default="sgd")
parser.add_argument("--batch-size", type=int, default=32)
parser.add_argument("--data-dir", default="/data")
values = vars(parser.parse_args())
config = json.load(open("config.json"))
lr = config.get("lr", 0.01)
"""
LR = {"float": [0.001, 0.1], "log": True}


def test_choices_of_the_command_line_hold_for_what_the_script_reads_from_config() -> None:
    text = ARGUMENTS + 'optim = config["optim"]\n'
    assert data(text)["space"] == {"lr": LR, "optim": {"choice": ["sgd", "adam"]}}
    assert "NOTE" not in starter("train.py", text)


@pytest.mark.parametrize(
    "merge",
    ["values.update(config)", "values = {**values, **config}", "values = dict(values, **config)",
     "for name, value in config.items():\n    values[name] = value"],
)  # fmt: skip
def test_options_that_config_replaces_are_parameters_too(merge: str) -> None:
    space = data(ARGUMENTS + merge + "\n")["space"]
    assert space["lr"] == LR and space["optim"] == {"choice": ["sgd", "adam"]} and "batch_size" in space
    assert "data_dir" not in space and "NOTE" not in starter("train.py", ARGUMENTS + merge)


def test_options_whose_defaults_are_config_are_parameters_without_a_note() -> None:
    text = 'parser.add_argument("--lr", type=float, default=0.01)\n'
    text += 'parser.set_defaults(**json.load(open("config.json")))\n'
    assert data(text)["space"] == {"lr": LR} and "NOTE" not in starter("train.py", text)


def test_script_that_reads_nothing_gets_a_note_and_an_example(folder: Path) -> None:
    text = starter("train.py", "print(1)")
    assert "NOTE: the script does not seem to read config.json yet" in text
    assert parse(text, folder).space.names == ("learning_rate",)
    assert "NOTE" not in starter("train.py", SCRIPT)


LIGHTNING = """\
import json
import lightning.pytorch as pl
config = json.load(open("config.json"))
class Module(pl.LightningModule):
    def training_step(self, batch, index):
        self.log("train_loss", 1.0)
        self.log("train_acc", 1.0, on_epoch=True)
        self.log("lr", config["lr"], on_epoch=False)
    def validation_step(self, batch, index):
        self.log("val_loss", 1.0)
"""


def test_the_logs_of_a_lightning_script_are_read() -> None:
    assert remarks("train.py", LIGHTNING) == []
    found = find("train.py", LIGHTNING).metrics
    assert (found.names, found.elsewhere) == (("train_acc", "val_loss"), "Lightning's logs")
    assert (
        find("train.py", LIGHTNING.replace("validation_step", "other")).metrics.names[0] == "train_loss"
    )  # a row an epoch
    assert remarks("train.py", SCRIPT) == []
    assert "hpo_trainees.report import config, report" in starter("train.py", SCRIPT)


def test_a_lightning_script_that_keeps_no_logs_is_told_how_it_reports() -> None:
    (note,) = remarks("train.py", LIGHTNING + "Trainer(logger=False, max_epochs=1)\n")
    assert "logger=False" in note and "callbacks=[ReportCallback()]" in note
    assert remarks("train.py", LIGHTNING + "Trainer(logger=False)\nTrainer()\n") == []


def test_a_lightning_script_that_reports_is_told_what_it_reports_not() -> None:
    reporting = LIGHTNING.replace("config = ", "calls = [ReportCallback()]; config = ")
    assert remarks("train.py", reporting) == [
        "train_loss, lr: logged for single batches only; to report it for each epoch: self.log(..., on_epoch=True).",
    ]
    assert "NOTE: train_loss, lr: logged for single" in starter("train.py", reporting)


# -- metrics ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "metric", "goal"),
    [
        ('rows.append({"epoch": 1, "accuracy": a, "loss": b})', "loss", "minimize"),
        ('rows.append({"steps": 1, "val_acc": a})', "val_acc", "maximize"),
        ('json.dump([{"rmse": 1}], f)', "rmse", "minimize"),
        ('metrics.record("test", 1, {"f1": 1})', "f1", "maximize"),
        ("from hpo_trainees.report import report\nreport(step=1, auc=0.5)", "auc", "maximize"),
        ('self.log("val_loss", x)\nself.log("val_acc", y)', "val_loss", "minimize"),
        ('rows.append({"name": 1, "perplexity": 2})', "perplexity", "minimize"),
        ("print(1)", "loss", "minimize"),
        ("this is (no Python", "loss", "minimize"),
        ('broken = (\nrows = [{"val_loss": 1}]', "val_loss", "minimize"),
    ],
)
def test_metric(text: str, metric: str, goal: str) -> None:
    assert data(text)["objective"] == {"metric": metric, "goal": goal}


# -- other languages --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "folder", "command"),
    [
        ("train.py", None, "python train.py"),
        ("src/train.py", None, "python src/train.py"),
        ("./train.py", None, "python train.py"),
        ("run.sh", None, "sh run.sh"),
        ("train.js", None, "node train.js"),
        ("train.mjs", None, "node train.mjs"),
        ("train", None, "./train"),
        ("bin/train", None, "bin/train"),
        ("my train.py", None, "python 'my train.py'"),
        ("it's: #1.py", None, "python 'it'\"'\"'s: #1.py'"),
        ("/abs/x/train.py", "/abs/x", "python train.py"),
        ("../x/train.py", "../x", "python train.py"),
        ("null", None, "./null"),
    ],
)
def test_command(path: str, folder: str | None, command: str) -> None:
    found = data("", path)
    assert (found.get("model_dir"), found["command"]) == (folder, command)


def test_javascript() -> None:
    text = """\
const config = JSON.parse(fs.readFileSync("config.json", "utf8"));
const rate = config.learning_rate, { x } = config;
const h = config["hidden"];
config.layers.forEach(f); Object.keys(config);
rows.push({ step: epoch, rmse: Math.sqrt(s), train_rmse });
"""
    found = data(text, "train.js")
    assert list(found["space"]) == ["learning_rate", "hidden", "layers"]
    assert found["objective"] == {"metric": "rmse", "goal": "minimize"}


def test_shell() -> None:
    found = data('printf \'[{"step": 1, "accuracy": %s}]\' "$acc" >"$RESULT_DIR/val_dict_list.json"', "run.sh")
    assert found["objective"] == {"metric": "accuracy", "goal": "maximize"}


@pytest.mark.parametrize(
    "script", sorted(Path(__file__).parents[2].glob("examples/*/train.*")), ids=lambda p: p.parent.name
)
def test_examples(script: Path) -> None:
    parse_text(starter(script.name, script.read_text()), str(script.parent))


# -- anything ---------------------------------------------------------------------------------------------------------


def parse_text(text: str, folder: str = "/") -> None:
    """The text is a study file, but for its command, which need not be there."""
    document = read_document(text, "algo.yaml")
    document.data["command"] = "cat"
    document.data.pop("model_dir", None)
    native.parse_document(document, base_dir=folder)


literals = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
    st.sampled_from([10**4000, "\ud800", "\0", "x" * 5000, 5e-324, 1e300, -0.0, 2**63, 1j, b"x", [1], "a: b", "null"]),
)  # fmt: skip
names = st.text(max_size=8) | st.sampled_from(
    ["lr", "optimizer", "epochs", "é", "e\u0301", "\ud800", "null", "a: b", "x" * 300]
)


@given(st.lists(st.tuples(names, literals), max_size=6), st.sampled_from(["get", "==", "option", "append", "float"]))
@settings(max_examples=some(100))
def test_any_names_and_defaults_make_a_study(pairs: list[tuple[str, Any]], how: str) -> None:
    lines = ['config = json.load(open("config.json"))']
    for name, value in pairs:
        lines += {
            "get": [f"config.get({name!a}, {_source(value)})"],
            "float": [f"float(config[{name!a}])", f"int(config.get({name!a}, {_source(value)}))"],
            "==": [f"config[{name!a}] == {_source(value)}", f"config[{name!a}] in [{_source(value)}, 'b']"],
            "option": [f"add_argument({'--' + name!a}, default={_source(value)}, choices=[{_source(value)}, 3])"],
            "append": [f"rows.append({{{name!a}: {_source(value)}}})"],
        }[how]
    parse_text(starter("train.py", "\n".join(lines)))


@pytest.mark.parametrize(
    "value", ["'\\ud800'", "'\\0'", "1e999", "-1e999", "'x' * 3", "1j", "[1]", "'" + "x" * 101 + "'"]
)
def test_defaults_that_no_study_can_hold_are_left_out(value: str) -> None:
    text = f'config = json.load(open("config.json"))\nconfig.get("a", {value})'
    assert params("train.py", text) == {"a": None}
    parse_text(starter("train.py", text))


def _source(value: Any) -> str:
    if isinstance(value, int) and value > 2**100:
        return "1" + "0" * 4000
    return {"inf": "1e999", "-inf": "-1e999", "nan": "None"}.get(repr(value), ascii(value))


@given(st.text(max_size=80), st.sampled_from([".py", ".sh", ".js", ".R", ""]))
@settings(max_examples=some(60))
def test_any_text_makes_a_study(text: str, suffix: str) -> None:
    parse_text(starter(f"train{suffix}", text))


@given(st.text(min_size=1, max_size=20))
@settings(max_examples=some(60))
def test_any_path_makes_a_study_or_is_refused(path: str) -> None:
    try:
        text = starter(path, SCRIPT)
    except SpecError as error:
        assert "not UTF-8" in str(error)
        return
    if "\0" not in path:
        parse_text(text)


@pytest.mark.by_default("x.py-4")
@pytest.mark.parametrize(
    "text",
    ["(" * 100_000, "[" * 5_000 + "]" * 5_000, "x = " + "-" * 100_000 + "1", "x = " + "9" * 100_000, "a.b" * 200_000,
     'config = "config.json"\n' * 20_000, '"a":' * 100_000, "push({" * 100_000, "config.json" * 50_000, "\0",
     "import a\n" + "a.b(c, d='e')\n" * 2_000],
    ids=range(11),
)  # fmt: skip
@pytest.mark.parametrize("path", ["x.py", "x.js"])
def test_hostile_script_costs_little(text: str, path: str) -> None:
    begin = time.process_time()
    parse_text(starter(path, text))
    assert time.process_time() - begin < 60  # what grows out of hand takes minutes


def test_a_proposal_never_leaves_the_numbers() -> None:
    for default in (1e-323, 1e-190, 1e190, 1e300, -1e300, 2**40 - 1, 2**40, 2**62, -(2**62), 0, 1, 7, 8, -1):
        for name in ("lr", "x", "dropout", "batch_size"):
            entry, _ = propose(Parameter(name, default))
            native.parse(
                f"command: cat\nobjective: min x\nspace: {{a: {entry}}}".replace("'", '"').replace("True", "true"),
                file="x", base_dir="/",
            )  # fmt: skip


PRINTS = """\
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--max-steps", type=int)
args = parser.parse_args()
for epoch in range(3):
    {line}
"""


@pytest.mark.parametrize(
    "line",
    [
        'print(f"Epoch {epoch}: lr={args.lr} val_loss={1 / args.lr:.3f}")',
        'print("val_loss: %.3f" % (1 / args.lr))',
        'print("epoch {} val_loss = {:.4f}".format(epoch, 1 / args.lr))',
        'logger.info(f"val_loss: {1 / args.lr}")',
    ],
)
def test_metrics_that_are_only_printed_are_read_in_the_output(line: str) -> None:
    document = yaml.safe_load(starter("train.py", PRINTS.format(line=line)))
    assert "results" not in document and document["objective"]["metric"] == "val_loss"
    assert document["command"].startswith("python train.py {params") and list(document["space"]) == ["lr"]


def test_what_is_printed_beside_a_file_of_metrics_does_not_count() -> None:
    text = (
        PRINTS.format(line='print(f"time={1}")')
        + 'json.dump([{"step": 1, "loss": 1}], open("val_dict_list.json", "w"))\n'
    )
    document = yaml.safe_load(starter("train.py", text))
    assert "results" not in document and document["objective"]["metric"] == "loss"


OPTIONS = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--lr', type=float, default=0.1)\na = p.parse_args()\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pickle.dump(model, open('model.pkl', 'wb'))\n", "No metrics were found in it: it has to print them"),
        ("wandb.log({'val_loss': 1})\n", "its metrics cannot be read yet (see the NOTE)"),
        ("out = csv.writer(f)\nout.writerow(['epoch', 'val_loss'])\n", "where it leaves them: a file of its own"),
        ("print(f'epoch {e}: val_loss={v}')\n", "read in what it prints"),
        ("json.dump([{'val_loss': 1}], open('val_dict_list.json', 'w'))\n", "metrics in val_dict_list.json"),
    ],
)
def test_the_head_says_where_the_metrics_of_the_script_are(text: str, said: str) -> None:
    head = starter("train.py", OPTIONS + text).partition("command:")[0]
    assert said in re.sub(r"\s*\n# *", " ", head)
    places = ("No metrics", "cannot be read", "where it leaves", "what it prints", "val_dict_list.json")
    assert sum(place in head.replace("\n# ", " ") for place in places) == 1


def test_the_comments_stand_in_one_column() -> None:
    fixed = [line for line in starter("train.py", OPTIONS).splitlines() if " # " in line[10:]]
    assert len(fixed) > 15 and {line.index(" # ", 10) for line in fixed} == {42}


def test_a_metric_of_the_test_is_chosen_only_without_one_of_the_validation() -> None:
    test, validation = "print(f'test_acc={a}')\n", "print(f'val_acc={a}')\n"
    assert find("train.py", test + validation).metrics.objective == "val_acc"
    assert find("train.py", test + "print(f'acc={a}')\n").metrics.objective == "test_acc"


@pytest.mark.parametrize("option", ["ckpt_path", "resume", "resume_from_checkpoint", "checkpoint", "load_from"])
def test_a_script_with_a_length_and_a_checkpoint_is_shown_how_its_best_trials_go_on(option: str) -> None:
    script = f"""\
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.01)
parser.add_argument("--epochs", type=int, default=27)
parser.add_argument("--{option}")
args = parser.parse_args()
for epoch in range(args.epochs):
    print(f"epoch {{epoch}} val_loss {{1.0}}")
"""
    text = starter("train.py", script)
    assert "\n# resource: {name: epochs, max: 27}" in text
    assert f"\n# (for that, add to command: --{option} {{resume_from}})\n" in text
    without = starter("train.py", script.replace(f'parser.add_argument("--{option}")\n', ""))
    assert "# resource: " in without and "resume_from" not in without
    assert "# resource: " not in starter("train.py", "import json\nprint(json.load(open('config.json'))['lr'])\n")
