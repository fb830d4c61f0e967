"""A corpus that every Python brings along: the docstrings of its standard library, each with the topic of its module.

The files are parsed, never imported. Standard library only; knows nothing of torch.
"""

from __future__ import annotations

import ast
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from hpo_trainees.shared_files import DataError

TOPICS = {
    "network": "email ftplib html http imaplib ipaddress json poplib smtplib socket socketserver ssl urllib wsgiref "
    "xml xmlrpc",
    "concurrency": "asyncio concurrent contextvars multiprocessing queue sched selectors subprocess threading",
    "files": "bz2 configparser csv dbm filecmp fileinput genericpath glob gzip lzma mailbox ntpath os pathlib plistlib "
    "posixpath shelve shutil tarfile tempfile zipfile zipimport",
    "numbers": "_pydatetime _pydecimal _strptime bisect calendar colorsys datetime decimal fractions heapq numbers "
    "random statistics zoneinfo",
    "language": "_collections_abc abc ast codeop collections copy dataclasses dis enum functools importlib inspect "
    "pickle pickletools pkgutil symtable tokenize traceback types typing weakref",
    "tools": "argparse bdb cProfile cmd code doctest gettext getopt locale logging optparse pdb profile pstats pydoc "
    "timeit trace tracemalloc unittest venv warnings",
}
SHORTEST = 4  # words; "See os.stat()." says nothing of a topic


def read_corpus() -> list[tuple[str, str]]:
    """(text, topic) of each docstring, in the order of the modules; no text twice. Some 4,900 texts, in seconds.

    Raises:
        DataError: the standard library has no sources here.
    """
    found: dict[str, str] = {}
    for topic, modules in TOPICS.items():
        for path in _files(modules.split()):
            for text in _docstrings(path):
                if len(text.split()) >= SHORTEST:
                    found.setdefault(text, topic)
    if len(set(found.values())) < len(TOPICS):
        raise DataError(
            f"there are no sources of Python's standard library in {_library()}, whose docstrings are the data"
        )
    return list(found.items())


def _library() -> Path:
    return Path(sysconfig.get_paths()["stdlib"])


def _files(modules: list[str]) -> Iterator[Path]:
    for module in modules:
        if (single := _library() / f"{module}.py").is_file():
            yield single
        else:
            yield from (path for path in sorted((_library() / module).rglob("*.py")) if "test" not in path.parts)


def _docstrings(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield ast.get_docstring(node) or ""
