"""A user's folder may hold modules of any name: none hides ours, and ours hide none."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "engine" / "hpo_engine"
NAMES = sorted(
    {path.stem for path in PACKAGE.rglob("*.py")} - {"__init__", "__main__"} | {"engine", "trainees", "tests"}
)
FOLDERS = ("engine", "trainees", "space", "study", "executors")
# What the standard library and the searcher's own imports need would be hidden from any program.
STANDARD = {name for name in NAMES if name in sys.stdlib_module_names} | {"click", "rich", "numpy", "yaml"}
PLUGIN = """\
from climbing import start
from hpo_engine.searchers.random import Random


class Climb(Random):
    assert start == "own climbing"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    here = tmp_path / "own"
    here.mkdir()
    names = [name for name in NAMES if name not in STANDARD]
    for name in names:
        path = here / (f"{name}/__init__.py" if name in FOLDERS else f"{name}.py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"mine = {name!r}\n")
    (here / "climbing.py").write_text("start = 'own climbing'\n")
    (here / "climb.py").write_text(PLUGIN)
    imports = "".join(f"import {name}\nassert {name}.mine == {name!r}\n" for name in names)
    (here / "train.py").write_text(
        f"import json, os, sys\n{imports}"
        "x = json.load(open('config.json'))['x']\n"
        "json.dump([{'step': 1, 'loss': x}], open(os.environ['RESULT_DIR'] + '/val_dict_list.json', 'w'))\n"
    )
    return here


@pytest.mark.parametrize("algorithm", ["random", "tpe", "climb.py:Climb"])
@pytest.mark.parametrize("preload", ["auto", "off"])
def test_folder_full_of_our_names_runs(folder: Path, preload: str, algorithm: str) -> None:
    (folder / "algo.yaml").write_text(
        f"command: {sys.executable} train.py\nobjective: minimize loss\nspace: {{x: {{float: [0.0, 1.0]}}}}\n"
        f"trials: 2\nalgorithm: {algorithm}\ntrial: {{preload: {preload!r}}}\n"
    )
    program = shutil.which("hpo-engine", path=str(Path(sys.executable).parent))
    assert program is not None
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": ".", "HOME": str(folder.parent)}
    done = subprocess.run([program, "submit", "algo.yaml"], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no preload" not in done.stderr
    shown = subprocess.run([program, "show", "own", "--json"], cwd=folder, env=env, capture_output=True, text=True)
    assert shown.returncode == 0 and '"completed": 2' in shown.stdout, shown.stdout + shown.stderr
