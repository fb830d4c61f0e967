"""init on projects of several files: LightningCLI, Hydra. The projects are in tests/data/projects."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from hpo_engine.errors import SpecError
from hpo_engine.studyfile import native
from hpo_engine.studyfile.document import read_document
from hpo_engine.studyfile.starter import find, starter
from hpo_engine.studyfile.starter.hydraconf import Source, compose
from hpo_engine.studyfile.starter.interface import Project, Reading, Texts
from hpo_engine.studyfile.starter.kinds import Kind, kind_of
from hpo_engine.studyfile.starter.project import Folder
from hpo_engine.studyfile.starter.report import summary
from hpo_engine.studyfile.starter.searches import entry_of
from hpo_engine.studyfile.starter.trees import leaves, read_tree

PROJECTS = Path(__file__).parents[1] / "data" / "projects"


def project(name: str, place: str, *arguments: str) -> tuple[str, str, Project, tuple[str, ...]]:
    return place, (PROJECTS / name / place).read_text(), Folder(str(PROJECTS / name)), arguments


def data(place: str, text: str, files: Project, arguments: tuple[str, ...] = ()) -> Any:
    """The study file as data; it is a valid one."""
    made = starter(find(place, text, files, arguments))
    with TemporaryDirectory() as folder:
        copied(files, "", Path(folder))
        native.parse(made, file="algo.yaml", base_dir=folder)
    return read_document(made, "algo.yaml").data


def copied(files: Project, below: str, folder: Path) -> None:
    for name in files.list(below):
        path = f"{below}{name}"
        if name.endswith("/"):
            copied(files, path, folder)
        elif (text := files.read(path)) is not None:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)


def reading(texts: dict[str, str], place: str = "train.py", *arguments: str) -> Reading:
    return find(place, texts[place], Texts(texts), arguments).reading


def defaults(found: Reading) -> dict[str, Any]:
    """Of what a study would search, or could."""
    return {p.name: p.default for p in found.parameters if kind_of(p.name) is not Kind.FIXED}


# -- tune_main ---------------------------------------------------------------------------------------------------------


def test_tune_main_takes_what_its_classes_take_and_nothing_that_is_linked() -> None:
    example = Path(__file__).parents[2] / "examples" / "lightning_any"
    found = find("train.py", (example / "train.py").read_text(), Folder(str(example))).reading
    assert found.manner == "tune_main" and not any(p.option for p in found.parameters)
    names = [p.name for p in found.parameters]
    assert names == ["hidden", "dropout", "lr", "weight_decay", "batch_size", "val_share", "max_epochs"]


def test_what_stays_the_same_in_every_trial_is_not_said_to_be_searched() -> None:
    example = Path(__file__).parents[2] / "examples" / "lightning_any"
    said = list(summary(find("train.py", (example / "train.py").read_text(), Folder(str(example))), None))
    assert "  constant   max_epochs" in said
    assert not [line for line in said if line.startswith("  searched") and "max_epochs" in line]


# -- LightningCLI ------------------------------------------------------------------------------------------------------


def test_a_cli_takes_what_its_classes_take() -> None:
    found = data(*project("lightning_cli", "main.py"))
    assert found["command"] == "python main.py fit --config configs/fit.yaml {params:--name=value}"
    assert found["space"] == {
        "model.hidden_dim": {"int": [8, 64], "log": True},  # its docstring says 8-128
        "model.dropout": {"float": [0, 0.5]},
        "model.lr": {"float": [0.001, 0.1], "log": True},
        "model.weight_decay": {"float": [1e-05, 0.001], "log": True},
        "model.activation": {"choice": ["relu", "tanh"]},
        "model.layer_norm": {"choice": [True, False]},
        "data.batch_size": {"power": 2, "int": [2, 6]},
    }


def test_a_cli_without_classes_takes_those_of_its_configuration() -> None:
    found = data(*project("lightning_cli", "auto.py"))
    assert found["command"].startswith("python auto.py fit --config configs/auto.yaml --trainer.logger=CSVLogger ")
    assert {"model.init_args.lr", "data.init_args.batch_size", "optimizer.init_args.lr"} <= set(found["space"])


def test_the_arguments_of_a_usual_run_of_a_cli() -> None:
    words = ("fit", "--config", "configs/fit.yaml", "--model.lr=0.5", "--data.batch_size", "8", "--trainer.devices=1")
    found = find(*project("lightning_cli", "main.py", *words)).reading
    assert found.words == ("fit", "--config", "configs/fit.yaml", "--trainer.devices=1")
    assert (defaults(found)["model.lr"], defaults(found)["data.batch_size"]) == (0.5, 8)


CLI = """\
import torch
from lightning.pytorch.cli import LightningCLI
from net import Base

class Net(Base):
    def __init__(self, classes: int, momentum: float = 0.9, *, batch_size: int = 1, dropout: float = 0.1, **kwargs):
        \"\"\"dropout: a share in [0, 0.3]\"\"\"

class MyCLI(LightningCLI):
    def add_arguments_to_parser(self, parser):
        parser.add_optimizer_args(torch.optim.AdamW)
        parser.link_arguments("data.batch_size", "model.batch_size")
        parser.set_defaults({"model.momentum": 0.8})

def main():
    MyCLI(Net, trainer_defaults={"max_epochs": 7, "callbacks": [object()]}, run=False)
"""


def test_a_cli_of_its_own_class() -> None:
    net = "class Base:\n    def __init__(self, lr: float, hidden_dim: int = 8):\n        pass\n"
    found = reading({"train.py": CLI, "net.py": net})
    assert (found.manner, found.words) == ("LightningCLI", ())  # run=False: no subcommand
    assert defaults(found) == {
        "model.classes": None,
        "model.momentum": 0.8,
        "model.dropout": 0.1,
        "model.lr": None,
        "model.hidden_dim": 8,
        "optimizer.lr": 0.001,
        "optimizer.weight_decay": 0.01,
        "trainer.max_epochs": 7,
    }
    dropout = next(p for p in found.parameters if p.name == "model.dropout")
    assert (dropout.low, dropout.high) == (0, 0.3)
    assert [p.name for p in found.parameters if p.required] == ["model.classes", "model.lr"]


# -- Hydra ---------------------------------------------------------------------------------------------------------------


def test_a_hydra_project_takes_what_its_configuration_composes() -> None:
    found = data(*project("hydra_lightning", "src/train.py"))
    assert found["command"] == "python src/train.py logger=csv {params:name=value}"
    assert found["space"] == {
        "data.batch_size": {"choice": [32, 64, 128, 256]},  # as its hparams_search has it
        "model.optimizer.lr": {"float": [0.0001, 0.1], "log": True},
        "model.optimizer.weight_decay": {"choice": [0, 1e-05, 0.0001, 0.001, 0.01], "ordered": True},
        "model.net.lin1_size": {"choice": [64, 128, 256]},
        "model.net.lin2_size": {"power": 2, "int": [4, 8]},
        "model.net.dropout": {"float": [0, 0.5]},
    }


def test_the_arguments_of_a_usual_run_of_hydra() -> None:
    words = ("experiment=wide", "trainer.max_epochs=2", "model.net.dropout=0.3")
    found = find(*project("hydra_lightning", "src/train.py", *words)).reading
    assert found.words == ("experiment=wide", "trainer.max_epochs=2")  # which has a logger
    assert (defaults(found)["model.optimizer.lr"], defaults(found)["model.net.dropout"]) == (0.02, 0.3)


@pytest.mark.by_default(1)
@pytest.mark.parametrize("words", [[], ["experiment=wide"], ["logger=csv", "data.batch_size=7", "+data.new=3"]])
def test_it_composes_as_hydra_does(words: list[str]) -> None:
    hydra = pytest.importorskip("hydra")
    from omegaconf import OmegaConf

    folder = PROJECTS / "hydra_lightning" / "configs"
    with hydra.initialize_config_dir(str(folder), version_base="1.3"):
        wanted = OmegaConf.to_container(hydra.compose("train.yaml", overrides=words), resolve=False)
    view = Folder(str(folder))
    source = Source(view.read, lambda group: [n.rpartition(".")[0] for n in view.list(group)])
    found = compose(source, "train.yaml", words).tree
    found.pop("hydra")
    assert found == wanted


GROUPS = {
    "train.py": '@hydra.main(config_path="conf", config_name="config")\ndef main(cfg): pass\n',
    "conf/config.yaml": "defaults:\n  - optimizer: adam\n  - db/store@source: a\n  - _self_\nepochs: 3\nn_head: 6\nn_embd: 384\n",
    "conf/optimizer/adam.yaml": "lr: 1e-3\nbeta1: 0.9\n",
    "conf/optimizer/sgd.yaml": "lr: 0.1\nmomentum: 0.9\n",
    "conf/optimizer/unready.yaml": "lr: ???\n",
    "conf/db/store/a.yaml": "batch_size: 4\npath: ${oc.env:STORE}\n",
}


def test_a_group_of_optimizers_is_a_choice_with_conditions() -> None:
    found = reading(GROUPS)
    assert defaults(found) == {
        "optimizer": "adam",
        "optimizer.lr": 1e-3,
        "optimizer.beta1": 0.9,
        "optimizer.momentum": 0.9,
        "source.batch_size": 4,
        "epochs": 3,
        "n_head": 6,
        "n_embd": 384,
    }
    assert not {"n_head", "n_embd"} & set(data("train.py", GROUPS["train.py"], Texts(GROUPS))["space"])
    by_name = {p.name: p for p in found.parameters}
    assert by_name["optimizer"].choices == ("adam", "sgd")
    assert (by_name["optimizer.lr"].when, by_name["optimizer.momentum"].when) == (None, {"optimizer": "sgd"})
    assert by_name["optimizer.lr"].option == "optimizer.lr="
    assert by_name["optimizer.lr"].entry == {"float": [0.0001, 1.0], "log": True}  # about 0.001 and 0.1
    assert any("STORE" in note for note in found.notes)
    assert data("train.py", GROUPS["train.py"], Texts(GROUPS))["space"]["optimizer.momentum"]["when"] == {
        "optimizer": "sgd"
    }


def test_structured_configs_of_hydra() -> None:
    text = """\
@dataclass
class Adam:
    lr: float = 0.02
@dataclass
class Config:
    defaults: list = field(default_factory=lambda: DEFAULTS)
    batch_size: int = 8
    dropout: float = MISSING
    net: Adam = field(default_factory=Adam)
DEFAULTS = [{"optimizer": "adam"}, "_self_"]
cs = ConfigStore.instance()
cs.store(name="config", node=Config)
cs.store(group="optimizer", name="adam", node=Adam(lr=0.5))
@hydra.main(version_base=None, config_name="config")
def main(cfg): pass
"""
    found = reading({"train.py": text})
    assert defaults(found) == {"optimizer.lr": 0.5, "batch_size": 8, "net.lr": 0.02}
    assert any(note.startswith("dropout: without a value") for note in found.notes)


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("interval(0.1, 0.5)", {"float": [0.1, 0.5]}),
        ("interval(1e-4, 0.1)", {"float": [0.0001, 0.1], "log": True}),
        ("tag(log, interval(0.1, 0.5))", {"float": [0.1, 0.5], "log": True}),
        ("int(interval(1, 9))", {"int": [1, 9]}),
        ("choice(16, 32)", {"choice": [16, 32]}),
        ("adam,sgd", {"choice": ["adam", "sgd"]}),
        ("range(1, 5)", {"int": [1, 4]}),
        ("range(0, 9, 4)", {"int": [0, 8], "step": 4}),
        ("adam", None),
        ({"type": "float", "low": 0.1, "high": 1, "log": True}, {"float": [0.1, 1], "log": True}),
    ],
)
def test_searches_of_sweepers(text: Any, entry: Any) -> None:
    assert entry_of(text) == entry


# -- trees -----------------------------------------------------------------------------------------------------------------


def test_a_tree_of_aliases_without_an_end_is_none() -> None:
    bomb = "a: &a {x: 1}\n" + "".join(
        f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert read_tree("x.yaml", bomb) is None
    assert read_tree("x.yaml", "a: &a {b: *a}") is None
    assert read_tree("x.yaml", "a: !env X\nb: 1e-3\nc: {d: true}") == {"a": None, "b": "1e-3", "c": {"d": True}}
    assert dict(leaves({"b": "1e-3", "c": {"d": True, 5: 1}})) == {"b": 0.001, "c.d": True}


# -- metrics -----------------------------------------------------------------------------------------------------------


def test_what_a_configuration_watches_is_the_objective() -> None:
    found = find(*project("hydra_lightning", "src/train.py")).metrics
    assert (found.objective, found.goal) == ("val/acc_best", "maximize")  # optimized_metric of its hparams_search
    assert {"train/loss", "val/loss", "val/acc", "val/acc_best"} == set(found.names)  # of a module it names as _target_
    found = find(*project("lightning_cli", "main.py")).metrics
    assert (found.objective, found.goal, found.said) == ("val_acc", "maximize", True)  # its EarlyStopping
    assert set(found.names) == {"train_loss", "train_acc", "val_loss", "val_acc"}


MODULE = """\
class Net(LightningModule):
    def step(self, batch, stage):
        self.log(f"{stage}/loss", 1)
        self.log_dict({f"{stage}/f1": 1, "other": 2}, on_step=True, on_epoch=True)
        self.log(self.prefix + "unknown", 1)
    def training_step(self, batch, index):
        self.step(batch, "train")
    def validation_step(self, batch, index):
        self.step(batch, stage="val")
"""


@pytest.mark.parametrize(
    ("script", "metric", "goal", "names"),
    [
        ("", "val/loss", "minimize", ("train/loss", "val/loss", "train/f1_epoch", "val/f1_epoch", "other_epoch")),
        ("EarlyStopping('val/f1_epoch', mode='max')", "val/f1_epoch", "maximize", None),
        ("ModelCheckpoint(monitor='val/f1_epoch')", "val/f1_epoch", "maximize", None),
        ("ModelCheckpoint(monitor='a', mode='max'); EarlyStopping(monitor='b', mode='min')", "b", "minimize", None),
        ("TrainingArguments(metric_for_best_model='mae', greater_is_better=True)", "eval_mae", "maximize", None),
    ],
)
def test_metrics_of_imported_modules_and_what_is_watched(script: str, metric: str, goal: str, names: Any) -> None:
    text = f"import lightning\nfrom nets.net import Net\n{script}\n"
    found = find("train.py", text, Texts({"train.py": text, "nets/net.py": MODULE})).metrics
    assert (found.objective, found.goal) == (metric, goal)
    assert names is None or found.names == names


def test_metrics_of_other_writers() -> None:
    def of(text: str) -> tuple[str, str, str]:
        found = find("train.py", text).metrics
        return found.objective, found.goal, found.elsewhere

    board = 'def run(phase):\n  writer.add_scalar("Loss/" + phase, 1)\n  writer.add_scalar("Acc/val", 1)\n'
    assert of(board) == ("Loss/val", "minimize", "TensorBoard's event files")
    assert of('mlflow.log_metrics({"val_auc": 1})') == ("val_auc", "maximize", "MLflow")
    only = find("train.py", 'wandb.log({"val_loss": 1})')
    assert only.metrics.objective == "val_loss" and "Weights & Biases only" in only.remarks[-1]
    both = find("train.py", 'wandb.log({"val_loss": 1})\nprint(f"val_loss={x}")')
    assert both.metrics.printed and len(both.remarks) == 1


# -- files and constants -----------------------------------------------------------------------------------------------

YAML = "seed: 1\nmodel:\n  hidden: 32\n  name: mlp\noptimizer: {lr: 1e-3, min_lr: 1e-6}\nlogging: {interval: 5}\nepochs: 3\n"


@pytest.mark.parametrize(
    ("script", "arguments", "words"),
    [
        ('parser.add_argument("--config", type=str, default="conf/a.yaml")\nyaml.safe_load(open(args.config))', (), ()),
        (
            'parser.add_argument("--config")\nyaml.safe_load(f)',
            ("--config", "conf/a.yaml"),
            ("--config", "conf/a.yaml"),
        ),
        ("cfg = load_config(sys.argv[1])", ("conf/a.yaml",), ("conf/a.yaml",)),
        ('CONFIG = Path(__file__).parent / "conf/a.yaml"\nyaml.safe_load(CONFIG.read_text())', (), ()),
        ('parser.add_argument("--gpu")\nwith open("conf/a.yaml") as f:\n  yaml.load(f)', (), ()),
    ],
)
def test_a_file_that_the_script_reads_gets_the_values(script: str, arguments: tuple[str, ...], words: Any) -> None:
    texts = {"train.py": script, "conf/a.yaml": YAML}
    study = data("train.py", script, Texts(texts), arguments)
    assert study["command"] == " ".join(["python train.py", *words])
    assert study["files"] == {"conf/a.yaml": {"model.hidden": "model.hidden", "optimizer.lr": "optimizer.lr"}}
    assert study["space"] == {
        "model.hidden": {"power": 2, "int": [3, 7]},
        "optimizer.lr": {"float": [0.0001, 0.01], "log": True},
    }


def test_a_script_that_merges_its_command_line_into_its_file() -> None:
    script = 'cfg = OmegaConf.merge(OmegaConf.load("a.yaml"), OmegaConf.from_cli())'
    study = data("train.py", script, Texts({"train.py": script, "a.yaml": YAML}))
    assert study["command"] == "python train.py {params:name=value}" and "files" not in study
    assert "arg" not in study["space"]["optimizer.lr"]


@pytest.mark.parametrize("name", ["labels.json", "config.json"])
def test_files_that_hold_no_settings_are_left_alone(name: str) -> None:
    script = f'json.load(open("{name}"))'
    found = reading(
        {"train.py": script, name: '{"cat": 1, "dog": 2, "lr": 1}' if name == "config.json" else '{"a": 1}'}
    )
    assert not any(p.key for p in found.parameters)


def test_constants_of_a_script_and_of_what_it_imports() -> None:
    script = """\
import config
from nets import Net
LEARNING_RATE = 1e-3
batch_size: int = 64
EPOCHS = 5
SEED = 1
HIDDEN = 8
HIDDEN = 16
BETAS = (0.9, 0.999)
device = "cuda" if torch.cuda.is_available() else "cpu"
def main():
    momentum = 0.9
"""
    texts = {
        "train.py": script,
        "config.py": 'class Config:\n    dropout = 0.1\n    optimizer = "adam"\nPARAMS = {"weight_decay": 0.01}\n',
        "nets.py": "width = 8\nclass Net:\n    depth = 3\nMAX_DEPTH = 4\n",
    }
    study = data("train.py", script, Texts(texts))
    assert study["command"] == "python train.py"
    assert study["files"] == {
        "train.py": {"LEARNING_RATE": "learning_rate", "batch_size": "batch_size"},
        "config.py": {
            "Config.dropout": "dropout",
            "PARAMS.weight_decay": "weight_decay",
        },
        "nets.py": {"MAX_DEPTH": "max_depth"},
    }


def test_values_inside_of_functions_are_out_of_reach() -> None:
    found = find("train.py", "def main():\n    lr = 0.1\n    x = 3\n    batch_size = 4\nmain()\n")
    assert "lr, batch_size (line 2) are set inside of a function" in found.remarks[0]


OPTIONS = """\
parser.add_argument("folder")
parser.add_argument("--data", required=True)
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--batch-size", type=int, default=8)
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--amp", action="store_true")
print(f"loss={loss}")
"""


def test_the_arguments_of_a_usual_run_of_a_script_with_options() -> None:
    words = ("in {x}", "--data", "a b.csv", "--lr", "0.05", "--epochs=9", "--amp", "--batch-size", "64")
    study = data("train.py", OPTIONS, Texts({"train.py": OPTIONS}), words)
    assert study["command"].startswith("python train.py ") and study["command"].endswith(" {params:-}")
    assert study["space"]["lr"] == {"float": [0.005, 0.5], "log": True}
    assert study["space"]["batch_size"] == {"power": 2, "int": [4, 8]}
    assert shlex.split(study["command"])[2:-1] == ["--data", "a b.csv", "--epochs=9", "--amp", "in {{x}}"]


def test_a_config_json_of_the_projects_own() -> None:
    script = 'config = json.load(open("config.json"))\nmodel = Net(config["hidden"], config["name"])\n'
    flat = {"train.py": script, "config.json": '{"hidden": 16, "lr": 0.01, "name": "a", "noise": 0.5}'}
    study = data("train.py", script, Texts(flat))
    assert study["base_config"] == "config.json" and "files" not in study
    assert study["space"] == {"hidden": {"power": 2, "int": [2, 6]}, "lr": {"float": [0.001, 0.1], "log": True}}
    nested = {"train.py": script, "config.json": '{"model": {"hidden": 16}}'}
    assert "give the file another name" in find("train.py", script, Texts(nested)).remarks[0]


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("/scratch/runs", ("hydra.run.dir=outputs",)),
        ("${base}/x", ("hydra.run.dir=outputs",)),
        ("${oc.env:HOME}/x", ("hydra.run.dir=outputs",)),
        ("logs/${now:%Y}", ()),
        ("${oc.env:PROJECT_ROOT}/logs", ()),
    ],
)
def test_outputs_of_hydra_stay_with_the_trial(folder: str, words: tuple[str, ...]) -> None:
    texts = GROUPS | {"conf/config.yaml": f"lr: 0.1\nbase: /data\nhydra: {{run: {{dir: '{folder}'}}}}\n"}
    assert reading(texts).words == words


def test_the_arguments_of_a_script_with_constants_stay() -> None:
    script = "import sys\nLR = 0.1\nfrom data import load\nload(sys.argv[1])\n"
    study = data("train.py", script, Texts({"train.py": script}), ("a=1", "{x}"))
    assert shlex.split(study["command"]) == ["python", "train.py", "a=1", "{{x}}"]


def test_names_and_arguments_that_no_study_can_hold() -> None:
    long = "a" * 300
    texts = {
        "train.py": f'json.load(open("a.json"))\nLR = 0.1\nclass Config:\n    {long}_lr = 0.1\n',
        "a.json": f'{{"{long}": {{"lr": 0.1}}, "lr": 0.2, "o\\u0000": {{"lr": 1}}}}',
    }
    assert list(data("train.py", texts["train.py"], Texts(texts))["space"]) == ["lr"]
    with pytest.raises(SpecError, match="an argument of the script is not UTF-8 text"):
        starter(find("train.py", "x = 1", Texts({}), ("\udcff",)))


def test_a_text_of_one_long_word_is_read_in_time() -> None:
    began = time.process_time()
    find("train.py", "x = (" + "a" * 100_000, Texts({}))
    find("run.sh", "a" * 100_000, Texts({}))
    assert time.process_time() - began < 60  # 0.1 s; it was minutes
