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
_LOOKS = {"get", "copy", "keys", "items", "values"}  # methods of os.environ that change nothing
_PLACES = {
    "os", "path", "dirname", "abspath", "realpath", "join", "getcwd", "pathlib", "Path", "parent", "parents", "resolve",
    "absolute", "cwd", "str", "__file__",
}  # fmt: skip
"""Names in an expression that says where a folder is, if it is the script's or one beside or below that."""
_NOT_HARMLESS = {"exec", "eval", "compile", "__import__", "setattr", "delattr"}
_CHANGEABLE = {"sys": {"path", "modules"}, "os": {"environ"}}  # what imports depend on
_MOST = 2_000  # modules to look at: bounds the time that a strange tree of files can take


class Imports:
    """What the script does, as far as it matters to an import.

    `steps`: in order, ["import", module, names taken from it] or ["set", variable, value]. `quiet`: it changes what
    warnings are shown before it imports, so that what imports print is not known. `moved`: it puts a folder of its own
    before others in sys.path.
    """

    def __init__(self) -> None:
        self.steps: list[list[Any]] = []
        self.quiet = self.moved = False


def of_script(path: str, per_trial: Iterable[str] = ()) -> Imports:
    """Of the script at `path`. Its folder must be the first of sys.path, as when it runs. `per_trial`: variables that
    are not what they are here when it runs."""
    return _Reader(os.path.dirname(os.path.abspath(path)), per_trial).read(path)


def of_module(name: str, folder: str, per_trial: Iterable[str] = ()) -> Imports:
    """Of what `python -m name` runs in `folder`, which must be the first of sys.path."""
    reader = _Reader(folder, per_trial)
    for candidate in (name, f"{name}.__main__"):
        path = reader.local(candidate)
        if path and not path.endswith("__init__.py"):
            reader.local_module(name.rpartition(".")[0])  # its packages are imported first
            return reader.read(path)
    return Imports()


class _Stop(Exception):
    """What follows may import other things than its text says now."""


class _Reader:
    def __init__(self, folder: str, per_trial: Iterable[str]) -> None:
        self._folder, self._per_trial = folder, frozenset(per_trial)
        self._found = Imports()
        self._seen: set[str] = set()
        self._installed = _installed_folders()
        self._own: dict[str, bool] = {}  # by top-level name: it belongs to the user
        self._looked_at = 0
        self._quieted = False
        self._telling = set(_NOT_HARMLESS)  # names whose calls may do anything
        self._is_main = True  # what is read now runs as __main__
        self._places: set[str] = set()  # names of folders beside or below the script

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
        """The file of a module of the user's own; None if it is somebody else's, or missing."""
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
                was, self._is_main = self._is_main, False
                self._file(path, ".".join(inside))
                self._is_main = was

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
        place = os.path.abspath(spec.origin or next(iter(spec.submodule_search_locations), ""))
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
                holds = self._holds(node.test)
                if holds is None:
                    self._statement(node)
                else:
                    self._body(node.body if holds else node.orelse, package)
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
        if _CHANGEABLE.get(name, set()) & set(names):
            raise _Stop  # it may be changed by another name
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

    def _holds(self, test: ast.expr) -> bool | None:
        """Whether a condition is true when the script runs; None: only a run knows."""
        if _dotted(test)[-1:] == ["TYPE_CHECKING"]:
            return False
        if not isinstance(test, ast.Compare) or len(test.ops) != 1 or not isinstance(test.ops[0], (ast.Eq, ast.NotEq)):
            return None
        sides = (test.left, test.comparators[0])
        if "__name__" not in [getattr(side, "id", "") for side in sides] or "__main__" not in map(_constant, sides):
            return None
        return isinstance(test.ops[0], ast.Eq) == self._is_main

    def _statement(self, node: ast.stmt) -> None:
        """Takes note of what a statement does to the environment; raises _Stop if that cannot be known."""
        if self._sets_variable(node) or self._adds_path(node):
            return
        self._note_place(node)
        harmless: set[int] = set()  # nodes that only look at the environment
        for part in _run_now(node):
            if isinstance(part, (ast.Import, ast.ImportFrom)):
                raise _Stop  # whether it happens depends on what only a run knows
            if isinstance(part, ast.Call):
                self._call(part)
            self._store(part)
            harmless |= {id(seen) for seen in _looked_at(part)}
            if id(part) not in harmless and (_is_environ(part) or _dotted(part) == ["sys", "path"]):
                raise _Stop  # it may be changed by another name

    def _store(self, part: ast.AST) -> None:
        if not isinstance(getattr(part, "ctx", None), (ast.Store, ast.Del)):
            return
        if isinstance(part, ast.Attribute) or _root(part) in ("sys", "os", "builtins"):
            raise _Stop

    def _call(self, call: ast.Call) -> None:
        if isinstance(call.func, ast.Call):
            return  # what it calls is looked at by itself
        names = _dotted(call.func)
        root = _root(call.func)
        if root in _HARMLESS:
            if len(names) < 2 or names[1] not in _HARMLESS[root]:
                raise _Stop
        elif root in self._telling:
            raise _Stop
        if root == "warnings":
            if any(_constant(word) == "error" for word in [*call.args, *(k.value for k in call.keywords)]):
                raise _Stop
            self._quieted = True

    def _sets_variable(self, node: ast.stmt) -> bool:
        """os.environ["X"] = "1" or os.environ.setdefault("X", "1")"""
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Subscript):
            target = node.targets[0]
            if _dotted(target.value)[-1:] == ["environ"]:
                self._variable(target.slice, node.value)
                return True
        call = node.value if isinstance(node, ast.Expr) else None
        if isinstance(call, ast.Call) and _dotted(call.func)[-2:] == ["environ", "setdefault"] and len(call.args) == 2:
            if _constant(call.args[0]) not in {*os.environ, *self._per_trial}:
                self._variable(*call.args)
            return True
        return False

    def _adds_path(self, node: ast.stmt) -> bool:
        """sys.path.append(...), or sys.path.insert(0, "lib") with a folder beside or below the script."""
        call = node.value if isinstance(node, ast.Expr) else None
        if not isinstance(call, ast.Call) or _dotted(call.func)[:2] != ["sys", "path"]:
            return False
        if _dotted(call.func)[2:] == ["append"]:  # the folder comes last: it hides nothing that is installed
            for argument in call.args:
                self._statement(ast.Expr(argument))
            return True
        if _dotted(call.func)[2:] != ["insert"] or not self._is_place(call.args[-1:]):
            raise _Stop
        self._found.moved = True
        return True

    def _is_place(self, nodes: Iterable[ast.AST]) -> bool:
        for node in nodes:
            if isinstance(node, (ast.Name, ast.Attribute)):
                name = node.id if isinstance(node, ast.Name) else node.attr
                if name not in _PLACES and name not in self._places:
                    return False
            elif isinstance(node, ast.Constant):
                if isinstance(node.value, str) and node.value.startswith(("/", "~")):
                    return False
            elif not isinstance(node, (ast.Call, ast.Subscript, ast.BinOp, ast.Div, ast.Load)):
                return False
            if not self._is_place(ast.iter_child_nodes(node)):
                return False
        return True

    def _note_place(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            self._places -= {name}
            if self._is_place([node.value]):
                self._places |= {name}

    def _variable(self, key: ast.expr, value: ast.expr) -> None:
        name, text = _constant(key), _constant(value)
        if not isinstance(name, str) or not isinstance(text, str):
            raise _Stop  # it depends on what only a run knows
        os.environ[name] = text  # a later setdefault must see it
        self._found.steps.append(["set", name, text])


# -- small readings of the syntax tree ---------------------------------------------------------------------------------


def _is_environ(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "environ"


def _looked_at(node: ast.AST) -> Iterator[ast.AST]:
    """What a node, and nothing below it, does no more than look at."""
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and node.func.attr in _LOOKS:
            yield node.func.value
    elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
        yield node.value
    elif isinstance(node, ast.Compare):
        yield from (node.left, *node.comparators)


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
