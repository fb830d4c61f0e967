"""Large folders that an ended trial has left untouched are handed on; what a trial wrote stays with it."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.contract.snapshot import View, Views, freeze
from hpo_engine.errors import LaunchError
from tests.support.helpers import put, tree


class Study:
    """A folder of many files and trials with views of it, one after the other."""

    def __init__(self, root: Path, **limits: int) -> None:
        self.root = root
        self.source = root / "source"
        for k in range(100):
            put(f"{self.source}/data/a/{k}.txt", f"text {k}")
        for k in range(6):
            put(f"{self.source}/data/b/c{k % 3}/{k}.txt", f"text {k}")
        put(f"{self.source}/train.py", "")
        put(f"{self.source}/small/x", "")
        (self.source / "data/b/link").symlink_to("c0/0.txt")
        (self.source / "data/empty").mkdir()
        (root / "runs/results").mkdir(parents=True)
        freeze(str(self.source), str(root / "runs/model"))
        self.limits: dict[str, Any] = {"max_files": 20, **limits}
        self.views = self.anew()

    def anew(self) -> Views:
        return Views(View.of(str(self.root / "runs/model"), **self.limits))

    def trial(self, number: int, views: Views | None = None) -> Path:
        path = self.root / "runs/results" / str(number)
        path.mkdir()
        (views or self.views).lay(str(path))
        return path

    def end(self, trial: Path) -> None:
        self.views.ended(str(trial))

    def inodes(self) -> int:
        return len({os.lstat(p).st_ino for p in (self.root / "runs/results").rglob("*")})


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path)


def contents(top: Path) -> dict[str, str]:
    """What a script reads there, through links, too."""
    return {os.path.relpath(os.path.join(folder, n), top): Path(folder, n).read_text()
            for folder, _, names in os.walk(top, followlinks=True) for n in names}  # fmt: skip


def test_what_was_not_touched_is_the_next_trials_and_a_link_to_the_copy_stays(study: Study) -> None:
    first = study.trial(0)
    whole, numbers = tree(first), {p: os.lstat(p).st_ino for p in first.rglob("*")}
    put(f"{first}/out/model.pt", "weights")
    put(f"{first}/small/x", "changed")
    study.end(first)
    second = study.trial(1)
    assert tree(second) == whole  # real folders, as the first one had
    moved = first / "data/a/7.txt"
    assert os.lstat(second / "data/a/7.txt").st_ino == numbers[moved]
    assert os.readlink(first / "data") == "../../model/data"
    assert (first / "out/model.pt").read_text() == "weights" and (first / "small/x").read_text() == "changed"
    assert contents(first) == contents(second) | {"out/model.pt": "weights", "small/x": "changed"}
    (second / "data/a/new.txt").write_text("mine")  # the folder is the trial's own
    assert not (study.root / "runs/model/data/a/new.txt").exists()


def test_trial_that_is_carried_on_has_its_folders_again_and_keeps_them(study: Study) -> None:
    first = study.trial(0)
    whole = tree(first)
    put(f"{first}/small/x", "changed")
    study.end(first)
    study.end(study.trial(1))
    assert (first / "data").is_symlink()
    study.views.carry_on(str(first))
    assert tree(first).keys() == whole.keys() and not (first / "data").is_symlink()
    assert (first / "small/x").read_text() == "changed", "what the trial has written stays"
    (first / "data/a/new.txt").write_text("mine")
    assert not (study.root / "runs/model/data/a/new.txt").exists()
    second = Path(study.root, "runs/results/1")
    study.views.carry_on(str(second))  # before anybody has taken its folders
    third = study.trial(2)
    assert not (second / "data").is_symlink() and tree(third).keys() == whole.keys()
    own = first / "data"
    own.rename(first / "moved")
    own.symlink_to("moved")  # the trial's own link
    study.views.carry_on(str(first))
    assert os.readlink(own) == "moved"


def test_ten_trials_have_the_inodes_of_one(study: Study) -> None:
    study.end(study.trial(0))
    one = study.inodes()
    for k in range(1, 10):
        study.end(study.trial(k))
    assert study.inodes() < one + 9 * 6
    at_a_time = [study.trial(k) for k in (10, 11, 12)]  # each that runs has a folder of its own
    assert all(stat.S_ISDIR(os.lstat(trial / "data").st_mode) for trial in at_a_time)


def _append(path: Path) -> None:
    path.chmod(0o644)
    with open(path, "a") as file:
        file.write("!")


def _times_back(path: Path, what: Callable[[], object]) -> None:
    old = path.stat()
    what()
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))


def _copied(folder: Path) -> None:
    """As a script does that works on a copy of its data and puts that in its place: all times are the old ones."""
    work = folder.with_name("work")
    shutil.copytree(folder, work)
    (work / "7.txt").chmod(0o644)
    _write(work / "7.txt")
    shutil.rmtree(folder)
    os.rename(work, folder)


def _write(path: Path) -> None:
    with open(path, "r+") as file:
        file.write("EVIL")


def _attribute(path: Path) -> None:
    try:
        os.setxattr(path, "user.mine", b"x")
    except OSError as error:
        pytest.skip(f"no extended attributes here: {error}")


def _owner(path: Path) -> None:
    try:
        os.chown(path, -1, next(g for g in (os.getgroups() if os.geteuid() else [1234]) if g != path.stat().st_gid))
    except (OSError, StopIteration):
        pytest.skip("no other group to give it to")


TOUCHES: dict[str, Callable[[Path], object]] = {
    "new": lambda t: (t / "data/a/cache.bin").write_text("x"),
    "new and gone": lambda t: ((t / "data/a/cache.bin").write_text("x"), (t / "data/a/cache.bin").unlink()),
    "removed": lambda t: (t / "data/a/7.txt").unlink(),
    "renamed": lambda t: os.rename(t / "data/a/7.txt", t / "data/a/seven.txt"),
    "replaced": lambda t: (put(f"{t}/tmp", "x"), os.replace(t / "tmp", t / "data/a/7.txt")),
    "folder": lambda t: (t / "data/a/more").mkdir(),
    "removed as a whole": lambda t: shutil.rmtree(t / "data/a"),
    "moved away": lambda t: os.rename(t / "data/a", t / "elsewhere"),
    "a link now": lambda t: (os.rename(t / "data/a", t / "else"), os.symlink("../else", t / "data/a")),
    "in place": lambda t: _append(t / "data/a/7.txt"),
    "in place, same length": lambda t: (t / "data/a/7.txt").write_text("TEXT 7"),
    "mode": lambda t: (t / "data/a/7.txt").chmod(0o600),
    "hard link": lambda t: os.link(t / "data/a/7.txt", t / "kept.txt"),
    "hard link that is gone": lambda t: (
        os.link(t / "data/a/7.txt", t / "tmp"),
        _times_back(t / "tmp", lambda: _write(t / "tmp")),
        (t / "tmp").unlink(),
    ),
    "copied and put back": lambda t: _copied(t / "data/a"),
    "in place, time set back": lambda t: _times_back(t / "data/a/7.txt", lambda: _write(t / "data/a/7.txt")),
    "new, folder's time set back": lambda t: _times_back(t / "data/a", lambda: put(f"{t}/data/a/new", "x")),
    "replaced, folder's time set back": lambda t: _times_back(
        t / "data/a",
        lambda: (
            shutil.copy2(t / "data/a/7.txt", t / "tmp"),
            _times_back(t / "tmp", lambda: _write(t / "tmp")),
            os.replace(t / "tmp", t / "data/a/7.txt"),
        ),
    ),
    "mode of the folder": lambda t: (t / "data/a").chmod(0o700),
    "mode of the folder, there and back": lambda t: ((t / "data/a").chmod(0o700), (t / "data/a").chmod(0o755)),
    "attribute of the folder": lambda t: _attribute(t / "data/a"),
    "attribute of a copy": lambda t: _attribute(t / "data/a/7.txt"),
    "group of the folder": lambda t: _owner(t / "data/a"),
    "group of a copy": lambda t: _owner(t / "data/a/7.txt"),
    "time of the folder": lambda t: os.utime(t / "data/a", (1, 1)),
}


@pytest.mark.by_default("[new]", "[removed]", "[in place]", "[mode]", "[copied and put back]", "[moved away]")
@pytest.mark.parametrize("touch", TOUCHES)
def test_a_folder_that_was_touched_in_any_way_stays_and_the_others_go_on(touch: str, tmp_path: Path) -> None:
    study = Study(tmp_path, max_files=105)  # so that all in data/a are copies
    first = study.trial(0)
    whole = tree(first)
    assert not (first / "data/a/7.txt").is_symlink()
    TOUCHES[touch](first)
    after = contents(first)
    study.end(first)
    second = study.trial(1)
    assert tree(second) == whole
    assert contents(first) == after
    assert not (first / "data").is_symlink()
    assert (first / "data/b").is_symlink()  # what nobody touched beside it
    assert (first / "data/a").is_symlink() == (touch == "a link now")


@pytest.mark.by_default("[folder]", "[copied and put back]", "[replaced")
@pytest.mark.parametrize("touch", [touch for touch in TOUCHES if "folder" in touch or touch == "copied and put back"])
def test_a_folder_of_links_that_was_touched_stays_too_after_it_was_handed_on(touch: str, tmp_path: Path) -> None:
    study = Study(tmp_path, max_files=2)
    study.end(study.trial(0))
    second = study.trial(1)
    whole = tree(second)
    assert (second / "data/a/7.txt").is_symlink() and (study.root / "runs/results/0/data").is_symlink()
    TOUCHES[touch](second)
    study.end(second)
    assert tree(study.trial(2)) == whole
    assert not (second / "data").is_symlink()


@pytest.mark.parametrize("name", ["data/b/c1/in.txt", "data/in.txt", "data/empty/in.txt"])
def test_what_is_written_stays_with_its_trial_however_deep(study: Study, name: str) -> None:
    for k in range(4):
        trial = study.trial(k)
        assert not (trial / name).exists()
        put(f"{trial}/{name}", str(k))
        study.end(trial)
    assert [(study.root / f"runs/results/{k}/{name}").read_text() for k in range(4)] == list("0123")


def test_where_trials_touch_everything_views_are_laid_ahead_as_a_whole(study: Study) -> None:
    for k in range(2):
        trial = study.trial(k)
        for folder, _, _ in os.walk(trial):
            put(f"{folder}/mine", "x")
        study.end(trial)
    ahead = study.root / "runs/results/2"
    ahead.mkdir()
    study.views.begin(str(ahead))
    whole = tree(ahead)
    study.views.finish(str(ahead))
    assert tree(ahead) == whole and "data/a/7.txt" in whole


def test_one_trial_that_touches_everything_does_not_end_the_handing_on(study: Study) -> None:
    for k in range(8):
        trial = study.trial(k)
        for folder in (
            ("data", "data/a", "data/b/c0", "data/b/c1", "data/b/c2", "data/b", "data/empty") if k == 2 else ()
        ):
            put(f"{trial}/{folder}/mine", "x")
        study.end(trial)
    assert [(study.root / f"runs/results/{k}/data").is_symlink() for k in range(8)] == [
        True, True, False, True, True, True, True, False,
    ]  # fmt: skip


def test_few_files_or_none_are_laid_at_once(tmp_path: Path) -> None:
    study = Study(tmp_path, max_files=500)
    path = study.root / "runs/results/0"
    path.mkdir()
    study.views.begin(str(path))
    assert "data/a/7.txt" in tree(path)
    study.views.ended(str(path))
    study.trial(1)
    assert not (path / "data").is_symlink()
    empty = study.root / "runs/results/2"
    empty.mkdir()
    Views(None).lay(str(empty))
    assert tree(empty) == {}


def test_a_new_engine_hands_on_only_what_it_laid_itself(study: Study) -> None:
    first = study.trial(0)
    later = study.anew()
    later.ended(str(first))
    second = study.trial(1, later)
    assert not (first / "data").is_symlink()
    later.ended(str(second))
    assert contents(study.trial(2, later)) == contents(second) and (second / "data").is_symlink()


def test_ended_trials_that_were_removed_or_replaced_are_passed_over(study: Study, tmp_path: Path) -> None:
    trials = [study.trial(k) for k in range(4)]
    for trial in trials:
        study.end(trial)
    shutil.rmtree(trials[3])
    os.rename(trials[2], tmp_path / "moved")
    os.symlink(tmp_path / "moved", trials[2])
    shutil.rmtree(trials[1])
    trials[1].write_text("a file")
    last = study.trial(9)
    assert (trials[0] / "data").is_symlink() and not (tmp_path / "moved/data").is_symlink()
    assert contents(last) == contents(trials[0])


def test_a_trial_that_put_a_link_above_a_folder_does_not_lead_us_out(study: Study, tmp_path: Path) -> None:
    put(f"{study.source}/deep/data/x", "")
    for k in range(100):
        put(f"{study.source}/deep/data/{k}", "x")
    shutil.rmtree(study.root / "runs/model")
    freeze(str(study.source), str(study.root / "runs/model"))
    views = Views(View.of(str(study.root / "runs/model"), max_files=20))
    first = study.trial(0, views)
    os.rename(first / "deep", tmp_path / "outside")
    os.symlink(tmp_path / "outside", first / "deep")
    before = tree(tmp_path / "outside")
    views.ended(str(first))
    second = study.trial(1, views)
    assert tree(tmp_path / "outside") == before
    assert (second / "deep/data/7").read_text() == "x"


def test_what_stands_in_the_way_of_a_folder_that_is_handed_on(study: Study, tmp_path: Path) -> None:
    first = study.trial(0)
    whole = tree(first)
    put(f"{tmp_path}/canary/file", "alive")
    for k, plant in enumerate(
        (lambda p: os.symlink(tmp_path / "canary", p), lambda p: put(f"{p}/a/7.txt", "half"), os.mkdir), 1
    ):
        study.end(study.root / f"runs/results/{k - 1}")
        path = study.root / f"runs/results/{k}"
        path.mkdir()
        plant(f"{path}/data")
        study.views.lay(str(path))
        assert tree(path) == whole
    assert tree(tmp_path / "canary").keys() == {"file"}
    with pytest.raises(LaunchError):
        study.views.lay(str(tmp_path / "none"))
