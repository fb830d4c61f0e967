"""The git commit of the script's folder, and how the folder differs from it, asked of git beside the study's start.

Nothing in the repository is written or run: no index is refreshed, no hook, fsmonitor, filter of diffs or pager is
started. Without a repository no process is started.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from hpo_engine.study.provenance import Code, FileChange
from hpo_engine.text.secrets import without_secrets

LIMIT_S = 2.0
"""How long `Asked.code` waits for git, which takes milliseconds but where a repository is huge or its disk slow."""
_LISTED = 20
"""So many changed and so many untracked files are kept by name."""
_OPTIONS = (
    "--no-optional-locks", "--no-pager", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false",
    "-c", "core.untrackedCache=keep",
)  # fmt: skip
_QUESTIONS = {
    "head": ("rev-parse", "--verify", "--quiet", "HEAD"),
    "branch": ("symbolic-ref", "--short", "--quiet", "HEAD"),
    "folder": ("rev-parse", "--show-prefix"),
    "remote": ("config", "--get", "remote.origin.url"),
    "status": ("status", "--porcelain=v1", "-z", "--untracked-files=normal", "--ignore-submodules=dirty", "--", "."),
    "lines": (
        "diff", "--numstat", "-z", "--relative", "--no-renames", "--no-ext-diff", "--no-textconv",
        "--ignore-submodules=dirty", "HEAD", "--", ".",
    ),
}  # fmt: skip
_OURS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_NAMESPACE")


class Asked:
    """Git was asked about a folder; it answers while the caller does something else.

    Args:
        folder: absolute. env: the caller's environment. own: a folder that is no part of the code, if it is in there.
    """

    def __init__(self, folder: str, env: Mapping[str, str], own: str = "") -> None:
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        if not _in_repository(folder):
            return
        # A repository that the variables of a git hook or an alias name is not the script's.
        clean = {name: value for name, value in env.items() if name not in _OURS}
        clean |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
        with suppress(OSError):  # there is no git
            for name, words in _QUESTIONS.items():
                but = _all_but(own, folder) if words[-1] == "." else []
                self._children[name] = subprocess.Popen(
                    ["git", *_OPTIONS, *words, *but], cwd=folder, env=clean,
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                )  # fmt: skip

    def code(self, limit_s: float = LIMIT_S) -> Code | None:
        """The answer; None if the folder is not in a repository, there is no git, or git refuses to look at it.

        What git has not said after `limit_s` seconds is left out.
        """
        deadline = time.monotonic() + limit_s
        answers = {name: _answer(child, deadline) for name, child in self._children.items()}
        if answers.get("folder") is None:
            return None
        words = {name: (answers[name] or b"").decode(errors="replace").strip() for name in ("head", "branch", "remote")}
        return _told(
            Code(
                commit=words["head"], branch=words["branch"], remote=without_secrets(words["remote"]),
                folder=(answers["folder"] or b"").decode(errors="replace").strip().rstrip("/") or ".",
            ),
            answers["status"],
            answers["lines"] or b"",
        )  # fmt: skip


def _all_but(own: str, folder: str) -> list[str]:
    """The pathspec that leaves out a folder."""
    relative = os.path.relpath(own, folder) if own else ".."
    return [] if relative == "." or relative.split("/")[0] == ".." else [f":(exclude,literal){relative}"]


def _in_repository(folder: str) -> bool:
    """Whether the folder or one above has a .git (a file in work trees and submodules)."""
    while not os.path.lexists(os.path.join(folder, ".git")):
        above = os.path.dirname(folder)
        if above == folder:
            return False
        folder = above
    return True


def _answer(child: subprocess.Popen[bytes], deadline: float) -> bytes | None:
    """What git has printed; None if it failed or is not done at the deadline, when it is killed."""
    try:
        out, _ = child.communicate(timeout=max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        return None
    return out if child.returncode == 0 else None


def _told(code: Code, status: bytes | None, lines: bytes) -> Code:
    """The code with what differs in the folder."""
    if status is None:
        return code
    changed, untracked = _read_status(status, "" if code.folder == "." else f"{code.folder}/")
    counts = _read_lines(lines)
    changes = [FileChange(path, *counts.get(path, (None, None))) for path in changed]
    return replace(
        code, dirty=bool(changed or untracked),
        changes=tuple(changes[:_LISTED]), changed_files=len(changed),
        untracked=tuple(untracked[:_LISTED]), untracked_files=len(untracked),
        added=sum(c.added or 0 for c in changes), removed=sum(c.removed or 0 for c in changes),
    )  # fmt: skip


def _read_status(status: bytes, prefix: str) -> tuple[list[str], list[str]]:
    """Changed and untracked files of `git status -z`, whose paths begin at the repository's root."""
    changed, untracked = list[str](), list[str]()
    records = iter(status.decode(errors="replace").split("\0"))
    for record in records:
        if len(record) < 4:
            continue
        path = record[3:].removeprefix(prefix)
        (untracked if record.startswith("??") else changed).append(path)
        if "R" in record[:2] or "C" in record[:2]:  # followed by the name that it had
            changed.append(next(records, "").removeprefix(prefix))
    return sorted(changed), sorted(untracked)


def _read_lines(lines: bytes) -> dict[str, tuple[int | None, int | None]]:
    """Path -> lines added and removed, of `git diff --numstat -z --no-renames`, which has `-` for files of bytes."""
    found = {}
    for record in lines.decode(errors="replace").split("\0"):
        added, _, rest = record.partition("\t")
        removed, _, path = rest.partition("\t")
        if path:
            found[path] = (_count(added), _count(removed))
    return found


def _count(text: str) -> int | None:
    return int(text) if text.isdigit() else None
