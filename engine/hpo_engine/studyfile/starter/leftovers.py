"""What of a project's folder trials do not need: outputs of earlier runs, by name and size."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import dataclass

from hpo_engine.contract.snapshot.found import Found
from hpo_engine.contract.snapshot.ignore import CODE, Patterns, maybe_of_a_run
from hpo_engine.contract.snapshot.survey import survey
from hpo_engine.errors import SpecError

_RUNS = re.compile(r"(checkpoints?|ckpts?|outputs?|results?|saved_models?|logs?|runs|wandb|checkpoint-\d+)$")
_MOST_FILES = 50_000
_MOST_PATHS = 100


@dataclass(frozen=True)
class Leftover:
    """A pattern for `exclude`, and how much it leaves out."""

    pattern: str
    files: int
    size: int


@dataclass(frozen=True)
class Leftovers:
    """`found`: folders of earlier runs, the largest first; `problem`: why the project cannot be copied as it is."""

    found: tuple[Leftover, ...] = ()
    problem: str = ""


def leftovers(root: str, used: Collection[str]) -> Leftovers:
    """Looks through a project.

    Args:
        used: texts of the script and its arguments; a folder of which one of them names a file is kept.
    """
    try:
        project = survey(os.path.realpath(root), patterns=Patterns(), max_files=_MOST_FILES)
    except SpecError as error:
        return Leftovers(problem=" ".join(problem.text for problem in error.problems))
    sizes: dict[str, list[int]] = {}
    with_code = set()
    for file in project.files:
        folder = _folder_of_runs(file.name)
        if folder is not None:
            sizes.setdefault(folder, []).append(file.size)
            if file.name.lower().endswith(CODE):
                with_code.add(folder)
    kept = with_code | {folder for folder in sizes if any(_names_a_file(project, folder, text) for text in used)}
    # The folder itself stays, for a script that writes into it without making it.
    found = [Leftover(f"/{name}/*", len(all_), sum(all_)) for name, all_ in sizes.items() if name not in kept]
    return Leftovers(tuple(sorted(found, key=lambda one: -one.size)))


def _folder_of_runs(name: str) -> str | None:
    """The outermost folder of a file that is called as those of outputs are."""
    *folders, _ = name.split("/")
    for depth, folder in enumerate(folders, 1):
        path = "/".join(folders[:depth])
        if _RUNS.match(folder.lower()) or maybe_of_a_run(path, True) == f"{folder}/" and folder != "weights":
            return path
    return None


def _names_a_file(project: Found, folder: str, text: str) -> bool:
    """Whether a text has the path of a file in the folder: an input, and not only where outputs go."""
    paths = set(re.findall(rf"{re.escape(folder)}/[^\s\"'`,;)]+", text)[:_MOST_PATHS])
    return bool(paths) and any(file.name in paths for file in project.files)
