"""init, then submit with nothing edited, on unchanged scripts of many manners: they run, and their parameters arrive."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.shell import Shell

SCRIPTS = Path(__file__).parents[1] / "data/scripts"
NEEDS = {"tyro_agent.py": "tyro tensorboard", "fire_trainer.py": "fire", "typer_trainer.py": "typer",
         "absl_trainer.py": "absl", "hf_trainer.py": "transformers", "optuna_study.py": "optuna"}  # fmt: skip
ALWAYS = ("mnist_style.py", "pipeline.sh")
PYTHON = """\
import atexit, os, sys
def note():
    if os.path.isdir(os.environ.get("RESULT_DIR", "")):
        with open(os.path.join(os.environ["RESULT_DIR"], "words.txt"), "w") as file:
            file.write("\\n".join(sys.argv))
        with open(os.path.join(os.environ["RESULT_DIR"], "variables.txt"), "w") as file:
            file.write("\\n".join(f"{name}={value}" for name, value in os.environ.items()))
atexit.register(note)
"""
BASH = """\
#!/bin/sh
printf '%s\\n' "$@" >"$RESULT_DIR/words.txt"
env >"$RESULT_DIR/variables.txt"
exec {program} "$@"
"""


@pytest.mark.by_default("mnist_style.py")
@pytest.mark.parametrize(
    "name",
    [pytest.param(path.name, marks=() if path.name in ALWAYS else pytest.mark.slow)
     for path in sorted(SCRIPTS.iterdir()) if path.suffix in (".py", ".sh")],
)  # fmt: skip
def test_it_runs_as_it_is_and_every_parameter_arrives(shell: Shell, name: str, tmp_path: Path) -> None:
    for module in NEEDS.get(name, "").split():
        pytest.importorskip(module)
    (shell.folder / "algo.yaml").unlink()
    for path in SCRIPTS.iterdir():
        if path.name in (name, "corpus.txt"):
            shutil.copy(path, shell.folder)
    _record_words(tmp_path / "bin", shell)
    before = hashlib.sha256((shell.folder / name).read_bytes()).digest()
    shell.run("init", name)
    assert shell.json("submit", "algo.yaml", "--trials", "2", "--parallel", "2")["counts"] == {"completed": 2}
    assert hashlib.sha256((shell.folder / name).read_bytes()).digest() == before
    trials = sorted(shell.folder.glob("hpo-runs/**/config.json"))
    assert len(trials) == 2
    for config in trials:
        _arrived(json.loads(config.read_text()), config.parent, name)


def _record_words(folder: Path, shell: Shell) -> None:
    """Scripts leave the words and variables that they were given."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(PYTHON)
    (folder / "bash").write_text(BASH.format(program=shutil.which("bash") or "bash"))
    (folder / "bash").chmod(0o755)
    for name in ("PATH", "PYTHONPATH"):
        shell.env[name] = f"{folder}{os.pathsep}{shell.env[name]}"


def _arrived(config: dict[str, Any], folder: Path, name: str) -> None:
    words = (folder / "words.txt").read_text().splitlines()
    values = [line.partition("=")[2] for line in (folder / "variables.txt").read_text().splitlines()]
    for parameter, value in config.items():
        if name == "optuna_study.py":  # reads config.json
            continue
        if isinstance(value, bool):
            flag = parameter.rpartition(".")[2]
            spellings = {f"--{flag}", f"--{parameter}", f"--{parameter}".replace("_", "-")}
            assert bool(spellings & set(words)) is value or f"{value}".lower() in words, (parameter, value, words)
        else:
            text = value if isinstance(value, str) else json.dumps(value)
            assert text in words or text in values, (parameter, value, words)
