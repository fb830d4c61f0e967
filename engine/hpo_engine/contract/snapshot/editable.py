"""Projects that an interpreter imports from the script's folder itself: `pip install -e` and its kin.

Reads what installers leave in site-packages, lines of .pth files and the finders that these import, without running
any of it. A source folder that is put into PYTHONPATH comes before all of them.
"""

from __future__ import annotations

import ast
import glob
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hpo_engine.contract.command import script_of
from hpo_engine.contract.paths import absolute, is_below

_PYTHON = re.compile(r"(python|pypy)[0-9.]*t?$")
_MOST_BYTES = 1 << 20
_ASK = "import site, sys; print(*site.getsitepackages(), site.getusersitepackages(), sep='\\n')"


@dataclass(frozen=True)
class Editable:
    """`roots`: source folders, absolute; `names`: what is installed from them; `notes`: what goes on coming from the
    original."""

    roots: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def found(argv: Sequence[str], env: Mapping[str, str], model_dir: str, frozen_dir: str) -> Editable:
    """What the interpreters that a command may use import from `model_dir`, of which `frozen_dir` is a copy."""
    tops = {model_dir, os.path.realpath(model_dir)}
    roots: dict[str, None] = {}
    names: dict[str, None] = {}
    notes: dict[str, None] = {}
    for folder in dict.fromkeys(f for python in _interpreters(argv, env, model_dir) for f in _site_folders(python)):
        for name, root, why in _entries(folder, tops):
            if root is not None and (hidden := _hides(root, argv, model_dir)):
                root, why = None, f"beside it, {hidden} would hide a module of Python's own"
            if root is None:
                notes[cannot([name], why)] = None
            elif os.path.isdir(os.path.join(frozen_dir, os.path.relpath(root, _top_of(root, tops)))):
                roots[root] = names[name] = None
    return Editable(tuple(roots), tuple(names), tuple(notes))


def cannot(names: Iterable[str], why: str) -> str:
    """A note on projects that trials go on importing from their own folder."""
    return (
        f"{', '.join(names)} is imported from the original folder, not from the study's copy ({why}): "
        "what is edited there changes trials that begin later"
    )


def ignores_path(argv: Sequence[str]) -> bool:
    """Whether the command tells Python to look at no variable."""
    if not _PYTHON.match(os.path.basename(argv[0])):
        return False
    options = []
    for word in argv[1:]:
        if not word.startswith("-") or word in ("-", "-m", "-c"):
            break
        options.append(word)
    return any(re.match(r"-[bBdiOqsSuvIE]*[IE]", option) for option in options)


# -- interpreters ------------------------------------------------------------------------------------------------------


def _interpreters(argv: Sequence[str], env: Mapping[str, str], model_dir: str) -> list[str]:
    """Paths of those that the command is, or is likely to call."""
    path = env.get("PATH", os.defpath)
    program = argv[0] if "/" in argv[0] else shutil.which(argv[0], path=path)
    if program is not None and _PYTHON.match(os.path.basename(program)):
        return [os.path.join(model_dir, program)]
    named = [] if program is None else [_shebang(os.path.join(model_dir, program), path)]
    return [p for p in dict.fromkeys([*named, *(shutil.which(n, path=path) for n in ("python", "python3"))]) if p]


def _shebang(program: str, path: str) -> str | None:
    """The Python that a script's first line names."""
    words = _head(program)[2:].split() if _head(program).startswith("#!") else []
    if words and os.path.basename(words[0]) == "env":
        words = [found for word in words[1:] if "=" not in word and (found := shutil.which(word, path=path))]
    return words[0] if words and _PYTHON.match(os.path.basename(words[0])) else None


def _head(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.readline(512).decode(errors="replace")
    except OSError:
        return ""


def _site_folders(python: str) -> list[str]:
    """Where an interpreter looks for .pth files; by its place, so that it need not be started."""
    if _head(python).startswith("#!"):  # it stands for another one, which only it knows
        try:
            out = subprocess.run([python, "-c", _ASK], capture_output=True, text=True, timeout=20).stdout
        except (OSError, subprocess.SubprocessError):
            return []
        return [line for line in out.splitlines() if os.path.isdir(line)]
    home = os.path.dirname(os.path.dirname(absolute(python)))
    alone = ""
    try:
        with open(f"{home}/pyvenv.cfg", encoding="utf-8", errors="replace") as file:
            alone = file.read(1 << 16).lower()
    except OSError:
        pass
    prefixes = [home]
    if not alone or re.search(r"include-system-site-packages\s*=\s*true", alone):
        prefixes += [
            os.path.dirname(os.path.dirname(os.path.realpath(python))),
            "/usr/local",
            os.path.expanduser("~/.local"),
        ]
    kinds = [
        f"{lib}/{kind}-packages"
        for lib in ("lib/python3*", "lib64/python3*", "local/lib/python3*")
        for kind in ("site", "dist")
    ]
    folders = [f for prefix in prefixes for kind in kinds for f in glob.glob(f"{glob.escape(prefix)}/{kind}")]
    return list(dict.fromkeys(map(os.path.realpath, folders)))


# -- site-packages -----------------------------------------------------------------------------------------------------


def _entries(folder: str, tops: set[str]) -> Iterable[tuple[str, str | None, str]]:
    """(name, source folder, "") of each project there that is imported from below one of `tops`; (name, None, why)
    where it does so in a way that a search path cannot come before."""
    try:
        files = sorted(name for name in os.listdir(folder) if name.endswith(".pth"))
    except OSError:
        return
    for file in files:
        title = re.sub(r"^__editable__\.|^_|(-\d[^-]*)?\.pth$", "", file)
        for line in _text(f"{folder}/{file}").splitlines():
            if line.startswith(("import ", "import\t")):
                for module in re.findall(r"\w+", line.partition(";")[0])[1:]:
                    yield from _finder(f"{folder}/{module}.py", tops)
            elif line.strip() and not line.startswith("#"):
                root = _inside(absolute(line.strip(), folder), tops)
                if root is not None:
                    yield title, root, ""


def _finder(path: str, tops: set[str]) -> Iterable[tuple[str, str | None, str]]:
    """What a module that a .pth file imports maps to folders of the project."""
    text = _text(path)
    if "'/" not in text and '"/' not in text:
        return
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return
    known, file = set(), os.path.basename(path)
    for name, named in _pairs(tree):
        place = _inside(named, tops)
        if place is None:
            continue
        known.add(place)
        root = _root(name, place)
        if re.search(r"meta_path\s*\.\s*insert", text):
            yield name.partition(".")[0], None, f"{file} comes before every search path"
        elif root is None:
            yield name, None, f"{file} gives it another name than its folder has"
        else:
            yield name, root, ""
    if not known and any(f"{quote}{top}" in text for top in tops for quote in "'\""):
        yield re.sub(r"^_+(editable_+)?|_(editable_)?(loader|finder)$", "", file[:-3]), None, f"by {file}"


def _pairs(tree: ast.AST) -> Iterable[tuple[str, str]]:
    """(module, path) as dictionaries and calls have them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                for item in value.elts if isinstance(value, (ast.List, ast.Tuple)) else [value]:
                    yield from _pair([key, item])
        elif isinstance(node, ast.Call) and len(node.args) == 2:
            yield from _pair(node.args)


def _pair(nodes: Sequence[ast.AST | None]) -> Iterable[tuple[str, str]]:
    name, path = (n.value if isinstance(n, ast.Constant) and isinstance(n.value, str) else "" for n in nodes)
    if os.path.isabs(path) and name and all(part.isidentifier() for part in name.split(".")):
        yield name, absolute(path)


def _root(name: str, place: str) -> str | None:
    """The folder that is searched for module `name` where it is at `place`; None if it is called otherwise there."""
    place = re.sub(r"(/__init__)?\.(py|so)$", "", place)
    below = "/" + name.replace(".", "/")
    return place[: -len(below)] or "/" if place.endswith(below) else None


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_MOST_BYTES)
    except OSError:
        return ""


def _inside(path: str, tops: set[str]) -> str | None:
    """The path by a name of the folder that it is in; None if it is elsewhere."""
    return next((p for p in (path, os.path.realpath(path)) if _top_of(p, tops)), None)


def _top_of(path: str, tops: set[str]) -> str:
    """That of the names of the folder which a path is below; "" for none."""
    return next((top for top in sorted(tops, key=len, reverse=True) if is_below(path, top)), "")


def _hides(root: str, argv: Sequence[str], model_dir: str) -> str | None:
    """A module at `root` that would be found before one of the standard library, and is not by hand."""
    script = script_of(argv)
    if script and os.path.realpath(os.path.dirname(os.path.join(model_dir, script))) == os.path.realpath(root):
        return None  # it is the first folder that is searched anyway
    for name in sorted(os.listdir(root)) if os.path.isdir(root) else ():
        module = name.partition(".")[0]
        is_module = name.endswith((".py", ".so")) or os.path.isfile(f"{root}/{name}/__init__.py")
        if module in sys.stdlib_module_names and is_module:
            return name
    return None
