"""Studies on disk: whole or not there, gone only when nothing runs, compared field by field."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpo_engine import assembly, studies
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.errors import EngineError, SpecError, StudyExists, StudyLocked
from hpo_engine.executors.local import records
from hpo_engine.space.searchspace import Choice, Constant, Float, Int, SearchSpace
from hpo_engine.store.lock import StudyLock
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import Budget, Named, Resources, StudySpec, TrialPolicy
from hpo_engine.study.trial import TrialState
from tests.support.helpers import processes_with, wait_until

SPACE = SearchSpace(
    (
        Float("lr", 1e-4, 1.0, log=True),
        Int("units", 8, 64),
        Choice("act", ("a", "b")),
        Float("drop", 0.0, 0.5),
        Constant("e", 5),
    )
)
FAR = ("python", "train.py", "--data", "/a/folder/with/a/long/name/" * 4, "--rate", "0.1")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "train.py").write_text("print('hello')\n")
    return folder


def spec_of(model: Path | str = "/m", **changes: Any) -> StudySpec:
    fixed: dict[str, Any] = {
        "name": "s",
        "space": SPACE,
        "objectives": (Objective("loss"),),
        "command": ("python", "train.py"),
        "model_dir": str(model),
        "budget": Budget(3),
        "env": {"A": "1"},
    }
    return StudySpec(**{**fixed, **changes})


# -- create ------------------------------------------------------------------------------------------------------------


def content(folder: str) -> dict[str, bytes | None]:
    """Every file below a folder with its bytes, every folder with None."""
    found: dict[str, bytes | None] = {}
    for top, folders, files in os.walk(folder):
        found |= {os.path.join(top, f): None for f in folders}
        found |= {os.path.join(top, f): Path(top, f).read_bytes() for f in files}
    return found


def test_created_study_is_whole(tmp_path: Path, model: Path) -> None:
    root = str(tmp_path / "new" / "root")
    paths = studies.create(spec_of(model), "the text: é\n", root, 7.0)
    assert paths.root == f"{root}/s" and os.listdir(root) == ["s"]
    assert Path(paths.source).read_text("utf-8") == "the text: é\n"
    assert Path(paths.model, "train.py").read_text() == "print('hello')\n"
    history = studies.read(paths)
    assert history.opened_at == 7.0 and history.next_id == 0
    assert history.spec.seed is not None, "a seed is drawn and kept"
    assert history.opened_spec == history.spec == replace(spec_of(model), seed=history.spec.seed)


def test_seed_that_was_given_is_kept(tmp_path: Path, model: Path) -> None:
    assert studies.read(studies.create(spec_of(model, seed=0), "", str(tmp_path / "r"), 0.0)).spec.seed == 0


def test_name_that_is_taken_is_refused_and_nothing_is_left_over(tmp_path: Path, model: Path) -> None:
    root = str(tmp_path / "root")
    paths = studies.create(spec_of(model), "first", root, 0.0)
    before = content(root)
    with pytest.raises(StudyExists, match="root/s exists; choose another --name") as caught:
        studies.create(spec_of(model, seed=3), "second", root, 0.0)
    assert caught.value.exit_code == 2
    assert os.listdir(root) == ["s"]
    assert content(root) == before
    assert studies.read(paths).next_id == 0


@pytest.mark.parametrize("kind", ["file", "folder", "dangling link"])
def test_name_that_something_else_has_is_refused_and_that_is_kept(tmp_path: Path, model: Path, kind: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    if kind == "file":
        (root / "s").write_text("mine")
    elif kind == "folder":
        (root / "s").mkdir()
        (root / "s" / "mine").touch()
    else:
        (root / "s").symlink_to("nowhere")
    with pytest.raises(StudyExists):
        studies.create(spec_of(model), "", str(root), 0.0)
    assert os.listdir(root) == ["s"]
    if kind == "file":
        assert (root / "s").read_text() == "mine"
    elif kind == "folder":
        assert os.listdir(root / "s") == ["mine"]
    else:
        assert os.readlink(root / "s") == "nowhere"


def test_model_folder_that_cannot_be_frozen_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(SpecError):
        studies.create(spec_of(tmp_path / "none"), "", str(tmp_path / "root"), 0.0)
    assert os.listdir(tmp_path / "root") == []


def test_interrupt_while_it_is_made_leaves_nothing(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hpo_engine.studies.layout.lay_out_study", interrupted)
    with pytest.raises(KeyboardInterrupt):
        studies.create(spec_of(model), "", str(tmp_path / "root"), 0.0)
    assert os.listdir(tmp_path / "root") == []


def test_what_dead_processes_left_half_made_is_swept_and_what_living_ones_make_is_not(
    tmp_path: Path, model: Path
) -> None:
    dead = subprocess.Popen([sys.executable, "-S", "-c", ""])
    dead.wait()
    living = subprocess.Popen(["/bin/sleep", "60"])
    try:
        root = tmp_path / "root"
        swept = [f".new-{dead.pid}-0badcafe", ".new-removed-0badcafe"]
        kept = [
            f".new-{living.pid}-0badcafe",
            f".new-{os.getpid()}-0badcafe",
            ".new-mine",
            f"other{dead.pid}-0",
            ".newer",
            "new-1-x",
            f"{dead.pid}",
        ]
        for name in swept + kept:
            (root / name / "model").mkdir(parents=True)
            (root / name / "model" / "train.py").touch()
        studies.create(spec_of(model), "", str(root), 0.0)
        assert set(os.listdir(root)) == {*kept, "s"}
        assert all((root / name / "model" / "train.py").exists() for name in kept)
    finally:
        living.kill()
        living.wait()


# -- a study that runs without an engine -------------------------------------------------------------------------------

SLEEPER = "import time\nopen('began', 'w').close()\ntime.sleep(600)\n"
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEPER


class Unled:
    """A study with trial 0 running, whose engine has gone."""

    def __init__(self, folder: Path, model: Path, script: str) -> None:
        (model / "train.py").write_text(script)
        spec = spec_of(
            model,
            command=(sys.executable, "-S", "train.py"),
            env={"MARK": str(folder)},
            trial=TrialPolicy(grace_s=30.0),
        )
        self.paths = studies.create(spec, "", str(folder / "root"), time.time())
        with assembly.open_study(self.paths) as study:
            engine = assembly.engine_for(study, time.time)
            engine.resume(time.time())
            wait_until(lambda: (engine.step(time.time()), self.began())[1])
            engine.step(time.time())
            engine.close()
        self.trial = studies.read(self.paths).trials[0]
        self.mark = f"MARK={folder}"

    def began(self) -> bool:
        return os.path.exists(f"{self.paths.trial(0).result_dir}/began")

    def runs(self) -> bool:
        return bool(processes_with(self.mark))

    def fate(self) -> records.Fate:
        assert self.trial.attempt is not None
        return records.fate(self.paths.trial(0).attempt(1), self.trial.attempt.nonce)[0]


@pytest.fixture
def script() -> str:
    return SLEEPER


@pytest.fixture
def unled(tmp_path: Path, model: Path, script: str) -> Iterator[Unled]:
    yield Unled(tmp_path, model, script)
    for pid in processes_with(f"MARK={tmp_path}"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_remove_is_refused_while_a_trial_runs_without_an_engine(unled: Unled) -> None:
    assert unled.trial.state is TrialState.RUNNING and unled.fate() is records.Fate.ALIVE
    with pytest.raises(EngineError, match="trial 0 of .*root/s still runs; stop the study first"):
        studies.remove(unled.paths)
    assert unled.runs() and studies.read(unled.paths).next_id == 1, "nothing was touched"
    studies.stop_unled_trial(unled.paths, unled.trial, kill=True)
    wait_until(lambda: unled.fate() is records.Fate.ENDED)
    studies.remove(unled.paths)
    assert os.listdir(os.path.dirname(unled.paths.root)) == []


@pytest.mark.parametrize(("script", "kill"), [(SLEEPER, False), (STUBBORN, True)])
def test_trial_without_an_engine_is_really_stopped_and_the_next_engine_records_it(unled: Unled, kill: bool) -> None:
    studies.stop_unled_trial(unled.paths, unled.trial, kill=kill)
    wait_until(lambda: not unled.runs(), 10.0)
    wait_until(lambda: unled.fate() is records.Fate.ENDED)
    assert unled.trial.attempt is not None
    found = records.read_exit(unled.paths.trial(0).attempt(1), unled.trial.attempt.nonce)
    assert found is not None and found.stop_cause == "user"
    assert found.signal == (signal.SIGKILL if kill else signal.SIGTERM)
    with assembly.open_study(unled.paths) as study:
        engine = assembly.engine_for(study, time.time)
        engine.resume(time.time())
        engine.interrupt("enough", time.time())
        while engine.step(time.time()):
            engine.executor.wait(0.05)
        engine.close()
    trial = studies.read(unled.paths).trials[0]
    assert (trial.state, len(trial.attempts)) == (TrialState.STOPPED, 1) and "by the user" in trial.reason


def test_stop_of_a_trial_that_never_started_or_has_ended_is_no_error(unled: Unled) -> None:
    studies.stop_unled_trial(unled.paths, replace(unled.trial, attempts=()), kill=True)
    other = replace(unled.trial, attempts=(replace(unled.trial.attempts[0], nonce="another"),))
    studies.stop_unled_trial(unled.paths, other, kill=True)
    assert unled.runs(), "the order was for another attempt"
    studies.stop_unled_trial(unled.paths, unled.trial, kill=True)
    wait_until(lambda: unled.fate() is records.Fate.ENDED)
    studies.stop_unled_trial(unled.paths, unled.trial, kill=True)


# -- remove ------------------------------------------------------------------------------------------------------------


def test_remove_is_refused_while_an_engine_leads(tmp_path: Path, model: Path) -> None:
    paths = studies.create(spec_of(model), "", str(tmp_path / "root"), 0.0)
    lead = StudyLock(paths.lock)
    before = set(os.listdir(paths.root))
    with pytest.raises(StudyLocked, match=f"another hpo-engine .process {os.getpid()} on"):
        studies.remove(paths)
    assert set(os.listdir(paths.root)) == before
    lead.close()
    studies.remove(paths)
    assert os.listdir(tmp_path / "root") == []


def test_damaged_study_can_be_removed(tmp_path: Path, model: Path) -> None:
    paths = studies.create(spec_of(model), "", str(tmp_path / "root"), 0.0)
    Path(paths.db).write_bytes(b"x" * 5000)
    studies.remove(paths)
    assert os.listdir(tmp_path / "root") == []


def test_remove_follows_no_link_out_of_the_study(tmp_path: Path, model: Path) -> None:
    paths = studies.create(spec_of(model), "", str(tmp_path / "root"), 0.0)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x").touch()
    os.symlink(tmp_path / "data", f"{paths.results}/0")
    studies.remove(paths)
    assert (tmp_path / "data" / "x").exists()


# -- differences -------------------------------------------------------------------------------------------------------


def test_same_spec_and_new_limits_are_no_difference() -> None:
    old = spec_of(seed=5)
    assert studies.differences(old, old) == []
    assert studies.differences(old, replace(old, seed=None)) == [], "a file without a seed agrees with any"
    assert studies.differences(old, replace(old, budget=Budget(99, 60.0))) == []
    assert studies.differences(old, replace(old, resources=Resources(parallel=7))) == []
    assert studies.differences(old, replace(old, dialect={"sigName": "x"})) == []


@pytest.mark.parametrize(
    ("changes", "field", "was", "now"),
    [
        ({"command": ("python", "other.py")}, "command", "train.py", "other.py"),
        ({"command": ("python", "train.py", "two words")}, "command", "train.py", "two words"),
        ({"objectives": (Objective("acc"),)}, "objective", "loss", "acc"),
        ({"objectives": (Objective("loss", "maximize"),)}, "objective", "minimize", "maximize"),
        ({"objectives": (Objective("loss", over="last"),)}, "objective", "minimize", "last"),
        ({"env": {"A": "2"}}, "env", '"1"', '"2"'),
        ({"env": {}}, "env", '"A"', "none"),
        ({"data_dir": "/data"}, "data_dir", "none", "/data"),
        ({"trial": TrialPolicy(retries=4)}, "trial", "none", '"retries": 4'),
        ({"trial": TrialPolicy(time_limit_s=60.0)}, "trial", "none", '"time_limit": 60'),
        ({"resources": Resources(cpus=2)}, "trial", "none", '"cpus": 2'),
        ({"algorithm": Named("grid")}, "algorithm", "random", "grid"),
        ({"algorithm": Named("random", {"levels": 3})}, "options", "none", '"levels": 3'),
        ({"model_dir": "/other"}, "model_dir", "/m", "/other"),
        ({"interpreter": "/usr/bin/python3"}, "interpreter", "none", "/usr/bin/python3"),
        ({"seed": 6}, "seed", "5", "6"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_one_changed_field_is_one_line_with_both_values(
    changes: dict[str, Any], field: str, was: str, now: str
) -> None:
    old = spec_of(seed=5)
    (line,) = studies.differences(old, replace(old, **changes))
    name, _, values = line.partition(": ")
    left, _, right = values.partition(" -> ")
    assert name == field and was in left and now in right
    (back,) = studies.differences(replace(old, **changes), replace(old))
    assert back == f"{field}: {right} -> {left}"


def test_fourth_of_five_parameters_is_named_with_both_values() -> None:
    old = spec_of()
    params = list(SPACE.params)
    params[3] = Float("drop", 0.0, 0.75)
    (line,) = studies.differences(old, replace(old, space=SearchSpace(tuple(params))))
    left, _, right = line.partition(" -> ")
    assert left == 'space.drop: {"float": [0.0, 0.5]}' and right == '{"float": [0.0, 0.75]}', "as study files have it"
    assert not any(p.name in line for p in SPACE.params if p.name in ("lr", "units", "act"))


def test_parameters_that_come_go_or_trade_places_are_named() -> None:
    old = spec_of()
    fewer = replace(old, space=SearchSpace(SPACE.params[:4]))
    assert studies.differences(old, fewer) == ["space.e: 5 -> none"]
    assert studies.differences(fewer, old) == ["space.e: none -> 5"]
    turned = replace(old, space=SearchSpace(SPACE.params[::-1]))
    assert studies.differences(old, turned) == ["space: the order of the parameters"]
    more = studies.differences(old, replace(old, space=SearchSpace(SPACE.params[1:3]), command=("sh",)))
    assert [line.partition(":")[0] for line in more] == ["command", "space.lr", "space.drop", "space.e"]


@pytest.mark.parametrize("field", ["command", "env"])
def test_difference_far_into_a_long_value_is_shown(field: str) -> None:
    values: list[Any] = [FAR, (*FAR[:-1], "0.2")]
    if field == "env":
        values = [{**{f"VARIABLE_{i}": "the same" for i in range(20)}, "RATE": v[-1]} for v in values]
    (line,) = studies.differences(spec_of(**{field: values[0]}), spec_of(**{field: values[1]}))
    left, _, right = line.partition(" -> ")
    assert "0.1" in left and "0.2" in right
    assert len(line) < 400


def test_paths_of_a_study_stay_below_its_folder(tmp_path: Path) -> None:
    paths = StudyPaths(str(tmp_path / "s"))
    for name in ("source", "db", "lock", "engine_log", "inbox", "model", "logs", "results", "trials", "dli"):
        assert os.path.dirname(getattr(paths, name)) == paths.root


def test_the_file_of_a_study_that_an_older_version_began_is_still_its_own() -> None:
    """It said nothing of `resume`, which meant never; now that means auto."""
    from hpo_engine.control.changes import changed_limits
    from hpo_engine.study.events import StudyOpened, fold
    from hpo_engine.study.spec import Budget, Resource
    from hpo_engine.testing.histories import SPACES, spec_of

    file = spec_of(
        SPACES["mixed"], algorithm=Named("asha"), resource=Resource("epochs", 9, resume="auto"), budget=Budget(22)
    )
    body = replace(file, resource=Resource("epochs", 9)).to_json()
    body["budget"] = {"trials": 22, "time_s": None}
    history = fold([StudyOpened(1.0, body)])
    none: dict[str, int | None] = {"trials": None, "runs": None, "parallel": None}
    assert changed_limits(history, file, none, StudyPaths("/s")) == {}
    more = replace(file, budget=Budget(30))
    assert changed_limits(history, more, none, StudyPaths("/s")) == {"runs": 30}, "its trials are runs"
