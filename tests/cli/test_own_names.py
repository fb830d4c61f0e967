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


@pytest.mark.by_default("climb.py")
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


OTHERS = ("random", "json", "logging", "signal", "hpo_engine", "click", "numpy", "yaml", "pydantic", "subprocess")


@pytest.mark.by_default("module")
@pytest.mark.parametrize("start", ["script", "module"])
def test_modules_named_as_the_engine_s_own_imports_hide_none_of_them(tmp_path: Path, start: str) -> None:
    here = tmp_path / "own"
    here.mkdir()
    names = [name for name in OTHERS if start == "script" or name != "hpo_engine"]  # -m runs what it finds first
    for name in names:
        (here / f"{name}.py").write_text(f"mine = {name!r}\n")
    (here / "train.py").write_text(
        f"import os\nimport {', '.join(names)}\n"
        "assert random.mine == 'random' and os.environ['PYTHONPATH'] == '.'\n"
        "with open(os.environ['RESULT_DIR'] + '/val_dict_list.json', 'w') as file:\n"
        '    file.write(\'[{"step": 1, "loss": 1.0}]\')\n'
    )
    (here / "algo.yaml").write_text(
        "command: python train.py\nobjective: minimize loss\nspace: {x: {float: [0.0, 1.0]}}\ntrials: 2\n"
    )
    program = shutil.which("hpo-engine", path=str(Path(sys.executable).parent))
    assert program is not None
    argv = [program] if start == "script" else [sys.executable, "-m", "hpo_engine"]
    env = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONPATH": ".", "HOME": str(tmp_path)}
    done = subprocess.run([*argv, "submit", "algo.yaml"], cwd=here, env=env, capture_output=True, text=True)
    assert done.returncode == 0 and "2 completed" in done.stdout, done.stdout + done.stderr
    done = subprocess.run([*argv, "resume", "own", "--trials", "3", "--detach"], cwd=here, env=env, text=True)
    assert done.returncode == 0
    done = subprocess.run([*argv, "watch", "own"], cwd=here, env=env, capture_output=True, text=True)
    assert "3 completed" in done.stdout, done.stdout + done.stderr


def test_the_module_is_called_as_the_console_script(tmp_path: Path) -> None:
    for module in ("hpo_engine", "hpo_engine.cli"):
        argv = [sys.executable, "-m", module, "best"]
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 2
        assert done.stderr == "hpo-engine: Missing argument 'STUDY'. (see hpo-engine best --help)\n"
