"""What Hydra would compose from a configuration folder: its defaults lists, groups and packages, followed in texts."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hpo_engine.studyfile.starter.trees import merged, parts, put, read_tree, value_of

_MOST_FILES = 200
_PACKAGE = re.compile(r"^#\s*@package\s+(\S+)", re.MULTILINE)
_WORD = re.compile(r"(?P<sign>\+\+|\+|~)?(?P<key>[A-Za-z_][\w./@-]*)(=(?P<value>.*))?$", re.DOTALL)


@dataclass(frozen=True)
class Source:
    """Where configurations come from.

    Args:
        read: the text of `optimizer/adam.yaml`, relative to the folder; None if it is not there.
        options: the names in a group, `optimizer` -> [adam, sgd].
        stored: what the script puts into Hydra's ConfigStore, by such a name without suffix.
    """

    read: Callable[[str], str | None]
    options: Callable[[str], Sequence[str]]
    stored: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def load(self, name: str) -> tuple[dict[str, Any], str | None] | None:
        """(the content, the package that its header names) of a configuration; None if there is none."""
        name = name.removesuffix(".yaml").removesuffix(".yml")
        for suffix in (".yaml", ".yml"):
            text = self.read(name + suffix)
            if text is not None:
                header = _PACKAGE.search(text[:1000])
                content = read_tree("x.yaml", text)
                return ({} if content is None else content), header[1] if header else None
        return (dict(self.stored[name]), None) if name in self.stored else None

    def choices(self, group: str) -> list[str]:
        stored = [name.rpartition("/")[2] for name in self.stored if name.rpartition("/")[0] == group]
        return list(dict.fromkeys([*self.options(group), *stored]))


@dataclass(frozen=True)
class Composed:
    """`tree`: the values; `groups`: the choice made in each group; `packages`: where a group's values are in the tree;
    `missing`: groups or files that are named and not there."""

    tree: dict[str, Any]
    groups: dict[str, str]
    packages: dict[str, str]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Word:
    """A word of the command line as Hydra reads it: `key=value`, `+key=value`, `~key`."""

    sign: str
    key: str
    value: str | None

    @classmethod
    def parse(cls, text: str) -> Word | None:
        found = _WORD.match(text)
        return cls(found["sign"] or "", found["key"], found["value"]) if found else None


def compose(source: Source, name: str, words: Sequence[str] = ()) -> Composed:
    """The configuration called `name`, with the words of a command line over it."""
    parsed = [word for text in words if (word := Word.parse(text)) is not None]
    chosen = {w.key: w.value or "" for w in parsed if w.value is not None and source.choices(w.key)}
    # An `override` deep in the defaults decides about groups that were read before it, so that it takes a second time.
    first = _Composition(source, chosen)
    first.add(name, "", "")
    final = _Composition(source, {**first.overrides, **chosen})
    final.add(name, "", "")
    for word in parsed:
        if word.sign == "+" and word.key in chosen:
            final.choose(word.key, word.value or "", word.key.replace("/", "."))
    for word in parsed:
        if word.value is not None and word.key not in chosen:
            put(final.tree, word.key, value_of(word.value))
    return Composed(final.tree, final.groups, final.packages, tuple(final.missing))


class _Composition:
    def __init__(self, source: Source, chosen: Mapping[str, str]) -> None:
        self._source, self._chosen, self._left = source, chosen, _MOST_FILES
        self.tree: dict[str, Any] = {}
        self.groups: dict[str, str] = {}
        self.packages: dict[str, str] = {}
        self.overrides: dict[str, str] = {}
        self.missing: list[str] = []

    def add(self, name: str, group: str, package: str) -> bool:
        """Puts a configuration and all that its defaults name into the tree. False: it is not there."""
        self._left -= 1
        loaded = self._source.load(name) if self._left >= 0 else None
        if loaded is None:
            return False
        content, header = loaded
        package = _package(header, group, package)
        own = {key: value for key, value in content.items() if key != "defaults"}
        defaults = content.get("defaults")
        entries = list(defaults) if isinstance(defaults, list) else []
        if "_self_" not in entries:
            entries.append("_self_")
        for entry in entries:
            if entry == "_self_":
                self._put(package, own)
            else:
                self._follow(entry, posixpath.dirname(name), package)
        return True

    def choose(self, group: str, option: str, package: str) -> bool:
        """Puts the option of a group into the tree."""
        if option in ("null", "None", ""):
            self.groups[group] = "null"
            return True
        if not self.add(f"{group}/{option}" if group else option, group, package):
            return False
        self.groups[group] = option.removesuffix(".yaml")
        self.packages[group] = package
        return True

    def _follow(self, entry: Any, folder: str, package: str) -> None:
        """One entry of a defaults list, in a file of `folder` whose values go to `package`."""
        if isinstance(entry, str):
            absolute = entry.startswith("/")
            name = entry.lstrip("/") if absolute else posixpath.join(folder, entry)
            if not self.add(name, folder, package):
                self.missing.append(name)
            return
        for key, option in entry.items() if isinstance(entry, dict) else ():
            group, override, optional, where = _group(str(key), folder)
            if override:
                if isinstance(option, str) or option is None:
                    self.overrides.setdefault(group, option or "null")
                continue
            inner = f"{package}.{where}".strip(".") if where is not None else ""
            for one in option if isinstance(option, list) else [self._chosen.get(group, option)]:
                if isinstance(one, str) and "${" in one:
                    continue
                wanted = "null" if one is None else str(one)
                if not self.choose(group, wanted, inner) and not optional:
                    self.missing.append(f"{group}/{wanted}")

    def _put(self, package: str, values: dict[str, Any]) -> None:
        if not package:
            self.tree = merged(self.tree, values)
            return
        wrapped: dict[str, Any] = {}
        put(wrapped, package, values)
        self.tree = merged(self.tree, wrapped)


def _group(key: str, folder: str) -> tuple[str, bool, bool, str | None]:
    """(group, override?, optional?, package below that of the file; None: the root) of `override /model/net@pkg`."""
    words = key.split()
    override, optional = "override" in words[:-1], "optional" in words[:-1]
    name, _, where = words[-1].partition("@") if words else ("", "", "")
    absolute = name.startswith("/")
    group = name.lstrip("/") if absolute else posixpath.join(folder, name)
    if where:
        return group, override, optional, None if where == "_global_" else where.removeprefix("_here_").lstrip(".")
    return group, override, optional, name.lstrip("/").replace("/", ".")


def _package(header: str | None, group: str, package: str) -> str:
    if header is None:
        return package
    if header == "_global_":
        return ""
    return group.replace("/", ".") if header == "_group_" else header.removeprefix("_global_.")


def variables(tree: Mapping[str, Any]) -> Iterator[str]:
    """The names of variables that `${oc.env:NAME}` asks for without a default."""
    for node in parts(tree):
        if isinstance(node, str):
            yield from re.findall(r"\$\{oc\.env:([A-Za-z_]\w*)\}", node)
