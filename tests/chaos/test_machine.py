"""What is the machine's fault is charged to no trial: it waits, says so once, goes on, and leaves with 5 in the end."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from hpo_engine import studies
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.executors.local import processes
from hpo_engine.study.history import History
from hpo_engine.system import faults
from tests.support import command
from tests.support.helpers import processes_with, remove_tree, wait_until

ROOT = Path(__file__).parents[2]
TRAIN = """\
import json, os, time
with open(os.environ["OUT"], "a") as out:
    print(os.environ["SUBID"], os.environ["HPO_ATTEMPT"], file=out)
while os.path.exists(os.environ["OUT"] + ".hold"):
    time.sleep(0.02)
json.dump([{"step": 1, "loss": json.load(open("config.json"))["x"]}], open("val_dict_list.json", "w"))
"""
STUDY = """\
command: [{python}, -S, train.py]
objective: minimize loss
algorithm: random
options: {{seed: 3}}
trials: {trials}
parallel: 2
trial: {{grace: 1s, preload: {warm}}}
env: {{OUT: {out}}}
space: {{x: {{float: [0, 1]}}}}
"""
SLOWLY = """
from hpo_engine.core import trouble
trouble._PATIENCE_S = 1.0
import sys
del sys.path[0]
from hpo_engine.cli import main
main()
"""  # a minute in a second


class Scene:
    def __init__(self, folder: Path, trials: int = 6, warm: str = "off") -> None:
        self.folder, self.out, self.spell = folder, folder / "out", folder / "spell"
        (folder / "m").mkdir()
        (folder / "m" / "train.py").write_text(TRAIN)
        text = STUDY.format(python=json.dumps(sys.executable), out=json.dumps(str(self.out)), warm=warm, trials=trials)
        (folder / "m" / "algo.yaml").write_text(text)
        self.paths = StudyPaths(str(folder / "runs" / "m"))

    def engine(
        self, points: str = "", code: str = "", impatient: bool = False, **more: object
    ) -> subprocess.Popen[bytes] | command.Command:
        """An engine for which the calls at `points` fail with `code` as long as the spell lasts."""
        env = {**os.environ, "PYTHONPATH": str(ROOT), "HPO_FAILPOINT_WHILE": str(self.spell)}
        if points:
            env["HPO_FAILPOINT_ERRNO"] = f"{points}:{code}"
        argv = ["submit", str(self.folder / "m" / "algo.yaml"), "--root", str(self.folder / "runs")]
        with open(self.folder / "said", "ab") as said:
            if not impatient and not more:
                return command.start(*argv, cwd=Path.cwd(), env=env, stdout=said)
            begin = [sys.executable, "-c", SLOWLY] if impatient else [sys.executable, "-m", "hpo_engine.cli"]
            argv = [*begin, *argv]
            return subprocess.Popen(argv, env=env, stdout=said, stderr=said, **more)  # type: ignore[call-overload]

    def said(self) -> str:
        return (self.folder / "said").read_text(errors="replace")

    def history(self) -> History:
        return studies.read(self.paths)

    def starts(self) -> list[str]:
        return self.out.read_text().splitlines() if self.out.exists() else []

    def check(self, trials: int = 6) -> None:
        """All trials are there, each has run once, and nobody speaks of failures."""
        history = self.history()
        assert [t.state.value for t in history.trials] == ["completed"] * trials, self.said()
        assert history.state.value == "finished"
        assert Counter(line.split()[0] for line in self.starts()) == {str(i): 1 for i in range(trials)}
        assert "Traceback" not in self.said() and "fail" not in self.said().replace("has_failed", "")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    yield Scene(tmp_path)
    for pid in processes_with(str(tmp_path)):
        os.kill(pid, signal.SIGKILL)


def test_every_faultpoint_stands_in_the_code_and_is_listed() -> None:
    text = "".join(path.read_text() for path in (ROOT / "engine").rglob("*.py"))
    assert [name for name in faults.POINTS if text.count(f'faultpoint("{name}")') != 1] == []
    assert text.count('faultpoint("') == len(faults.POINTS)


SPELLS = [
    ("engine.lay-out", "ENOSPC", "off"),
    ("launcher.fork", "EAGAIN", "off"),
    ("shim.spawn", "EAGAIN", "off"),
    ("shim.fork", "EAGAIN", "auto"),
    ("launcher.fork+shim.fork+shim.spawn+engine.launcher-start", "EAGAIN", "auto"),
]
MORE = [
    ("engine.launcher-start", "EMFILE", "off"),
    ("engine.read-results", "ENFILE", "off"),
    ("launcher.import", "ENOMEM", "auto"),
    ("shim.token", "ENOSPC", "off"),
    ("shim.spawn", "ENOMEM", "off"),
]


def or_slow(*more: object) -> list[object]:
    return [
        pytest.param(*(values if isinstance(values, tuple) else (values,)), marks=pytest.mark.slow) for values in more
    ]


@pytest.mark.by_default("engine.lay-out-ENOSPC-off", "shim.fork-EAGAIN-auto")
@pytest.mark.parametrize(("points", "code", "warm"), [*SPELLS, *or_slow(*MORE)])
def test_spell_is_waited_out_and_costs_no_trial(tmp_path: Path, points: str, code: str, warm: str) -> None:
    scene = Scene(tmp_path, warm=warm)
    scene.spell.touch()
    engine = scene.engine(points, code)
    wait_until(lambda: "waiting, " in scene.said() or engine.poll() is not None)
    time.sleep(0.7)
    assert scene.starts() == [] or points == "engine.read-results"
    scene.spell.unlink()
    assert engine.wait(120) == 0, scene.said()
    scene.check()
    said = scene.said()
    assert said.count("waiting, ") == 1 and said.count("the machine has room again") == 1, said
    assert os.strerror(getattr(errno, code)) in said
    assert max(len(t.attempts) for t in scene.history().trials) <= 5


@pytest.mark.slow
@pytest.mark.by_default("shim.exit-record")
@pytest.mark.parametrize("points", ["engine.read-records", "shim.exit-record"])
def test_records_that_cannot_be_read_or_written_are_waited_for(scene: Scene, points: str) -> None:
    Path(f"{scene.out}.hold").touch()
    engine = scene.engine(points, "EMFILE" if "read" in points else "ENOSPC")
    wait_until(lambda: len(scene.starts()) == 2 or engine.poll() is not None)
    scene.spell.touch()
    os.unlink(f"{scene.out}.hold")
    time.sleep(0.7)
    assert len(scene.starts()) == 2 and not scene.history().ended_count
    scene.spell.unlink()
    assert engine.wait(120) == 0, scene.said()
    scene.check()
    assert {len(t.attempts) for t in scene.history().trials} == {1}


@pytest.mark.by_default("engine.read-results")
@pytest.mark.parametrize(
    "points", ["shim.spawn", "engine.read-results", *or_slow("engine.lay-out", "engine.launcher-start")]
)
def test_spell_that_does_not_end_is_left_with_5_and_the_study_can_be_resumed(scene: Scene, points: str) -> None:
    scene.spell.touch()
    engine = scene.engine(points, "EAGAIN", impatient=True)
    assert engine.wait(120) == 5, scene.said()
    history = scene.history()
    assert history.state.value == "running" and not history.ended_count, scene.said()
    said = scene.said()
    assert said.count("waiting, ") == 1
    assert "Resource temporarily unavailable; no trial could be started for 1 s. Nothing is lost" in said
    scene.spell.unlink()
    assert scene.engine().wait(120) == 0, scene.said()
    scene.check()


FULL_DISK = {
    "exit code": """\
if os.path.exists(SPELL):
    open("val_dict_list.json", "w").close()
    open("/dev/full", "w", buffering=1).write("x\\n")  # as on a full disk: [Errno 28] No space left on device
""",
    "no results": """\
if os.path.exists(SPELL):
    import traceback
    try:
        open("/dev/full", "w", buffering=1).write("x\\n")
    except OSError:
        traceback.print_exc()
    open("val_dict_list.json", "w").close()
    raise SystemExit
""",
    "no words": """\
if os.path.exists(SPELL):
    open("val_dict_list.json", "w").close()
    raise SystemExit(int(os.environ["SUBID"]) % 2)  # its record finds the disk full, see below
""",
}


def on_full_disk(scene: Scene, how: str) -> None:
    path = scene.folder / "m" / "train.py"
    head, tail = TRAIN.split("while", 1)
    path.write_text(f"{head}SPELL = {str(scene.spell)!r}\n{FULL_DISK[how]}while{tail}")


@pytest.mark.slow
@pytest.mark.by_default(1)
@pytest.mark.parametrize("how", FULL_DISK)
def test_script_that_meets_a_full_disk_is_run_again_and_has_not_failed(scene: Scene, how: str) -> None:
    on_full_disk(scene, how)
    scene.spell.touch()
    engine = scene.engine("shim.exit-record", "ENOSPC") if how == "no words" else scene.engine()
    wait_until(lambda: len(scene.starts()) >= 2 or engine.poll() is not None)
    if how != "no words":
        wait_until(lambda: "waiting, " in scene.said() or engine.poll() is not None)
    time.sleep(0.3)
    scene.spell.unlink()
    assert engine.wait(120) == 0, scene.said()
    history, said = scene.history(), scene.said()
    assert [t.state.value for t in history.trials] == ["completed"] * 6, said
    assert "could not write: " in said and "failed" not in said and "Traceback" not in said
    ran = [a for t in history.trials for a in t.attempts if a.exit and a.exit.machine and not a.exit.unstarted]
    assert len(ran) >= 2
    assert (Path(scene.paths.trial(0).own) / "result" / "val_dict_list.json").read_bytes() == b"", "set aside"


@pytest.mark.slow
def test_script_that_always_meets_a_full_disk_is_not_run_for_ever(scene: Scene) -> None:
    on_full_disk(scene, "exit code")
    scene.spell.touch()
    engine = scene.engine(impatient=True)
    assert engine.wait(120) == 5, scene.said()
    assert not scene.history().ended_count and "No space left on device" in scene.said().splitlines()[-1]
    scene.spell.unlink()
    assert scene.engine().wait(120) == 0, scene.said()
    assert [t.state.value for t in scene.history().trials] == ["completed"] * 6


def test_failure_on_a_disk_with_room_is_the_scripts_own(scene: Scene) -> None:
    (scene.folder / "m" / "train.py").write_text("print('the device is full of joy')\nraise SystemExit(3)\n")
    assert scene.engine().wait(120) == 3, scene.said()
    assert [t.state.value for t in scene.history().trials][:3] == ["failed"] * 3
    assert {len(t.attempts) for t in scene.history().trials} == {1} and "could not write" not in scene.said()


@pytest.mark.slow
def test_retries_are_not_used_up_and_results_of_an_earlier_run_are_set_aside_once(scene: Scene) -> None:
    text = (scene.folder / "m" / "algo.yaml").read_text().replace("grace: 1s", "grace: 1s, retries: 1")
    (scene.folder / "m" / "algo.yaml").write_text(text.replace("parallel: 2", "parallel: 1"))
    first = 'import os\nmark = os.environ["OUT"] + os.environ["SUBID"]\nif not os.path.exists(mark):\n    open(mark, "w").close(); open("mine", "w").close()\n    open(os.environ["OUT"][:-3] + "spell", "w").close()\n    raise SystemExit(3)\n'
    (scene.folder / "m" / "train.py").write_text(first + TRAIN)
    engine = scene.engine("shim.spawn", "EAGAIN")
    for _ in range(6):
        wait_until(lambda: scene.spell.exists() or engine.poll() is not None)
        time.sleep(0.25)
        scene.spell.unlink(missing_ok=True)
    assert engine.wait(120) == 0, scene.said()
    history = scene.history()
    assert [t.state.value for t in history.trials] == ["completed"] * 6
    assert all(t.attempts[0].exit is not None and t.attempts[0].exit.code == 3 for t in history.trials)
    for trial in range(6):
        own = Path(scene.paths.trial(trial).own)
        assert (own / "result" / "mine").exists() and list(own.glob("*/result*")) == [] == list(own.glob("result.*"))


@pytest.mark.by_default("results")
@pytest.mark.parametrize("name", ["results", "trials", "logs"])
def test_folder_that_is_removed_while_trials_run_is_made_again(scene: Scene, name: str) -> None:
    Path(f"{scene.out}.hold").touch()
    engine = scene.engine()
    wait_until(lambda: len(scene.starts()) == 2 or engine.poll() is not None)
    remove_tree(Path(scene.paths.root, name))
    os.unlink(f"{scene.out}.hold")
    assert engine.wait(120) == 0, scene.said()
    history = scene.history()
    assert [t.state.value for t in history.trials] == ["completed"] * 6, [t.reason for t in history.trials]
    assert all(count == 1 for count in Counter(line.split()[1] for line in scene.starts()).values())
    assert "Traceback" not in scene.said()


def test_study_that_is_removed_under_its_engine_is_left_with_5_and_named(scene: Scene) -> None:
    Path(f"{scene.out}.hold").touch()
    engine = scene.engine()
    wait_until(lambda: len(scene.starts()) == 2 or engine.poll() is not None)
    os.rename(scene.paths.root, scene.folder / "gone")
    os.unlink(f"{scene.out}.hold")
    assert engine.wait(120) == 5, scene.said()
    assert scene.paths.root in scene.said() and not os.path.exists(scene.paths.root)
    assert "Traceback" not in scene.said()


@pytest.mark.by_default(1)
@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("./empty-head", "No such file or directory"),
        ("sh -c 'exit 7'", "exit code 7"),
    ],
)
def test_what_is_the_trials_fault_stays_so(scene: Scene, command: str, why: str) -> None:
    (scene.folder / "m" / "empty-head").write_text("#!/no/such/interpreter\n")
    (scene.folder / "m" / "empty-head").chmod(0o755)
    lines = (scene.folder / "m" / "algo.yaml").read_text().splitlines()
    (scene.folder / "m" / "algo.yaml").write_text("\n".join([f'command: "{command}"', *lines[1:]]))
    assert scene.engine().wait(120) == 3, scene.said()
    history = scene.history()
    assert {t.state.value for t in history.trials} == {"failed"} and why in history.trials[0].reason
    assert "waiting, " not in scene.said()


def test_few_descriptors_are_enough_or_waited_for(scene: Scene) -> None:
    """The real thing: an engine that may open hardly more than it needs at rest."""
    engine = scene.engine(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40)))
    assert engine.wait(120) == 0, scene.said()
    scene.check()


@pytest.mark.slow
@pytest.mark.parametrize("warm", ["auto", *or_slow("off")])
def test_stopped_launcher_and_supervisor_go_on_when_what_is_above_them_dies(tmp_path: Path, warm: str) -> None:
    """Else they would stay for ever: the next engine knows of neither."""
    scene = Scene(tmp_path, warm=warm)
    Path(f"{scene.out}.hold").touch()
    engine = scene.engine()
    wait_until(lambda: len(scene.starts()) == 2 or engine.poll() is not None)
    shim = json.loads(Path(scene.paths.trial(0).attempt(1), "started").read_text())["pid"]
    launcher = processes.parent(shim)
    assert launcher is not None and launcher > 1
    for pid in (launcher, shim):
        os.kill(pid, signal.SIGSTOP)
        wait_until(partial(processes.stands_still, pid))
    engine.kill()
    engine.wait()
    wait_until(lambda: not processes.stands_still(launcher) and not processes.stands_still(shim))
    os.kill(launcher, signal.SIGSTOP)
    os.kill(shim, signal.SIGSTOP)
    os.kill(launcher, signal.SIGKILL)
    wait_until(lambda: not processes.stands_still(shim))
    os.unlink(f"{scene.out}.hold")
    assert scene.engine().wait(120) == 0, scene.said()
    scene.check()
    wait_until(lambda: not os.path.exists(f"/proc/{shim}"))


def _pids_cgroup() -> Path | None:
    """A new cgroup with a limit on processes, where this machine lets us make one."""
    for root in (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")):
        made = root / f"hpo-test-{os.getpid()}-{time.time_ns()}"
        try:
            made.mkdir()
        except OSError:
            continue
        if (made / "pids.max").exists():
            return made
        made.rmdir()
    return None


@pytest.mark.slow
@pytest.mark.parametrize("warm", ["auto", *or_slow("off")])
def test_machine_without_processes_for_a_while(tmp_path: Path, warm: str) -> None:
    """The real thing: no process can be forked for a second, in the middle of a study."""
    group = _pids_cgroup()
    if group is None:
        pytest.skip("no cgroup of processes can be made here")
    scene = Scene(tmp_path, trials=40, warm=warm)

    def enter() -> None:
        (group / "cgroup.procs").write_text(str(os.getpid()))

    try:
        engine = scene.engine(preexec_fn=enter)
        wait_until(lambda: len(scene.starts()) > 4 or engine.poll() is not None)
        (group / "pids.max").write_text("1")  # fewer than there are: every fork fails
        wait_until(lambda: "waiting, " in scene.said() or engine.poll() is not None)
        time.sleep(0.5)
        (group / "pids.max").write_text("max")
        assert engine.wait(120) == 0, scene.said()
        history = scene.history()
        assert [t.state.value for t in history.trials] == ["completed"] * 40, scene.said()
        assert max(Counter(line.split()[1] for line in scene.starts()).values()) == 1
    finally:
        (group / "pids.max").write_text("max")
        wait_until(lambda: not (group / "cgroup.procs").read_text().split())
        group.rmdir()
