"""The folder that trials run in: the project's, if the script needs it or is run from there, else the script's own."""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from hpo_engine.studyfile.starter.interface import in_order, parsed
from hpo_engine.studyfile.starter.syntax import imported, literal, name_of

MARKERS = (
    ".git", ".project-root", "pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "environment.yml",
    "environment.yaml", "Pipfile", "uv.lock", "poetry.lock",
)  # fmt: skip
_INDICATORS = (".project-root", ".git", "pyproject.toml", "setup.cfg", "setup.py", "requirements.txt")
_SOURCES = ("src", "scripts", "bin", "tools", "code", "source")
_MOST_LEVELS = 5
_MOST_PATHS = 500
_PARENTS = re.compile(
    r"__file__\s*\)?(?:\.(?:resolve|absolute)\(\))*(?P<ups>(?:\.parent\b)+)|\.parents\[(?P<number>\d)\]"
)
_ROOT_FINDER = re.compile(r"\b(?:rootutils|pyrootutils)\b|\bsetup_root\(|\bfind_root\(")
_PATHS = re.compile(r"sys\.path\b|\brootutils\b|\bpyrootutils\b|\bsetup_root\(")


@dataclass(frozen=True)
class Root:
    """`folder`: absolute; `why`: for a message, "" if it is the script's own; `python_path`: modules are imported from
    it that Python does not find by itself."""

    folder: str
    why: str = ""
    python_path: bool = False


def root_of(script: str, code: str, here: str) -> Root:
    """The folder for a script.

    Args:
        script: its absolute path. here: the folder in which the user is, absolute; scripts are usually run from there.
    """
    own = os.path.dirname(script)
    above = list(_above(own))
    tree = parsed(code) if script.endswith(".py") else None
    nodes = () if tree is None else in_order(tree)
    needed, imported = _needed(own, above, nodes, code)
    from_here = here in above and (read := _read_from(here, own, code))
    if needed is not None:
        folder = here if from_here and len(here) < len(needed[0]) else needed[0]
        return Root(folder, needed[1], imported and not _PATHS.search(code))
    if from_here:
        return Root(here, f"the script reads {read} from here")
    marked = _marked(own, above, here)
    if marked is not None and not _read_from(own, marked, code):
        return Root(marked, "it is the project's folder")
    return Root(own)


def relative(path: str, folder: str) -> str:
    """A path as seen from a folder; both absolute."""
    found = os.path.relpath(path, folder)
    if found.startswith(os.pardir + os.sep):  # below a link, ".." is the parent of its target
        found = os.path.relpath(path, os.path.realpath(folder))
    return found


def from_root(word: str, here: str, root: str) -> str:
    """A word of a usual run in the folder `here`, for a run in `root`: `--config=../a.yaml` names the same file."""
    option, equals, path = word.partition("=") if word.startswith("-") else ("", "", word)
    whole = os.path.normpath(os.path.join(here, path)) if path and "\0" not in path else ""
    if here == root or not os.path.exists(whole) or not f"{whole}/".startswith(f"{root}/"):
        return word
    return word if os.path.isabs(path) else f"{option}{equals}{os.path.relpath(whole, root)}"


def _above(own: str) -> Iterator[str]:
    """The folders above the script's, nearest first; never the user's home or what is above that."""
    home = os.path.expanduser("~")
    folder = own
    for _ in range(_MOST_LEVELS):
        folder = os.path.dirname(folder)
        if folder == os.path.dirname(folder) or folder == home or home.startswith(folder + os.sep):
            return
        yield folder


def _needed(own: str, above: list[str], nodes: tuple[ast.AST, ...], code: str) -> tuple[tuple[str, str] | None, bool]:
    """((the highest folder that the script cannot do without, why), whether it imports from there)."""
    found: list[tuple[str, str]] = []
    modules = dict.fromkeys(name.partition(".")[0] for name in imported(nodes))
    for name in modules:
        if name in sys.stdlib_module_names or _has_module(own, name):
            continue
        inner = _inner(nodes, name)
        having = (f for f in above if _has_module(f, name) and not _is_namesake(f"{f}/{name}", own, inner))
        found += [(folder, f"the script imports {name} from it") for folder in having][:1]
    from_above = bool(found)
    for path in _configurations(nodes):
        target = os.path.normpath(os.path.join(own, path))
        found += [(f, f"its configurations are in {path}") for f in above if f"{target}/".startswith(f"{f}/")][:1]
    if _ROOT_FINDER.search(code):
        marked = (f for f in [own, *above] if any(os.path.exists(f"{f}/{name}") for name in _INDICATORS))
        found += [(folder, "the script looks for it") for folder in marked][:1]
    ups = max((len(m["ups"]) // len(".parent") - 1 if m["ups"] else int(m["number"]) for m in _PARENTS.finditer(code)),
              default=0)  # fmt: skip
    if 0 < ups <= len(above):
        found.append((above[ups - 1], "the script names files from there"))
    found = [(folder, why) for folder, why in found if folder != own]
    return min(found, key=lambda pair: len(pair[0]), default=None), from_above


def _has_module(folder: str, name: str) -> bool:
    if os.path.isfile(f"{folder}/{name}.py") or os.path.isfile(f"{folder}/{name}/__init__.py"):
        return True
    try:
        return any(entry.endswith(".py") for entry in os.listdir(f"{folder}/{name}"))
    except OSError:
        return False


def _inner(nodes: tuple[ast.AST, ...], package: str) -> set[str]:
    """What is imported from a package: `a` and `b` for `import package.a.x` and `from package import b`."""
    names = list(imported(nodes))
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module == package and not node.level:
            names += [f"{package}.{alias.name}" for alias in node.names]
    return {parts[1] for name in names if len(parts := name.split(".")) > 1 and parts[0] == package}


def _is_namesake(folder: str, own: str, inner: set[str]) -> bool:
    """Whether a folder that the script is in is only called like a library that it imports: `keras/train.py`."""
    if not f"{own}/".startswith(f"{folder}/") or os.path.isfile(f"{folder}/__init__.py"):
        return False
    return not any(os.path.exists(f"{folder}/{name}") or os.path.isfile(f"{folder}/{name}.py") for name in inner)


def _configurations(nodes: tuple[ast.AST, ...]) -> Iterator[str]:
    """config_path="../configs" of @hydra.main, which is relative to the script."""
    for node in nodes:
        if isinstance(node, ast.Call) and name_of(node.func) in ("main", "initialize"):
            for keyword in node.keywords:
                path = literal(keyword.value) if keyword.arg == "config_path" else None
                if isinstance(path, str) and path.startswith(".."):
                    yield path


def _marked(own: str, above: list[str], here: str) -> str | None:
    """The project's folder, by what stands in it; from where the user is down to the script, or around a `src`."""
    if here == own:
        return None
    between = [folder for folder in [own, *above] if f"{folder}/".startswith(f"{here.rstrip('/')}/")]
    if not between and os.path.basename(own) in _SOURCES:
        between = [own, *above]
    candidates = reversed(between) if here in between else iter(between)
    marked = (folder for folder in candidates if any(os.path.exists(f"{folder}/{name}") for name in MARKERS))
    return next((folder for folder in marked if folder != own), None)


def _read_from(folder: str, instead_of: str, code: str) -> str | None:
    """A path in the script that exists in `folder` and not in `instead_of`."""
    texts: list[str] = re.findall(r"""["']([^"'\s\\*?]{1,200})["']""", code)
    for text in list(dict.fromkeys(texts))[:_MOST_PATHS]:
        is_path = not os.path.isabs(text) and os.path.normpath(text) not in (".", "..") and "\0" not in text
        if is_path and os.path.exists(f"{folder}/{text}") and not os.path.exists(f"{instead_of}/{text}"):
            return text
    return None
