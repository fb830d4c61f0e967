"""Which files count as written by an attempt, whatever lay in its folders before."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from hpo_engine.contract import binding
from hpo_engine.contract.paths import TrialPaths
from hpo_engine.contract.snapshot import View
from hpo_engine.contract.sources import earlier
from hpo_engine.contract.sources.found import Found, FoundFile
from hpo_engine.contract.sources.interface import TrialFiles
from hpo_engine.contract.sources.tree import TURNS

ALL = ("**/*.csv", "**/*.json")


@pytest.fixture
def frozen(trial: TrialPaths) -> Path:
    """The script's folder, frozen: results and data of former runs among the code."""
    folder = Path(trial.study.model)
    (folder / "old").mkdir(parents=True)
    for name in ("train.csv", "old/results.csv", "conf.json"):
        (folder / name).write_text(f"header of {name}\n1,2\n")
    (folder / "big.csv").write_bytes(b"1,2\n" * 400_000)
    return folder


def begin(trial: TrialPaths, frozen: Path) -> Path:
    """RESULT_DIR as an attempt finds it."""
    View.of(str(frozen)).lay(trial.result_dir)
    binding.write_config(trial, {"x": 1})
    time.sleep(0.03)  # a script takes longer than a tick of the clock that stamps files
    return Path(trial.result_dir)


def found(trial: TrialPaths, patterns: Sequence[str] = ALL, attempt: int = 1) -> dict[str, int]:
    """Names, and how much of each was there before."""
    files = Found(TrialFiles(trial, attempt, placed=frozenset(["placed.json"])), patterns).look()
    return {file.name: file.before for file in files}


def test_nothing_of_the_scripts_own_folder_is_found_until_the_script_writes_to_it(
    trial: TrialPaths, frozen: Path
) -> None:
    result = begin(trial, frozen)
    assert found(trial) == {}
    with open(result / "train.csv", "a") as file:
        file.write("3,4\n")
    assert found(trial) == {"train.csv": len("header of train.csv\n1,2\n")}, "appended: only from then on"
    (result / "train.csv").write_text("other header, longer than the one before\n5,6\n")
    (result / "old/results.csv").write_bytes((frozen / "old/results.csv").read_bytes())
    assert found(trial) == {"train.csv": 0, "old/results.csv": 0}, "written anew, even if with the very same bytes"
    (result / "new.csv").write_bytes(b"1,2\n" * 400_000)
    os.replace(result / "new.csv", result / "big.csv")
    assert found(trial)["big.csv"] == 0, "a file in place of a link"


def test_reading_and_touching_permissions_makes_no_report_of_a_copy(trial: TrialPaths, frozen: Path) -> None:
    result = begin(trial, frozen)
    (result / "train.csv").read_text()
    os.chmod(result / "train.csv", 0o600)
    os.rename(result / "old", result / "elsewhere")
    os.rename(result / "elsewhere", result / "old")
    open(result / "conf.json", "a").close()
    assert found(trial) == {}


def test_files_with_values_of_the_engine_count_once_the_script_has_written_them(
    trial: TrialPaths, frozen: Path
) -> None:
    View.of(str(frozen)).lay(trial.result_dir)
    placed = Path(trial.result_dir, "placed.json")
    placed.write_text('{"lr": 1}')
    binding.write_config(trial, {"x": 1})
    assert found(trial) == {}
    time.sleep(0.03)
    placed.write_text('{"loss": 1}')
    assert found(trial) == {"placed.json": 0}


def test_links_pipes_and_folders_are_not_found(trial: TrialPaths, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("a\n1\n")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/b.csv").write_text("a\n1\n")
    result = Path(trial.result_dir)
    os.symlink(tmp_path / "secret.csv", result / "link.csv")
    os.symlink(tmp_path / "secrets", result / "folder")
    os.symlink(result, result / "loop")
    os.mkfifo(result / "pipe.csv")
    (result / "a.csv").mkdir()
    assert found(trial) == {}
    os.rename(result, tmp_path / "moved")
    os.symlink(tmp_path / "moved", result)
    assert found(trial) == {}


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("m.csv", ["m.csv"]),
        ("*.csv", ["m.csv"]),
        ("**/m.csv", ["a/b9/m.csv", "a/b10/m.csv", "a/m.csv", "m.csv"]),
        ("a/**/m.csv", ["a/b9/m.csv", "a/b10/m.csv", "a/m.csv"]),
        ("*/m.csv", ["a/m.csv"]),
        ("a/b[0-9]/*", ["a/b9/m.csv"]),
        ("a/b[!0-8]/m.?sv", ["a/b9/m.csv"]),
        ("a/**", ["a/b9/m.csv", "a/b10/m.csv", "a/m.csv"]),
        ("**/.m.csv", [".m.csv", "a/.m.csv"]),
        ("./a/./m.csv", ["a/m.csv"]),
        ("a/b[9]", []),
        ("a/[.csv", ["a/[.csv"]),
        ("a//m.csv", ["a/m.csv"]),
        (".//a/./m.c*", ["a/m.csv"]),
    ],
)
def test_patterns_are_those_of_a_shell(pattern: str, names: list[str], trial: TrialPaths) -> None:
    files = ["m.csv", ".m.csv", "a/m.csv", "a/.m.csv", "a/b9/m.csv", "a/b10/m.csv", ".hidden/m.csv"]
    for name in [*files, *(["a/[.csv"] if "[.csv" in pattern else [])]:
        path = Path(trial.result_dir, name)
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert list(found(trial, [pattern])) == names


@pytest.mark.parametrize("pattern", ["", "/m.csv", "../m.csv", "a/../../m.csv", "a[z-a]"])
def test_what_leads_out_of_the_folders_is_refused(pattern: str, trial: TrialPaths) -> None:
    with pytest.raises(ValueError, match="pattern"):
        Found(TrialFiles(trial), [pattern])


@pytest.mark.parametrize(
    "pattern", [".", "~/m.csv", "a/", "{result_dir}/a/m.csv", "$LOG_DIR/m.csv", "${LOG_DIR}/*.csv"]
)
def test_what_can_match_no_file_is_refused_with_what_to_write(pattern: str, trial: TrialPaths) -> None:
    with pytest.raises(ValueError, match=r"RESULT_DIR|such as 'a/\*'"):
        Found(TrialFiles(trial), [pattern])


def test_an_attempt_that_continues_finds_only_what_it_writes_itself(trial: TrialPaths, frozen: Path) -> None:
    result = begin(trial, frozen)
    for name in ("m.csv", "same.csv", "anew.csv"):
        (result / name).write_text("step,loss\n1,2\n")
    Path(trial.log_dir, "l.csv").write_text("step,loss\n1,2\n")
    assert set(found(trial)) == {"m.csv", "same.csv", "anew.csv", "l.csv"}
    os.makedirs(trial.attempt(2))
    earlier.record(trial, 2, Found(TrialFiles(trial, 2), ALL).all())
    assert found(trial, attempt=2) == {}
    for path in (result / "m.csv", Path(trial.log_dir, "l.csv")):
        with open(path, "a") as file:
            file.write("2,1\n")
    (result / "anew.csv").write_text("step,loss\n9,9\n10,9\n")
    (result / "train.csv").write_text("step,loss\n1,1\n")
    (result / "v2").mkdir()
    (result / "v2/m.csv").write_text("step,loss\n1,2\n")
    appended = len("step,loss\n1,2\n")
    now = {"anew.csv": 0, "m.csv": appended, "train.csv": 0, "v2/m.csv": 0, "l.csv": appended}
    assert found(trial, attempt=2) == now


def test_what_has_not_changed_costs_a_stat_per_folder_and_file(
    trial: TrialPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("a", "a/b", "c"):
        path = Path(trial.result_dir, folder)
        path.mkdir()
        (path / "m.csv").touch()
    for made in (*Path(trial.result_dir).rglob("*"), Path(trial.result_dir)):
        os.utime(made, (1e9, 1e9))
    now = 10.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    it = Found(TrialFiles(trial), ["**/*.csv"])
    before: Sequence[FoundFile] = it.look()
    assert [file.name for file in before] == ["a/b/m.csv", "a/m.csv", "c/m.csv"]
    now += 1
    with monkeypatch.context() as patched:
        for name in ("builtins.open", "os.open"):
            patched.setattr(name, lambda *args, **options: pytest.fail("opened"))
        listed = list[str]()
        scan = os.scandir
        patched.setattr(os, "scandir", lambda path: listed.append(path) or scan(path))
        assert it.look() is before
        assert not [path for path in listed if path.startswith(trial.result_dir)], "LOG_DIR was made a moment ago"
    Path(trial.result_dir, "c", "n.csv").touch()
    assert it.look() is before, "not more often than every 0.3 s"
    now += 1
    assert [file.name for file in it.look()] == ["a/b/m.csv", "a/m.csv", "c/m.csv", "c/n.csv"]


def test_of_many_folders_those_that_changed_last_are_looked_at_each_time_and_the_others_in_turn(
    trial: TrialPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [Path(trial.result_dir, f"checkpoint-{number}") for number in range(40)]
    for number, folder in enumerate(folders):
        folder.mkdir()
        (folder / "m.csv").write_text("1")
        for made in (folder / "m.csv", folder):
            os.utime(made, (1e9 + number, 1e9 + number))
    now = 10.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    it = Found(TrialFiles(trial), ["**/*.csv"])
    assert len(it.look()) == 40
    looked = list[str]()
    stat = os.lstat
    monkeypatch.setattr(os, "lstat", lambda path: looked.append(path) or stat(path))
    now += 11  # longer than any round puts off the next one
    it.look()
    assert len(looked) < 40, "half of them, folders and files"
    assert f"{folders[-1]}/m.csv" in looked
    (folders[2] / "n.csv").write_text("1")
    (folders[3] / "m.csv").write_text("12")
    (folders[4] / "m.csv").unlink()
    for _ in range(TURNS):
        now += 11
        it.look()
    sizes = {file.name: file.size for file in it.look()}
    assert sizes.pop("checkpoint-2/n.csv") == 1
    assert sizes.pop("checkpoint-3/m.csv") == 2
    assert len(sizes) == 38
    looked.clear()
    now += 11
    it.look()
    assert {f"{folders[2]}/n.csv", f"{folders[3]}/m.csv"} <= {*looked}, "they are among the latest by now"


def test_deep_and_wide_folders_are_cut_off(trial: TrialPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpo_engine.contract.sources.found._MOST", 10)
    deep = Path(trial.result_dir, *["d"] * 40)
    deep.mkdir(parents=True)
    (deep / "m.csv").touch()
    (Path(trial.result_dir, "d/d/m.csv")).touch()
    for number in range(12):
        Path(trial.result_dir, f"{number}.csv").touch()
    names = list(found(trial, ["**/*.csv"]))
    assert names[:3] == ["0.csv", "1.csv", "2.csv"]
    assert len(names) == 10
    assert list(found(trial, ["**/m.csv"])) == ["d/d/m.csv"]
