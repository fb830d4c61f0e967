"""Studies in Weights & Biases, written offline by wandb itself and read back from its files."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.contract.paths import StudyPaths
from hpo_engine.core.ports import Listener
from hpo_engine.study.trial import Attempt
from hpo_engine.testing import TrackerLaws
from hpo_engine.trackers.background import Unreachable
from hpo_engine.trackers.wandb import client, joining, runs
from hpo_engine.trackers.wandb import tracker as tracking
from hpo_engine.trackers.wandb.tracker import WandbTracker
from tests.support.helpers import wait_until
from tests.support.shell import Shell
from tests.support.study_by_hand import Study
from tests.support.wandbfiles import FoundRun, runs_in

pytest.importorskip("wandb")


class Heard:
    """In place of the worker: what it would be told, as JSON."""

    def __init__(self, folder: str) -> None:
        self.messages: list[runs.Message] = []

    def done(self) -> set[str]:
        return set()

    def deliver(self, message: runs.Message) -> None:
        self.messages.append(json.loads(client._text(message)))

    def leave(self, left: Iterable[runs.Message], wait_s: float) -> None:
        self.messages += left


class TestOffline(TrackerLaws):
    mode = "offline"

    @pytest.fixture(autouse=True)
    def _heard(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tracking, "Client", Heard)
        monkeypatch.setenv("WANDB_API_KEY", "x" * 40)

    def make(self, paths: StudyPaths) -> Listener:
        return WandbTracker(paths, mode=self.mode)


class TestOnline(TestOffline):
    mode = "online"


class TestDisabled(TestOffline):
    mode = "disabled"


def found(study: Study, finished: int) -> dict[str, FoundRun]:
    """The runs once so many are written."""
    written = Path(study.paths.root, "wandb", ".written")
    wait_until(lambda: written.exists() and len(written.read_text().splitlines()) >= finished, 90.0)
    return runs_in(f"{study.paths.root}/wandb")


def test_trials_become_runs_and_a_killed_engine_leaves_no_half_run(study: Study) -> None:
    first = WandbTracker(study.paths, project="a/b", mode="offline")
    study.listen(first)
    done, failed = study.start(), study.start({"lr": 0.5, "optimizer": "sgd", "weird/key?": [1, None]})
    study.report(done, (1, {"loss": 0.5}), (2.5, {"loss": math.nan, "step": 7.0}))
    study.end(done, 0.5)
    written = Path(study.paths.root, "wandb", ".written")
    wait_until(lambda: written.exists() and written.read_text() != "", 90.0)
    process = first._client._process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)  # with the engine, in the middle of the next run
    half = Path(study.paths.root, "wandb", f"offline-run-20200101_000000-{runs.study_id(study.history)}-1")
    half.mkdir()
    (half / "run-x.wandb").write_bytes(b"half")
    study.tracker = None
    study.report(failed, (1, {"loss": math.inf}))
    study.end(failed, None, reason="exit code 1")
    study.listen(WandbTracker(study.paths, project="a/b", mode="offline"))
    study.close()
    base = runs.study_id(study.history)
    one, other, whole = (found(study, 3)[name] for name in (f"{base}-0", f"{base}-1", base))
    assert (one.name, one.group, one.job_type, one.project) == ("digits-0", "digits", "trial", "a-b")
    assert [(row["step"], row["loss"]) for row in one.rows][0] == (1, 0.5)
    assert math.isnan(one.rows[1]["loss"]) and one.rows[1]["step"] == 7.0 and one.exit_code == 0
    assert one.config["lr"] == 0.01 and one.config["hpo_engine"]["command"] == ["python", "train.py"]
    assert one.summary["hpo_engine"]["values"] == {"loss": 0.5} and one.summary["hpo_engine"]["state"] == "completed"
    assert other.exit_code == 1 and other.summary["hpo_engine"]["reason"] == "exit code 1"
    assert other.config["weird/key?"] == [1, None]
    assert [row["trial"] for row in whole.rows] == [0, 1] and whole.summary["best"]["trial"] == 0


@pytest.mark.slow
def test_engine_that_ends_leaves_what_is_not_written_to_the_worker(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "_WAIT_S", 0.05)
    study.listen(WandbTracker(study.paths, mode="offline"))
    for _ in range(3):
        study.end(study.start(), 1.0)
    began = time.monotonic()
    study.close()
    assert time.monotonic() - began < 60.0
    assert len(found(study, 4)) == 4


def test_attempts_that_begin_anew_have_runs_of_their_own(study: Study) -> None:
    study.start()
    (trial,) = study.history.trials
    base = f"{runs.study_id(study.history)}-0"
    again = Attempt(2, "n", trial.params)
    assert runs.run_id(study.history, trial, trial.attempts[0]) == base
    assert runs.run_id(study.history, trial, again) == f"{base}-2"
    assert runs.run_id(study.history, trial, Attempt(2, "n", trial.params, resume=0)) == base


@pytest.mark.parametrize(
    ("wanted", "env", "expected"),
    [
        ("auto", {}, "offline"),
        ("auto", {"WANDB_API_KEY": "k"}, "online"),
        ("auto", {"WANDB_API_KEY": "k", "WANDB_MODE": "dryrun"}, "offline"),
        ("auto", {"WANDB_MODE": "disabled"}, "disabled"),
        ("online", {"WANDB_MODE": "disabled"}, "online"),
    ],
)
def test_mode_follows_the_study_file_then_the_environment(
    wanted: str, env: dict[str, str], expected: str, tmp_path: Path
) -> None:
    assert joining.mode(wanted, {**env, "NETRC": str(tmp_path / "none")}) == expected


def test_key_in_the_file_of_wandb_login_counts_for_its_host(tmp_path: Path) -> None:
    path = tmp_path / "netrc"
    path.write_text("machine api.wandb.ai\n  login user\n  password abc\n")
    path.chmod(0o600)
    assert joining.has_key({"NETRC": str(path)})
    assert not joining.has_key({"NETRC": str(path), "WANDB_BASE_URL": "https://wandb.example.com"})


def test_online_without_a_key_is_offline_with_one_line(
    study: Study, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    made = WandbTracker(study.paths, mode="online")
    study.start()
    (trial,) = study.history.trials
    variables = made.environment(study.history, trial, trial.attempts[0])
    assert variables["WANDB_MODE"] == "offline" and "WANDB_RESUME" not in variables
    (record,) = caplog.records
    assert "no API key" in record.message and "wandb sync" in record.message


def test_scripts_get_what_makes_their_own_run_the_trials(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    made = WandbTracker(study.paths, mode="online", entity="us")
    study.start()
    (trial,) = study.history.trials
    assert made.environment(study.history, trial, trial.attempts[0]) == {
        "WANDB_MODE": "online",
        "WANDB_PROJECT": "mine",
        "WANDB_ENTITY": "us",
        "WANDB_RUN_GROUP": "digits",
        "WANDB_JOB_TYPE": "trial",
        "WANDB_RUN_ID": f"{runs.study_id(study.history)}-0",
        "WANDB_NAME": "digits-0",
        "WANDB_DIR": study.paths.trial(0).log_dir,
        "WANDB_RESUME": "allow",
    }


def test_runs_of_a_script_are_those_that_came_with_the_attempt(study: Study) -> None:
    files = study.paths.trial(study.start())
    old = Path(files.result_dir, "wandb", "run-20200101_000000-old")
    old.mkdir(parents=True)
    since = time.time() + 5.0
    assert joining.opened_by_script(files, since) == []
    for place in (files.log_dir, files.result_dir, f"{files.result_dir}/lightning logs"):
        mine = Path(place, "wandb", "offline-run-20261128_010203-mine")
        mine.mkdir(parents=True)
        assert joining.opened_by_script(files, time.time() - 0.5).count(str(mine)) == 1
    Path(files.log_dir, "wandb", "latest-run").symlink_to("offline-run-20261128_010203-mine")
    assert len(joining.opened_by_script(files, 0.0)) == 4


def test_final_errors_switch_the_tracker_off_and_others_are_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [{"error": "timed out", "final": False}, {"error": "permission denied", "final": True}]
    made = client.Client(str(tmp_path))
    monkeypatch.setattr(made, "_answer", lambda process: answers.pop(0))
    monkeypatch.setattr(made, "_send", lambda process, message: None)
    monkeypatch.setattr(made, "_started", lambda: None)
    with pytest.raises(Unreachable, match="timed out"):
        made.deliver({})
    with pytest.raises(RuntimeError, match="permission denied"):
        made.deliver({})


SCRIPT = """\
import json, wandb
config = json.load(open("config.json"))
if config["x"] < 1:
    LOGS
json.dump([{"step": 1, "loss": config["x"]}], open("val_dict_list.json", "w"))
"""
RAW = "run = wandb.init(config=config); run.log({'mine': config['x']}); run.finish()"
LIGHTNING = (
    "from lightning.pytorch.loggers import WandbLogger; logger = WandbLogger();"
    " logger.log_metrics({'mine': config['x']}, 0); logger.experiment.finish()"
)


@pytest.mark.slow
@pytest.mark.parametrize("logs", [RAW, LIGHTNING], ids=["wandb.init", "WandbLogger"])
def test_script_that_logs_itself_and_the_tracker_meet_in_one_run(shell: Shell, logs: str) -> None:
    shell.write("train.py", SCRIPT.replace("LOGS", logs))
    algo = (
        f"command: [{json.dumps(sys.executable)}, train.py]\nobjective: minimize loss\nalgorithm: grid\nparallel: 2\n"
        "trackers: [{name: wandb, mode: offline, project: p}]\nspace: {x: {choice: [0.25, 0.5, 2.0]}}\n"
    )
    shell.write("algo.yaml", algo)
    shell.run("submit", "algo.yaml")
    folder = str(shell.folder / "hpo-runs" / "my-study" / "wandb")
    wait_until(lambda: len(Path(folder, ".written").read_text().splitlines()) >= 2, 120.0)
    together: dict[str, Any] = runs_in(folder)
    base = min(together, key=len)
    assert sorted(together) == [base, *(f"{base}-{i}" for i in range(3))]
    for i, x in enumerate((0.25, 0.5)):
        run = together[f"{base}-{i}"]
        assert (run.name, run.group, run.project) == (f"my-study-{i}", "my-study", "p")
        assert [row["mine"] for row in run.rows] == [x] and not any("loss" in row for row in run.rows)
    assert [row["loss"] for row in together[f"{base}-2"].rows] == [2.0]
    assert {row["trial"]: row["loss"] for row in together[base].rows} == {0: 0.25, 1: 0.5, 2: 2.0}
