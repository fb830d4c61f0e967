"""Quick copies and changes of frozen values: a log of thousands of trials is folded with them."""

from __future__ import annotations

from dataclasses import fields
from functools import lru_cache
from typing import Any, TypeVar

Value = TypeVar("Value")


def changed(value: Value, **changes: Any) -> Value:
    """`dataclasses.replace` for values that check nothing when they are made, in a tenth of its time.

    What the value has cached is not carried over.
    """
    cls: Any = type(value)
    new: Value = object.__new__(cls)
    old = value.__dict__
    new.__dict__.update({name: old[name] for name in _names(cls) if name in old})
    new.__dict__.update(changes)
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
def _names(cls: Any) -> tuple[str, ...]:
    return tuple(f.name for f in fields(cls))
