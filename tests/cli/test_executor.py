"""The study file chooses what runs the trials."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.support import command
from tests.support.helpers import wait_until

PLUGIN = """\
from dataclasses import replace
from hpo_engine.executors.local.executor import LocalExecutor


class Marked(LocalExecutor):
    def __init__(self, context, *, mark: str = "none"):
        def bind(launch, *place):
            bound = context.bind(launch, *place)
            return replace(bound, argv=("env", f"MARK={mark}", *bound.argv))

        super().__init__(replace(context, bind=bind))


class NoExecutor:
    def __init__(self, context):
        pass
"""
SCRIPT = """\
import json, os, time
trial = os.path.basename(os.environ["RESULT_DIR"])
open(f"{os.environ['STARTED']}/{trial}-{os.environ['MARK']}", "x").close()
while not os.path.exists(f"{os.environ['STARTED']}/go"):
    time.sleep(0.02)
json.dump([{"step": 1, "loss": 1.0}], open(os.environ["RESULT_DIR"] + "/val_dict_list.json", "w"))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    here = tmp_path / "study"
    here.mkdir()
    (here / "marked.py").write_text(PLUGIN)
    (here / "train.py").write_text(SCRIPT)
    (tmp_path / "started").mkdir()  # not in the script's folder, of which each trial has a copy
    return here


def engine(*args: str, folder: Path) -> command.Command:
    return command.start(*args, "--root", "runs", cwd=folder, env=os.environ, stdout=command.PIPE, stderr=command.PIPE)


def write_study(folder: Path, executor: str) -> None:
    (folder / "algo.yaml").write_text(
        f"name: s\ncommand: python train.py\nobjective: minimize loss\nspace: {{x: {{float: [0.0, 1.0]}}}}\n"
        f"trials: 2\nenv: {{STARTED: {folder.parent}/started}}\nexecutor: {executor}\n"
    )


@pytest.mark.slow
def test_resume_takes_the_running_trial_over_with_the_same_executor(folder: Path) -> None:
    write_study(folder, "{name: marked.py:Marked, mark: mine}")
    first, started = engine("submit", "algo.yaml", folder=folder), folder.parent / "started"
    wait_until(lambda: (started / "0-mine").exists())
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    (started / "go").touch()
    out, err = engine("resume", "s", folder=folder).communicate()
    assert "2 completed" in out, out + err
    assert sorted(p.name for p in started.iterdir()) == ["0-mine", "1-mine", "go"]
    shown, _ = engine("show", "s", folder=folder).communicate()
    assert f"  runs on {folder}/marked.py:Marked\n" in shown


@pytest.mark.by_default(2)
@pytest.mark.parametrize(
    ("executor", "says"),
    [
        ("lcal", 'executor: no executor "lcal"; did you mean "local"?'),
        ("{name: local, nice: 3}", "executor.nice: is not an option of local"),
        ("{name: marked.py:Marked, mork: x}", 'marked.py:Marked; did you mean "mark"?'),
        ("marked.py:NoExecutor", "marked.py:NoExecutor is not an executor: it has no method free"),
        ("[local]", 'executor: must be a mapping, not ["local"]'),
        ("''", "executor.name: is empty"),
    ],
)
def test_wrong_executor_is_refused_before_anything_is_made(folder: Path, executor: str, says: str) -> None:
    write_study(folder, executor)
    done = engine("submit", "algo.yaml", folder=folder)
    _, err = done.communicate()
    assert done.returncode == 2 and err.startswith("hpo-engine: algo.yaml:7: ") and err.count("\n") == 1
    assert says in err and not (folder / "runs").exists()


def test_an_executor_of_this_machine_is_limited_by_it(folder: Path) -> None:
    write_study(folder, "marked.py:Marked\ntrial: {gpus: 1000}")
    done = engine("submit", "algo.yaml", folder=folder)
    _, err = done.communicate()
    assert done.returncode == 2 and err.startswith(
        "hpo-engine: algo.yaml:8: trial.gpus: 1000 per trial, but this machine"
    )
    assert not (folder / "runs").exists()


def test_schema_has_the_executor() -> None:
    schema = json.loads(command.run("schema", cwd=Path.cwd(), env=os.environ).stdout)
    assert {"$ref": "#/$defs/NamedForm"} in schema["properties"]["executor"]["anyOf"]
