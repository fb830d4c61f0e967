"""Copies of studies that run: nothing that is done to a copy reaches the original."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpo_engine import studies
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.study.history import History
from hpo_engine.study.trial import StopCause
from tests.support import command
from tests.support.helpers import processes_with, remove_tree, wait_until

ROOT = Path(__file__).parents[2]
TRAIN = """\
import json, os, signal, time
out, name = os.environ["OUT"], os.environ["SUBID"]

def say(word):
    fd = os.open(out, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{word} {name} {os.environ['HPO_ATTEMPT']} {os.environ['RESULT_DIR']}\\n".encode())
    os.close(fd)

for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, lambda number, frame: say("signal"))
say("begin")
while not os.path.exists(out + ".go"):
    time.sleep(0.02)
json.dump([{"step": 1, "loss": json.load(open("config.json"))["x"]}], open("val_dict_list.json", "w"))
say("end")
"""
STUDY = """\
command: [{python}, -S, train.py]
objective: minimize loss
algorithm: random
options: {{seed: 3}}
trials: 4
parallel: 2
trial: {{grace: 1s, preload: {warm}}}
env: {{OUT: {out}}}
space: {{x: {{float: [0, 1]}}}}
"""


class Original:
    """A study with two trials that run until they are let go."""

    def __init__(self, folder: Path, warm: str = "auto") -> None:
        self.folder, self.out = folder, folder / "out"
        (folder / "m").mkdir()
        (folder / "m" / "train.py").write_text(TRAIN)
        text = STUDY.format(python=json.dumps(sys.executable), out=json.dumps(str(self.out)), warm=warm)
        (folder / "m" / "algo.yaml").write_text(text)
        self.root = folder / "runs" / "m"
        self.engine = self.hpo("submit", str(folder / "m" / "algo.yaml"))
        wait_until(lambda: self.words()["begin"] == 2)

    def hpo(self, *words: str) -> command.Command:
        argv = [*words, "--root", str(self.folder / "runs")]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        with open(self.folder / "said", "ab") as said:
            return command.start(*argv, cwd=self.folder, env=env, stdout=said)

    def verb(self, *words: str, code: int = 0) -> str:
        """What the verb said."""
        begin = len(self.said())
        assert self.hpo(*words).wait(120) == code, self.said()
        return self.said()[begin:]

    def said(self) -> str:
        return (self.folder / "said").read_text(errors="replace")

    def words(self, within: Path | None = None) -> Counter[str]:
        """begin, end, signal: how often the trials of that folder have said it."""
        lines = self.out.read_text().splitlines() if self.out.exists() else []
        root = str(within or self.root) + "/"
        return Counter(line.split()[0] for line in lines if line.split(" ", 3)[3].startswith(root))

    def kill_engine(self) -> None:
        self.engine.kill()
        self.engine.wait()

    def let_go(self) -> None:
        Path(f"{self.out}.go").touch()

    def history(self, root: Path | None = None) -> History:
        return studies.read(StudyPaths(str(root or self.root)))

    def finish(self, led: bool = True) -> None:
        """The original goes on to its end, and nobody has disturbed it."""
        self.let_go()
        if not led:
            self.engine = self.hpo("resume", str(self.root))
        assert self.engine.wait(120) == 0, self.said()
        history = self.history()
        assert [t.state.value for t in history.trials] == ["completed"] * 4
        assert {len(t.attempts) for t in history.trials} == {1}, "a run of the original was disturbed"
        assert self.words() == Counter(begin=4, end=4), "a signal reached a trial of the original"


@pytest.fixture(autouse=True)
def _without_the_ledger(monkeypatch: pytest.MonkeyPatch, _machine_of_its_own: None) -> None:
    """A copy's trials run beside the original's, for which two cores have no room."""
    monkeypatch.setenv("HPO_ENGINE_LEDGER", "off")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for pid in processes_with(str(tmp_path)):
        os.kill(pid, signal.SIGKILL)


def copied(original: Original, name: str = "copy", *options: str) -> Path:
    target = original.folder / "runs" / name
    subprocess.run(["cp", *(options or ["-a"]), str(original.root), str(target)], check=True)
    return target


@pytest.mark.by_default("auto-True")
@pytest.mark.parametrize(
    ("warm", "led"),
    [
        ("auto", True),
        ("off", False),
        *(pytest.param(*way, marks=pytest.mark.slow) for way in (("auto", False), ("off", True))),
    ],
)
def test_copy_of_a_running_study_is_run_without_the_original(folder: Path, warm: str, led: bool) -> None:
    original = Original(folder, warm)
    if not led:
        original.kill_engine()
    copy = copied(original)
    engine = original.hpo("resume", "copy")
    wait_until(lambda: original.words(copy)["begin"] == 2 or engine.poll() is not None)
    assert engine.poll() is None, original.said()
    said = original.said()
    assert f"{copy} is a copy of {'a study that runs in' if led else 'the study in'} {original.root}; " in said
    assert "the 2 trials that were running are run again here" in said
    original.let_go()
    assert engine.wait(120) == 0, original.said()
    history = original.history(copy)
    assert [t.state.value for t in history.trials] == ["completed"] * 4
    assert [len(t.attempts) for t in history.trials] == [2, 2, 1, 1]
    first = history.trials[0].attempts
    assert (
        first[0].exit is not None and first[0].exit.stop_cause == StopCause.COPIED and first[0].nonce != first[1].nonce
    )
    assert original.words(copy) == Counter(begin=4, end=4)
    original.finish(led)
    assert original.said().count("is a copy of") == 1


@pytest.mark.by_default("off-verbs1")
@pytest.mark.parametrize(
    ("warm", "verbs"),
    [
        pytest.param("auto", ["stop copy"], marks=pytest.mark.slow),
        ("off", ["stop copy --kill"]),
        ("auto", ["stop copy 0", "stop copy 1 --kill", "stop copy"]),
        pytest.param("off", ["remove copy --yes"], marks=pytest.mark.slow),
    ],
)
def test_verbs_on_a_copy_do_not_reach_the_original(folder: Path, warm: str, verbs: list[str]) -> None:
    led = "remove" in verbs[0] or "0" in verbs[0]
    original = Original(folder, warm)
    if not led:
        original.kill_engine()
    copied(original)
    for words in verbs:
        original.verb(*words.split())
    original.finish(led)


@pytest.mark.slow
def test_stop_of_a_trial_says_where_it_runs_and_is_recorded_in_the_copy(folder: Path) -> None:
    original = Original(folder)
    copy = copied(original)
    assert f"trial 1 runs in {original.root}, of which {copy} is a copy" in original.verb("stop", "copy", "1")
    original.let_go()
    original.verb("resume", "copy")
    assert [t.state.value for t in original.history(copy).trials] == ["completed", "stopped", "completed", "completed"]
    original.finish()


@pytest.mark.slow
def test_retry_in_a_copy_leaves_the_original_alone(folder: Path) -> None:
    original = Original(folder)
    copy = copied(original)
    retry = original.hpo("retry", "copy", "--failed")
    wait_until(lambda: original.words(copy)["begin"] == 2)
    original.let_go()
    assert retry.wait(120) == 0, original.said()
    original.finish()


@pytest.mark.slow
@pytest.mark.by_default("False")
@pytest.mark.parametrize("removed", [True, False])
def test_copy_of_hard_links_does_not_claim_what_the_original_has_done_since(folder: Path, removed: bool) -> None:
    original = Original(folder)
    copy = copied(original, "copy", "-al")
    original.finish()
    assert [t.state.value for t in original.history(copy).trials] == ["completed"] * 4, "the log is the original's"
    if removed:
        original.verb("remove", "m", "--yes")
    said = original.verb("resume", "copy")
    assert "is a copy, and 4 trials ended in the original after it was made: they run again here" in said
    history = original.history(copy)
    assert [t.state.value for t in history.trials] == ["completed"] * 4 and history.state.value == "finished"
    for trial in range(4):
        assert (copy / "results" / str(trial) / "val_dict_list.json").exists()
    assert original.words(copy) == Counter(begin=4, end=4)


def test_copy_whose_log_is_newer_than_its_records_runs_those_trials_again(folder: Path) -> None:
    """`cp` takes one folder after the other, and trials end meanwhile."""
    original = Original(folder)
    copy = copied(original)
    original.finish()
    for path in copy.glob("study.db*"):
        path.unlink()
    shutil.copy(original.root / "study.db", copy / "study.db")
    assert "4 trials ended in the original after it was made" in original.verb("resume", "copy")
    assert original.words(copy) == Counter(begin=4, end=4)


def test_results_that_were_removed_by_hand_before_a_copy_do_not_cost_the_others(folder: Path) -> None:
    original = Original(folder)
    original.finish()
    remove_tree(original.root / "results" / "0")
    copy = copied(original)
    said = original.verb("resume", "copy", "--trials", "5")
    assert "is a copy" not in said and original.words(copy) == Counter(begin=1, end=1)


@pytest.mark.by_default("False")
@pytest.mark.parametrize("led", [True, False])
def test_copy_of_hard_links_shares_neither_log_nor_lock_nor_processes(folder: Path, led: bool) -> None:
    original = Original(folder)
    if not led:
        original.kill_engine()
    copy = copied(original, "copy", "-al")
    assert os.path.samefile(original.root / "trials/0/started", copy / "trials/0/started")
    before = (original.root / "study.db").stat().st_ino
    said = original.verb("stop", "copy", "--kill")
    assert "is a copy of" in said and original.words()["signal"] == 0
    assert (original.root / "study.db").stat().st_ino == before != (copy / "study.db").stat().st_ino
    assert original.history(copy).state.value == "stopped" and original.history().state.value == "running"
    remove_tree(copy)  # a script's file with two names would be refused
    original.finish(led)


@pytest.mark.slow
def test_copy_that_stands_where_the_original_was_does_not_take_its_trials(folder: Path) -> None:
    """RESULT_DIR of the original's processes names the copy by now, and they carry the same marks."""
    original = Original(folder)
    original.kill_engine()
    moved = folder / "runs" / "moved"
    original.root.rename(moved)
    copy = folder / "runs" / "m"
    subprocess.run(["cp", "-a", str(moved), str(copy)], check=True)
    assert f"{copy} is a copy of the study in {moved}; " in original.verb("stop", "m", "--kill")
    assert original.words()["signal"] == 0
    remove_tree(copy)
    moved.rename(original.root)
    original.finish(led=False)


@pytest.mark.slow
def test_copy_of_a_copy_is_run_again_too(folder: Path) -> None:
    original = Original(folder)
    copied(original)
    shutil.copytree(folder / "runs" / "copy", folder / "runs" / "third", symlinks=True)
    assert "is a copy of a study that runs in" in original.verb("stop", "third")
    original.verb("remove", "third", "--yes")
    original.finish()


def test_copy_on_another_file_system_is_a_copy(folder: Path) -> None:
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("there is no other file system to write to")
    original = Original(folder)
    target = Path(f"/dev/shm/hpo-copy-{os.getpid()}")
    try:
        shutil.copytree(original.root, target, symlinks=True)
        assert "is a copy of a study that runs in" in original.verb("stop", str(target), "--kill")
    finally:
        shutil.rmtree(target, ignore_errors=True)
    original.finish()


@pytest.mark.by_default(1)
@pytest.mark.parametrize("how", ["move", "link"])
def test_study_that_was_moved_or_is_reached_by_a_link_takes_its_trials_over(folder: Path, how: str) -> None:
    original = Original(folder)
    original.kill_engine()
    there = folder / "runs" / "there"
    if how == "move":
        original.root.rename(there)
    else:
        there.symlink_to(original.root)
    engine = original.hpo("resume", "there")
    wait_until(lambda: "took over 2 running trials" in original.said() or engine.poll() is not None)
    original.let_go()
    assert engine.wait(120) == 0, original.said()
    history = original.history(there)
    assert [t.state.value for t in history.trials] == ["completed"] * 4
    assert "is a copy" not in original.said()
    # A supervisor that was started before the move does not know the new place: it cannot leave its record there.
    assert [len(t.attempts) for t in history.trials] == ([2, 2, 1, 1] if how == "move" else [1, 1, 1, 1])


def test_moved_study_whose_supervisors_are_dead_ends_what_they_left(folder: Path) -> None:
    original = Original(folder)
    paths = StudyPaths(str(original.root))
    shims = [json.loads(Path(paths.trial(i).attempt(1), "started").read_text())["pid"] for i in range(2)]
    launcher = int(Path(f"/proc/{shims[0]}/stat").read_text().rpartition(")")[2].split()[1])
    trials = set(processes_with(f"OUT={original.out}")) - {original.engine.pid, launcher, *shims}
    original.kill_engine()
    for pid in (launcher, *shims):
        os.kill(pid, signal.SIGKILL)
    moved = folder / "runs" / "moved"
    original.root.rename(moved)
    original.verb("stop", "moved")
    wait_until(lambda: not set(processes_with(f"OUT={original.out}")) & trials)


def test_restored_backup_goes_on_where_it_stood(folder: Path) -> None:
    original = Original(folder)
    original.kill_engine()
    backup = folder / "backup"
    subprocess.run(["cp", "-a", str(original.root), str(backup)], check=True)
    original.let_go()
    wait_until(lambda: original.words()["end"] == 2)
    wait_until(lambda: not processes_with(f"OUT={original.out}"))
    remove_tree(original.root)
    subprocess.run(["cp", "-a", str(backup), str(original.root)], check=True)
    assert "is a copy" not in original.verb("resume", "m")
    assert [t.state.value for t in original.history().trials] == ["completed"] * 4


def test_copy_of_an_idle_study_is_shown_and_extended_without_a_word(folder: Path) -> None:
    original = Original(folder)
    original.finish()
    copy = copied(original)
    said = original.verb("resume", "copy", "--trials", "5")
    assert "is a copy" not in said and original.history(copy).counts != original.history().counts


@pytest.mark.slow
def test_copy_that_is_killed_when_its_log_is_its_own_goes_on(folder: Path) -> None:
    original = Original(folder)
    original.kill_engine()
    copy = copied(original, "copy", "-al")
    os.environ["HPO_FAILPOINT"] = "study.unshared:1:kill"
    try:
        assert original.hpo("stop", "copy").wait(60) == -signal.SIGKILL
    finally:
        del os.environ["HPO_FAILPOINT"]
    original.verb("stop", "copy")
    assert original.history(copy).state.value == "stopped"
    remove_tree(copy)
    original.finish(led=False)
