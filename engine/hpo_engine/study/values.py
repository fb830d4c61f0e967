"""Quick changes of frozen values."""

from __future__ import annotations

from dataclasses import fields
from functools import lru_cache
from typing import Any, TypeVar

Value = TypeVar("Value")


def changed(value: Value, **changes: Any) -> Value:
    """`dataclasses.replace` for values that check nothing when they are made, in a tenth of its time: a log of
    thousands of trials is folded with it. What the value has cached is not carried over."""
    cls: Any = type(value)
    new: Value = object.__new__(cls)
    old = value.__dict__
    new.__dict__.update({name: old[name] for name in _names(cls) if name in old})
    new.__dict__.update(changes)
    return new


@lru_cache(maxsize=16)
def _names(cls: Any) -> tuple[str, ...]:
    return tuple(f.name for f in fields(cls))
