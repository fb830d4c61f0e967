"""kill -9 of the engine while a search plugin proposes: the resumed study proposes what an undisturbed one does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from hpo_engine import studies
from hpo_engine.contract.paths import StudyPaths
from tests.support import command
from tests.support.helpers import processes_with, wait_until
from tests.support.plugins import STATE, WALK, written
from tests.support.scene import killed

SCRIPT = """\
import json
with open("val_dict_list.json", "w") as file:
    json.dump([{"loss": json.load(open("config.json"))["rate"]}], file)
"""
STUDY = """\
command: python -S train.py
objective: minimize loss
algorithm: plugin/optimizer.py:PluginOptimizer
options: {start: 3}
trials: 6
trial: {preload: off}
space: {rate: {float: [0, 1]}, size: {int: [1, 9]}, kind: {choice: [a, b]}}
"""
POINTS = (
    "searcher.state-aside", "searcher.state-saved", "trial.proposed", "journal.before-commit", "journal.after-commit",
    "attempt.intended", "trial.config-written", "attempt.sent", "attempt.reaped", "trial.ended", "study.closed",
)  # fmt: skip
KINDS = {"state": WALK + STATE, "replay": WALK}


def run(folder: Path, failpoint: str = "") -> tuple[int, str]:
    env = {**os.environ, "PYTHONHASHSEED": "1", **({"HPO_FAILPOINT": failpoint} if failpoint else {})}
    done = command.run("submit", "algo.yaml", "--name", "s", cwd=folder, env=env)
    return done.returncode, done.stdout + done.stderr


def made(folder: Path, kind: str) -> Path:
    folder.mkdir(exist_ok=True)
    written(folder / "plugin", KINDS[kind])
    (folder / "train.py").write_text(SCRIPT)
    (folder / "algo.yaml").write_text(STUDY)
    return folder


def proposed(folder: Path) -> list[dict[str, Any]]:
    wait_until(lambda: not processes_with(str(folder)))
    return [dict(trial.params) for trial in studies.read(StudyPaths(str(folder / "hpo-runs/s"))).trials]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = made(tmp_path_factory.mktemp("calm"), "state")
    code, out = run(folder)
    assert code == 0, out
    return proposed(folder)


CASES = [(kind, name, number) for kind in KINDS for name in POINTS for number in (1, 2, 4)]


@pytest.mark.by_default("replay-searcher.state-saved-2")
@pytest.mark.parametrize(("kind", "name", "number"), CASES, ids=[f"{k}-{n}-{i}" for k, n, i in CASES])
def test_kill_at_each_step(
    tmp_path: Path, undisturbed: list[dict[str, Any]], kind: str, name: str, number: int
) -> None:
    folder = made(tmp_path / "a b", kind)
    code, out = run(folder, f"{name}:{number}:kill")
    assert killed(code) or (code == 0 and not name.startswith("searcher.")), out
    if kind == "replay":
        (folder / "hpo-runs/s/searcher.state").unlink(missing_ok=True)
    if code != 0:
        code, out = run(folder)
        assert code == 0, out
    assert proposed(folder) == undisturbed


def test_a_plugin_that_fails_ends_its_study_with_what_it_said(tmp_path: Path) -> None:
    folder = made(tmp_path / "a b", "state")
    written(
        folder / "plugin",
        WALK.replace("        for result", '        assert not last_exp_results, "no more"\n        for result'),
    )
    code, out = run(folder)
    assert code == 3 and "AssertionError: no more (optimizer.py:" in out and "Traceback" not in out
    assert "Traceback" in (folder / "hpo-runs/s/searcher.log").read_text()
    assert len(proposed(folder)) == 1


@pytest.mark.slow
def test_a_changed_plugin_is_noticed_and_the_study_keeps_its_copy(
    tmp_path: Path, undisturbed: list[dict[str, Any]]
) -> None:
    folder = made(tmp_path / "a b", "state")
    code, _ = run(folder, "trial.ended:3:kill")
    assert killed(code)
    written(folder / "plugin", "raise SystemExit('changed')")
    code, out = run(folder)
    assert code == 0 and "changed since the study was made" in out, out
    assert proposed(folder) == undisturbed
