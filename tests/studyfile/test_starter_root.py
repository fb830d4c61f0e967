"""The folder that trials run in, and what of it they do not need."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hpo_engine.studyfile.starter import look
from hpo_engine.studyfile.starter.leftovers import leftovers
from hpo_engine.studyfile.starter.root import from_root, root_of


def made(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_text("x")


@pytest.mark.parametrize(
    ("there", "script", "code", "here", "root", "why"),
    [
        ([".git/"], "src/train.py", "", "", "", "it is the project's folder"),
        ([], "src/train.py", "", "", "src", ""),
        (["src/train/a.csv", "pyproject.toml"], "src/train.py", 'open("train/a.csv")', "", "src", ""),
        (["data/a.csv"], "src/train.py", 'open("data/a.csv")', "", "", "the script reads data/a.csv from here"),
        ([], "keras/train.py", "import keras\nfrom keras.layers import Dense", "keras", "keras", ""),  # a namesake
        (["own/net.py"], "own/train.py", "from own import net", "own", "", "the script imports own from it"),
        (["keras/layers.py"], "keras/train.py", "import keras.layers", "keras", "", "the script imports keras from it"),
        ([".git/"], "exp/train.py", "", "exp", "exp", ""),  # where the user is
        (["nets/net.py"], "src/train.py", "from nets.net import Net", "src", "", "the script imports nets from it"),
        (["nets/net.py", "src/nets.py"], "src/train.py", "from nets.net import Net", "src", "src", ""),
        (["json/x.py"], "src/train.py", "import json", "", "src", ""),
        (
            [],
            "src/train.py",
            '@hydra.main(config_path="../conf")\ndef f(): 0',
            "src",
            "",
            "its configurations are in ../conf",
        ),
        ([".project-root"], "a/b/train.py", "rootutils.setup_root(__file__)", "a/b", "", "the script looks for it"),
        (
            [],
            "a/b/train.py",
            "R = Path(__file__).resolve().parent.parent",
            "a/b",
            "a",
            "the script names files from there",
        ),
        ([], "a/b/train.py", "R = Path(__file__).parents[2]", "a", "", "the script names files from there"),
        (["requirements.txt"], "a/scripts/train.py", "", "elsewhere", "", "it is the project's folder"),
        (["requirements.txt"], "a/train.py", "", "elsewhere", "a", ""),
    ],
)
def test_the_folder_that_trials_run_in(
    there: list[str], script: str, code: str, here: str, root: str, why: str, tmp_path: Path
) -> None:
    made(tmp_path, "elsewhere/", script, *there)
    found = root_of(str(tmp_path / script), code, os.path.normpath(tmp_path / here))
    assert (os.path.relpath(found.folder, tmp_path), found.why) == (root or ".", why)


@pytest.mark.parametrize(
    ("before", "needed"), [("", True), ("import sys; sys.path.append('..')\n", False), ("import rootutils\n", False)]
)
def test_python_is_told_of_a_folder_that_it_does_not_find(before: str, needed: bool, tmp_path: Path) -> None:
    made(tmp_path, "nets/net.py", "src/train.py")
    code = f"{before}from nets import net\n"
    assert root_of(str(tmp_path / "src/train.py"), code, str(tmp_path)).python_path == needed


def test_words_of_a_usual_run_name_the_same_files(tmp_path: Path) -> None:
    made(tmp_path, "conf/a.yaml", "src/b.yaml")
    here, root = str(tmp_path / "src"), str(tmp_path)
    assert from_root("../conf/a.yaml", here, root) == "conf/a.yaml"
    assert from_root("--config=b.yaml", here, root) == "--config=src/b.yaml"
    assert [from_root(w, here, root) for w in ("--lr=0.1", "fit", "", "/etc/hosts", "../../x")] == [
        "--lr=0.1", "fit", "", "/etc/hosts", "../../x",
    ]  # fmt: skip


def test_outputs_of_earlier_runs_are_left_out(tmp_path: Path) -> None:
    made(tmp_path, "train.py", "outputs/2026/a.log", "outputs/2026/b.log", "exp/checkpoints/last.ckpt", "data/a.csv")
    made(tmp_path, "results/code.py", "ckpt/start.pt", "weights/resnet.pt", "lightning_logs/version_0/metrics.csv")
    found = leftovers(str(tmp_path), ['torch.load("ckpt/start.pt")', "outputs/new.csv"])
    assert {one.pattern: (one.files, one.size) for one in found.found} == {
        "/outputs/*": (2, 2),
        "/exp/checkpoints/*": (1, 1),
    }


def test_a_study_file_elsewhere_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path, "p/nets/net.py", "p/src/", "p/outputs/a.bin", "q/")
    (tmp_path / "p/src/train.py").write_text("from nets import net\nlr = 0.1\n")
    monkeypatch.chdir(tmp_path)
    found, root = look("p/src/train.py", ("--x", "p/nets/net.py"), "q")
    assert (found.place, found.model_dir, root.folder) == ("src/train.py", "../p", str(tmp_path / "p"))
    assert found.script.arguments == ("--x", "nets/net.py") and found.python_path
    assert [one.pattern for one in found.leftovers.found] == ["/outputs/*"]
    found, root = look("p/src/train.py", (), None)
    assert (found.place, found.model_dir, root.folder) == ("src/train.py", "", str(tmp_path / "p"))
