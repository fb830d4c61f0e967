"""Registries: from a name to a class, and from options to an object; of one kind for everything that is chosen by name.

A name is one of the house's own, an entry point of an installed package, `module:Class` or `path/file.py:Class`.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hpo_engine.errors import Problem, SpecError, nearest
from hpo_engine.plugins.card import NO_CARD, Card
from hpo_engine.plugins.loader import load_class
from hpo_engine.plugins.raised import described
from hpo_engine.space.params import json_text


@dataclass(frozen=True)
class Registry:
    """`kind`: what messages call one of them. `group`: of the entry points. `own`: name -> "module:Class".

    `methods`: what each of them must have. `common`: options that each of them has beside its own. `nearest`: as
    `errors.nearest`.
    """

    kind: str
    group: str
    own: Mapping[str, str]
    methods: tuple[str, ...] = ()
    common: tuple[str, ...] = ()
    nearest: Callable[[str, Iterable[str]], str] = nearest

    def __iter__(self) -> Iterator[str]:
        """The house's own names."""
        return iter(self.own)

    def known(self) -> dict[str, str]:
        """Every name there is, with the place of its class."""
        return {**dict(_installed(self.group, _import_path())), **self.own}

    def load(self, name: str, folder: str, path: str) -> Callable[..., Any]:
        """The class of that name; `folder` is where users' own are. Raises SpecError, a problem of the field `path`."""
        where = self.own.get(name) or (name if ":" in name else self.known().get(name))
        if where is None:
            text = f"no {self.kind} {json_text(name)}{self.nearest(name, self.known())}"
            raise SpecError([Problem(path, text)])
        try:
            return load_class(where, folder)
        except (Exception, SystemExit) as error:
            raise SpecError([Problem(path, f"{where} cannot be loaded: {described(error)}")]) from error

    def take(self, cls: Callable[..., Any], name: str, options: Mapping[str, Any], path: str) -> dict[str, Any]:
        """The options, each in its type: checked against the class's card, or if it has none against the names of its
        keyword arguments. Raises SpecError with every one that is wrong, a problem of the field `path.NAME`."""
        card = card_of(cls)
        if card is not NO_CARD:
            return card.take(name, options, path, self.common)
        known = _keywords(cls)
        if known is not None:
            problems = [
                Problem(f"{path}.{option}", f"is not an option of {name}{nearest(option, [*known, *self.common])}")
                for option in options
                if option not in known
            ]
            if problems:
                raise SpecError(problems)
        return dict(options)

    def check(self, name: str, options: Mapping[str, Any], folder: str, path: str) -> None:
        """Raises SpecError as `load` and `take` do, and if the class lacks a method."""
        cls = self.load(name, folder, path)
        self.take(cls, name, options, path)
        if isinstance(cls, type):
            self._require_methods(cls, name, path)

    def make(self, name: str, options: Mapping[str, Any], *args: Any, folder: str, path: str) -> Any:
        """`Class(*args, **options)`. Raises SpecError as `load` and `make_of` do."""
        return self.make_of(self.load(name, folder, path), name, options, *args, path=path)

    def make_of(self, cls: Callable[..., Any], name: str, options: Mapping[str, Any], *args: Any, path: str) -> Any:
        """As `make`, of a class. Raises SpecError as `take` does, and if it cannot be made."""
        return self.build(cls, name, self.take(cls, name, options, path), *args, path=path)

    def build(self, cls: Callable[..., Any], name: str, taken: Mapping[str, Any], *args: Any, path: str) -> Any:
        """As `make_of`, with options that `take` has returned. Raises SpecError if it cannot be made."""
        try:
            made = cls(*args, **taken)
        except SpecError:
            raise
        except (Exception, SystemExit) as error:
            if isinstance(error, ValueError) and name in self.own:  # it says what is wrong with a value
                raise SpecError([Problem(path, f"{name}: {error}")]) from error
            why = described(error) if isinstance(error, Exception) else "it ended the program"
            raise SpecError([Problem(path, f"{name} cannot be made: {why}")]) from error
        self._require_methods(made, name, path)
        return made

    def _require_methods(self, made: object, name: str, path: str) -> None:
        if missing := [method for method in self.methods if not callable(getattr(made, method, None))]:
            article = "an" if self.kind[0] in "aeiou" else "a"
            raise SpecError([Problem(path, f"{name} is not {article} {self.kind}: it has no method {missing[0]}")])


def _import_path() -> tuple[tuple[str, int], ...]:
    """The folders that packages are imported from, with the times of their latest changes (ns)."""
    found = []
    for folder in sys.path:
        try:
            found.append((folder, os.stat(folder or ".").st_mtime_ns))
        except OSError:
            continue
    return tuple(found)


@lru_cache(maxsize=16)
def _installed(group: str, path: tuple[tuple[str, int], ...]) -> tuple[tuple[str, str], ...]:
    """Name and value of each entry point of the group, once for each state of the import `path`: reading the metadata
    of all packages takes tens of milliseconds, and a service reads many study files."""
    from importlib.metadata import entry_points

    return tuple((point.name, point.value) for point in entry_points(group=group))


def card_of(cls: Callable[..., Any]) -> Card:
    """The card of a class, or that of its `traits`."""
    found = getattr(getattr(cls, "traits", cls), "card", NO_CARD)
    return found if isinstance(found, Card) else NO_CARD


def _keywords(cls: Callable[..., Any]) -> set[str] | None:
    """Names of the keyword options; None if the class takes any."""
    try:
        parameters = list(inspect.signature(cls).parameters.values())[1:]
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return {p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
