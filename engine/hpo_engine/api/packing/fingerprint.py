"""A digest of what a function does: the same for the same code and data, wherever and whenever it was defined.

Left out is what changes when a notebook's cell runs again: names of files, line numbers, the ids of classes.
"""

from __future__ import annotations

import enum
import hashlib
import pickle
from collections.abc import Callable
from io import RawIOBase
from types import CodeType
from typing import Any


def fingerprint(function: Callable[..., Any]) -> str:
    """Of a function that can be pickled, as a hexadecimal sha256."""
    import cloudpickle

    class Pickler(cloudpickle.Pickler):
        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, CodeType):
                return _Stub, ("code", _what(obj))
            if isinstance(obj, type) and obj.__module__ == "__main__" and not issubclass(obj, enum.Enum):
                members = {name: value for name, value in vars(obj).items() if name not in _OWN}
                return _Stub, ("class", obj.__qualname__, obj.__bases__), members
            return _without_submodules(super().reducer_override(obj))

    out = _Hashing()
    Pickler(out, protocol=5, buffer_callback=out.write).dump(function)
    return out.sha256.hexdigest()


def _without_submodules(reduced: Any) -> Any:
    """How a function is pickled, without the modules that happen to be imported beneath those that it uses."""
    state = reduced[2] if isinstance(reduced, tuple) and len(reduced) > 2 else None
    if not isinstance(state, tuple) or not isinstance(state[-1], dict) or _SUBMODULES not in state[-1]:
        return reduced
    slots = {name: value for name, value in state[-1].items() if name != _SUBMODULES}
    return (*reduced[:2], (*state[:-1], slots), *reduced[3:])


class _Stub:
    """Stands for something in a pickle that is never loaded."""

    def __init__(self, *what: Any) -> None:
        self.what = what


class _Hashing(RawIOBase):
    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()

    def write(self, data: Any) -> int:
        """Takes bytes, and buffers that stand apart."""
        raw = data.raw() if isinstance(data, pickle.PickleBuffer) else data
        self.sha256.update(raw)
        return 0 if raw is not data else len(data)


_SUBMODULES = "_cloudpickle_submodules"
_OWN = frozenset(("__dict__", "__weakref__", "__module__", "__firstlineno__", "_abc_impl", "__static_attributes__"))


def _what(code: CodeType) -> tuple[Any, ...]:
    consts = tuple(_plain(const) for const in code.co_consts)
    return code.co_code, consts, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_flags


def _plain(const: Any) -> Any:
    if isinstance(const, CodeType):
        return _what(const)
    return sorted(const, key=repr) if isinstance(const, frozenset) else const
