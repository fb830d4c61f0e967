"""The modules of a project that a script imports, and where a class is defined: followed in texts, nothing is run."""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from hpo_engine.studyfile.starter.interface import Script, in_order, parsed

MOST_MODULES = 200
_MOST_HOPS = 8


@dataclass
class Modules:
    """What a script imports from its project. Made by `modules_of`."""

    script: Script
    _trees: dict[str, ast.Module | None] = field(default_factory=dict)
    _import_nodes: dict[str, list[ast.AST]] = field(default_factory=dict)

    @property
    def roots(self) -> tuple[str, ...]:
        """The folders from which modules are imported, first one first: the script's, the project's, its src."""
        return tuple(dict.fromkeys((posixpath.dirname(self.script.path), "", "src")))

    def tree(self, path: str) -> ast.Module | None:
        """The syntax tree of a file; None if it is not there or is no Python."""
        if path not in self._trees:
            text = self.text(path)
            self._trees[path] = None if text is None else parsed(text)
        return self._trees[path]

    def text(self, path: str) -> str | None:
        """None: it is not there."""
        return self.script.text if path == self.script.path else self.script.project.read(path)

    def imported(self, classes: Iterable[str] = ()) -> list[str]:
        """The files that the script imports, itself first, then breadth first; at most MOST_MODULES.

        Args:
            classes: by their full names, which the script makes too.
        """
        named = (made[0] for name in classes if (made := self.target(name)) is not None)
        found = list(dict.fromkeys([self.script.path, *named]))
        for path in found:  # it grows meanwhile
            for target in self._imports_of(path):
                if len(found) < MOST_MODULES and target not in found:
                    found.append(target)
        return found

    def nodes(self, path: str) -> tuple[ast.AST, ...]:
        """All nodes of a file in the order of its text."""
        tree = self.tree(path)
        return () if tree is None else in_order(tree)

    def all_nodes(self) -> Iterator[ast.AST]:
        """Those of the script and of all files that it imports."""
        return (node for path in self.imported() for node in self.nodes(path))

    def where(self, path: str, name: str) -> tuple[str, ast.ClassDef] | None:
        """The class that a name (`Net`, `models.Net`) means in a file: (its file, its definition)."""
        for _ in range(_MOST_HOPS):
            tree = self.tree(path)
            if tree is None:
                return None
            for node in tree.body:
                if isinstance(node, ast.ClassDef) and node.name == name:
                    return path, node
            step = self._origin(path, tree, name)
            if step is None:
                return None
            path, name = step
        return None

    def module(self, dotted: str) -> str | None:
        """The file of a module by its full name, `src.models.mlp`."""
        for root in self.roots:
            base = posixpath.join(root, *dotted.split(".")) if dotted else root
            for path in (f"{base}.py", posixpath.join(base, "__init__.py")):
                if self.script.project.read(path) is not None:
                    return path
        return None

    def target(self, dotted: str) -> tuple[str, ast.ClassDef] | None:
        """The class by its full name, `src.models.mlp.Net`, as class_path and _target_ give it."""
        module, _, name = dotted.rpartition(".")
        path = self.module(module) if module else None
        return self.where(path, name) if path else None

    def _imports_of(self, path: str) -> Iterator[str]:
        tree = self.tree(path)
        for node in self._imports(path, tree) if tree else ():
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield from filter(None, [self.module(alias.name)])
            elif isinstance(node, ast.ImportFrom):
                base = self._absolute(path, node)
                if base is None:
                    continue
                for alias in node.names:
                    inner = self.module(f"{base}.{alias.name}".strip("."))
                    yield from filter(None, [inner or self.module(base)])

    def _imports(self, path: str, tree: ast.Module) -> list[ast.AST]:
        """Its import statements: looked for once, for names are followed at each call of a file."""
        if path not in self._import_nodes:
            found = (node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom)))
            self._import_nodes[path] = list(found)
        return self._import_nodes[path]

    def _origin(self, path: str, tree: ast.Module, name: str) -> tuple[str, str] | None:
        """(file, name there) of a name that a file imports."""
        head, _, rest = name.rpartition(".")
        for node in self._imports(path, tree):
            if isinstance(node, ast.ImportFrom):
                base = self._absolute(path, node)
                for alias in node.names if base is not None else ():
                    bound = alias.asname or alias.name
                    if bound == name or (alias.name == "*" and not head):
                        origin = self.module(base or "")
                        if origin and (alias.name != "*" or self._defines(origin, name)):
                            return origin, name if alias.name == "*" else alias.name
                    elif bound == head and (origin := self.module(f"{base}.{alias.name}".strip("."))):
                        return origin, rest
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if (alias.asname or alias.name) == head and (origin := self.module(alias.name)):
                        return origin, rest
        return None

    def _defines(self, path: str, name: str) -> bool:
        tree = self.tree(path)
        if tree is None:
            return False
        names = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
        names |= {a.asname or a.name for n in tree.body if isinstance(n, ast.ImportFrom) for a in n.names}
        return name in names

    def _absolute(self, path: str, node: ast.ImportFrom) -> str | None:
        """The full name of the module that `from ... import` names; None if it lies outside of the project."""
        if not node.level:
            return node.module or ""
        folder = posixpath.dirname(path)
        for _ in range(node.level - 1):
            if not folder:
                return None
            folder = posixpath.dirname(folder)
        root = next((root for root in self.roots if root and f"{folder}/".startswith(f"{root}/")), "")
        package = folder[len(root) :].strip("/").replace("/", ".")
        return ".".join(part for part in (package, node.module or "") if part)


@lru_cache(maxsize=4)
def modules_of(script: Script) -> Modules:
    """The same for all who ask, so that each file is read and parsed once."""
    return Modules(script)
