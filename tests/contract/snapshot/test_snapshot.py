"""The frozen copy of a model folder and the trials' views of it."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine.contract.layout import lay_out, lay_out_study
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.contract.snapshot import View, freeze
from hpo_engine.errors import LaunchError, SpecError
from tests.support.examples import some
from tests.support.helpers import tree

ODD = ("with space", "new\nline", "quote'\"", "-dash", "$(touch x)", "größe", os.fsdecode(b"bad\xff\xfe"))


def put(path: Path, data: str | bytes = "x", mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    path.chmod(mode)
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A model folder as people have them, within a project that has more."""
    top = tmp_path / "project" / "code"
    put(top / "train.py", "print(open('data/x.csv').read())")
    put(top / "run.sh", "#!/bin/sh\n", 0o755)
    put(top / "data/x.csv", "1,2,3")
    put(top / "model/net.py", "class Net: ...")
    put(top / "secret.txt", "s", 0o600)
    (top / "empty").mkdir()
    put(tmp_path / "project" / "shared/common.py", "shared")
    put(tmp_path / "project" / "big/blob.bin", b"b" * 5000)
    return top


@pytest.fixture
def study(tmp_path: Path) -> StudyPaths:
    paths = StudyPaths(str(tmp_path / "runs" / "study one"))
    os.makedirs(paths.root)
    lay_out_study(paths, "ada")
    return paths


def viewed(study: StudyPaths, source: Path, trial_id: int = 0, **limits: Any) -> tuple[View, Path]:
    """A frozen copy (made once) and a trial's folder with its view."""
    if not os.path.exists(study.model):
        freeze(str(source), study.model)
    view = View.of(study.model, **limits)
    paths = study.trial(trial_id)
    lay_out(paths)
    view.lay(paths.result_dir)
    return view, Path(paths.result_dir)


# -- freezing ----------------------------------------------------------------------------------------------------------


def test_freeze_copies_bytes_modes_times_and_empty_folders(source: Path, tmp_path: Path) -> None:
    os.utime(source / "train.py", (1_000_000_000, 1_000_000_000))
    before = tree(source)
    freeze(str(source), str(tmp_path / "model"))
    assert tree(tmp_path / "model") == before == tree(source)
    for name in ("train.py", "run.sh", "secret.txt"):
        old, new = (source / name).stat(), (tmp_path / "model" / name).stat()
        assert (old.st_mode, old.st_mtime_ns) == (new.st_mode, new.st_mtime_ns)
        assert old.st_ino != new.st_ino


def test_freeze_leaves_out_what_is_no_part_of_the_model(source: Path, tmp_path: Path) -> None:
    kept = tree(source)
    for folder in (".git", "__pycache__", "sub/.ipynb_checkpoints", ".mypy_cache", ".hg", ".svn", "data/.pytest_cache"):
        put(source / folder / "f")
    put(source / "sub" / ".git", "gitdir: elsewhere")  # of a submodule
    put(source / "myenv/pyvenv.cfg")
    put(source / "conda/conda-meta/history")
    for folder in ("results", "trials"):
        put(source / "old study" / folder / "0/f")
    put(source / "old study/study.db")
    put(source / "runs/here/f")
    put(source / "config.json", "{}")
    put(source / "val_dict_list.json", "[]")
    put(source / "sub/log.csv", "loss")
    stale = ["val_dict_list.json", "sub/log.csv"]
    freeze(str(source), str(tmp_path / "model"), exclude_paths=[str(source / "runs")], stale=stale)
    assert tree(tmp_path / "model") == kept | {"sub": "folder"}


def test_freeze_keeps_what_only_looks_like_it(source: Path, tmp_path: Path) -> None:
    put(source / "data/study.db")  # another tool's database
    put(source / "conf/config.json", "{}")
    put(source / "conf/val_dict_list.json", "[]")
    put(source / "pyvenv.cfg")
    freeze(str(source), str(tmp_path / "model"), stale=["val_dict_list.json"])
    assert tree(tmp_path / "model") == tree(source)


def test_freeze_into_the_folder_itself_does_not_copy_the_copy(source: Path) -> None:
    before = tree(source)
    (source / "runs").mkdir()
    freeze(str(source), str(source / "runs/model"))
    assert tree(source / "runs/model") == before | {"runs": "folder"}


def test_freeze_of_odd_names(tmp_path: Path) -> None:
    for name in ODD:
        put(tmp_path / "m" / name / name, name.encode("utf-8", "surrogateescape"))
        (tmp_path / "m" / name / "link").symlink_to(name)
    freeze(str(tmp_path / "m"), str(tmp_path / "model"))
    assert tree(tmp_path / "model") == tree(tmp_path / "m")


def test_freeze_passes_over_pipes_sockets_and_devices(source: Path, tmp_path: Path, monkeypatch: Any) -> None:
    before = tree(source)
    os.mkfifo(source / "pipe")
    monkeypatch.chdir(source)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        (source / "to pipe").symlink_to("pipe")
        (source / "null").symlink_to("/dev/null")
        freeze(str(source), str(tmp_path / "model"))
    assert tree(tmp_path / "model") == before


def test_freeze_of_links(source: Path, tmp_path: Path) -> None:
    project = source.parent
    links = {
        "sub/in file": "../train.py",
        "sub/in folder": "../data",
        "absolute in": str(source / "data/x.csv"),
        "self": ".",
        "twice": "sub/in file",
        "out file": "../shared/common.py",
        "out folder": "../shared",
        "dangling in": "later/file",
        "dangling out": "../none",
        "loop": "loop",
        "to skipped": ".git/hook.py",
        "to skipped folder": ".git",
    }
    put(source / ".git/hook.py", "hook")
    (source / "sub").mkdir()
    for name, target in links.items():
        (source / name).symlink_to(target)
    freeze(str(source), str(tmp_path / "model"))
    found = tree(tmp_path / "model")
    assert {name: found[name] for name in links} == {
        "sub/in file": "link ../train.py",
        "sub/in folder": "link ../data",
        "absolute in": "link data/x.csv",
        "self": "link .",
        "twice": "link train.py",
        "out file": hashlib.sha256(b"shared").hexdigest(),
        "out folder": f"link {project}/shared",
        "dangling in": "link later/file",
        "dangling out": f"link {project}/none",
        "loop": "link loop",
        "to skipped": hashlib.sha256(b"hook").hexdigest(),
        "to skipped folder": f"link {source}/.git",
    }


def test_freeze_links_big_files_to_the_original(source: Path, tmp_path: Path) -> None:
    put(source / "data/large", b"z" * 3000)
    (source / "out").symlink_to("../big/blob.bin")
    freeze(str(source), str(tmp_path / "model"), big_bytes=2999)
    assert os.readlink(tmp_path / "model/data/large") == str(source / "data/large")
    assert os.readlink(tmp_path / "model/out") == str(source.parent / "big/blob.bin")
    freeze(str(source), str(tmp_path / "again"), big_bytes=5000)
    assert not (tmp_path / "again/data/large").is_symlink()
    assert (tmp_path / "again/out").read_bytes() == b"b" * 5000


def test_freeze_refuses_too_much_before_it_writes(source: Path, tmp_path: Path) -> None:
    for i in range(20):
        put(source / f"many/{i}", b"y" * 100)
    refused: list[tuple[dict[str, Any], str]] = [
        ({"max_files": 20}, "more than 20 files"),
        ({"max_bytes": 1500}, "more than 1,500 bytes of files"),
    ]
    for limits, text in refused:
        with pytest.raises(SpecError) as caught:
            freeze(str(source), str(tmp_path / "model"), **limits)
        assert str(caught.value).startswith(f"model_dir: {source} has {text}; the largest folders: many/ (20 files, ")
        assert not (tmp_path / "model").exists()
    freeze(str(source), str(tmp_path / "model"), max_files=25, max_bytes=2100)


def test_freeze_counts_linked_files_not_by_their_bytes(source: Path, tmp_path: Path) -> None:
    with open(source / "sparse", "wb") as file:
        file.truncate(3 << 30)
    freeze(str(source), str(tmp_path / "model"))
    assert (tmp_path / "model/sparse").is_symlink()


def test_freeze_of_what_is_no_folder(tmp_path: Path) -> None:
    put(tmp_path / "file")
    for name in ("none", "file"):
        with pytest.raises(SpecError, match=f"{name} cannot be read"):
            freeze(str(tmp_path / name), str(tmp_path / "model"))
    assert not (tmp_path / "model").exists()


def as_nobody(act: Callable[[], str]) -> str:
    """What `act` says when an unprivileged user does it (root reads and writes everything)."""
    if os.geteuid() != 0:
        return act()
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            os.write(into, act().encode())
        finally:
            os._exit(0)
    os.close(into)
    with open(out, "rb") as answer:
        text = answer.read().decode()
    os.waitpid(pid, 0)
    return text


@pytest.fixture
def open_path(tmp_path: Path) -> Iterator[Path]:
    """A folder that an unprivileged user can reach and write."""
    changed = []
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and not folder.stat().st_mode & 0o001:
            changed.append((folder, folder.stat().st_mode))
            folder.chmod(folder.stat().st_mode | 0o001)
    tmp_path.chmod(0o777)
    yield tmp_path
    for folder, mode in changed:
        folder.chmod(mode)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_freeze_names_what_it_cannot_read_and_leaves_nothing(source: Path, open_path: Path, kind: str) -> None:
    bad = source / "data/x.csv" if kind == "file" else source / "data"
    (source / "secret.txt").chmod(0o644)
    bad.chmod(0)

    def act() -> str:
        try:
            freeze(str(source), str(open_path / "model"))
        except SpecError as error:
            return str(error)
        return "no error"

    assert as_nobody(act).startswith(f"model_dir: {bad} cannot be read (Permission denied)")
    assert not (open_path / "model").exists()
    bad.chmod(0o755)


def test_frozen_copy_of_read_only_folders_can_be_removed(source: Path, open_path: Path) -> None:
    (source / "secret.txt").chmod(0o444)
    (source / "data").chmod(0o555)

    def act() -> str:
        freeze(str(source), str(open_path / "model"))
        assert (open_path / "model/data/x.csv").read_text() == "1,2,3"
        shutil.rmtree(open_path / "model")
        return "removed"

    assert as_nobody(act) == "removed"
    (source / "data").chmod(0o755)


names = st.sampled_from(["a", "b", "c d", "é\n", "e.py"])


@settings(max_examples=some(30), deadline=None)
@given(
    st.dictionaries(st.lists(names, min_size=1, max_size=3).map("/".join), st.binary(max_size=50), max_size=8),
    st.data(),
)
def test_freeze_and_views_equal_the_source_for_any_tree(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], data: st.DataObject
) -> None:
    top = tmp_path_factory.mktemp("any")
    for name, content in files.items():
        if not any(parent.is_file() for parent in (top / "m" / name).parents) and not (top / "m" / name).is_dir():
            put(top / "m" / name, content)
    (top / "m").mkdir(exist_ok=True)
    (top / "s").mkdir()
    freeze(str(top / "m"), str(top / "s/model"))
    view = View.of(
        str(top / "s/model"), small_bytes=data.draw(st.integers(0, 50)), max_files=data.draw(st.integers(0, 8))
    )
    (top / "s/results/0").mkdir(parents=True)
    view.lay(str(top / "s/results/0"))
    for folder, _, found in os.walk(top / "m"):
        there = top / "s/results/0" / os.path.relpath(folder, top / "m")
        assert there.is_dir()
        assert not there.is_symlink() or there == top / "s/results/0"
        for name in found:
            assert (there / name).read_bytes() == Path(folder, name).read_bytes()


# -- views -------------------------------------------------------------------------------------------------------------


def test_view_is_what_the_script_finds_by_hand(source: Path, study: StudyPaths) -> None:
    view, result_dir = viewed(study, source)
    assert tree(result_dir) == tree(source)
    assert os.access(result_dir / "run.sh", os.X_OK)
    assert stat.S_IMODE((result_dir / "secret.txt").stat().st_mode) == 0o600
    assert view.linked == ()
    done = subprocess.run([sys.executable, "train.py"], cwd=result_dir, capture_output=True, text=True, check=True)
    assert done.stdout == "1,2,3\n"


@pytest.mark.parametrize("limits", [{}, {"small_bytes": 4}, {"max_files": 2}, {"max_bytes": 60}])
def test_a_trial_that_writes_everywhere_changes_nothing_but_its_own(
    source: Path, study: StudyPaths, limits: dict[str, int]
) -> None:
    view, first = viewed(study, source, 0, **limits)
    _, second = viewed(study, source, 1, **limits)
    frozen, original, other = tree(study.model), tree(source), tree(second)
    for path in [p for p in first.rglob("*") if not p.is_symlink()]:
        if path.is_dir():
            put(path / "net.pt", "weights")
        else:
            path.write_text("overwritten")
            path.chmod(0o600)
    put(first / "model/sub/deep.pt")
    for path in [p for p in first.rglob("*") if p.is_symlink()]:  # as `os.replace` and `rm` do
        path.unlink()
        path.write_text("replaced")
    shutil.rmtree(first / "data")
    assert tree(study.model) == frozen
    assert tree(source) == original
    assert tree(second) == other


def test_files_that_are_linked_are_write_protected_and_listed(source: Path, study: StudyPaths, open_path: Path) -> None:
    put(source / "data/large.bin", b"z" * 5000, 0o666)
    put(source / "data/large tool", b"z" * 5000, 0o775)
    view, result_dir = viewed(study, source, small_bytes=4999)
    assert view.linked == (os.path.realpath(study.model),)
    assert os.readlink(result_dir / "data/large.bin") == "../../../model/data/large.bin"
    modes = [stat.S_IMODE((result_dir / "data" / name).stat().st_mode) for name in ("large.bin", "large tool")]
    assert modes == [0o444, 0o555]

    def act() -> str:
        try:
            (result_dir / "data/large.bin").write_text("spoilt")
        except PermissionError:
            return "refused"
        return "written"

    assert as_nobody(act) == "refused"


def test_only_what_freezing_linked_is_listed_and_not_what_the_user_did(source: Path, study: StudyPaths) -> None:
    shared = source.parent / "shared"
    (source / "out folder").symlink_to("../shared")
    (source / "out file").symlink_to("../big/blob.bin")  # too big to be copied, too
    (source / "none").symlink_to("/nowhere/at/all")
    (source / "root").symlink_to("/")
    put(source / "data/large.bin", b"z" * 5000)
    put(source / "data/huge.bin", b"z" * 6000)
    freeze(str(source), study.model, big_bytes=4999)
    view = View.of(study.model, source_dir=str(source))
    assert view.linked == (str(source / "data/huge.bin"), str(source / "data/large.bin"))
    lay_out(study.trial(0))
    view.lay(study.trial(0).result_dir)
    result_dir = Path(study.trial(0).result_dir)
    assert os.readlink(result_dir / "data/large.bin") == str(source / "data/large.bin")
    assert os.readlink(result_dir / "out file") == str(source.parent / "big/blob.bin")
    assert (result_dir / "out folder/common.py").read_text() == "shared"
    (result_dir / "out folder/new").write_text("as by hand")
    assert (shared / "new").read_text() == "as by hand"


def test_links_within_the_model_stay_within_the_trial(source: Path, study: StudyPaths) -> None:
    (source / "checkpoints").symlink_to("model")
    (source / "current.csv").symlink_to("data/x.csv")
    (source / "later").symlink_to("made/by the script")
    _, result_dir = viewed(study, source)
    before = tree(study.model)
    (result_dir / "checkpoints/net.pt").write_text("weights")
    (result_dir / "current.csv").write_text("changed")
    (result_dir / "made").mkdir()
    (result_dir / "later").write_text("made")
    assert (result_dir / "model/net.pt").read_text() == "weights"
    assert (result_dir / "data/x.csv").read_text() == "changed"
    assert tree(study.model) == before


def test_no_link_of_a_frozen_folder_leads_out_of_a_view_by_dots(source: Path, study: StudyPaths) -> None:
    freeze(str(source), study.model)
    os.symlink("../1", f"{study.model}/neighbour")  # would be trial 1's folder
    os.symlink("../../x", f"{study.model}/data/up")
    _, result_dir = viewed(study, source)
    assert os.readlink(result_dir / "neighbour") == os.path.realpath(f"{study.root}/1")
    assert os.readlink(result_dir / "data/up") == os.path.realpath(f"{study.root}/x")


def test_limits_of_a_view_give_copies_to_what_runs_first(tmp_path: Path) -> None:
    for i in range(30):
        put(tmp_path / f"m/images/{i:02}.png", b"p")
    put(tmp_path / "m/pkg/deep/mod.py", "code" * 10)
    put(tmp_path / "m/tool", "binary", 0o755)
    put(tmp_path / "m/notes", "n" * 50)
    (tmp_path / "s").mkdir()
    freeze(str(tmp_path / "m"), str(tmp_path / "s/model"))
    view = View.of(str(tmp_path / "s/model"), max_files=5)
    chosen = {part.name for part in view.copies}
    assert chosen == {"tool", "pkg/deep/mod.py", "notes", "images/00.png", "images/01.png"}
    assert len(view.links) == 28
    view = View.of(str(tmp_path / "s/model"), max_bytes=50)
    assert sum(len(part.data) for part in view.copies) <= 50
    assert {"tool", "pkg/deep/mod.py"} <= {part.name for part in view.copies}
    assert "notes" in view.links


@pytest.mark.parametrize("limits", [{}, {"small_bytes": 4}])
def test_view_can_be_laid_over_a_half_laid_one(source: Path, study: StudyPaths, limits: dict[str, int]) -> None:
    (source / "link").symlink_to("train.py")
    view, result_dir = viewed(study, source, **limits)
    whole = tree(result_dir)
    (result_dir / "train.py").unlink()
    view.lay(str(result_dir))
    assert tree(result_dir) == whole


def test_laying_replaces_planted_links_and_never_follows_them(source: Path, study: StudyPaths, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    put(canary / "file", "alive")
    paths = study.trial(0)
    lay_out(paths)
    os.symlink(canary, f"{paths.result_dir}/data")
    os.symlink(canary / "file", f"{paths.result_dir}/train.py")
    _, result_dir = viewed(study, source)
    assert tree(canary) == {"file": hashlib.sha256(b"alive").hexdigest()}
    assert tree(result_dir) == tree(source)


def test_laying_refuses_a_folder_that_is_not_one_or_in_the_way(source: Path, study: StudyPaths, tmp_path: Path) -> None:
    freeze(str(source), study.model)
    view, paths = View.of(study.model), study.trial(0)
    with pytest.raises(LaunchError, match="is not a folder"):
        view.lay(paths.result_dir)
    (tmp_path / "canary").mkdir()
    os.symlink(tmp_path / "canary", paths.result_dir)
    with pytest.raises(LaunchError, match="is not a folder"):
        view.lay(paths.result_dir)
    assert os.listdir(tmp_path / "canary") == []
    os.unlink(paths.result_dir)
    os.makedirs(f"{paths.result_dir}/train.py")
    with pytest.raises(LaunchError, match="train.py is a folder where the model folder has a file"):
        view.lay(paths.result_dir)


def test_edits_of_the_source_or_the_copy_during_a_study_change_no_view(source: Path, study: StudyPaths) -> None:
    freeze(str(source), study.model)
    view = View.of(study.model)
    before = tree(study.model)
    put(source / "train.py", "edited")
    put(Path(study.model) / "train.py", "edited")
    lay_out(study.trial(0))
    view.lay(study.trial(0).result_dir)
    assert tree(study.trial(0).result_dir) == before


def test_views_of_a_study_that_was_moved_still_read_their_links(
    source: Path, study: StudyPaths, tmp_path: Path
) -> None:
    viewed(study, source, small_bytes=0)
    os.rename(study.root, tmp_path / "moved")
    shutil.rmtree(tmp_path / "project")
    assert (tmp_path / "moved/results/0/data/x.csv").read_text() == "1,2,3"


def test_view_of_odd_names(tmp_path: Path, study: StudyPaths) -> None:
    for name in ODD:
        put(tmp_path / "m" / name / name, name.encode("utf-8", "surrogateescape"))
    for i, limits in enumerate(({}, {"small_bytes": 0})):
        _, result_dir = viewed(study, tmp_path / "m", i, **limits)
        for name in ODD:
            assert (result_dir / name / name).read_bytes() == name.encode("utf-8", "surrogateescape")


@pytest.mark.slow
def test_many_files_are_laid_quickly(tmp_path: Path, study: StudyPaths) -> None:
    for i in range(300):
        put(tmp_path / f"m/d{i % 10}/{i}.txt", "text")
    freeze(str(tmp_path / "m"), study.model)
    view = View.of(study.model, max_files=200)
    lay_out(study.trial(0))
    started = time.process_time()
    view.lay(study.trial(0).result_dir)
    assert time.process_time() - started < 60
    assert len(list(Path(study.trial(0).result_dir).rglob("*.txt"))) == 300
