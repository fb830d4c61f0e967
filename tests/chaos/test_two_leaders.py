"""A lock holds an inode, not a name: studies that are removed, moved or replaced under engines that lead or wait."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import stat
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpo_engine import assembly, studies
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.errors import EngineError, JournalError, StudyGone, StudyLocked
from hpo_engine.space.searchspace import Float, SearchSpace
from hpo_engine.store import inbox
from hpo_engine.store import lock as lead
from hpo_engine.store.journal import Journal, read_history
from hpo_engine.store.lock import StudyLock, hold_folder, who_leads
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import StudySpec
from hpo_engine.testing.stores import EVENTS
from tests.support import command
from tests.support.helpers import processes_with, remove_tree, wait_until


@pytest.fixture
def lock(tmp_path: Path) -> str:
    (tmp_path / "s").mkdir()
    return str(tmp_path / "s" / "engine.lock")


# -- the lock ----------------------------------------------------------------------------------------------------------


def test_lock_file_that_is_deleted_frees_no_lead_and_is_made_again(lock: str) -> None:
    first = StudyLock(lock)
    os.unlink(lock)
    with pytest.raises(StudyLocked, match="is being run by another hpo-engine"):
        StudyLock(lock)
    assert not os.path.exists(lock) and who_leads(lock) is not None
    first.check()
    with pytest.raises(StudyLocked, match=f"another hpo-engine .process {os.getpid()} on"):
        StudyLock(lock)
    first.check()
    first.close()
    StudyLock(lock).close()
    assert who_leads(lock) is None


def test_file_that_somebody_puts_in_its_place_is_taken_over(lock: str) -> None:
    first = StudyLock(lock)
    os.unlink(lock)
    Path(lock).write_text("something")
    first.check()
    holder = who_leads(lock)
    assert holder is not None and holder.pid == os.getpid()
    first.close()


@pytest.fixture
def no_folder_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on NFS: a lock needs a descriptor that can write."""
    flock = fcntl.flock

    def refusing(fd: int, how: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(9, "Bad file descriptor")
        flock(fd, how)

    monkeypatch.setattr(fcntl, "flock", refusing)


def test_without_locks_on_folders_the_file_is_all(lock: str, no_folder_locks: None) -> None:
    first = StudyLock(lock)
    with pytest.raises(StudyLocked, match=f"another hpo-engine .process {os.getpid()} on"):
        StudyLock(lock)
    os.unlink(lock)
    second = StudyLock(lock)
    with pytest.raises(StudyLocked, match="was deleted, and another engine runs the study now"):
        first.check()
    second.check()
    first.close()
    second.close()
    assert who_leads(lock) is None


def test_lock_on_a_file_that_was_deleted_meanwhile_is_none(
    lock: str, no_folder_locks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened, then deleted and made again by another engine, then locked."""
    real, others = lead._try_lock, list[StudyLock]()

    def late(fd: int, *, shared: bool = False) -> bool:
        if not others and not stat.S_ISDIR(os.fstat(fd).st_mode):
            monkeypatch.setattr(lead, "_try_lock", real)
            os.unlink(lock)
            others.append(StudyLock(lock))
        return real(fd, shared=shared)

    monkeypatch.setattr(lead, "_try_lock", late)
    with pytest.raises(StudyLocked):
        StudyLock(lock)
    others[0].check()
    others[0].close()


def test_looking_who_leads_refuses_nobody_the_lead(lock: str) -> None:
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            who_leads(lock)
            time.sleep(0.0002)

    looking = [threading.Thread(target=look) for _ in range(2)]
    for thread in looking:
        thread.start()
    try:
        for _ in range(100):
            StudyLock(lock).close()
    finally:
        over.set()
        for thread in looking:
            thread.join()


def waiting(lock: str) -> tuple[threading.Thread, list[Any]]:
    """A thread that waits for the lead, and what came of it."""
    came: list[Any] = []

    def wait() -> None:
        try:
            came.append(StudyLock(lock, wait_s=60.0))
        except EngineError as error:
            came.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread, came


def opened(folder: str) -> int:
    """How many descriptors of this process lead to the folder."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            count += os.readlink(f"/proc/self/fd/{name}") == folder
    return count


@pytest.mark.parametrize("how", ["removed", "moved", "replaced", "replaced-by-a-file"])
def test_waiter_leaves_a_study_that_goes_away(lock: str, how: str) -> None:
    folder, elsewhere = os.path.dirname(lock), os.path.dirname(lock) + "-elsewhere"
    first = StudyLock(lock)
    thread, came = waiting(lock)
    wait_until(lambda: opened(folder) >= 2)
    os.rename(folder, elsewhere)
    if how == "removed":
        remove_tree(elsewhere)
    elif how == "replaced":
        os.mkdir(folder)
    elif how == "replaced-by-a-file":
        Path(folder).touch()
    with pytest.raises(StudyLocked if how == "replaced" else StudyGone):
        first.check()
    first.close()
    thread.join(60)
    (said,) = came
    assert type(said) is (StudyLocked if how == "replaced" else StudyGone)
    assert said.exit_code == (4 if how == "replaced" else 5) and str(said).startswith(f"{folder}: ")
    moved = f"moved to {elsewhere};"  # as it is for a moment before it is removed, too
    words = {"removed": ("was removed", moved), "replaced": ("another one has its name",)}.get(how, (moved,))
    assert any(word in str(said) for word in words)
    if how == "replaced":
        assert os.listdir(folder) == [], "nothing was put into the other study"


def test_lead_of_no_study_makes_none(tmp_path: Path) -> None:
    with pytest.raises(StudyGone, match="no longer exists"):
        StudyLock(str(tmp_path / "none" / "engine.lock"))
    assert os.listdir(tmp_path) == []


def test_request_to_a_study_that_is_gone_does_not_make_its_folder_again(tmp_path: Path) -> None:
    with pytest.raises(StudyGone, match="moved or removed"):
        inbox.post(str(tmp_path / "none" / "inbox"), inbox.Request("stop"))
    assert os.listdir(tmp_path) == []


def test_folder_that_somebody_works_on_is_not_swept(tmp_path: Path) -> None:
    """Its process is not to be seen in /proc, as from another container."""
    names = [".new-999999999-0badcafe", ".new-removed-0badcafe"]
    for name in names:
        (tmp_path / name / "model").mkdir(parents=True)
    held = [hold_folder(str(tmp_path / name)) for name in names]
    studies._sweep_new(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == names and all((tmp_path / n / "model").exists() for n in names)
    for fd in held:
        assert fd is not None
        os.close(fd)
    studies._sweep_new(str(tmp_path))
    assert os.listdir(tmp_path) == []


# -- the log -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("later", ["first", "second"])
def test_second_writer_is_refused_and_nothing_of_it_is_written(tmp_path: Path, later: str) -> None:
    path = str(tmp_path / "study.db")
    first = Journal(path, write=True)
    first.append(EVENTS[:2])
    second = Journal(path, write=True)
    quick, slow = (second, first) if later == "first" else (first, second)
    quick.append(EVENTS[2:4])
    for _ in range(2):
        with pytest.raises(
            StudyLocked, match=r"another engine writes to its event log \(4 events, this engine knows 2\)"
        ):
            slow.append(EVENTS[2:4])
    quick.append(EVENTS[4:])
    first.close()
    second.close()
    reader = Journal(path)
    assert reader.read() == EVENTS
    reader.close()


def test_writer_whose_log_became_shorter_leaves_no_gap(tmp_path: Path) -> None:
    path = str(tmp_path / "study.db")
    writer = Journal(path, write=True)
    writer.append(EVENTS[:4])
    other = Journal(path, write=True)
    other._db.execute("DELETE FROM events WHERE seq > 2")
    with pytest.raises(StudyLocked):
        writer.append(EVENTS[4:])
    assert len(writer.read()) == 2


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_writer_notices_that_its_file_is_not_the_one_at_its_path(tmp_path: Path, how: str) -> None:
    path = tmp_path / "study.db"
    journal = Journal(str(path), write=True)
    journal.append(EVENTS)
    journal.check()
    data = path.read_bytes()
    path.unlink()
    if how == "replaced":
        path.write_bytes(data)
    with pytest.raises(JournalError, match="was moved, removed or replaced"):
        journal.check()
    journal.close()


def test_study_of_the_name_that_is_not_the_one_meant_is_left_alone(tmp_path: Path) -> None:
    """It was replaced after it had been read and before its lead was waited for."""
    known = read_history(made(tmp_path / "runs", 1.0).db)
    paths = made(tmp_path / "runs", 2.0)
    with pytest.raises(StudyLocked, match="another one has its name; it is left alone"):
        assembly.open_study(paths, known=known)
    assert len(Journal(paths.db).records()) == 1 and who_leads(paths.lock) is None


def made(root: Path, at: float) -> StudyPaths:
    """A new study in the place of what is there."""
    shutil.rmtree(root, ignore_errors=True)
    (root.parent / "m").mkdir(exist_ok=True)
    space = SearchSpace((Float("x", 0.0, 1.0),))
    spec = StudySpec(name="s", command=("true",), objectives=(Objective("loss"),), space=space, model_dir=str(root.parent / "m"))  # fmt: skip
    return studies.create(spec, "", str(root), at)


# -- engines -----------------------------------------------------------------------------------------------------------

TRAIN = """\
import json, os, time
open(os.environ["COUNTS"], "a").write(os.environ["TAG"] + " " + os.environ["SUBID"] + "\\n")
while os.path.exists(os.environ["HOLD"]):
    time.sleep(0.02)
json.dump([{"loss": json.load(open("config.json"))["x"]}], open("val_dict_list.json", "w"))
"""


class Scene:
    """A study of six trials, two at a time, that run for as long as a file is there; and engines for it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.counts, self.hold = folder, folder / "counts", folder / "hold"
        (folder / "m").mkdir()
        (folder / "m" / "train.py").write_text(TRAIN)
        self.write("one")
        self.hold.touch()
        self.counts.touch()
        self.root = folder / "runs" / "m"
        self.engines: list[command.Command] = []

    def write(self, tag: str) -> None:
        study = {
            "command": "python train.py", "objective": "minimize loss", "trials": 6, "parallel": 2,
            "algorithm": "random", "options": {"seed": 1}, "space": {"x": {"float": [0, 1]}},
            "env": {"COUNTS": str(self.counts), "HOLD": str(self.hold), "TAG": tag},
            "trial": {"grace": "2s", "preload": "off"},
        }  # fmt: skip
        (self.folder / "m" / "algo.yaml").write_text(json.dumps(study))

    def engine(self, *args: str) -> command.Command:
        root = ["--root", str(self.root.parent)] if args[0] != "submit" or "--root" not in args else []
        engine = command.start(*args, *root, cwd=Path.cwd(), env=dict(os.environ), stdout=command.PIPE)
        self.engines.append(engine)
        return engine

    def submit(self, *args: str) -> command.Command:
        return self.engine("submit", str(self.folder / "m" / "algo.yaml"), *args)

    def run(self, *args: str) -> None:
        engine = self.engine(*args)
        out, _ = engine.communicate(timeout=120)
        assert engine.returncode == 0, out

    def started(self, tag: str = "one") -> int:
        return sum(line.startswith(tag) for line in self.counts.read_text().splitlines())

    def waits(self, engine: command.Command) -> bool:
        """Whether it waits for the lead: it holds the folder open, and not only for a look at who leads."""
        return all((self._holds(engine.pid), time.sleep(0.02), self._holds(engine.pid))[::2])

    def _holds(self, pid: int) -> bool:
        folder = f"/proc/{pid}/fd"
        links = [os.readlink(f"{folder}/{n}") for n in os.listdir(folder) if os.path.lexists(f"{folder}/{n}")]
        return str(self.root) in links

    def ended(self, engine: command.Command) -> tuple[int, str]:
        out, _ = engine.communicate(timeout=120)
        assert "Traceback" not in out
        return engine.wait(), out

    def check(self, tag: str, trials: int = 6) -> None:
        """The log is sound, the study finished, and each trial began once."""
        history = studies.read(StudyPaths(str(self.root)))
        assert history.state.value == "finished" and len(history.trials) == trials
        assert {len(t.attempts) for t in history.trials} == {1}
        lines = [line for line in self.counts.read_text().splitlines() if line.startswith(f"{tag} ")]
        assert Counter(lines) == {f"{tag} {i}": 1 for i in range(trials)}


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    for engine in made.engines:
        if engine.poll() is None:
            engine.kill()
            engine.communicate()
    for pid in processes_with(f"COUNTS={made.counts}"):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
def test_stopped_waiters_leave_when_the_study_is_removed_and_leave_a_new_one_of_its_name_alone(scene: Scene) -> None:
    first = scene.submit()
    wait_until(lambda: scene.started() == 2)
    waiters = [
        scene.engine("resume", "m", "--wait", "100"),
        scene.submit("--wait", "100"),
        scene.engine("resume", "m", "--wait", "100", "--trials", "50"),
        scene.engine("retry", "m", "--failed", "--wait", "100"),
    ]
    for waiter in waiters:
        wait_until(lambda w=waiter: scene.waits(w))  # type: ignore[misc]
        waiter.send_signal(signal.SIGSTOP)  # or one of them would go on with it
    scene.run("stop", "m")
    assert scene.ended(first)[0] == 0
    scene.run("remove", "m", "--yes")
    waiters[0].send_signal(signal.SIGCONT)
    code, said = scene.ended(waiters[0])
    assert code == 5 and f"{scene.root}: the study was removed" in said
    assert not scene.root.exists()
    scene.write("two")
    second = scene.submit()
    wait_until(lambda: scene.started("two") == 2)
    for waiter in waiters[1:]:
        waiter.send_signal(signal.SIGCONT)
        code, said = scene.ended(waiter)
        assert code == 4 and f"{scene.root}: the study that was here was moved or removed" in said
    scene.hold.unlink()
    assert scene.ended(second)[0] == 0
    scene.check("two")


@pytest.mark.slow
def test_engine_that_meets_a_deleted_lock_file_leaves_and_the_first_goes_on(scene: Scene) -> None:
    first = scene.submit()
    wait_until(lambda: scene.started() == 2)
    first.send_signal(signal.SIGSTOP)  # it cannot mend it
    (scene.root / "engine.lock").unlink()
    for args in (["resume", "m"], ["retry", "m", "--failed"], ["resume", "m", "--wait", "0.3"]):
        code, said = scene.ended(scene.engine(*args))
        assert code == 4 and "is being run by another hpo-engine" in said
    assert scene.ended(scene.submit())[0] == 4
    first.send_signal(signal.SIGCONT)
    wait_until((scene.root / "engine.lock").exists)
    code, said = scene.ended(scene.engine("resume", "m"))
    assert code == 4 and f"another hpo-engine (process {first.pid} on" in said
    scene.hold.unlink()
    assert scene.ended(first)[0] == 0
    scene.check("one")


def tree(folder: Path) -> str:
    """A digest of all names, kinds and contents below a folder."""
    seen = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        seen.update(f"{path.relative_to(folder)} {path.lstat().st_mode} ".encode() + data)
    return seen.hexdigest()


def is_still(folder: Path) -> bool:
    """Whether nothing below the folder changes: no engine is in the middle of a step."""
    before = tree(folder)
    time.sleep(0.3)
    return tree(folder) == before


@pytest.mark.by_default("moved", "removed")
@pytest.mark.parametrize("how", ["moved", "replaced", "removed"])
def test_engine_whose_study_goes_away_leaves_and_touches_nothing_there(scene: Scene, how: str) -> None:
    first = scene.submit()
    wait_until(lambda: scene.started() == 2)
    wait_until(
        lambda: is_still(scene.root)
    )  # the folders of trials to come are laid out when the first ones have begun
    elsewhere = scene.folder / "elsewhere"
    first.send_signal(signal.SIGSTOP)
    scene.root.rename(elsewhere)
    before = ""
    if how == "removed":
        remove_tree(elsewhere)
    elif how == "replaced":
        shutil.copytree(elsewhere, scene.root, symlinks=True)
        before = tree(scene.root)
    first.send_signal(signal.SIGCONT)
    code, said = scene.ended(first)
    if how == "replaced":
        assert code == 4 and "another one has its name" in said
        assert tree(scene.root) == before
    else:
        words = f"was moved to {elsewhere}; resume it there" if how == "moved" else "the study was removed"
        assert code == 5 and f"{scene.root}: the study {words.removeprefix('the study ')}" in said
        assert not scene.root.exists(), "nothing was made there again"
    assert said.splitlines()[-1].startswith(f"hpo-engine: {scene.root}: "), said


def test_engine_whose_log_is_deleted_leaves(scene: Scene) -> None:
    first = scene.submit()
    wait_until(lambda: scene.started() == 2)
    (scene.root / "study.db").unlink()
    code, said = scene.ended(first)
    assert code == 5 and f"{scene.root}/study.db: the event log was moved, removed or replaced" in said
    assert not (scene.root / "study.db").exists()
