"""The commit of a script's folder, with a real git."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from hpo_engine.contract.git import Asked
from hpo_engine.study.provenance import Code, FileChange

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
WHO = ("-c", "user.name=me", "-c", "user.email=me@example.com", "-c", "commit.gpgsign=false")
PLAIN = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *WHO, *words], cwd=folder, env=PLAIN, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def code(folder: Path, own: str = "", **env: str) -> Code:
    found = Asked(str(folder), {**PLAIN, **env}, own).code(20.0)
    assert found is not None
    return found


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with the script in one of two folders."""
    root = tmp_path / "re 'po"
    (root / "train é").mkdir(parents=True)
    (root / "other").mkdir()
    git(root, "init", "-q", "-b", "main")
    for name in ("train é/train.py", "train é/old name.py", "other/data.py", "train é/net.bin"):
        (root / name).write_bytes(b"\0\1" if name.endswith("bin") else b"a = 1\nb = 2\n")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")
    return root


def test_clean_folder_has_its_commit_and_branch(repository: Path) -> None:
    git(repository, "remote", "add", "origin", "https://me:secret@example.com/re/po.git")
    assert code(repository / "train é") == Code(
        git(repository, "rev-parse", "HEAD"), "main", "https://***@example.com/re/po.git", "train é", dirty=False
    )
    assert code(repository).folder == "."


def test_changes_of_the_scripts_folder_are_listed_and_others_are_not(repository: Path) -> None:
    folder = repository / "train é"
    (folder / "train.py").write_text("a = 1\nb = 3\nc = 4\n")
    (folder / "net.bin").write_bytes(b"\0\2")
    git(folder, "mv", "old name.py", "new\tname.py")
    (folder / "data" / "deep").mkdir(parents=True)
    (folder / "data" / "deep" / "x").write_text("x")
    (folder / "hpo-runs").mkdir()
    (folder / "hpo-runs" / "y").write_text("y")
    (repository / "other" / "data.py").write_text("changed")
    index = (repository / ".git" / "index").read_bytes()
    found = code(folder, str(folder / "hpo-runs"))
    assert found.dirty and found.untracked == ("data/",) and found.untracked_files == 1
    assert found.changes == (
        FileChange("net.bin"),
        FileChange("new\tname.py", 2, 0),
        FileChange("old name.py", 0, 2),
        FileChange("train.py", 2, 1),
    )
    assert (found.changed_files, found.added, found.removed) == (4, 4, 3)
    assert (repository / ".git" / "index").read_bytes() == index, "somebody else's git command may run"


def test_detached_head_and_work_tree(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "-q", "--detach", str(tmp_path / "tree"))
    found = code(tmp_path / "tree" / "other")
    assert found == Code(git(repository, "rev-parse", "HEAD"), "", "", "other", dirty=False)


def test_repository_without_a_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "trunk")
    (tmp_path / "train.py").write_text("1")
    assert code(tmp_path) == Code("", "trunk", dirty=True, untracked=("train.py",), untracked_files=1)


def test_many_changes_are_counted_and_the_first_are_listed(repository: Path) -> None:
    for i in range(100):
        (repository / f"{i:03}.txt").write_text("x")
    found = code(repository)
    assert found.untracked_files == 100 and found.untracked == tuple(f"{i:03}.txt" for i in range(20))


def test_repository_of_the_environment_is_not_the_scripts(repository: Path, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "trunk", "elsewhere")
    assert code(repository, GIT_DIR=str(tmp_path / "elsewhere" / ".git"), GIT_WORK_TREE="/").branch == "main"


def test_no_repository_means_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **more: pytest.fail("git was started"))
    assert Asked(str(tmp_path), PLAIN).code() is None


@pytest.mark.parametrize("script", [None, "exit 128", "echo; exit 1"])
def test_no_git_or_one_that_refuses_means_no_commit(repository: Path, tmp_path: Path, script: str | None) -> None:
    (tmp_path / "bin").mkdir()
    if script is not None:
        (tmp_path / "bin" / "git").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / "git").chmod(0o755)
    assert Asked(str(repository), {"PATH": str(tmp_path / "bin")}).code(20.0) is None


def test_what_git_does_not_say_in_time_is_left_out(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    real = shutil.which("git")
    slow = f'#!/bin/sh\nfor word; do [ "$word" != status ] || exec sleep 60; done\nexec {real} "$@"\n'
    (tmp_path / "bin" / "git").write_text(slow)
    (tmp_path / "bin" / "git").chmod(0o755)
    asked = Asked(str(repository), {**PLAIN, "PATH": f"{tmp_path / 'bin'}:{PLAIN['PATH']}"})
    before = time.monotonic()
    found = asked.code(1.0)
    assert found is not None and found.branch == "main" and found.dirty is None
    assert time.monotonic() - before < 30


def test_hooks_and_filters_of_the_repository_are_not_run(repository: Path, tmp_path: Path) -> None:
    touch = tmp_path / "hook"
    touch.write_text(f"#!/bin/sh\necho ran >> '{tmp_path}/ran'\ncat\n")
    touch.chmod(0o755)
    git(repository, "config", "core.fsmonitor", str(touch))
    git(repository, "config", "diff.external", str(touch))
    git(repository, "config", "core.pager", str(touch))
    (repository / "other" / "data.py").write_text("changed")
    assert code(repository).changed_files == 1
    assert not (tmp_path / "ran").exists()
