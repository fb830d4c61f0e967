"""What TensorBoard is shown of a study."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hpo_engine.contract.layout import lay_out, lay_out_study
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.trackers import logdir
from tests.support.eventfiles import NAME, scalars

OWN = "events.out.tfevents.1700000000.host.hpo-engine"


@pytest.fixture
def study(tmp_path: Path) -> StudyPaths:
    paths = StudyPaths(str(tmp_path / "a 'b' $c"))
    os.makedirs(paths.root)
    lay_out_study(paths, "user")
    for number in (0, 3):
        lay_out(paths.trial(number))
    (tmp_path / "view").mkdir()
    return paths


def put(*parts: str) -> Path:
    path = Path(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(scalars(1, {"loss": 0.5}))
    return path


def shown(view: Path) -> dict[str, str]:
    """The files in the view, and what each leads to."""
    return {str(path.relative_to(view)): os.path.realpath(path) for path in view.rglob("*") if not path.is_dir()}


def test_the_scripts_runs_are_below_the_trials(study: StudyPaths, tmp_path: Path) -> None:
    trial, view = study.trial(3), tmp_path / "view"
    files = {
        f"3/{OWN}": put(trial.log_dir, "reported", OWN),
        f"3/script/{NAME}": put(trial.log_dir, NAME),
        f"3/tb/train/{NAME}": put(trial.log_dir, "tb/train", NAME),
        f"3/lightning_logs/version_0/{NAME}": put(trial.result_dir, "lightning_logs/version_0", NAME),
    }
    logs = logdir.LogDir(study, str(view))
    logs.look(0.0)
    expected = {name: os.path.realpath(path) for name, path in files.items()}
    assert shown(view) == expected
    more = put(trial.result_dir, "lightning_logs/version_1", NAME)
    logs.look(0.5)
    assert shown(view) == expected
    logs.look(2.5)
    assert shown(view) == {**expected, f"3/lightning_logs/version_1/{NAME}": os.path.realpath(more)}


def test_trials_in_which_nothing_comes_are_looked_at_less_often(study: StudyPaths, tmp_path: Path) -> None:
    view = tmp_path / "view"
    logs, late = logdir.LogDir(study, str(view)), 0
    for second in range(600):
        logs.look(float(second))
    put(study.trial(0).result_dir, "runs/a", NAME)
    while not shown(view):
        late += 1
        logs.look(600.0 + late)
    assert 0 < late <= 120


def test_nothing_but_the_scripts_event_files_is_shown(study: StudyPaths, tmp_path: Path) -> None:
    trial, view = study.trial(3), tmp_path / "view"
    put(study.model, "lightning_logs/version_0", NAME)
    put(trial.result_dir, "lightning_logs/version_0", NAME)  # of the script's folder, as it was submitted
    os.utime(f"{trial.result_dir}/lightning_logs/version_0/{NAME}", (1e9, 1e9))
    put(trial.config)
    put(trial.log_dir, "projector_config.pbtxt")
    put(trial.log_dir, "plugins", "profile", "host.xplane.pb")
    secret = put(str(tmp_path), "secret")
    os.symlink(secret, f"{trial.log_dir}/{NAME}")
    os.symlink(secret.parent, f"{trial.log_dir}/elsewhere")
    os.mkfifo(f"{trial.result_dir}/{NAME}")
    logdir.LogDir(study, str(view)).look(0.0)
    assert shown(view) == {}
