"""What a Python script imports before it does anything that could matter to an import; read from its text, never run.

Runs in a fork of a launcher, under the script's own interpreter: standard library only.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import sys
import sysconfig

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

# Calls into the standard library change nothing that an import could see, but for these modules.
_TELLING = {"os", "sys", "site", "importlib", "runpy", "builtins", "ctypes", "subprocess", "signal", "threading"}
_HARMLESS = {
    "os": {"path", "makedirs", "getenv", "getcwd", "listdir", "environ", "getpid", "cpu_count"},
    "sys": {"exit"},
    "matplotlib": {"use"},
}
_NOT_HARMLESS = {"exec", "eval", "compile", "__import__", "setattr", "delattr"}
_MOST = 2_000  # modules to look at: bounds the time that a strange tree of files can take


class Imports:
    """What the script does, as far as an import could tell.

    `steps`: in order, ["import", module, names taken from it] or ["set", variable, value]. `quiet`: it changes what
    warnings are shown before it imports, so that what imports print is not known.
    """

    def __init__(self) -> None:
        self.steps: list[list[Any]] = []
        self.quiet = False


def of_script(path: str) -> Imports:
    """Of the script at `path`. Its folder must be the first of sys.path, as when it runs."""
    return _Reader(os.path.dirname(os.path.abspath(path))).read(path)


def of_module(name: str, folder: str) -> Imports:
    """Of what `python -m name` runs in `folder`, which must be the first of sys.path."""
    reader = _Reader(folder)
    for candidate in (name, f"{name}.__main__"):
        path = reader.local(candidate)
        if path and not path.endswith("__init__.py"):
            reader.local_module(name.rpartition(".")[0])  # its packages are imported first
            return reader.read(path)
    return Imports()


class _Stop(Exception):
    """What follows may import other things than its text says now."""


class _Reader:
    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._found = Imports()
        self._seen: set[str] = set()
        self._installed = _installed_folders()
        self._own: dict[str, bool] = {}  # by top-level name: it belongs to the user
        self._looked_at = 0
        self._quieted = False
        self._telling = set(_NOT_HARMLESS)  # names whose calls may do anything

    def read(self, path: str) -> Imports:
        try:
            self._file(path, package="")
        except (_Stop, OSError, SyntaxError, ValueError, RecursionError):
            pass  # what cannot be read fails when it runs
        return self._found

    # -- files -----------------------------------------------------------------------------------------------------

    def _file(self, path: str, package: str) -> None:
        self._seen.add(path)
        self._looked_at += 1
        if self._looked_at > _MOST:
            raise _Stop
        with open(path, "rb") as file:
            tree = ast.parse(file.read(), path)
        outside, self._telling = self._telling, _NOT_HARMLESS | _defined(tree)
        self._body(tree.body, package)
        self._telling = outside

    def local(self, name: str) -> str | None:
        """The file of a module of the user's own; None where it is another's, or not there."""
        top = name.partition(".")[0]
        if not name or not self._is_own(top):
            return None
        spec = importlib.util.find_spec(top)
        folders = list(spec.submodule_search_locations or []) if spec else []
        path = spec.origin if spec else None
        for part in name.split(".")[1:]:
            path, folders = _below(folders, part)
        return path if path and path.endswith(".py") and os.path.isfile(path) else None

    def local_module(self, name: str) -> None:
        """Reads a module of the user's own and, before it, the packages that it is in."""
        parts = name.split(".") if name else []
        for k in range(1, len(parts) + 1):
            path = self.local(".".join(parts[:k]))
            if path and path not in self._seen:
                inside = parts[:k] if path.endswith("__init__.py") else parts[: k - 1]
                self._file(path, ".".join(inside))

    def _is_own(self, top: str) -> bool:
        if top not in self._own:
            try:
                spec = importlib.util.find_spec(top)
            except (ImportError, ValueError, AttributeError):
                spec = None
            self._own[top] = spec is not None and not self._is_installed(spec)
        return self._own[top]

    def _is_installed(self, spec: Any) -> bool:
        if spec.origin in ("built-in", "frozen") or (spec.origin is None and not spec.submodule_search_locations):
            return True
        place = spec.origin or next(iter(spec.submodule_search_locations), "")
        place = os.path.abspath(place)
        if place.startswith(self._folder + os.sep):
            return False
        return any(place.startswith(folder + os.sep) for folder in self._installed)

    # -- statements, in order --------------------------------------------------------------------------------------

    def _body(self, body: Iterable[ast.stmt], package: str) -> None:
        for node in body:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self._import(alias.name, [], [alias.asname or alias.name.partition(".")[0]])
            elif isinstance(node, ast.ImportFrom):
                self._import_from(node, package)
            elif isinstance(node, ast.Try):
                self._body([*node.body, *node.orelse, *node.finalbody], package)
            elif isinstance(node, ast.If):
                if _is_main(node.test):
                    self._body(node.body, package)
                elif not _is_typing(node.test):
                    self._statement(node)
            elif isinstance(node, ast.With):
                for item in node.items:
                    self._statement(ast.Expr(item.context_expr))
                self._body(node.body, package)
            else:
                for decorator in getattr(node, "decorator_list", ()):
                    self._statement(ast.Expr(ast.Call(decorator, [], [])))
                if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    self._statement(node)

    def _import_from(self, node: ast.ImportFrom, package: str) -> None:
        name = node.module or ""
        if node.level:
            parts = package.split(".") if package else []
            parts = parts[: len(parts) - (node.level - 1)]
            if not parts:
                return  # an error when it runs
            name = ".".join([*parts, *([name] if name else [])])
        names = [alias.name for alias in node.names]
        self._import(name, names, [alias.asname or alias.name for alias in node.names])

    def _import(self, name: str, names: list[str], bound: list[str]) -> None:
        top = name.partition(".")[0]
        if top == "__future__":
            return
        if self._is_own(top):
            self.local_module(name)
            for taken in names:
                self.local_module(f"{name}.{taken}")
        elif importlib.util.find_spec(top) is not None:  # what is not there fails as it would
            self._found.steps.append(["import", name, names])
            self._found.quiet = self._quieted
        if top in _HARMLESS and names:
            self._telling |= set(bound) - _HARMLESS[top]
        elif top not in _HARMLESS and (top in _TELLING or not _is_standard(top)):
            self._telling |= set(bound)

    def _statement(self, node: ast.stmt) -> None:
        """Takes note of what a statement does to the environment; raises _Stop where that cannot be told."""
        if self._sets_variable(node) or _adds_path(node):
            return
        for target in _targets(node):
            if isinstance(target, ast.Attribute) or _root(target) in ("sys", "os", "builtins", "environ"):
                raise _Stop
        for part in _run_now(node):
            if isinstance(part, (ast.Import, ast.ImportFrom)):
                raise _Stop  # whether it happens depends on what only a run knows
            if isinstance(part, ast.Call):
                self._call(part)

    def _call(self, call: ast.Call) -> None:
        if isinstance(call.func, ast.Call):
            return  # what it calls is looked at by itself
        names = _dotted(call.func)
        root = _root(call.func)
        if root in _HARMLESS:
            if len(names) < 2 or names[1] not in _HARMLESS[root] or names[-1] in ("update", "setdefault", "pop"):
                raise _Stop
        elif root in self._telling or names[:1] == ["environ"] and names[-1] != "get":
            raise _Stop
        self._quieted = self._quieted or root == "warnings"

    def _sets_variable(self, node: ast.stmt) -> bool:
        """os.environ["X"] = "1" or os.environ.setdefault("X", "1")"""
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Subscript):
            target = node.targets[0]
            if _dotted(target.value)[-1:] == ["environ"]:
                self._variable(target.slice, node.value)
                return True
        call = node.value if isinstance(node, ast.Expr) else None
        if isinstance(call, ast.Call) and _dotted(call.func)[-2:] == ["environ", "setdefault"] and len(call.args) == 2:
            if _constant(call.args[0]) not in os.environ:
                self._variable(*call.args)
            return True
        return False

    def _variable(self, key: ast.expr, value: ast.expr) -> None:
        name, text = _constant(key), _constant(value)
        if not isinstance(name, str) or not isinstance(text, str):
            raise _Stop  # it depends on what only a run knows
        os.environ[name] = text  # a later setdefault must see it
        self._found.steps.append(["set", name, text])


# -- small readings of the syntax tree ---------------------------------------------------------------------------------


def _adds_path(node: ast.stmt) -> bool:
    """sys.path.insert(0, ...): harmless where it names no place outside the script's folder."""
    call = node.value if isinstance(node, ast.Expr) else None
    if not isinstance(call, ast.Call) or _dotted(call.func)[:2] != ["sys", "path"]:
        return False
    words = [w.value for w in ast.walk(call) if isinstance(w, ast.Constant) and isinstance(w.value, str)]
    if any(w.startswith(("/", "~", "..")) for w in words):
        raise _Stop
    return True


def _is_standard(top: str) -> bool:
    return top in getattr(sys, "stdlib_module_names", sys.builtin_module_names)


def _defined(tree: ast.Module) -> set[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {n.name for n in ast.walk(tree) if isinstance(n, kinds)}


def _run_now(node: ast.AST) -> Iterator[ast.AST]:
    """The node and what is below it, without the bodies of functions, which run later if at all."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from _run_now(child)


def _targets(node: ast.stmt) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return [t for target in node.targets for t in (getattr(target, "elts", None) or [target])]
    if isinstance(node, (ast.AugAssign, ast.AnnAssign)):
        return [node.target]
    return list(node.targets) if isinstance(node, ast.Delete) else []


def _dotted(node: ast.AST) -> list[str]:
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    return [node.id, *names] if isinstance(node, ast.Name) else names


def _root(node: ast.AST) -> str | None:
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _constant(node: ast.AST) -> object:
    return node.value if isinstance(node, ast.Constant) else None


def _is_main(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and any(getattr(n, "id", "") == "__name__" for n in ast.walk(test))


def _is_typing(test: ast.expr) -> bool:
    return _dotted(test)[-1:] == ["TYPE_CHECKING"]


def _below(folders: Iterable[str], part: str) -> tuple[str | None, list[str]]:
    """The file and the folders of submodule `part` of a package in `folders`."""
    for folder in folders:
        if os.path.isfile(f"{folder}/{part}/__init__.py"):
            return f"{folder}/{part}/__init__.py", [f"{folder}/{part}"]
        if os.path.isfile(f"{folder}/{part}.py"):
            return f"{folder}/{part}.py", []
        if os.path.isdir(f"{folder}/{part}"):
            return None, [f"{folder}/{part}"]
    return None, []


def _installed_folders() -> list[str]:
    """Where the interpreter has its own and its installed packages."""
    named = [
        path for key, path in sysconfig.get_paths().items() if key in ("stdlib", "platstdlib", "purelib", "platlib")
    ]
    marked = [p for p in sys.path if os.path.basename(p) in ("site-packages", "dist-packages", "lib-dynload")]
    return sorted({os.path.abspath(p) for p in [*named, *marked]})
