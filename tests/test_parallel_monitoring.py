"""The example `parallel-monitoring`: its compose file starts what is there, and its study does what its page says."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import command
from tests.support.helpers import wait_until

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "examples" / "parallel-monitoring"


def compose() -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    return data


def instructions() -> list[tuple[str, str]]:
    lines = re.sub(r"\\\n\s*", "", (FOLDER / "Dockerfile").read_text()).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines) if word.isupper()]


def test_the_image_has_what_its_containers_start() -> None:
    copied: list[str] = []
    for word, rest in instructions():
        if word == "COPY":
            *sources, _ = rest.split()
            assert all((ROOT / source).exists() for source in sources), rest
            copied += [Path(source).name for source in sources]
    assert {"train.py", "algo.yaml", "engine", "trainees"} <= set(copied)
    extras = re.search(r'"\.\[(.*?)\]"', (FOLDER / "Dockerfile").read_text())
    known = re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert extras is not None and set(extras[1].split(",")) == {"lightning", "mlflow"} <= set(known)
    start = next(json.loads(rest) for word, rest in instructions() if word == "CMD")
    services = compose()["services"]
    assert services["study"]["command"] == start and services["study"]["build"] == services["mlflow"]["build"]
    build = services["study"]["build"]
    assert (FOLDER / build["context"]).resolve() == ROOT and (ROOT / build["dockerfile"]).is_file()
    owned = next(rest for word, rest in instructions() if word == "RUN" and "chown" in rest)
    for service in services.values():
        for volume in service["volumes"]:
            name, _, place = volume.partition(":")
            assert name in compose()["volumes"] and place in owned


def test_the_server_answers_to_the_name_by_which_the_study_calls_it() -> None:
    services = compose()["services"]
    server = dict(word.partition("=")[::2] for word in services["mlflow"]["command"])
    called = services["study"]["environment"]["MLFLOW_TRACKING_URI"].removeprefix("http://")
    assert called == f"mlflow:{server['--port']}" and called in server["--allowed-hosts"].split(",")
    assert services["mlflow"]["ports"] == [f"127.0.0.1:{server['--port']}:{server['--port']}"]
    assert services["study"]["depends_on"]["mlflow"]["condition"] == "service_healthy"


@pytest.fixture
def server(tmp_path: Path) -> Any:
    """The server of the compose file, by its own command, on another port and with a store in the test's folder."""
    pytest.importorskip("mlflow")
    from tests.support import mlflow as support

    words = compose()["services"]["mlflow"]["command"]
    assert words[:2] == ["mlflow", "server"]
    with support.server(tmp_path / "mlflow", words[2:]) as made:
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("preload", ["auto", "off"])
def test_two_trials_at_a_time_log_their_curves_to_one_server(server: Any, preload: str, tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    pytest.importorskip("sklearn")
    from tests.support import mlflow as support

    shutil.copytree(FOLDER, tmp_path / "script")
    study = yaml.safe_load((FOLDER / "algo.yaml").read_text())
    study |= {"trials": 3, "trial": {"preload": preload}}
    study["space"]["max_epochs"] = 4
    (tmp_path / "script" / "algo.yaml").write_text(yaml.safe_dump(study))
    start = compose()["services"]["study"]["command"]
    argv = [word.replace("/runs", str(tmp_path / "runs")) for word in start[1:]]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": server.uri}
    done = command.run(*argv, cwd=tmp_path / "script", env=env, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is switched off" not in done.stderr

    found = support.runs(server.uri)
    (top,) = [run for run in found if not run.parent]
    trials = sorted((run for run in found if run.parent == top.id), key=lambda run: run.name)
    assert [run.name for run in trials] == ["trial 0", "trial 1", "trial 2"] and len(found) == 7
    assert {run.experiment for run in found} == {"digits"} and {run.status for run in found} == {"FINISHED"}
    own = []
    for trial in trials:
        (script,) = [run for run in found if run.parent == trial.id]
        own.append(script)
        for name in ("val_loss", "val_acc", "train_loss"):
            curve = support.curve(server.uri, script.id, name)
            assert len(curve) == 4 and len({step for step, _ in curve}) == 4
            assert support.curve(server.uri, trial.id, name) == curve, "what the engine has read is all of it"
        assert trial.params["lr"] == script.params["lr"]
    assert own[0].began < own[1].ended and own[1].began < own[0].ended, "two at a time"
    best = min(trials, key=lambda run: run.metrics["objective/val_loss"])
    assert top.tags["hpo_engine.best_run"] == best.id
    assert top.metrics["best/val_loss"] == best.metrics["objective/val_loss"]


@pytest.mark.slow
def test_two_trials_at_a_time_open_the_runs_of_their_trials_in_wandb(tmp_path: Path) -> None:
    for module in ("lightning", "wandb"):
        pytest.importorskip(module)
    from tests.support.wandbfiles import runs_in

    shutil.copytree(ROOT / "examples" / "parallel-monitoring-wandb", tmp_path / "script")
    argv = ("submit", "script/algo.yaml", "--trials", "3", "--root", str(tmp_path / "runs"))
    done = command.run(*argv, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=600)
    assert done.returncode == 0 and "is switched off" not in done.stderr, done.stdout + done.stderr
    folder = tmp_path / "runs" / "parallel-monitoring-wandb" / "wandb"
    wait_until(lambda: len((folder / ".written").read_text().splitlines()) >= 2, 300.0)
    found = runs_in(str(folder))
    base = min(found, key=len)
    assert sorted(found) == [base, *(f"{base}-{i}" for i in range(3))], "one run per trial, and the study's"
    rows = {row["trial"]: row["val_loss"] for row in found[base].rows}
    for i in range(3):
        run = found[f"{base}-{i}"]
        curve = [row["val_loss"] for row in run.rows if "val_loss" in row]
        assert (run.group, run.project) == ("parallel-monitoring-wandb", "monitoring")
        assert len(curve) == 5 and curve[-1] == pytest.approx(rows[i], rel=1e-5)


def test_commands_of_the_page_are_those_of_the_files() -> None:
    page = (FOLDER / "README.md").read_text()
    lines = [
        shlex.split(line, comments=True)
        for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
        for line in block.splitlines()
    ]
    assert ["docker", "compose", "up", "--build"] in lines and ["hpo-engine", "submit", "algo.yaml"] in lines
