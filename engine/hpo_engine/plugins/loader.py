"""Loads a class from a user's file or module, executed once per process and path.

Modules beside a plugin are found by its imports, first of all, as if the folder were the first of `sys.path`. Yet no
module of it gets a global name: a folder is a package of its own in `sys.modules`, so that two studies that each have a
`climb.py` never share it, and neither hides a module that anything else imports.
"""

from __future__ import annotations

import builtins
import hashlib
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

from hpo_engine.errors import nearest

_PREFIX = "_hpo_plugins_"


def load_class(where: str, folder: str) -> Callable[..., Any]:
    """The class at "module:Class" (`folder` first, then what is installed) or "path/file.py:Class".

    Raises:
        whatever the plugin raises, ImportError, FileNotFoundError or AttributeError if there is no such class.
    """
    module_name, _, class_name = where.rpartition(":")
    if module_name.endswith(".py"):
        module = _of_file(os.path.realpath(os.path.join(folder, module_name)))
    elif not _is_ours(module_name) and _is_in(module_name, os.path.realpath(folder)):
        module = importlib.import_module(f"{_package(os.path.realpath(folder))}.{module_name}")
    else:
        module = importlib.import_module(module_name)
    if not hasattr(module, class_name):
        classes = [name for name, value in vars(module).items() if isinstance(value, type)]
        raise AttributeError(f"no class {class_name}{nearest(class_name, classes)}")
    cls: Callable[..., Any] = getattr(module, class_name)
    return cls


def is_plugin(module: str) -> bool:
    """Whether a module of that name was loaded from a user's folder."""
    return module.startswith(_PREFIX)


def _of_file(path: str) -> ModuleType:
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no file {path}")
    name = f"{_package(os.path.dirname(path))}.{re.sub('[^A-Za-z0-9_]', '_', os.path.basename(path)[:-3])}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path, loader=_Loader(name, path))
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == "hpo_engine"


def _is_in(module: str, folder: str) -> bool:
    """Whether the folder has the module's first part; ours is never a user's."""
    top = module.partition(".")[0]
    return top != "" and not _is_ours(module) and PathFinder.find_spec(top, [folder]) is not None


def _package(folder: str) -> str:
    """The name of the package that stands for a folder, made if there is none."""
    name = _PREFIX + hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    if name not in sys.modules:
        if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
            sys.meta_path.insert(0, _Finder())
        package = ModuleType(name, f"The modules of {folder}.")
        package.__path__ = [folder]
        sys.modules[name] = package
    return name


class _Finder:
    """Finds the modules of such packages, and only these."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not is_plugin(name):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    """Executes a module whose imports look into its own folder first."""

    def exec_module(self, module: ModuleType) -> None:
        package = module.__name__.partition(".")[0]
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": _importer(package)}
        super().exec_module(module)


def _importer(package: str) -> Callable[..., Any]:
    (folder,) = sys.modules[package].__path__

    def import_(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        if level or not _is_in(name, folder):
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        found = builtins.__import__(f"{package}.{name}", globals, locals, fromlist or (), 0)
        # Without a list of names `import a.b` binds `a`, which is a part of the package here.
        return found if fromlist else sys.modules[f"{package}.{name.partition('.')[0]}"]

    return import_
