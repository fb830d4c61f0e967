"""The public names: typed, described, cheap to import, and used as docs/python.md shows."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hpo_engine as hpo

ROOT = Path(__file__).parents[2]
NAMES = ("Optimizer", "Space", "Study", "choice", "constant", "float", "int", "run")
TRAIN = """\
import json
c = json.load(open("config.json"))
json.dump([{"step": i, "loss": (c["lr"] - 0.01) ** 2 + 1 / i} for i in (1, 2)], open("val_dict_list.json", "w"))
"""
USER = """\
import hpo_engine as hpo

space = hpo.Space(lr=hpo.float(1e-4, 0.1, log=True), act=hpo.choice(["a", "b"]), n=hpo.int(1, 3, when={"act": "a"}))
optimizer = hpo.Optimizer(space, "tpe", seed=1)
trial = optimizer.ask()
several = optimizer.ask(3)
optimizer.tell(trial, 0.5)
optimizer.tell(several[0].id, state="failed")
best = optimizer.best
value: float | None = None if best is None else best.value


async def follow(study: hpo.Study) -> list[int]:
    found = [trial.id async for trial in study.watch()]
    done: hpo.Study = await study
    return found + [one.id for one in done.front]


def start() -> hpo.Study:
    return hpo.run("algo.yaml", trials=3, wait=False).stop(kill=True).resume(wait=False)
"""


def test_an_import_loads_nothing_that_is_not_used() -> None:
    code = "import sys; before = set(sys.modules); import hpo_engine; print(*(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert set(loaded) <= {"hpo_engine", "typing", "__future__", "collections.abc", "re", "functools"} | {
        name for name in loaded if name.split(".")[0] in sys.stdlib_module_names
    }
    assert {name for name in loaded if name.startswith("hpo_engine")} == {"hpo_engine"}
    assert not {"asyncio", "json", "sqlite3", "importlib.metadata"} & set(loaded)


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_and_method_is_described(name: str) -> None:
    found = getattr(hpo, name)
    assert inspect.getdoc(found), name
    short = ("name", "space", "seed")  # their names say it
    if inspect.isclass(found):
        for attribute, member in vars(found).items():
            if not attribute.startswith("_") and attribute not in short:
                function = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
                assert inspect.getdoc(function), f"{name}.{attribute}"


@pytest.mark.slow
def test_a_user_s_script_is_typed(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "user.py").write_text(USER)
    argv = [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--follow-imports=silent", "user.py"]
    env = {**os.environ, "MYPYPATH": str(ROOT / "engine")}
    done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_the_manual_s_fragments_run_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(TRAIN)
    fragments = re.findall(r"```python\n(.*?)```", (ROOT / "docs/python.md").read_text(encoding="utf-8"), re.S)
    assert len(fragments) == 3
    for fragment in fragments:
        names: dict[str, object] = {}
        exec(fragment, names)
    study = hpo.Study.load("from-python")
    assert study.state == "finished" and len(study.trials) == 6
    assert json.loads(Path(study.trials[0].folder, "config.json").read_text())["epochs"] == 5
    (page,) = study.report(tmp_path / "report.html")
    assert "from-python" in page.read_text(encoding="utf-8")
