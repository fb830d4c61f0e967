"""Configurations as trees: a file's text read into dictionaries, its values by dotted names."""

from __future__ import annotations

import itertools
import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

_MOST_LEAVES = 1_000
_MOST_NODES = 20_000
_MOST_HOPS = 10
_REFERENCE = re.compile(r"\$\{([A-Za-z_][\w.]*)\}")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")
SUFFIXES = (".yaml", ".yml", ".json", ".toml", ".ini", ".cfg")


def read_tree(path: str, text: str) -> dict[str, Any] | None:
    """The values of a YAML, JSON, TOML or INI file; None if it is none, or holds no mapping."""
    suffix = posixpath.splitext(path)[1].lower()
    try:
        if suffix in (".yaml", ".yml"):
            return _mapping(_yaml(text))
        if suffix == ".json":
            return _mapping(json.loads(text))
        if suffix == ".toml":
            return _mapping(_toml(text))
        if suffix in (".ini", ".cfg"):
            return _ini(text)
    except (ValueError, RecursionError, MemoryError):
        pass
    return None


def leaves(tree: Any) -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of everything that is no mapping, in order; at most _MOST_LEAVES of them."""
    return itertools.islice(_leaves(tree, ""), _MOST_LEAVES)


def at(tree: Any, name: str) -> Any:
    """The value at a dotted name; None if there is none."""
    for step in name.split("."):
        if not isinstance(tree, Mapping) or step not in tree:
            return None
        tree = tree[step]
    return _number(tree)


def named(tree: Any, key: str) -> Iterator[str]:
    """All texts under `key`, as `_target_`, wherever it stands in a tree with lists."""
    for node in parts(tree):
        if isinstance(node, Mapping) and isinstance(text := node.get(key), str):
            yield text


def parts(tree: Any) -> Iterator[Any]:
    """The tree and everything in it, level by level."""
    found = [tree]
    for node in found:  # it grows meanwhile
        yield node
        if isinstance(node, Mapping):
            found += node.values()
        elif isinstance(node, list):
            found += node


def put(tree: dict[str, Any], name: str, value: Any) -> None:
    """Sets the value at a dotted name; what stood there, or on the way, is replaced."""
    *path, last = name.split(".")
    for step in path:
        inner = tree.get(step)
        if not isinstance(inner, dict):
            inner = tree[step] = {}
        tree = inner
    tree[last] = value


def merged(below: Any, above: Any) -> Any:
    """Two trees, the second one over the first one; neither is changed."""
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return above
    out = dict(below)
    for name, value in above.items():
        out[name] = merged(out[name], value) if name in out else value
    return out


def resolved(tree: Any, text: str) -> str:
    """A text with its interpolations of other values, `${paths.log_dir}`; those of resolvers stay."""
    for _ in range(_MOST_HOPS):
        found = _REFERENCE.search(text)
        value = at(tree, found[1]) if found else None
        if found is None or not isinstance(value, (str, int, float)):
            return text
        text = f"{text[: found.start()]}{value}{text[found.end() :]}"
    return text


def value_of(text: str) -> Any:
    """What a word of a command line means as YAML: a number, true, null, a text."""
    try:
        return _number(_yaml(text))
    except (ValueError, RecursionError):
        return text


def _leaves(tree: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in tree.items() if isinstance(tree, Mapping) else ():
        if not isinstance(name, str) or not name or "." in name:
            continue
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _number(value)


def _number(value: Any) -> Any:
    """1e-3 is a number to people and to most readers of YAML, though not to YAML 1.1."""
    return float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value


def _mapping(value: Any) -> dict[str, Any] | None:
    return value if isinstance(value, dict) and _is_small(value) else None


def _is_small(tree: Any) -> bool:
    """Whether it can be walked through: aliases of YAML make trees of any size, or without an end, from few lines."""
    return len(list(itertools.islice(parts(tree), _MOST_NODES + 1))) <= _MOST_NODES


def _yaml(text: str) -> Any:
    import yaml

    class Lenient(yaml.SafeLoader):
        """Takes tags such as !include and !python/name for nothing."""

    Lenient.add_multi_constructor("", lambda loader, suffix, node: None)
    try:
        return Lenient(text).get_single_data()
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def _toml(text: str) -> Any:
    for library in ("tomllib", "tomlkit"):  # the first one from Python 3.11 on
        try:
            return json.loads(json.dumps(import_module(library).loads(text), default=str))
        except ImportError:
            pass
    raise ValueError("no library for TOML")


def _ini(text: str) -> dict[str, Any] | None:
    import configparser

    parser = configparser.ConfigParser(strict=False, allow_no_value=True, interpolation=None)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise ValueError(str(error)) from None
    return {name: {key: value_of(text or "") for key, text in parser[name].items()} for name in parser.sections()}
