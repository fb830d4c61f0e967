"""Files that a trial goes on from: copies that are whole, and nothing that a script planted is followed."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from hpo_engine.contract import carrying, layout
from hpo_engine.contract.paths import StudyPaths, TrialPaths
from hpo_engine.errors import LaunchError


@pytest.fixture
def trials(tmp_path: Path) -> tuple[TrialPaths, TrialPaths]:
    study = StudyPaths(str(tmp_path / "a b"))
    os.makedirs(study.root)
    layout.lay_out_study(study, "me")
    for number in (0, 1):
        layout.lay_out(study.trial(number))
    return study.trial(0), study.trial(1)


def start_from(new: TrialPaths, old: TrialPaths, attempt: int, *, latest: bool) -> None:
    carrying.copy_from(new, old, attempt, latest, ["val_dict_list.json", "deep/metrics.csv"])
    carrying.place(new)


def fill(paths: TrialPaths) -> Path:
    top = Path(paths.result_dir)
    (top / "deep/er").mkdir(parents=True)
    (top / "deep/er/model.bin").write_bytes(os.urandom(70_000))
    (top / "state").write_text("17")
    (top / "state").chmod(0o440)
    os.utime(top / "state", ns=(10**18, 10**18 + 7))
    (top / "last").symlink_to("deep/er/model.bin")
    (top / "here").symlink_to(f"{paths.result_dir}/state")
    (top / "outside").symlink_to("/etc/hostname")
    (top / "config.json").write_text("{}")
    (top / "val_dict_list.json").write_text("[]")
    (top / "deep/config.json").write_text("{}")
    (top / "deep/metrics.csv").write_text("loss\n1.0\n")
    os.mkfifo(top / "pipe")
    return top


def test_copy_has_everything_but_parameters_and_rows(trials: tuple[TrialPaths, TrialPaths]) -> None:
    old, new = trials
    source, target = fill(old), Path(new.result_dir)
    (target / "stale").write_text("x")
    start_from(new, old, 1, latest=True)
    assert sorted(os.listdir(target)) == ["deep", "here", "last", "outside", "state"]
    assert sorted(os.listdir(target / "deep")) == ["config.json", "er"]
    assert (target / "deep/er/model.bin").read_bytes() == (source / "deep/er/model.bin").read_bytes()
    seen = (target / "state").stat()
    assert (seen.st_mode & 0o777, seen.st_mtime_ns, seen.st_nlink) == (0o440, 10**18 + 7, 1)
    assert os.readlink(target / "last") == "deep/er/model.bin"
    assert os.readlink(target / "here") == f"{target}/state", "a link into the other trial's folder leads into the copy"
    assert os.readlink(target / "outside") == "/etc/hostname"
    (target / "deep/er/model.bin").write_bytes(b"changed")
    assert len((source / "deep/er/model.bin").read_bytes()) == 70_000


def test_what_is_kept_stays_when_its_trial_goes_on(trials: tuple[TrialPaths, TrialPaths]) -> None:
    old, new = trials
    source = fill(old)
    assert not carrying.is_kept(old, 1)
    carrying.keep(old, 1)
    assert carrying.is_kept(old, 1)
    (source / "state").unlink()
    (source / "state").write_text("18")
    assert Path(old.attempt(1), carrying.KEPT, "config.json").exists(), "it is all that the attempt left"
    start_from(new, old, 1, latest=False)
    assert Path(new.result_dir, "state").read_text() == "17"
    assert os.readlink(Path(new.result_dir, "here")) == f"{new.result_dir}/state"


def test_what_is_gone_is_told(trials: tuple[TrialPaths, TrialPaths]) -> None:
    old, new = trials
    fill(old)
    with pytest.raises(LaunchError, match="cannot start from trial 0: what its attempt 1 left is not there any more"):
        start_from(new, old, 1, latest=False)
    os.rename(old.result_dir, f"{old.result_dir}.moved")
    with pytest.raises(LaunchError, match="what its attempt 1 left was removed"):
        start_from(new, old, 1, latest=True)
    with pytest.raises(LaunchError, match=re.escape(f"cannot be carried on: {old.result_dir} was removed")):
        carrying.require_own(old)
    os.symlink(f"{old.result_dir}.moved", old.result_dir)
    with pytest.raises(LaunchError, match="was removed"):
        start_from(new, old, 1, latest=True)
    with pytest.raises(LaunchError, match="was removed"):
        carrying.require_own(old)


def test_folders_without_end_are_refused(trials: tuple[TrialPaths, TrialPaths]) -> None:
    old, new = trials
    os.makedirs(old.result_dir + "/a" * 101)
    with pytest.raises(LaunchError, match="cannot be copied: folders are nested deeper than 100"):
        start_from(new, old, 1, latest=True)
    assert os.path.isdir(new.result_dir), "it is as it was"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_file_that_cannot_be_read_fails_the_trial_and_not_the_engine(trials: tuple[TrialPaths, TrialPaths]) -> None:
    old, new = trials
    Path(old.result_dir, "secret").touch(mode=0)
    with pytest.raises(LaunchError, match="cannot be copied"):
        start_from(new, old, 1, latest=True)


def test_half_a_copy_of_a_killed_engine_is_made_anew(trials: tuple[TrialPaths, TrialPaths]) -> None:
    old, new = trials
    fill(old)
    os.makedirs(f"{new.own}/result.new/half")
    start_from(new, old, 1, latest=True)
    assert not os.path.exists(f"{new.own}/result.new") and not os.path.exists(f"{new.result_dir}/half")
