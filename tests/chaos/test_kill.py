"""kill -9 of the engine, everywhere: each trial is there in the end, and each attempt was started once at most."""

from __future__ import annotations

import ast
import json
import os
import random
import re
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from hpo_engine import failpoints, studies
from hpo_engine.contract.paths import StudyPaths
from tests.support import command
from tests.support.helpers import processes_with, wait_until
from tests.support.scene import CHANGING, Scene, killed

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "engine" / "hpo_engine"
COMMANDS = ("command.taken", "command.done", "stop.before-reason", "trial.user-stop-asked")
ELSEWHERE = (
    "command.posted",
    "study.removed",
    "study.unshared",
    "check.kept",
    "plan.pace-aside",
)  # in the process of another verb, or in a copy
UNKNOWN = "trial.unknown-aside"  # after a power cut
LARGE = "folder.handed"  # in studies of many files
EARLY = "trial.stop-asked"  # in studies with a rule
CARRYING = (
    "trial.carried-on",
    "trial.copying",
    "trial.kept",
    "trial.copied",
    "trial.started-from",
    "trial.emetrics-aside",
    "trial.earlier-recorded",
)  # see test_carrying
DELETING = ("checkpoints.deletion-recorded", "checkpoints.deleted")  # see test_checkpoints
SEARCHING = ("searcher.state-aside", "searcher.state-saved")  # see test_plugins
INSTALLING = ("algorithm.installed", "algorithm.removed")
SERVING = [name for name in failpoints.NAMES if name.startswith(("service.", "accounts.", "model.", "copy.", "host."))]
NOTED = "shim.stop-noted"  # see test_ending
HELPERS = [name for name in failpoints.NAMES if name.startswith(("launcher.", "shim.")) and name != NOTED]
NOT_PASSED = {"auto": ("shim.child-started",), "off": ("launcher.preloaded", "shim.child-forked")}
POINTS = [
    name
    for name in failpoints.NAMES
    if name
    not in (
        *COMMANDS,
        *ELSEWHERE,
        *HELPERS,
        *CARRYING,
        *CHANGING,
        *DELETING,
        *SEARCHING,
        *INSTALLING,
        *SERVING,
        EARLY,
        UNKNOWN,
        LARGE,
        NOTED,
    )
]
ON_RESUME = ("resume.adopted",)


@pytest.fixture(scope="session")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    """The results of an undisturbed run of 6 trials."""
    return _calm(tmp_path_factory, 6, 0.7)


@pytest.fixture(scope="session")
def expected_of_40(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    return _calm(tmp_path_factory, 40, 0.0)


def _calm(tmp_path_factory: pytest.TempPathFactory, trials: int, live_s: float) -> list[tuple[Any, ...]]:
    scene = Scene(tmp_path_factory.mktemp("calm"), trials, live_s)
    assert scene.run() == 0, scene.said()
    scene.check(scene.results())
    return scene.results()


def test_every_failpoint_stands_in_the_code_once_and_is_listed() -> None:
    found = [
        m for path in (ROOT / "engine").rglob("*.py") for m in re.findall(r'failpoint\("([^"]+)"\)', path.read_text())
    ]
    assert sorted(found) == sorted(failpoints.NAMES)


def test_every_durable_step_has_a_failpoint_in_its_function() -> None:
    """A rename, link, fork, spawn or commit that no test can kill at would be a step that nobody has tried."""
    steps = {"rename", "replace", "link", "fork", "posix_spawn"}
    missing = []
    probes = {PACKAGE / f"executors/preload/{name}.py" for name in ("importing", "privatefiles")}  # nothing durable
    probes.add(PACKAGE / "isolation/runner.py")  # a process that leaves nothing but output
    laws = set((PACKAGE / "testing").rglob("*.py"))  # tests of their own
    for path in set(PACKAGE.rglob("*.py")) - probes - laws:
        source = path.read_text()
        if not any(word in source for word in (*(f"os.{step}" for step in steps), "COMMIT")):
            continue
        for function in ast.walk(ast.parse(source)):
            if not isinstance(function, ast.FunctionDef) or function.name == "can_protect":  # a probe: nothing durable
                continue
            text, calls = ast.unparse(function), [n for n in ast.walk(function) if isinstance(n, ast.Call)]
            named = {ast.unparse(call.func) for call in calls}
            durable = any(f"os.{step}" in named for step in steps) or "COMMIT" in text
            if durable and "failpoint(" not in text:
                missing.append(f"{path.name}: {function.name}")
    assert not missing


def _kill_at(tmp_path: Path, name: str, number: int, expected: list[tuple[Any, ...]]) -> None:
    scene = Scene(tmp_path / "a b")
    if name in ON_RESUME:
        assert killed(scene.run("attempt.started:1:kill"))
    code = scene.run(f"{name}:{number}:kill")
    assert killed(code) or (number > 1 and code == 0), scene.said()
    if code != 0:
        assert scene.run() == 0, scene.said()
    scene.check(expected)


@pytest.mark.by_default("[trial.proposed", "lease.renamed", "resume.adopted", "study.closed")
@pytest.mark.parametrize("name", POINTS)
def test_kill_at_the_first_passage(tmp_path: Path, name: str, expected: list[tuple[Any, ...]]) -> None:
    _kill_at(tmp_path, name, 1, expected)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(2, 13))
@pytest.mark.parametrize("name", POINTS)
def test_kill_at_a_later_passage(tmp_path: Path, name: str, number: int, expected: list[tuple[Any, ...]]) -> None:
    _kill_at(tmp_path, name, number, expected)


@pytest.mark.by_default("command.taken")
@pytest.mark.parametrize("name", COMMANDS)
def test_kill_while_a_request_is_carried_out(tmp_path: Path, name: str) -> None:
    from hpo_engine.store import inbox

    scene = Scene(tmp_path, live_s=30.0)
    process = scene.engine(f"{name}:1:kill")
    wait_until(lambda: scene.counts.exists() and "\n2 " in scene.counts.read_text())
    inbox.post(scene.paths.inbox, inbox.Request("stop", 2))
    assert killed(process.wait(30)), scene.said()
    assert scene.run() == 0, scene.said()
    history = scene.history()
    assert history.trials[2].state.value == "stopped" and history.ended_count == 6
    assert set(scene.starts().values()) == {1}


LIVE = """\
import json, time
number = json.load(open("config.json"))["number"]
open(f"{number}.started", "x").close()
rows = [{"step": 1, "loss": number}]
json.dump(rows, open("val_dict_list.json", "w"))
time.sleep(60 if number == 3 else 0)
rows.append({"step": 2, "loss": number})  # no rule acts where completed trials end
json.dump(rows, open("val_dict_list.json", "w"))
"""


def test_kill_while_a_rule_ends_a_trial(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(LIVE)
    (tmp_path / "algo.yaml").write_text(
        "command: python train.py\nobjective: minimize loss\nearly_stopping: {rule: rank, min_rivals: 3}\n"
        "experiments: [{number: 0}, {number: 1}, {number: 2}, {number: 3}, {number: 4}]\n"
    )
    argv = ["submit", "algo.yaml", "--name", "s", "--json"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert killed(command.run(*argv, cwd=tmp_path, env={**env, "HPO_FAILPOINT": f"{EARLY}:1:kill"}).returncode)
    done = command.run(*argv, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counts"] == {"completed": 4, "pruned": 1}
    stopped = studies.read(StudyPaths(str(tmp_path / "hpo-runs/s"))).trials[3]
    assert stopped.stop is not None and stopped.reason == stopped.stop.reason, "it was asked for by the first engine"
    assert stopped.reason == "not promising: 3 of 3 other trials were better at step 1" and len(stopped.attempts) == 1


def test_kill_while_the_studys_end_stops_a_trial_keeps_the_reason(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import time\ntime.sleep(60)\n")
    (tmp_path / "algo.yaml").write_text(
        "command: python train.py\nobjective: minimize loss\ntime_limit: 1s\nexperiments: [{number: 0}]\n"
    )
    env = {**os.environ, "HPO_FAILPOINT": f"{EARLY}:1:kill"}
    assert killed(command.run("submit", "algo.yaml", "--name", "s", cwd=tmp_path, env=env).returncode)
    # The next engine has no reason of its own to stop it.
    done = command.run("resume", "s", "--time-limit", "1h", cwd=tmp_path, env=dict(os.environ))
    trial = studies.read(StudyPaths(str(tmp_path / "hpo-runs/s"))).trials[0]
    assert trial.state.value == "stopped" and "1 s" in trial.reason, (trial, done.stderr)


MANY = """\
import json, os
names = os.listdir("data")
assert len(names) == 505 and not os.path.islink("data"), len(names)
open(f"{os.environ['COUNTS']}/{os.environ['HPO_ATTEMPT']}", "x").close()
open(f"mine", "w").close()
json.dump([{"loss": json.load(open("config.json"))["x"]}], open("val_dict_list.json", "w"))
"""


@pytest.mark.parametrize("number", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_kill_while_a_folder_is_handed_on(tmp_path: Path, number: int) -> None:
    (tmp_path / "counts").mkdir()
    (tmp_path / "m/data").mkdir(parents=True)
    for k in range(505):
        (tmp_path / f"m/data/{k}").touch()
    (tmp_path / "m/train.py").write_text(MANY)
    (tmp_path / "m/algo.yaml").write_text(
        "command: python -S train.py\nobjective: minimize loss\nalgorithm: random\ntrials: 5\n"
        f"env: {{COUNTS: {tmp_path}/counts}}\nspace: {{x: {{float: [0, 1]}}}}\n"
    )
    argv = ["submit", "m/algo.yaml", "--name", "s", "--json"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert killed(command.run(*argv, cwd=tmp_path, env={**env, "HPO_FAILPOINT": f"{LARGE}:{number}:kill"}).returncode)
    done = command.run(*argv, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counts"] == {"completed": 5}
    assert len(os.listdir(tmp_path / "counts")) == 5
    results = tmp_path / "hpo-runs/s/results"
    assert [len(os.listdir(results / f"{k}/data")) for k in range(5)] == [505] * 5
    assert all((results / f"{k}/mine").exists() for k in range(5))
    assert sum((results / f"{k}/data").is_symlink() for k in range(5)) >= 3


@pytest.mark.by_default("launcher.forked-auto", "shim.exit-recorded-off")
@pytest.mark.parametrize(
    ("name", "preload"), [(name, way) for name in HELPERS for way in ("auto", "off") if name not in NOT_PASSED[way]]
)
def test_kill_of_a_launcher_or_shim_costs_an_attempt_at_most(
    tmp_path: Path, name: str, preload: str, expected: list[tuple[Any, ...]]
) -> None:
    scene = Scene(tmp_path, preload=preload)
    assert scene.run(f"{name}:1:kill", once=tmp_path / "died") == 0, scene.said()
    assert (tmp_path / "died").exists(), "nobody passed there"
    assert scene.results() == expected
    attempts = [a for t in scene.history().trials for a in t.attempts]
    starts = scene.starts()
    assert max(starts.values()) == 1, "an attempt ran twice"
    assert set(starts) <= {a.nonce for a in attempts}, "nobody knows of an attempt"
    assert len(attempts) <= 8, "6, the retry of the scene, and one that was lost"
    wait_until(lambda: not processes_with(str(scene.counts)))


@pytest.mark.by_default("[3]")
@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_power_cut_takes_the_last_events_and_no_trial(
    tmp_path: Path, number: int, expected: list[tuple[Any, ...]]
) -> None:
    """The log as the disk had it, the folders as they were; `number`: where the engine that goes on is killed, too."""
    scene = Scene(tmp_path)
    assert scene.run() == 0, scene.said()
    db = sqlite3.connect(scene.paths.db)
    (first,) = db.execute("SELECT min(seq) FROM events WHERE body LIKE '%\"trial\":4%'").fetchone()
    db.execute("DELETE FROM events WHERE seq >= ?", (first,))
    db.commit()
    db.close()
    before = scene.starts()
    if number:
        assert killed(scene.run(f"{UNKNOWN}:{number}:kill")), scene.said()
    assert scene.run() == 0, scene.said()
    assert scene.results() == expected
    assert len(scene.history().trials) == 6 and scene.starts() > before
    aside = Path(scene.paths.trials).glob("*.unknown*/result/val_dict_list.json")
    assert {path.parent.parent.name.partition(".")[0] for path in aside} >= {"4"}


def test_removal_that_was_killed_is_finished_by_the_next_submit(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    assert scene.run() == 0, scene.said()
    argv = ["remove", str(scene.paths.root), "--yes"]
    removing = command.run(*argv, cwd=tmp_path, env={**os.environ, "HPO_FAILPOINT": "study.removed:1:kill"})
    assert killed(removing.returncode) and not os.path.exists(scene.paths.root)
    for leftover in (scene.counts, Path(f"{scene.counts}.failed")):
        leftover.unlink()
    assert scene.run() == 0, scene.said()
    scene.check(scene.results())


def _random_kills(tmp_path: Path, kills: int, seed: int, expected: list[tuple[Any, ...]]) -> None:
    """Kills engines at random moments until enough have died; some in the middle of their recovery."""
    scene = Scene(tmp_path, trials=40, live_s=0.0)
    rng = random.Random(seed)
    begin, engine = time.monotonic(), scene.engine()
    wait_until(scene.counts.exists)
    start_s = time.monotonic() - begin  # until its first trial
    engine.kill()
    assert killed(engine.wait()), scene.said()
    died, lived = 1, 0
    while died < kills:
        engine = scene.engine()
        try:
            # From before its first step to well into the study.
            code = engine.wait(rng.uniform(0.0, 2 * start_s))
        except Exception:
            engine.send_signal(signal.SIGKILL)
            code = engine.wait()
        if killed(code):
            died += 1
            continue
        assert code == 0, scene.said()
        lived += 1
        scene.check(expected)
        # Finished early: begin another one of the same kind.
        scene = Scene(tmp_path / f"again{lived}", trials=40, live_s=0.0)
    assert scene.run(timeout_s=120) == 0, scene.said()
    scene.check(expected)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_random_kills(tmp_path: Path, seed: int, expected_of_40: list[tuple[Any, ...]]) -> None:
    _random_kills(tmp_path, 15, seed, expected_of_40)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3, 4, 5])
def test_hundred_random_kills(tmp_path: Path, seed: int, expected_of_40: list[tuple[Any, ...]]) -> None:
    _random_kills(tmp_path, 100, seed, expected_of_40)
