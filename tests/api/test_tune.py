"""Functions that are tuned: in processes of their own, as scripts are, from wherever the call is made."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hpo_engine as hpo
from hpo_engine.errors import SpecError, StudyExists

ROOT = Path(__file__).parents[2]
SPACE: dict[str, Any] = {"lr": hpo.float(1e-3, 0.1, log=True), "width": hpo.int(1, 9)}
DONE: dict[str, Any] = {"quiet": True, "trackers": []}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "a place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    yield folder
    for study in (folder / "hpo-runs").glob("*/study.db"):
        hpo.Study.load(study.parent).stop(kill=True)


def as_in_notebook(text: str, name: str = "train") -> Callable[..., Any]:
    """A function as a cell defines it."""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(textwrap.dedent(text), "cell", "exec"), names)
    return names[name]


REPORTS = """
import os
import hpo_engine as hpo
FACTOR = 2
def train(lr, width):
    print("trains with", lr)
    for epoch in range(1, 4):
        hpo.report(step=epoch, loss=FACTOR * lr * width / epoch, kind=type(width).__name__ == "int")
    if width >= 8:
        raise ValueError("too wide")
"""


def test_a_function_is_tuned_continued_and_begun_anew(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (place / "data.txt").write_text("seen by trials")
    train = as_in_notebook(REPORTS)
    points = [{"lr": 0.01, "width": 9}, {"lr": np.float64(0.02), "width": np.int64(3)}]
    study = hpo.tune(train, SPACE, trials=2, points=points, **DONE)
    failed, good = study.trials
    assert (study.name, study.state, failed.state) == ("train", "finished", "failed")
    assert "ValueError: too wide" in failed.reason
    assert good.value == pytest.approx(0.04) and [row["step"] for row in good.rows] == [1, 2, 3]
    assert good.rows[0]["kind"] == 1 and study.best == good
    assert (Path(good.folder) / "data.txt").read_text() == "seen by trials"
    log = Path(study.folder, "trials", "0", "output.log").read_text()
    assert log.startswith("trains with 0.01\nTraceback") and "hpo_trainees" not in log

    assert len(hpo.tune(train, SPACE, trials=3, points=points, **DONE).trials) == 3
    assert "changed" not in capfd.readouterr().err
    other = as_in_notebook(REPORTS.replace("FACTOR = 2", "FACTOR = 4"))
    same = hpo.tune(other, SPACE, trials=3, points=points, **DONE)
    assert same.history.opened_at == study.history.opened_at
    note = capfd.readouterr().err
    assert "train changed since the study was made" in note and "restart=True" in note
    with pytest.raises(StudyExists, match="space"):
        hpo.tune(other, {**SPACE, "lr": hpo.float(1, 2)}, trials=3, points=[], **DONE)
    anew = hpo.tune(other, SPACE, trials=2, points=points, restart=True, **DONE)
    assert anew.trials[1].value == pytest.approx(0.08)


CARRIES_ON = """
import json, os, time
def train(lr, epochs, resume_from=None):
    done = json.load(open(resume_from)) if resume_from else 0
    for epoch in range(done + 1, epochs + 1):
        yield {"step": epoch, "loss": lr / epoch, "began": done}
        os.makedirs("checkpoints", exist_ok=True)
        json.dump(epoch, open("checkpoints/last.json", "w"))
"""


def test_promoted_trials_go_on_from_what_they_left() -> None:
    study = hpo.tune(
        as_in_notebook(CARRIES_ON), {"lr": hpo.float(0.1, 1)}, algorithm="hyperband",
        resource={"name": "epochs", "min": 1, "max": 9, "resume": "auto"}, checkpoints=["checkpoints/last.json"],
        trials=4, seed=1, parallel=2, **DONE,
    )  # fmt: skip
    promoted = [trial for trial in study.trials if trial.attempts > 1]
    assert promoted, [trial.reason for trial in study.trials]
    for trial in promoted:
        assert trial.rows[-1]["began"] > 0 and [row["step"] for row in trial.rows] == list(
            range(1, len(trial.rows) + 1)
        )


ENDLESS = """
def train(lr):
    import time
    step = 0
    try:
        while True:
            step += 1
            yield {"step": step, "loss": lr if lr > 0.5 else float("nan")}
            time.sleep(0.01)
    finally:
        open("left", "w").close()
"""


@pytest.mark.slow
def test_a_generator_is_closed_when_its_trial_is_ended() -> None:
    points = [{"lr": 0.1}]
    study = hpo.tune(as_in_notebook(ENDLESS), {"lr": hpo.float(0, 1)}, trials=1, points=points, **DONE)
    (trial,) = study.trials
    assert trial.state in ("pruned", "failed") and "nan" in trial.reason
    assert os.path.exists(f"{trial.folder}/left")


def test_what_cannot_be_tuned_is_refused_and_leaves_nothing(place: Path) -> None:
    lock = threading.Lock()

    def locked(lr: float, width: int) -> None:
        lock.acquire()

    for function, fields, text in (
        (locked, {}, 'global|variable "lock" of the enclosing function is a _thread.lock'),
        ("train.py", {}, "takes a function, not str"),
        (as_in_notebook(REPORTS), {"command": "python x.py"}, "command is for scripts"),
        (as_in_notebook(REPORTS), {"trails": 3}, "trails"),
    ):
        with pytest.raises(SpecError, match=text):
            hpo.tune(function, SPACE, **{**DONE, **fields})  # type: ignore[arg-type]
    assert not list(place.iterdir())


PROGRAM = """
import hpo_engine as hpo
def helper(lr): return lr * 2
class Net:
    def size(self): return 1
def train(lr):
    import pickle
    pickle.loads(pickle.dumps(Net()))
    return helper(lr) * Net().size()
study = hpo.tune(train, {"lr": hpo.float(0.1, 1)}, trials=2, trackers=[], quiet=True)
print([t.value == 2 * t.params["lr"] for t in study.trials])
"""


@pytest.mark.parametrize("how", ["script", pytest.param("stdin", marks=pytest.mark.slow)])
def test_a_program_without_a_guard_does_not_run_in_its_trials(place: Path, how: str) -> None:
    if how == "script":
        (place / "tuned.py").write_text(PROGRAM)
    words, stdin = (["tuned.py"], None) if how == "script" else (["-"], PROGRAM)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *words], input=stdin, text=True, capture_output=True, env=env, timeout=120)
    assert done.stdout == "[True, True]\n", done.stderr
    model = {path.name for path in (place / "hpo-runs" / "train" / "model").iterdir()}
    assert model == {"hpo_function.py", "hpo_function.pkl", "hpo_function.data", "hpo_function.json"}


MODULE = """
import hpo_engine as hpo
def train(lr): return lr
hpo.tune(train, {"lr": hpo.float(0, 1)}, name="again")
"""


def test_a_module_that_tunes_when_it_is_imported_is_refused_in_its_trials(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "unguarded.py").write_text(MODULE.replace("hpo.tune", "if __name__ != 'never': run = hpo.tune"))
    monkeypatch.syspath_prepend(str(place))
    with monkeypatch.context() as patch:
        patch.setattr("hpo_engine.api.tuning.tune", lambda *args, **named: None)
        from unguarded import train  # type: ignore[import-not-found]
    study = hpo.tune(train, {"lr": hpo.float(0, 1)}, trials=1, failures="off", **DONE)
    assert "a trial cannot run studies" in study.trials[0].reason


@pytest.mark.slow
def test_a_study_outlives_the_process_that_began_it(place: Path) -> None:
    (place / "tuned.py").write_text(PROGRAM.replace("import pickle", "import pickle, time; time.sleep(0.3)"))
    parent = subprocess.Popen([sys.executable, "tuned.py"], env={**os.environ, "PYTHONPATH": str(ROOT)})
    while not (place / "hpo-runs" / "train" / "results" / "0").exists():
        assert parent.poll() is None
        time.sleep(0.02)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    study = hpo.Study.load("train").wait()
    assert study.state == "finished" and len(study.trials) == 2
    assert len(study.resume(trials=3, quiet=True).trials) == 3


@pytest.mark.slow
def test_it_is_tuned_from_threads_and_coroutines() -> None:
    async def several() -> list[hpo.Study]:
        functions = {"one": as_in_notebook(REPORTS), "two": as_in_notebook(REPORTS)}
        begun = [
            await asyncio.to_thread(hpo.tune, train, SPACE, name=name, trials=1, wait=False, **DONE)
            for name, train in functions.items()
        ]
        return [await study for study in begun]

    assert [study.name for study in asyncio.run(several())] == ["one", "two"]


@pytest.mark.slow
def test_a_thousand_quick_trials() -> None:
    train = as_in_notebook("def train(lr): return lr")
    study = hpo.tune(train, {"lr": hpo.float(0, 1)}, algorithm="random", trials=1000, parallel=2, **DONE)
    assert [trial.state for trial in study.trials] == ["completed"] * 1000
