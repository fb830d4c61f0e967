"""Quick copies and changes of frozen values: a log of thousands of trials is folded with them."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any, TypeVar

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
