"""What the forms of a study file have in common: collecting problems, names, folders, commands, fixed experiments.

Knows the spelling of no form: callers pass the field that a problem belongs to.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hpo_engine.contract.command import leaves_by_dots, script_of
from hpo_engine.contract.paths import OWN_SCRIPT, absolute, is_below
from hpo_engine.errors import Problem, SpecError, nearest
from hpo_engine.space.params import Choice, Constant, Param, json_problem, json_text, key
from hpo_engine.space.searchspace import SearchSpace
from hpo_engine.studyfile import shellwords
from hpo_engine.studyfile.document import Document, read_json, read_text
from hpo_engine.text.quoting import listed, shown

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ENV_NAME = re.compile(r"[^=\0\s]+")
MOST_PROBLEMS = 100  # who has more mends the first ones first
_MOST_NOTES = 20
_USUAL_FILES = ("algo", "algo.yaml", "algo.yml", "algo.json", "algo.py", "algo.txt")


class Problems:
    """The problems of one document, in the order found; each gets the line of its field. `notes`: what the user should
    only know, one line each."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._found: dict[Problem, None] = {}
        self._notes: dict[str, None] = {}
        self._compared = 0

    def add(self, path: str, text: str) -> None:
        self._found[Problem(_printable(path), text, self._document.line(path))] = None

    @contextmanager
    def collected(self, path: str = "") -> Iterator[None]:
        """Takes over the problems that a check in the body raises, as those of `path` if that is given."""
        try:
            yield
        except SpecError as error:
            for problem in error.problems:
                self.add(path or problem.path, problem.text)

    def note(self, path: str, text: str) -> None:
        self._notes[f"{_printable(path)}: {text}" if path else text] = None

    @property
    def notes(self) -> list[str]:
        notes = list(self._notes)
        more = len(notes) - _MOST_NOTES
        return notes if more <= 0 else [*notes[:_MOST_NOTES], f"{more} more of the kind"]

    def nearest(self, word: str, known: Iterable[str]) -> str:
        """As `errors.nearest`; nothing after the first words, so that a hostile file costs no more than another."""
        self._compared += 1
        return nearest(word, known) if self._compared <= MOST_PROBLEMS and len(word) <= 100 else ""

    def __len__(self) -> int:
        return len(self._found)

    def check(self) -> None:
        """Raises SpecError with all of them, in the order of the file, if there are any."""
        if self._found:
            found = sorted(self._found, key=lambda p: p.line or 0)
            more = [Problem("", "there are more problems")] if len(found) >= MOST_PROBLEMS else []
            raise SpecError(found[: MOST_PROBLEMS - 1] + more, self._document.file)


def _printable(path: str) -> str:
    return shown(path, 200)


def is_wmla(data: Any) -> bool:
    """Whether a document is a WMLA request, and not of the native form."""
    return isinstance(data, dict) and not {"algoDef", "hyperParams", "modelSpec"}.isdisjoint(data)


def study_name_problem(name: str) -> str | None:
    """Why a study cannot have this name (it becomes a folder, and part of addresses); None if it can."""
    if not _NAME.fullmatch(name) or name.endswith("."):
        return (
            f"{json_text(name)} cannot name a study; use letters, digits, '.', '_' and '-' (at most 100), "
            "a letter or digit first, no '.' at the end"
        )
    return None


def study_name(text: str, fallback: str = "study") -> str:
    """The text brought into the alphabet of study names."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text)
    name = re.sub(r"^[^A-Za-z0-9]+", "", name)[:100].rstrip(".-")
    return name or fallback


def default_name(file: str, base_dir: str) -> str:
    """A name for a study that has none: the file's, or its folder's where the file has its usual name."""
    base = os.path.basename(file)
    if base.lower() in _USUAL_FILES:
        return study_name(os.path.basename(os.path.abspath(base_dir)))
    return study_name(os.path.splitext(base)[0])


def under(base_dir: str, path: str) -> str:
    """The absolute path; "~" is the user's home."""
    return absolute(os.path.expanduser(path), base_dir)


def folder_problem(path: str) -> str | None:
    """Why an absolute path is not a folder; None if it is one."""
    try:
        if os.path.isdir(path):
            return None
        return (
            f"{_printable(path)} is not a folder" if os.path.lexists(path) else f"there is no folder {_printable(path)}"
        )
    except (OSError, ValueError):
        return f"{_printable(path)} is not a valid path"


def base_config_problem(path: str, model_dir: str) -> str | None:
    """Why an absolute path is not a JSON file in the folder."""
    if not is_below(path, model_dir):
        return f"{_printable(path)} is not in model_dir {_printable(model_dir)}"
    return None if os.path.isfile(path) else f"there is no file {_printable(path)}"


def read_base_config(path: str) -> dict[str, Any]:
    """What is in the file that `base_config` names; it is read as strictly as a study file in JSON.

    Raises:
        SpecError: it does not contain a JSON object, or contains what is not allowed in one.
    """
    try:
        base, _ = read_json(read_text(path).removeprefix("\ufeff"), path)
    except SpecError as error:
        found = error.problems[0]
        where = f"{path}:{found.line}:" if found.line else path
        raise SpecError([Problem("base_config", f"{where} {found.text}")]) from None
    wrong = json_problem(base) if isinstance(base, dict) else "is not a JSON object"
    if wrong:
        raise SpecError([Problem("base_config", f"{path} {wrong}")])
    return dict(base)


def algorithm_problem(name: str, known: Iterable[str] | None) -> str | None:
    """Why `name` is not an algorithm; `known` None: whichever names there are."""
    if known is not None and name in known:
        return None
    module, colon, cls = name.rpartition(":")
    if module == "optuna" and _NAME.fullmatch(cls):
        return None
    if colon:
        sound = cls.isidentifier() and (module.endswith(".py") or all(p.isidentifier() for p in module.split(".")))
        return None if sound else f"{json_text(name)} is neither module:Class nor path/file.py:Class"
    if not _NAME.fullmatch(name):
        return f"{json_text(name)} is not a valid name for an algorithm"
    return None if known is None else f"unknown algorithm {json_text(name)}{nearest_algorithm(name, known)}"


# How other tools, papers and people call them.
_ALSO_CALLED = {
    "bayesian": "bo bayes bayesianoptimization bayesianoptimisation gp gaussianprocess kriging skopt botorch ax",
    "tpe": "hyperopt parzen treeparzenestimator optuna motpe",
    "hyperband": "hb hyperbandscheduler",
    "asha": "sha successivehalving halving",
    "bohb": "bohyperband hpbandster",
    "cmaes": "cma cmaevolutionstrategy",
    "evolution": "ga genetic de differentialevolution evolutionary",
    "sobol": "qmc quasirandom halton lhs latinhypercube",
    "grid": "gridsearch experimentgridsearch exhaustive",
    "random": "randomsearch uniform montecarlo",
    "auto": "default automatic",
}


def nearest_algorithm(name: str, known: Iterable[str]) -> str:
    """As `errors.nearest`, with the names that algorithms have elsewhere."""
    known = list(known)
    bare = re.sub("[^a-z]", "", name.lower())
    ours = next((ours for ours, words in _ALSO_CALLED.items() if bare in words.split() and ours in known), None)
    return f'; did you mean "{ours}"?' if ours else nearest(name.lower(), known)


def env_problem(name: str) -> str | None:
    return None if _ENV_NAME.fullmatch(name) else f"{json_text(name)} cannot name an environment variable"


def as_text(value: Any) -> str | None:
    """A scalar as YAML would write it; None for anything else, and for null."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    return value if isinstance(value, str) else None


def split_command(text: str) -> list[str]:
    """A command line split as a POSIX shell would. Raises ValueError in plain words."""
    return shellwords.split(text)


# -- the script of a command --------------------------------------------------------------------------------------


def script_problem(command: Sequence[str], model_dir: str) -> str | None:
    """Why the script that a command names cannot be found in the model folder; None if it can, or none is named."""
    if split := _split_by_blanks(command, model_dir):
        return split
    script = script_of(command)
    if script is None or os.path.isabs(script) or "{" in script:  # a placeholder: which script, the trial decides
        return None
    if script == OWN_SCRIPT[0]:  # it is made together with the study
        return None
    path = absolute(script, model_dir)
    if not is_below(path, model_dir) and leaves_by_dots(script, model_dir):
        return (
            f"{json_text(script)} is outside model_dir {_printable(model_dir)}; set model_dir to a folder that holds it"
        )
    if not os.path.isfile(path):
        return f"there is no {json_text(script)} in {_printable(model_dir)}"
    if script == command[0] and not os.access(path, os.X_OK):
        return f"{json_text(script)} is not executable; run: chmod +x {shlex.quote(_printable(path))}"
    return None


def _split_by_blanks(command: Sequence[str], model_dir: str) -> str | None:
    """What to write if the path of the script has blanks and no quotes, so that it came apart; else None."""
    program = 0 if os.sep in command[0] else 1
    first = next((k for k in range(program, len(command)) if not command[k].startswith("-")), len(command))
    if first == len(command) or os.path.exists(absolute(command[first], model_dir)):
        return None
    for end in range(first + 2, len(command) + 1):
        path = " ".join(command[first:end])
        if os.path.isfile(absolute(path, model_dir)):
            right = shlex.join([*command[:first], path])
            return f"there is no {json_text(command[first])}, but there is {json_text(path)}; quote it: {right}"
    return None


# -- fixed experiments ---------------------------------------------------------------------------------------------


def space_of(experiments: Sequence[Mapping[str, Any]]) -> SearchSpace:
    """The smallest space with all the values of these parameter sets, which need not have the same names."""
    values: dict[str, list[Any]] = {}
    for experiment in experiments:
        for name, value in experiment.items():
            values.setdefault(name, []).append(value)
    return SearchSpace(tuple(_param_of(name, given, len(given) == len(experiments)) for name, given in values.items()))


def _param_of(name: str, values: Sequence[Any], in_all: bool) -> Param:
    different = {key(v): v for v in values}
    constant = in_all and len(different) == 1
    return Constant(name, values[0]) if constant else Choice(name, tuple(different.values()))


def ragged(experiments: Sequence[Mapping[str, Any]]) -> str | None:
    """A note on experiments that do not all set the same parameters; None if they do."""
    counts: dict[str, int] = {}
    for experiment in experiments:
        for name in experiment:
            counts[name] = counts.get(name, 0) + 1
    some = [f"{json_text(name)} in {n} of {len(experiments)}" for name, n in counts.items() if n < len(experiments)]
    if not some:
        return None
    return f"not all set the same parameters ({listed(some, 3)}); each runs as given"
