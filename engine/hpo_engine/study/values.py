"""Frozen values: quick copies and changes, with which a log of thousands of trials is folded, and their JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cached_property, lru_cache
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

Value = TypeVar("Value")


def changed(value: Value, **changes: Any) -> Value:
    """`dataclasses.replace` for values that check nothing when they are made, in a tenth of its time.

    What the value has cached is not carried over.
    """
    known = value.__dict__.copy()
    cls: Any = type(value)
    for name in _cached(cls):
        known.pop(name, None)
    known.update(changes)
    new: Value = made(cls, known)
    return new


def made(cls: type[Value], fields: dict[str, Any]) -> Value:
    """A frozen value with these fields, which it takes over; the others have the defaults of its class."""
    new = object.__new__(cls)
    object.__setattr__(new, "__dict__", fields)
    return new


def amend(value: object, **changes: Any) -> None:
    """Changes a frozen value in place. Only for one that nobody but its maker has seen yet."""
    value.__dict__.update(changes)


@lru_cache(maxsize=16)
def _cached(cls: Any) -> tuple[str, ...]:
    """The names under which such values cache what they have computed."""
    return tuple(name for c in cls.__mro__ for name, found in vars(c).items() if isinstance(found, cached_property))


# -- as JSON -----------------------------------------------------------------------------------------------------------


def to_plain(value: Any) -> Any:
    """The value as JSON: dataclasses as objects, tuples as lists; what has a `to_json` of its own by that."""
    if hasattr(value, "to_json"):
        return value.to_json()
    if is_dataclass(value):
        return fields_to_plain(value)
    if isinstance(value, tuple):
        return [to_plain(v) for v in value]
    return dict(value) if isinstance(value, Mapping) else value


def fields_to_plain(value: Any) -> dict[str, Any]:
    """The fields of a dataclass as JSON."""
    return {f.name: to_plain(getattr(value, f.name)) for f in fields(value)}


def from_plain(kind: Any, value: Any) -> Any:
    """The inverse of `to_plain`; keys that this version does not know are ignored.

    Args:
        kind: the type that the value has: a dataclass, the type of a field.
    """
    options: tuple[Any, ...] = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    for option in options:
        if isinstance(value, Mapping) and hasattr(option, "from_json"):
            return option.from_json(value)
        if isinstance(value, Mapping) and isinstance(option, type) and is_dataclass(option):
            return fields_from_plain(option, value)
        if isinstance(value, list) and get_origin(option) is tuple:
            return tuple(from_plain(get_args(option)[0], v) for v in value)
    return value


def fields_from_plain(cls: type[Value], value: Mapping[str, Any]) -> Value:
    """The inverse of `fields_to_plain`."""
    kind: Any = cls
    hints = _hints(kind)
    return cls(**{k: from_plain(hints[k], v) for k, v in value.items() if k in hints})


@lru_cache(maxsize=16)
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)
