"""What of a script's folder is not copied: patterns of the user's, and what only earlier runs write.

Patterns are those of .gitignore, from the study file and from .hpoignore files. A negated one brings back what would be
left out by default. Knows names and folders; copies nothing.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hpo_engine.errors import Problem, SpecError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

FILE = ".hpoignore"
_MOST_BYTES = 1 << 20
_MOST_STARS, _MOST_FOLDERS = 4, 4

CODE = (".py", ".sh", ".r", ".jl", ".js", ".lua", ".pl", ".rb")


class Patterns:
    """The user's patterns for a folder and all below it, most important first.

    As in git, the last pattern that matches decides, a file in a deeper folder before one higher up, and nothing below
    a folder that is left out is looked at.
    """

    def __init__(self, own: Sequence[str] = ()) -> None:
        self._own = tuple(own)
        self._levels: dict[str, GitIgnoreSpec] = {}  # by the folder that a .hpoignore stands in
        self._spec = _compiled(self._own, lambda k: f"exclude[{k}]") if own else None
        self._used: set[int] = set()

    def enter(self, folder: str, path: str) -> None:
        """Reads the .hpoignore of a folder (its name below the top, "" for that), which is at `path`."""
        file = os.path.join(path, FILE)
        try:
            with open(file, encoding="utf-8-sig", errors="surrogateescape") as text:
                lines = text.read(_MOST_BYTES).split("\n")
        except OSError as error:
            raise SpecError([Problem("model_dir", f"{file} cannot be read ({error.strerror})")]) from None
        self._levels[folder] = _compiled([line.rstrip("\r") for line in lines], lambda k: f"{file}, line {k + 1}")

    def verdict(self, name: str, is_folder: bool) -> bool | None:
        """Whether the user's patterns leave a name (below the top) out; None if they say nothing of it."""
        if self._spec is None and not self._levels:
            return None
        end = "/" if is_folder else ""
        if self._spec is not None:
            found = self._spec.check_file(name + end)
            if found.include is not None:
                self._used.add(found.index or 0)
                return found.include
        folder = name
        while folder:
            folder = folder.rpartition("/")[0]
            if folder in self._levels:
                below = name[len(folder) + 1 :] if folder else name
                found = self._levels[folder].check_file(below + end)
                if found.include is not None:
                    return found.include
        return None

    def unused(self) -> list[str]:
        """Patterns of the study file that should leave something out, and matched nothing."""
        kept = (k for k, text in enumerate(self._own) if k not in self._used and not text.startswith(("!", "#")))
        return [self._own[k] for k in kept if self._own[k].strip()]


def _compiled(lines: Sequence[str], where: Callable[[int], str]) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec

    for k, line in enumerate(lines):
        if wrong := endless(line):
            raise SpecError([Problem(where(k), wrong)])
        try:
            GitIgnoreSpec.from_lines([line])
        except ValueError:
            raise SpecError(
                [Problem(where(k), f"{json.dumps(line, ensure_ascii=False)} is not a pattern of a .gitignore")]
            ) from None
    return GitIgnoreSpec.from_lines(lines)


_NO_STAR = re.compile(r"\\.|\[[!^]?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)


def endless(line: str) -> str | None:
    """Why a pattern would take hours to be held against a long name; None if it does not.

    Matching goes back to each star that has anything but a "/" behind it and can take a shorter piece: the time has the
    length of a name to the power of their number, over all parts of the pattern.
    """
    if line.startswith("#"):
        return None
    parts = _NO_STAR.sub("x", line).strip("/").split("/")
    runs = [part.count("*") for part in parts if part != "**"]  # each of `a**b`, too
    shown = f"{line[:60]!r}{'...' if len(line) > 60 else ''}"
    if sum([n - 1 for n in runs if n]) >= _MOST_STARS:
        return f"{shown} has too many stars to be matched in time; write it with at most {_MOST_STARS} stars"
    if sum([part == "**" for part in parts]) > _MOST_FOLDERS:
        return f"{shown} has too many **/ to be matched in time; write it with at most {_MOST_FOLDERS}"
    return None


# -- what only runs write ----------------------------------------------------------------------------------------------

_EVENTS = re.compile(r"events\.out\.tfevents\.")
_VERSION = re.compile(r"version_\d+$")
# Not `settings`, which a run reads: `wandb init` writes the project into it.
_WANDB = re.compile(r"(offline-)?(run|sweep)-|latest-run$|debug\S*\.log$")
_OF_A_VERSION = re.compile(r"(hparams\.yaml|metrics\.csv)$")
_DATABASES = frozenset({"mlflow.db"})
_SIGNS = {  # folder -> what one that runs have written has in it, at most so deep
    "lightning_logs": (
        re.compile(r"version_\d+$|hparams\.yaml$|metrics\.csv$|checkpoints$|events\.out\.tfevents\."),
        2,
    ),
    "mlruns": (re.compile(r"(meta\.yaml|\.trash)$"), 2),
    "mlartifacts": (re.compile(r"[0-9a-f]{32}$"), 2),
    "multirun": (re.compile(r"(multirun\.yaml|\.hydra|optimization_results\.yaml)$"), 4),
    ".hydra": (re.compile(r"(hydra|overrides)\.yaml$"), 1),
    ".neptune": (re.compile(r""), 1),
    ".aim": (re.compile(r""), 1),
    ".guild": (re.compile(r""), 1),
    ".cometml-runs": (re.compile(r""), 1),
    "catboost_info": (re.compile(r"(catboost_training\.json|learn_error\.tsv|time_left\.tsv|learn|test|tmp)$"), 1),
    "dvclive": (re.compile(r"(metrics\.json|params\.yaml|report\.(md|html|ipynb)|plots)$"), 1),
}
_MOST_LOOKED_AT = 2_000  # entries, to recognise a folder by


def only_runs_write(name: str, path: str, mode: int) -> bool:
    """Whether what is called `name`, at `path`, is the output of earlier runs and nothing else: recognised by its name
    and by what tools write into it, and never where somebody has put code beside that. A link is the user's own."""
    folder, base = os.path.split(name)
    if os.path.basename(folder) == "wandb" and _WANDB.match(base):
        return _is_wandb(os.path.dirname(path))
    if stat.S_ISREG(mode):
        return _EVENTS.match(base) is not None or base in _DATABASES
    if not stat.S_ISDIR(mode):
        return False
    if base in _SIGNS:
        sign, depth = _SIGNS[base]
        return not _has_code(path) and _has(path, sign, depth)
    return _VERSION.match(base) is not None and _is_version(path)


def title(name: str, is_folder: bool) -> str:
    """What to call one of these: many of a kind have a name together."""
    folder, base = os.path.split(name)
    if os.path.basename(folder) == "wandb":
        return f"{folder}/"
    if _EVENTS.match(base):
        return "events.out.tfevents.*"
    return f"{name}/" if is_folder else name


def _names(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:  # the survey says so
        return []


def _has_code(path: str) -> bool:
    return any(name.lower().endswith(CODE) for name in _names(path))


def _is_wandb(path: str) -> bool:
    """A folder that W&B keeps runs in, and no package of that name."""
    names = set(_names(path))
    return not _has_code(path) and any(_WANDB.match(name) for name in names)


def _is_version(path: str) -> bool:
    """A folder that a logger of Lightning made for one run, without checkpoints."""
    names = _names(path)
    return "hparams.yaml" in names and all(_OF_A_VERSION.match(name) or _EVENTS.match(name) for name in names)


def _has(path: str, sign: re.Pattern[str], depth: int) -> bool:
    """Whether a name that `sign` matches is in the folder, or so deep in it; an empty folder is nobody's input."""
    looked_at, level = 0, [path]
    for _ in range(depth):
        below: list[str] = []
        for folder in level:
            names = _names(folder)
            looked_at += len(names)
            if any(sign.match(name) for name in names):
                return True
            below += [f"{folder}/{name}" for name in names if os.path.isdir(f"{folder}/{name}")]
            if looked_at > _MOST_LOOKED_AT:
                return False
        level = below
    return looked_at == 0


# -- what may be of an earlier run, or an input ------------------------------------------------------------------------

_MAYBE_FOLDERS = re.compile(r"(checkpoints?|ckpts?|outputs?|results?|weights|saved_models?|logs|checkpoint-\d+)$")
_MAYBE_FILES = (".ckpt", ".pt", ".pth", ".safetensors")
_DATA = re.compile(r"(data|datasets?)$")


def maybe_of_a_run(name: str, is_folder: bool) -> str | None:
    """The pattern that leaves it out, for what an earlier run may have written and a script may read; else None."""
    folder, _, base = name.rpartition("/")
    if is_folder:
        if not _MAYBE_FOLDERS.match(base):
            return None
        return "checkpoint-*/" if base.startswith("checkpoint-") else f"{base}/"
    suffix = os.path.splitext(base)[1].lower()
    if suffix not in _MAYBE_FILES or any(_DATA.match(part) for part in folder.split("/")):
        return None
    return f"*{os.path.splitext(base)[1]}"
