"""Values of config.json and of the command line as the types that a parameter is annotated with.

A search gives 32.0 where a program wants 32, a list where it wants a tuple, a text where it wants a class. Standard
library only.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import importlib
import inspect
import json
import types
import typing
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal, Union

_UNIONS = (Union, getattr(types, "UnionType", Union))
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


class ConfigError(ValueError):
    """A key or a value of the configuration is wrong; the text is one line for whoever wrote it."""


class Text(str):
    """A value of the command line: text that may mean a number, a list, true or null."""


def coerced(name: str, value: Any, annotation: Any, default: Any = None, *, typed: bool = True) -> Any:
    """`value` as `annotation` wants it.

    Without an annotation (`typed` false) the default tells: whole floats become int where it is an int, lists tuples
    where it is a tuple. An annotation that is not understood takes every value as it is.

    Args:
        name: of the parameter, for messages.

    Raises:
        ConfigError: the value cannot be meant.
    """
    if not typed:
        return _like(value, default)
    try:
        return _as(value, annotation)
    except ValueError as error:
        shown = json.dumps(value, default=str) if not isinstance(value, str) else f'"{value}"'
        raise ConfigError(f"{name} must be {error}, not {shown}") from None


def nested(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Both; where both have a mapping it is merged, else the second wins."""
    out = dict(first)
    for name, value in second.items():
        known = out.get(name)
        both = isinstance(known, Mapping) and isinstance(value, Mapping)
        out[name] = nested(known, value) if both else value  # type: ignore[arg-type]
    return out


def _like(value: Any, default: Any) -> Any:
    if isinstance(value, Text):
        value = _parsed(value)
    with suppress(ValueError):
        if isinstance(default, bool):
            return _bool(value)
        if isinstance(default, (int, tuple)) and not isinstance(value, bool):
            return _as(value, type(default))
        if isinstance(default, (float, str)):
            return _as(value, type(default))
    return value


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return {"True": True, "False": False, "None": None}.get(text, str(text))


def _as(value: Any, annotation: Any) -> Any:
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _as(value, inner[0])
    if annotation is None or annotation is type(None):
        return _none(value)
    if origin in _UNIONS:
        return _union(value, inner)
    if origin is Literal:
        return _literal(value, inner)
    kind = origin or annotation
    if not inspect.isclass(kind):
        return _parsed(value) if isinstance(value, Text) else value
    simple = {bool: _bool, int: _int, float: _float, str: _str}.get(kind)
    if simple is not None:
        return simple(value)
    if issubclass(kind, enum.Enum):
        return _enum(value, kind)
    if dataclasses.is_dataclass(kind):
        return _dataclass(value, kind)
    if isinstance(value, Text):
        value = _parsed(value)
    if kind in (type, collections.abc.Callable) and isinstance(value, str):
        return _imported(value)
    if kind in (list, tuple, set, frozenset, collections.abc.Sequence, collections.abc.Iterable):
        return _collection(value, kind, inner)
    if kind in (dict, collections.abc.Mapping) and isinstance(value, Mapping):
        return {key: _as(item, inner[1]) for key, item in value.items()} if len(inner) == 2 else dict(value)
    if isinstance(value, str) and kind.__module__ == "pathlib":
        return kind(value)  # type: ignore[call-arg]
    return value


def _none(value: Any) -> None:
    if value is None or (isinstance(value, Text) and value in ("null", "None", "none")):
        return
    raise ValueError("null")


def _union(value: Any, inner: tuple[Any, ...]) -> Any:
    """As it is if it is of one of the types; else as the first one that takes it."""
    if not isinstance(value, Text):
        for one in inner:
            plain = typing.get_origin(one) or one
            if plain in (bool, int, float, str, type(None), list, dict) and type(value) is plain:
                return _as(value, one)
            if plain is Literal and any(value == item and type(value) is type(item) for item in typing.get_args(one)):
                return value
    problems = []
    # A text of the command line is a text only if it can be nothing else.
    for one in sorted(inner, key=lambda one: one is str):
        try:
            return _as(value, one)
        except ValueError as error:
            problems.append(str(error))
    raise ValueError(" or ".join(dict.fromkeys(problems)))


def _literal(value: Any, choices: tuple[Any, ...]) -> Any:
    for choice in choices:
        if value == choice and type(value) is type(choice):
            return choice
    for choice in choices:
        if value == choice or (isinstance(value, Text) and str(value) == str(choice)):
            return choice
    raise ValueError(f"one of {', '.join(map(str, choices))}")


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)) and value in (0, 1):
        return bool(value)
    if isinstance(value, str) and value.lower() in _TRUE + _FALSE:
        return value.lower() in _TRUE
    raise ValueError("true or false")


def _int(value: Any) -> int:
    if isinstance(value, str):
        value = _number(value, "a whole number")
    if not isinstance(value, bool) and isinstance(value, (int, float)) and float(value).is_integer():
        return int(value)
    raise ValueError("a whole number")


def _float(value: Any) -> float:
    if isinstance(value, str):
        value = _number(value, "a number")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    raise ValueError("a number")


def _number(text: str, wanted: str) -> float:
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    raise ValueError(wanted)


def _str(value: Any) -> str:
    if isinstance(value, str):
        return str(value)
    raise ValueError("a text")


def _enum(value: Any, kind: type[enum.Enum]) -> enum.Enum:
    if isinstance(value, kind):
        return value
    for member in kind:
        if value in (member.name, member.value) or str(value) in (member.name, str(member.value)):
            return member
    raise ValueError(f"one of {', '.join(member.name for member in kind)}")


def _dataclass(value: Any, kind: Any) -> Any:
    if isinstance(value, Text):
        value = _parsed(value)
    if not isinstance(value, Mapping):
        return value
    hints = typing.get_type_hints(kind)
    for name in value:
        if name not in hints:
            raise ValueError(f"an object with {', '.join(hints)}")
    return kind(**{name: _as(item, hints[name]) for name, item in value.items()})


def _imported(path: str) -> Any:
    """The object that a dotted path names; the text itself if there is none (the program may know what it means)."""
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        return path


def _collection(value: Any, kind: Any, inner: tuple[Any, ...]) -> Any:
    if isinstance(value, (str, Mapping)) or not isinstance(value, collections.abc.Iterable):
        raise ValueError("a list")
    items = list(value)
    if kind is tuple and inner and inner[-1] is not ...:
        if len(items) != len(inner):
            raise ValueError(f"a list of {len(inner)}")
        return tuple(_as(item, one) for item, one in zip(items, inner, strict=True))
    if inner:
        items = [_as(item, inner[0]) for item in items]
    return kind(items) if kind in (tuple, set, frozenset) else items
