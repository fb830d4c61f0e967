"""The study file's `files`: whether each file is there, and can take the values of a trial."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from hpo_engine.contract.needed import place_problem
from hpo_engine.contract.ownfiles import placed_in, read, with_values
from hpo_engine.contract.paths import CONFIG, absolute, is_below
from hpo_engine.contract.placeholders import BUILT_IN, PlaceholderError
from hpo_engine.contract.scriptfiles import EditError
from hpo_engine.space.params import Choice, Constant, Param, json_text
from hpo_engine.study.spec import ScriptFile
from hpo_engine.studyfile.common import Problems
from hpo_engine.studyfile.native.form import StudyForm

_TEMPLATE = "template"


def script_files(
    form: StudyForm, known: Iterable[str], params: Iterable[Param], folder: str, problems: Problems
) -> tuple[ScriptFile, ...]:
    """The files, each tried out with some values; those that cannot be used are problems.

    Args:
        known: the parameters and the resource. folder: the script's.
    """
    if not form.files or not os.path.isdir(folder):
        return ()
    names = frozenset(known)
    values = {**dict.fromkeys(BUILT_IN, 1), **dict.fromkeys(names, 1), **{p.name: _some_value(p) for p in params}}
    found = []
    for path, keys in form.files.items():
        by_template = set(keys) == {_TEMPLATE} and keys[_TEMPLATE] not in names
        file = ScriptFile(path, None if by_template else keys, keys[_TEMPLATE] if by_template else "")
        if wrong := _path_problem(file, folder) or place_problem(file, folder):
            problems.add(f"files.{path}", wrong)
            continue
        try:
            text = read(folder, file.source)
            found.append(ScriptFile(file.path, file.keys, file.template, placed_in(file, text, names)))
            with_values(file, text, values, names)
        except (EditError, PlaceholderError) as error:
            problems.add(f"files.{path}", f"{json_text(file.source)} {error}")
    return tuple(found)


def _path_problem(file: ScriptFile, folder: str) -> str | None:
    if not _is_in(file.path, folder):
        return "must be a path in the script's folder, such as conf/train.yaml"
    if not _is_in(file.source, folder):
        return f"template must be a path in the script's folder, not {json_text(file.template)}"
    return f"is {CONFIG}, which has all parameters anyway" if file.path == CONFIG else None


def _is_in(path: str, folder: str) -> bool:
    plain = path == os.path.normpath(path) and path.isprintable() and not os.path.isabs(path)
    return plain and folder != absolute(path, folder) and is_below(absolute(path, folder), folder)


def _some_value(param: Param) -> Any:
    if isinstance(param, Constant):
        return param.value
    return param.choices[0] if isinstance(param, Choice) else param.low
