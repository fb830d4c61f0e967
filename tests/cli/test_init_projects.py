"""init and submit with nothing edited, on projects of several files: they train, nothing of them is changed."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
from pathlib import Path

import pytest

from tests.support.shell import Shell

PROJECTS = Path(__file__).parents[1] / "data" / "projects"
SLOW = pytest.mark.slow
ARGUMENTS = ("--", "--data", "data/line.csv", "--epochs", "4")


@pytest.mark.slow
@pytest.mark.by_default("source_folder")
@pytest.mark.parametrize(
    ("name", "script", "arguments", "parameters", "library"),
    [
        ("source_folder", "src/train.py", ARGUMENTS, 2, None),
        ("constants", "train.py", (), 5, None),
        pytest.param("toml_file", "run.py", (), 2, "tomlkit", marks=SLOW),
        pytest.param("omegaconf_cli", "train.py", (), 3, "omegaconf", marks=SLOW),
        pytest.param("hydra_groups", "train.py", (), 7, "hydra", marks=SLOW),
        pytest.param("yaml_option", "train.py", (), 5, "torch", marks=SLOW),
        pytest.param("lightning_cli", "main.py", (), 7, "jsonargparse", marks=SLOW),
        pytest.param(
            "hydra_lightning", "src/train.py", ("--", "trainer.max_epochs=2"), 6, "rootutils", marks=SLOW
        ),
    ],
)  # fmt: skip
def test_what_init_writes_trains(
    name: str, script: str, arguments: tuple[str, ...], parameters: int, library: str | None, shell: Shell
) -> None:
    if library is not None and importlib.util.find_spec(library) is None:
        pytest.skip(f"needs {library}")
    shutil.rmtree(shell.folder)
    shutil.copytree(PROJECTS / name, shell.folder)
    before = sums(shell.folder)
    shell.run("init", script, *arguments)
    shell.run("submit", "algo.yaml", "--name", "my-study", "--trials", "2")
    trials = shell.json("show", "my-study")["trials"]
    assert [t["state"] for t in trials] == ["completed"] * 2
    searched = {key for trial in trials for key in trial["params"]}
    assert len(searched) == parameters
    values = [trial["value"] for trial in trials]
    assert values[0] != values[1], "what a trial is given changes its result"
    assert {name: one for name, one in sums(shell.folder).items() if name in before} == before


def sums(folder: Path) -> dict[str, str]:
    """The checksums of a project's files."""
    files = [p for p in folder.rglob("*") if p.is_file() and "hpo-runs" not in p.parts and "__pycache__" not in p.parts]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
