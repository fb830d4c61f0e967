"""Every example's study file, through the real engine: a few trials each, all of them good, and no file is changed.

The examples of unchanged scripts run once more with two good points and two bad ones, preloaded and cold: the bad ones
would train for ever, and are ended while they do.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from hpo_engine.isolation import installed
from tests.support import command, made_up

EXAMPLES = Path(__file__).parents[1] / "examples"
FILES = sorted(str(path.relative_to(EXAMPLES)) for path in EXAMPLES.glob("*/algo*.*"))
PROGRAMS = {"any-language/algo-node.yaml": "node", "any-language/algo-c.yaml": "cc"}
MODULES = {
    "boosting/algo.yaml": ["lightgbm"],
    "boosting/algo-xgboost.yaml": ["xgboost"],
    "hf_trainer/algo.yaml": ["transformers", "accelerate"],
    "hydra_lightning/algo.yaml": ["hydra", "lightning"],
    "keras_csv/algo.yaml": ["keras", "torch"],
    "lightning_argparse/algo.yaml": ["lightning"],
    "lightning_resume/algo.yaml": ["lightning", "sklearn"],
    "lightning_cli/algo.yaml": ["jsonargparse", "lightning"],
    "lightning_any/algo.yaml": ["lightning", "sklearn"],
    "lightning_tune_cli/algo.yaml": ["jsonargparse", "lightning", "sklearn"],
    "lightning_cli/algo-config.yaml": ["jsonargparse", "lightning"],
    "parallel-monitoring/algo.yaml": ["lightning", "mlflow", "sklearn"],
    "parallel-monitoring-wandb/algo.yaml": ["lightning", "wandb"],
    "diabetes/algo.yaml": ["lightning", "sklearn"],
    "docstrings/algo.yaml": ["lightning"],
    "wmla_elastic/algo.yaml": ["torch", "sklearn"],
    "mnist/algo.yaml": ["torchvision"],
    "cifar10/algo.yaml": ["torchvision"],
}
READY = {"diabetes", "docstrings", "mnist", "cifar10"}  # studies of the modules that are installed, without a script
LONG = {"boosting/algo-xgboost.yaml", *(file for file in MODULES if not file.startswith("boosting"))}


class Proof(NamedTuple):
    """`length`: the parameter that says how long a trial trains: `short`, which is long enough for an engine to see it
    training, or `endless`; `good` and `bad`: points of the space; `more`: of the study file."""

    length: str
    short: int
    endless: int
    good: Mapping[str, Any]
    bad: Mapping[str, Any]
    more: Mapping[str, Any] = {}


PROOFS = {
    "click_printed/algo.yaml": Proof("epochs", 3000, 10**6, {"learning_rate": 0.01}, {"learning_rate": 1e-4}),
    "constants/algo.yaml": Proof(
        "epochs", 60, 10**6, {"gamma": 0.05}, {"gamma": 0.5, "alpha": 0.01}, {"files": {"train.py": {"EPOCHS": "epochs"}}}
    ),
    "boosting/algo.yaml": Proof("rounds", 800, 10**6, {"eta": 0.3}, {"eta": 0.01}),
    "boosting/algo-xgboost.yaml": Proof(
        "rounds", 800, 10**6, {"eta": 0.3}, {"eta": 0.01}, {"files": {"params.json": {"rounds": "rounds"}}}
    ),
    "shell_pipeline/algo.yaml": Proof(
        "folds", 40, 280, {"bandwidth": 1.0}, {"bandwidth": 10.0}, {"env": {"FOLDS": "{folds}"}}
    ),
    "keras_csv/algo.yaml": Proof(
        "epochs", 8, 10**4, {"learning_rate": 0.01}, {"learning_rate": 1e-4, "dropout": 0.5},
        {"files": {"conf/model.yaml": {"epochs": "epochs"}}},
    ),
    "lightning_argparse/algo.yaml": Proof("max_epochs", 8, 10**4, {"lr": 0.003}, {"lr": 1e-4}),
    **dict.fromkeys(
        ("lightning_cli/algo.yaml", "lightning_cli/algo-config.yaml"),
        Proof(
            "trainer.max_epochs", 8, 10**4,
            {"model.lr": 0.003, "model.optimizer": "adam"}, {"model.lr": 1e-4, "model.optimizer": "sgd"},
        ),
    ),
    "hydra_lightning/algo.yaml": Proof(
        "trainer.max_epochs", 8, 10**4, {"model.optimizer.lr": 0.01}, {"model.optimizer.lr": 1e-4}
    ),
    "hf_trainer/algo.yaml": Proof("num_train_epochs", 6, 10**4, {"learning_rate": 5e-3}, {"learning_rate": 1e-4}),
}  # fmt: skip


def cases(files: Mapping[str, Any] | list[str]) -> list[Any]:
    return [pytest.param(file, marks=pytest.mark.slow if file in LONG else ()) for file in files]


def skip_without_its_programs(file: str) -> None:
    if (program := PROGRAMS.get(file)) and shutil.which(program) is None:
        pytest.skip(f"{program} is not on this machine")
    for module in MODULES.get(file, ()):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")


def checksums(folder: Path) -> dict[str, str]:
    """Of all that a script or its user might change there."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def submitted(file: Path, root: Path, *options: str, **more: str) -> tuple[dict[str, Any], str]:
    """The result, and what else was printed. `more`: variables of the shell."""
    argv = ["submit", str(file), "--root", str(root), *options, "--json"]
    env = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent), **more}
    done = command.run(*argv, cwd=root, env=env, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def data_of_its_own(file: str, folder: Path) -> dict[str, str]:
    """Variables that lead the ready modules to a folder of the test, with made-up images for those that would download
    theirs, and requests to the plugins that they name."""
    if file.startswith("wmla_plugin/"):
        made: dict[str, Any] = {"taken": (), "now": 0.0, "load": lambda *_: None}
        installed.install(str(EXAMPLES / "wmla_plugin/draws"), "draws", str(folder / "algorithms"), **made)
        return {installed.FOLDER_VARIABLE: str(folder / "algorithms")}
    if file.partition("/")[0] not in READY:
        return {}
    data = folder / "data"
    if "torchvision" in MODULES[file]:
        made_up.lay_mnist(data)
        made_up.lay_cifar10(data)
        (folder / "site").mkdir()
        (folder / "site" / "sitecustomize.py").write_text(made_up.SITE)
    return {"DATA_DIR": str(data), "PYTHONPATH": f"{folder / 'site'}:{EXAMPLES.parent}"}


def test_all_examples_are_here() -> None:
    names = {
        "digits",
        "wmla_script",
        "wmla_elastic",
        "wmla_plugin",
        "any-language",
        "sklearn_cv",
        "hyperband",
        "two_objectives",
        "pbt_digits",
        "lightning_resume",
        "lightning_any",
        "lightning_tune_cli",
        "parallel-monitoring",
        "parallel-monitoring-wandb",
        *READY,
    }
    assert {file.partition("/")[0] for file in FILES} == names | {file.partition("/")[0] for file in PROOFS}
    assert {*MODULES, *PROOFS, *PROGRAMS} <= set(FILES) and len(FILES) == 22 + len(PROOFS)


@pytest.mark.by_default("[shell_pipeline/algo.yaml]", "[wmla_script/algo.json]")
@pytest.mark.parametrize("file", cases(FILES))
def test_example_runs(file: str, tmp_path: Path) -> None:
    skip_without_its_programs(file)
    folder = (EXAMPLES / file).parent
    before = checksums(folder)
    result, printed = submitted(EXAMPLES / file, tmp_path, "--trials", "2", **data_of_its_own(file, tmp_path))
    assert result["state"] == "finished" and result["counts"] == {"completed": 2}, printed
    assert result["best"] is not None and result["best"]["params"]
    trial = tmp_path / result["study"] / "results" / str(result["best"]["trial"])
    assert json.loads((trial / "config.json").read_text()) == result["best"]["params"]
    assert checksums(folder) == before


@pytest.mark.slow
def test_promoted_trials_of_hyperband_go_on(tmp_path: Path) -> None:
    result, said = submitted(EXAMPLES / "hyperband/algo.yaml", tmp_path, "--trials", "3")
    assert (result["trials"], result["runs"]) == (3, 4), "one is promoted from 9 to 27"
    assert "left last.ckpt: promoted trials go on from their newest checkpoint" in said
    folder = tmp_path / result["study"] / "results" / str(result["best"]["trial"])
    rows = json.loads((folder / "val_dict_list.json").read_text())
    assert [row["step"] for row in rows] == list(range(1, 28)) and result["best"]["params"]["epochs"] == 27


@pytest.mark.by_default("shell_pipeline")
@pytest.mark.parametrize("preload", ["auto", pytest.param("off", marks=pytest.mark.slow)])
@pytest.mark.parametrize("file", cases(PROOFS))
def test_unchanged_script_is_tuned_and_its_losers_are_ended_live(file: str, preload: str, tmp_path: Path) -> None:
    skip_without_its_programs(file)
    folder, proof = (EXAMPLES / file).parent, PROOFS[file]
    study = yaml.safe_load((EXAMPLES / file).read_text())
    study |= {
        "name": "proof",
        "model_dir": str(folder),
        "trials": 4,
        "parallel": 2,
        "time_limit": "4m",  # if something is wrong, nothing trains on after the test
        "early_stopping": {"rule": "rank", "min_rivals": 2, "keep": 0.6},  # the good ones never end each other
        "trial": {"preload": preload},
        "points": [
            *({proof.length: proof.short, **proof.good} for _ in range(2)),
            *({proof.length: proof.endless, **proof.bad} for _ in range(2)),
        ],
    }
    study["space"][proof.length] = {"choice": [proof.short, proof.endless]}
    study["env"] = {**study.get("env", {}), **proof.more.get("env", {})}
    for name, keys in proof.more.get("files", {}).items():
        study["files"][name].update(keys)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))

    before = checksums(folder)
    result, printed = submitted(tmp_path / "study.yaml", tmp_path)
    assert result["counts"] == {"completed": 2, "pruned": 2}, printed
    assert result["best"]["params"][proof.length] == proof.short
    assert checksums(folder) == before
    if preload == "auto" and "python" in study["command"]:
        assert "preload: " in printed and "no preload" not in printed


@pytest.mark.slow
@pytest.mark.parametrize("most", [3, 27])
def test_promoted_trials_of_a_lightning_script_train_each_epoch_once(most: int, tmp_path: Path) -> None:
    """By Lightning's own ModelCheckpoint and logger, in the script of the example as it is."""
    file = "lightning_resume/algo.yaml"
    skip_without_its_programs(file)
    study = yaml.safe_load((EXAMPLES / file).read_text())
    study |= {"name": "once", "model_dir": str((EXAMPLES / file).parent), "trials": most}
    study["resource"]["max"] = most
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    result, printed = submitted(tmp_path / "study.yaml", tmp_path)
    assert result["counts"] == {"completed": most}
    argv = ["show", "once", "--root", str(tmp_path), "--json"]
    amounts = Counter[int]()
    for trial in json.loads(command.run(*argv, cwd=tmp_path, env=dict(os.environ)).stdout)["trials"]:
        logs = tmp_path / "once" / "results" / str(trial["trial"]) / "lightning_logs"
        epochs = [int(row["epoch"]) for path in logs.glob("*/metrics.csv") for row in csv.DictReader(path.open())]
        assert sorted(epochs) == list(range(trial["params"]["max_epochs"])), "each epoch once, in whichever attempt"
        amounts[len(epochs)] += 1
    assert max(amounts) == most and min(amounts) == 1
    assert "promoted trials go on from their newest checkpoint" in printed
