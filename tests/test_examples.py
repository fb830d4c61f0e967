"""Every example's study file, through the real engine: a few trials each, all of them good."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.support import command

ROOT = Path(__file__).parents[1]
FILES = sorted(p for p in (ROOT / "examples").glob("*/algo*.*"))
NEEDS = {"algo-node.yaml": "node", "algo-c.yaml": "cc"}


def test_all_examples_are_here() -> None:
    names = {"digits", "wmla_script", "any-language", "sklearn_cv", "hyperband", "two_objectives"}
    assert {p.parent.name for p in FILES} == names
    assert len(FILES) == 9


@pytest.mark.parametrize("file", FILES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_example_runs(file: Path, tmp_path: Path) -> None:
    if (program := NEEDS.get(file.name)) and shutil.which(program) is None:
        pytest.skip(f"{program} is not on this machine")
    argv = ["submit", str(file), "--root", str(tmp_path), "--trials", "2", "--json"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = command.run(*argv, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["state"] == "finished" and result["counts"] == {"completed": 2}
    assert result["best"] is not None and result["best"]["params"]
    trial = tmp_path / result["study"] / "results" / str(result["best"]["trial"])
    assert json.loads((trial / "config.json").read_text()) == result["best"]["params"]
