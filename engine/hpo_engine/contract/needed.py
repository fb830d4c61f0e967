"""The files without which no trial of a study can run: whether the copy of the script's folder has them."""

from __future__ import annotations

import json
import os

from hpo_engine.contract.command import script_of
from hpo_engine.contract.paths import absolute, is_below
from hpo_engine.contract.snapshot.found import Found
from hpo_engine.errors import Problem, SpecError
from hpo_engine.study.spec import ScriptFile, StudySpec


def refuse_missing(spec: StudySpec, found: Found) -> None:
    """Raises SpecError if the script, or a file of `files`, is not copied. `found`: in the script's folder."""
    problems = []
    script = script_of(spec.command)
    path = absolute(script, spec.model_dir) if script is not None else ""
    if is_below(path, spec.model_dir) and found.is_gone(path[len(spec.model_dir) + 1 :]):
        text = f"{json.dumps(script)}, which the command runs, is left out by it or by a .hpoignore"
        problems.append(Problem("exclude", text))
    for file in spec.files:
        if not found.holds(file.source):
            cause = "left out by exclude or a .hpoignore" if found.is_excluded(file.source) else "not copied"
            text = f"{json.dumps(file.source)} is {cause}, so no trial can get its values in it"
            problems.append(Problem(f"files.{file.path}", text))
        elif (folder := os.path.dirname(file.path)) and folder not in {name for name, _ in found.folders}:
            text = f"the folder {json.dumps(folder)} is not copied, so no trial can have a file in it"
            problems.append(Problem(f"files.{file.path}", text))
    if problems:
        raise SpecError(problems)


def place_problem(file: ScriptFile, folder: str) -> str | None:
    """Why a trial's view of the script's folder has no place for the file; None if it has one."""
    parent = os.path.dirname(file.path)
    place = os.path.join(os.path.realpath(folder), parent)
    if parent and not os.path.isdir(place):
        return f"there is no folder {json.dumps(parent)} in {folder}"
    if parent and os.path.realpath(place) != place:
        return f"{json.dumps(parent)} is a link or in one; name the file by the folder that the link leads to"
    if os.path.isdir(os.path.join(place, os.path.basename(file.path))):
        return f"{json.dumps(file.path)} is a folder"
    return None
