"""Studies in real stores of MLflow, read back through its own client."""

from __future__ import annotations

import json
import math
import shutil
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.contract.paths import StudyPaths
from hpo_engine.control.submitting import over
from hpo_engine.core.ports import Listener
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Attempt
from hpo_engine.testing import TrackerLaws
from hpo_engine.trackers.background import Unreachable
from hpo_engine.trackers.mlflow import kept, place, words
from tests.support.helpers import wait_until
from tests.support.shell import TRAIN, Shell
from tests.support.study_by_hand import PARAMS, Study

pytest.importorskip("mlflow")

from hpo_engine.trackers.mlflow import tracker as tracking
from hpo_engine.trackers.mlflow.runs import StudyRuns
from hpo_engine.trackers.mlflow.tracker import MLflowTracker
from tests.support import mlflow as support

Made = Callable[..., Study]


# -- without a store ---------------------------------------------------------------------------------------------------


def test_names_are_legal_for_mlflow_and_stay_different() -> None:
    from mlflow.utils.validation import _validate_metric_name

    names = words.Names()
    given = [
        "val_loss",
        "a/b",
        "a//b",
        "../x",
        "/x",
        ".",
        "..",
        "a(b",
        "a)b",
        "ä",
        "x" * 400,
        "x" * 401,
        "a\nb",
        "",
        "µ%",
    ]
    legal = [names.legal(name) for name in given]
    for name in legal:
        _validate_metric_name(name)
        assert 0 < len(name) <= words.MAX_NAME
    assert len(set(legal)) == len(given) and legal[:2] == ["val_loss", "a/b"]
    assert [names.legal(name) for name in given] == legal


def test_steps_are_the_scripts_own_if_mlflow_can_hold_them() -> None:
    given = [3.0, 2.5, math.nan, math.inf, -1.0, 1e30]
    assert [words.step(step, 7) for step in given] == [3, 7, 7, 7, -1, 7]


@pytest.mark.parametrize(
    ("uri", "resolved"),
    [
        ("", "sqlite:////runs/mlflow.db"),
        ("sqlite:///mine.db", "sqlite:////script/mine.db"),
        ("sqlite:////abs/mine.db", "sqlite:////abs/mine.db"),
        ("mlruns", "/script/mlruns"),
        ("file:./mlruns", "/script/mlruns"),
        ("file:///abs/mlruns", "/abs/mlruns"),
        ("http://host:5000", "http://host:5000"),
    ],
)
def test_a_uri_means_the_same_in_every_folder(uri: str, resolved: str) -> None:
    assert place.resolved(uri, "/script", "/runs") == resolved


def test_a_server_that_is_gone_is_noticed_at_once() -> None:
    with pytest.raises(Unreachable, match=r"http://\*\*\*@127.0.0.1:\d+ does not answer: .*refused"):
        place.probe(f"http://me:secret@127.0.0.1:{support.free_port()}")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"tracking_uri": "htp://host"}, "tracking_uri is http"),
        ({"tags": ("team",)}, "tags are written NAME=VALUE, not 'team'"),
    ],
)
def test_wrong_options_are_refused(make_study: Made, options: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        MLflowTracker(make_study().paths, **options)


def test_what_is_kept_of_another_store_or_study_does_not_count(tmp_path: Path) -> None:
    one = kept.Kept("store", "study", "1", "run", (3, 1), trials={3: kept.KeptRun("abc", rows=7)})
    kept.write(str(tmp_path), one)
    assert kept.read(str(tmp_path), "store", "study") == one
    assert kept.read(str(tmp_path), "store", "copy") == kept.Kept("store", "copy")
    (tmp_path / kept.FILE).write_text("{")
    assert kept.read(str(tmp_path), "store", "study") == kept.Kept("store", "study")


# -- a store in SQLite -------------------------------------------------------------------------------------------------


def test_a_study_is_a_run_with_a_nested_run_for_each_trial_and_goes_on_in_these(make_study: Made) -> None:
    study = make_study(objectives=(Objective("loss", over="best"),))
    uri = support.empty_store(Path(study.paths.root) / "store" / "mlflow.db")
    Path(study.paths.source).write_text("name: digits\n")
    options: dict[str, Any] = {"tracking_uri": uri, "tags": ("team=red",)}
    study.listen(MLflowTracker(study.paths, **options))
    good = study.start({**PARAMS, "lr": 0.01})
    study.report(good, (1, {"loss": 0.5, "acc": 0.1}), (2, {"loss": 0.2, "odd (name)": math.inf}), (3, {"loss": 0.3}))
    study.tick()
    study.end(good, 0.2)
    Path(study.paths.trial(good).result_dir).mkdir(parents=True)
    Path(study.paths.trial(good).config).write_text("{}")
    bad = study.start({**PARAMS, "optimizer": "x" * 600})
    study.report(bad, (1, {"loss": math.nan}))
    study.end(bad, None, reason="exit code 1")
    again = study.start()
    study.report(again, (1, {"loss": 9.0}), (2, {"loss": 8.0}))
    study.tick()
    assert study.tracker is not None
    study.tracker.close(study.history)  # as if killed here: the study is not closed

    study.lose(again)
    trial = study.history.trials[again]
    later = MLflowTracker(study.paths, **options)
    study.listen(later)
    second = later.environment(study.history, trial, Attempt(2, f"{again}-2", trial.params))
    study.attempt(again)
    study.report(again, (1, {"loss": 0.6}))
    study.end(again, None, "pruned", "not promising")
    study.close()

    found = {run.name: run for run in support.runs(uri)}
    assert sorted(found) == ["digits", "trial 0", "trial 1", "trial 2", "trial 2, attempt 1"]
    top, first, failed, pruned = (found[name] for name in ("digits", "trial 0", "trial 1", "trial 2"))
    assert [run.parent for run in (top, first, failed, pruned)] == ["", top.id, top.id, top.id]
    assert [run.status for run in (top, first, failed, pruned)] == ["FINISHED", "FINISHED", "FAILED", "KILLED"]
    assert top.metrics == {"best/loss": 0.2} and top.tags["hpo_engine.best_run"] == first.id
    assert support.curve(uri, first.id, "loss") == [(1, 0.5), (2, 0.2), (3, 0.3)]
    assert first.metrics["objective/loss"] == 0.2 and first.metrics["odd _name_"] > 1e300
    assert first.params == {"lr": "0.01", "hidden": "64", "optimizer": "adam"}
    assert failed.params["optimizer"] == "x" * 600 and math.isnan(failed.metrics["loss"])
    assert failed.tags["hpo_engine.reason"] == "exit code 1"
    before = found["trial 2, attempt 1"]
    assert before.parent == pruned.id and before.status == "FAILED", "its curve cannot be taken back"
    assert support.curve(uri, before.id, "loss") == [(1, 9.0), (2, 8.0)]
    assert support.curve(uri, pruned.id, "loss") == [(1, 0.6)]
    assert json.loads(second["MLFLOW_RUN_CONTEXT"])["mlflow.parentRunId"] == pruned.id
    assert {run.tags["team"] for run in found.values()} == {"red"}
    artifacts = support.client(uri).list_artifacts
    assert [each.path for each in artifacts(top.id)] == ["algo.yaml"]
    assert [each.path for each in artifacts(first.id)] == ["config.json"]

    copied = Path(study.paths.root).parent / "copy"
    shutil.copytree(study.paths.root, copied)
    copy = MLflowTracker(type(study.paths)(str(copied)), **options)
    copy.open(study.history, study.now)
    copy.close(study.history)
    after = support.runs(uri)
    assert len(after) == 5 + 4 and {run.id for run in after} >= {run.id for run in found.values()}
    assert len([run for run in after if not run.parent]) == 2, "a copy has runs of its own"


@pytest.mark.slow
class TestLaws(TrackerLaws):
    def specs(self) -> Mapping[str, StudySpec]:
        return dict(list(super().specs().items())[:2])  # each law takes seconds per study

    def make(self, paths: StudyPaths) -> Listener:
        store = Path(paths.root) / "store" / "mlflow.db"  # an earlier tracker of the study may be using it
        uri = f"sqlite:///{store}" if store.exists() else support.empty_store(store)
        return MLflowTracker(paths, tracking_uri=uri)


# -- real studies ------------------------------------------------------------------------------------------------------

FLUENT = """\
import json, os, sys
import mlflow
x = json.load(open("config.json"))["x"]
with mlflow.start_run():
    mlflow.log_params({"x": x, "width": 3})
    for step in (1, 2, 3):
        mlflow.log_metric("loss", (x - 1) ** 2 + 1 / step, step=step)
"""
LONG_S = 600.0  # MLflow's import alone takes 3 s of processor time
HOLD = """\
import time
while os.path.exists(os.environ["HOLD"]):
    time.sleep(0.02)
"""
STUDY = """\
command: python train.py
objective: minimize loss
results: [mlflow]
algorithm: random
options: {seed: 1}
trials: 2
parallel: 2
space: {x: {float: [0, 2]}}
"""


@pytest.mark.slow
@pytest.mark.parametrize("scripts", ["nest", "join"])
def test_a_script_that_logs_itself_nests_in_its_trials_run_or_is_it(shell: Shell, tmp_path: Path, scripts: str) -> None:
    """The study reads its metrics from the very store that the tracker writes to: no value goes round in a circle."""
    uri = support.empty_store(tmp_path / "store" / "mlflow.db")
    shell.write("train.py", FLUENT)
    shell.write("algo.yaml", f"{STUDY}trackers: [{{name: mlflow, tracking_uri: '{uri}', scripts: {scripts}}}]\n")
    engine = shell.start("submit", "algo.yaml")
    engine.communicate(LONG_S)
    assert engine.returncode == 0
    found = support.runs(uri)
    (top,) = [run for run in found if not run.parent]
    trials = [run for run in found if run.parent == top.id]
    assert sorted(run.name for run in trials) == ["trial 0", "trial 1"] and len(found) == (
        5 if scripts == "nest" else 3
    )
    assert {run.status for run in found} == {"FINISHED"}
    for run in trials:
        own = [each for each in found if each.parent == run.id]
        assert len(own) == (scripts == "nest")
        for each in [run, *own]:
            assert [step for step, _ in support.curve(uri, each.id, "loss")] == [1, 2, 3]
        logged = own[0] if own else run
        assert logged.params["width"] == "3" and logged.params["x"] == run.params["x"]
    assert trials[0].began < trials[1].ended and trials[1].began < trials[0].ended, "both at a time"


@pytest.mark.slow
def test_a_killed_engine_leaves_no_half_runs(shell: Shell, tmp_path: Path) -> None:
    uri = support.empty_store(tmp_path / "store" / "mlflow.db")
    shell.write(
        "train.py",
        FLUENT.replace("for step", "open('began', 'w')\n    while not os.path.exists('go'): pass\n    for step"),
    )
    shell.write("algo.yaml", f"{STUDY}trackers: [{{name: mlflow, tracking_uri: '{uri}'}}]\n")
    engine = shell.start("submit", "algo.yaml")
    for trial in range(2):
        wait_until(shell.result(trial, "began").exists, LONG_S)
    engine.send_signal(signal.SIGKILL)
    engine.wait(LONG_S)
    for trial in range(2):
        shell.result(trial, "go").touch()
    shell.run("resume", "my-study")
    while shell.result(0, "../../unsent").exists():  # on a busy machine MLflow's import outlasts the end
        shell.run("resume", "my-study")
    found = support.runs(uri)
    assert sorted(run.name for run in found) == [
        "my-study",
        "script of trial 0",
        "script of trial 1",
        "trial 0",
        "trial 1",
    ]
    assert {run.status for run in found} == {"FINISHED"} and len([run for run in found if not run.parent]) == 1


@pytest.mark.slow
def test_a_server_may_be_away_in_the_middle_and_at_the_end(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    with support.server(tmp_path / "server") as server:
        server.kill()
        shell.write("train.py", TRAIN + HOLD)
        shell.env["HOLD"] = str(shell.write("hold", ""))
        study = STUDY.replace("results: [mlflow]\n", "").replace("trials: 2", "trials: 4")
        shell.write("algo.yaml", f"{study}trackers: [{{name: mlflow, tracking_uri: '{server.uri}'}}]\n")
        engine = shell.start("submit", "algo.yaml")
        for trial in range(2):
            wait_until(shell.result(trial, "val_dict_list.json").exists, LONG_S)
        server.start()
        wait_until(lambda: len(support.runs(server.uri)) == 3, LONG_S)  # the study's, and two trials'
        server.kill()
        (shell.folder / "hold").unlink()
        _, err = engine.communicate(LONG_S)
        assert engine.returncode == 0 and err.count("does not answer") == 2 and err.count("it answers again") == 1
        assert err.count("hpo-engine resume my-study sends what is missing") == 1

        server.start()
        shell.process("resume", "my-study")
        found = support.runs(server.uri)
        trials = [run for run in found if run.name.startswith("trial ")]
        assert len(found) == 5 and {run.status for run in found} == {"FINISHED"}
        assert all(support.curve(server.uri, run.id, "loss") for run in trials)
        assert not shell.result(0, "../../unsent").exists()


def test_a_store_that_takes_too_long_is_said(
    study: Study, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = MLflowTracker(study.paths, tracking_uri=f"sqlite:///{study.paths.root}/mlflow.db")
    held = threading.Event()
    monkeypatch.setattr(StudyRuns, "join", lambda *_: held.wait(60))
    monkeypatch.setattr(tracking, "_FIRST_S", 0.01)
    study.start()
    (trial,) = study.history.trials
    assert made.environment(study.history, trial, trial.attempts[0]) == {}
    held.set()
    assert caplog.messages == [
        "mlflow: no answer within 0.01 s; what the script of trial 0 logs itself is not in its run"
    ]


@pytest.mark.slow
def test_what_a_server_lacks_of_a_finished_study_is_sent_by_resume(
    make_study: Made, caplog: pytest.LogCaptureFixture
) -> None:
    study = make_study()
    study.listen(MLflowTracker(study.paths, tracking_uri=f"http://127.0.0.1:{support.free_port()}"))
    study.end(study.start(PARAMS), 0.2)
    study.close()
    assert caplog.messages[-1].endswith("sends what is missing") and "resume" in caplog.messages[-1]
    assert not over(study.paths, study.history, {})
    back = MLflowTracker(study.paths, tracking_uri=support.empty_store(Path(study.paths.root) / "mlflow.db"))
    back.open(study.history, study.now)
    back.close(study.history)
    assert over(study.paths, study.history, {})


def test_an_unknown_option_is_named(shell: Shell) -> None:
    shell.write("algo.yaml", f"{STUDY}trackers: [{{name: mlflow, experimnt: x}}]\n")
    shell.refuses("submit", "algo.yaml", words="experimnt")
