"""What the readers of a script are given, and what they return.

A reader knows one manner in which scripts take their parameters: it is a function `read(script) -> Reading | None` in a
room of its own below `readers/`. It looks at texts only; nothing is run, and the disk is seen through a `Project`.
"""

from __future__ import annotations

import ast
import posixpath
import unicodedata
import warnings
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

from hpo_engine.space.params import json_problem, name_problem


class Project(Protocol):
    """The folder of a script, as text. Paths are relative to it, with `/`."""

    def read(self, path: str) -> str | None:
        """A file's text; None if it is not a text file of a few hundred KiB at most that can be read."""

    def list(self, folder: str) -> list[str]:
        """The names in a folder ("" is the project's own), sorted; those of folders end in `/`. [] if it is none."""


class Texts:
    """A project of texts that are given, path -> text."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = {posixpath.normpath(path): text for path, text in texts.items()}

    def read(self, path: str) -> str | None:
        return self._texts.get(posixpath.normpath(path))

    def list(self, folder: str) -> list[str]:
        prefix = "" if folder in ("", ".") else f"{posixpath.normpath(folder)}/"
        inside = (path.removeprefix(prefix) for path in self._texts if path.startswith(prefix))
        return sorted({name + slash for name, slash, _ in (path.partition("/") for path in inside)})


@dataclass(frozen=True)
class Script:
    """A script to read.

    `path`: in the project. `arguments`: of a usual run, if the user gave them.
    """

    path: str
    text: str
    project: Project = field(default_factory=lambda: Texts({}))
    arguments: tuple[str, ...] = ()

    @cached_property
    def tree(self) -> ast.Module | None:
        """None if it is not a Python script, or not one that can be parsed."""
        return parsed(self.text) if self.path.endswith(".py") else None

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """All nodes of the tree in the order of the text."""
        return () if self.tree is None else in_order(self.tree)


@dataclass(frozen=True)
class Parameter:
    """One parameter of a script.

    Attributes:
        name: its name in the study's space.
        default: a JSON value; None if the script has none, or it is not known.
        type: int, float, bool or str; None if it is not known.
        choices: the values that the script accepts; () if it does not say.
        low, high: the bounds that the script accepts, inclusive.
        entry: its entry in the space, if the script itself says which values are to be searched.
        when: the values of other parameters with which it applies, as in the space.
        required: the script ends if it is not given.
        many: it takes a list of values.
        option: how {params} writes it: `--lr`, or with a final `=` if the value is joined with it.
        word: the word of the command that gives it, with its placeholder: `{amp?--amp}`, `{width}`.
        positional: `word` stands at its place among the words, so that those before it must be given too.
        key: the file and the key in it that `files` of the study file sets.
        variable: the environment variable that gives it.
        line: where it is defined; 0 if there is no line. file: in which file, if it is not the script.

    With no `option`, `word`, `key` or `variable`, the script finds it in config.json.
    """

    name: str
    default: Any = None
    type: type | None = None
    choices: tuple[Any, ...] = ()
    low: float | None = None
    high: float | None = None
    entry: Any = None
    when: Mapping[str, Any] | None = None
    required: bool = False
    many: bool = False
    option: str = ""
    word: str = ""
    positional: bool = False
    key: tuple[str, str] | None = None
    variable: str = ""
    line: int = 0
    file: str = ""


@dataclass(frozen=True)
class Reading:
    """What a reader found.

    Attributes:
        manner: for messages: "argparse", "Hydra (conf/)".
        parameters: in the script's order, those too that are not worth tuning.
        runner: the words before the script, if it is not run by `python`.
        words: what the command needs after the script anyway: a sub-command, `--config`, `conf/train.yaml`.
        form: the placeholder that writes the parameters with an `option`: `{params:-}`.
        notes: what the user has to know or do about the script, a sentence or two each.
        objective, goal: what its configuration says counts, and whether to "minimize" or "maximize" it.
        further: (metric, goal) of what counts besides.
        classes: what its configuration names to be made, `src.models.Net`.
        base: the JSON file of the project that a trial's config.json begins with.
    """

    manner: str
    parameters: tuple[Parameter, ...] = ()
    _: KW_ONLY
    runner: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    form: str = ""
    notes: tuple[str, ...] = ()
    objective: str = ""
    goal: str = ""
    further: tuple[tuple[str, str], ...] = ()
    classes: tuple[str, ...] = ()
    base: str = ""


class Collector:
    """The parameters of a reading by name, while a reader finds them. What is found first counts."""

    def __init__(self) -> None:
        self._found: dict[str, Parameter] = {}

    def __contains__(self, name: str) -> bool:
        return unicodedata.normalize("NFC", name) in self._found

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, parameter: Parameter) -> None:
        """Adds it, or to what is known of it. A name that no study can hold is left out."""
        name = unicodedata.normalize("NFC", parameter.name)
        if name_problem(name) is not None:
            return
        new = replace(
            parameter,
            name=name,
            default=parameter.default if usable(parameter.default) else None,
            choices=_distinct(parameter.choices),
        )
        old = self._found.get(name)
        self._found[name] = new if old is None else _merged(old, new)

    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(self._found.values())


def _merged(old: Parameter, new: Parameter) -> Parameter:
    known = {f: value for f, value in vars(new).items() if getattr(old, f) in (None, "", 0) and value is not None}
    known.pop("default", None)
    default = new.default if old.default is None else old.default
    return replace(old, **known | {"choices": _distinct(old.choices + new.choices), "default": default})


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The usable ones, each once; lists are none to choose from."""
    out: list[Any] = []
    for value in values:
        if usable(value) and not isinstance(value, (list, tuple)) and value not in out:
            out.append(value)
    return tuple(out)


def usable(value: Any) -> bool:
    """Whether a study file can hold the value, and a person would want to see it there."""
    if isinstance(value, (list, tuple)):
        return len(value) <= 20 and all(usable(item) for item in value)
    if not isinstance(value, (bool, int, float, str)) or json_problem(value) is not None:
        return False
    return len(value) <= 100 and "\0" not in value if isinstance(value, str) else abs(value) < 2**63


def parsed(text: str) -> ast.Module | None:
    """The syntax tree of a Python file; None if it is not one that can be parsed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in the script
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def in_order(tree: ast.AST) -> tuple[ast.AST, ...]:
    """All nodes of a tree in the order of the text."""
    nodes = ast.walk(tree)
    return tuple(sorted(nodes, key=lambda node: (getattr(node, "lineno", 0), getattr(node, "col_offset", 0))))
