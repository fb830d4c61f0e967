"""Scripts with constants: at the top of a file, in a class such as Config, in a dictionary."""

from __future__ import annotations

import ast
import posixpath
import re
from collections import Counter
from collections.abc import Iterator

from hpo_engine.contract.scriptfiles import python_values
from hpo_engine.space.params import name_problem
from hpo_engine.studyfile.starter.interface import Parameter, Reading, Script, usable
from hpo_engine.studyfile.starter.kinds import Kind, kind_of
from hpo_engine.studyfile.starter.modules import Modules, modules_of
from hpo_engine.studyfile.starter.syntax import assigned, literal
from hpo_engine.text.quoting import listed

_HOLDERS = re.compile(r"(?i)conf|cfg|setting|const|param|hyper|args|option|default")


def read(script: Script) -> Reading | None:
    if script.tree is None:
        return None
    modules = modules_of(script)
    found = [(path, key, value) for path in modules.imported() for key, value in _constants(modules, path)]
    words = script.arguments
    if not found:
        return Reading("its constants", words=words, notes=notes) if (notes := tuple(_out_of_reach(script))) else None
    last = Counter(_last(key) for _, key, _ in found)
    parameters = tuple(
        Parameter(
            _last(key) if last[_last(key)] == 1 else key.lower(),
            value,
            type(value),
            key=(path, key),
            line=0,
            file="" if path == script.path else path,
        )
        for path, key, value in found
    )
    files = list(dict.fromkeys(path for path, _, _ in found))
    return Reading(f"constants of {listed(files, 3)}", parameters, words=words)


def _constants(modules: Modules, path: str) -> Iterator[tuple[str, object]]:
    """(key, value) of what is a hyperparameter by its name. In modules that only a script imports, a name in small
    letters is one only in a file, a class or a dictionary that is called like a configuration."""
    here = path == modules.script.path or _HOLDERS.search(posixpath.basename(path)) is not None
    for key, value in python_values(modules.text(path) or "").items():
        holder, _, last = key.rpartition(".")
        kind = Kind.FIXED if name_problem(key) else kind_of(last)
        if kind is Kind.OTHER or kind is Kind.FIXED or isinstance(value, (list, tuple)) or not usable(value):
            continue
        if isinstance(value, str) and kind is not Kind.CHOICE:
            continue
        if (here and not holder) or last.isupper() or _HOLDERS.search(holder):
            yield key, value


def _last(key: str) -> str:
    return key.rpartition(".")[2].lower()


def _out_of_reach(script: Script) -> Iterator[str]:
    """A note on values that are set inside functions, where nothing can set them from outside."""
    top = script.tree.body if script.tree else []
    inside = [node for part in top if not isinstance(part, (ast.Import, ast.ImportFrom)) for node in ast.walk(part)]
    numbers = [(name, node) for name, node in assigned(inside) if isinstance(literal(node), (int, float))]
    known = [(name, node.lineno) for name, node in numbers if kind_of(name).rank <= Kind.CHOICE.rank]
    if known:
        names = listed(list(dict.fromkeys(name for name, _ in known)), 4)
        yield (
            f"{names} (line {known[0][1]}) are set inside of a function or more than once, where a study cannot set "
            "them: make them constants at the top of the script, or options."
        )
