"""Which object keeps a function from being pickled, in words: pickle's own error names only its type."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from itertools import islice
from types import CodeType, FunctionType, MethodType
from typing import Any

_MOST = 200  # parts of a container that are looked at


def culprit(obj: Any, title: str, problem: Callable[[Any], str | None]) -> tuple[str, Any, str]:
    """The smallest part of `obj` that cannot be pickled.

    Args:
        title: what `obj` is called; problem: why an object alone cannot be pickled; None: it can.

    Returns:
        where it is, from `obj` on, as in `train > global "log"`; the part; its problem.
    """
    seen: set[int] = set()
    where, cause = [title], problem(obj) or ""
    while True:
        seen.add(id(obj))
        for label, part in _parts(obj):
            if id(part) not in seen and (found := problem(part)) is not None:
                where.append(label)
                obj, cause = part, found
                break
        else:
            return " > ".join(where), obj, cause


def _parts(obj: Any) -> Iterator[tuple[str, Any]]:
    """What pickling the object would pickle, each with what a person calls it."""
    if isinstance(obj, FunctionType):
        yield from _of_function(obj)
    elif isinstance(obj, MethodType):
        yield f"the {type(obj.__self__).__name__} that it is a method of", obj.__self__
        yield f'method "{obj.__name__}"', obj.__func__
    elif isinstance(obj, functools.partial):
        yield "the function of the partial", obj.func
        yield from ((f"argument {k + 1}", value) for k, value in enumerate(obj.args))
        yield from ((f'argument "{name}"', value) for name, value in obj.keywords.items())
    elif isinstance(obj, dict):
        yield from ((f"key {key!r}"[:60], value) for key, value in islice(obj.items(), _MOST))
    elif isinstance(obj, (list, tuple, set, frozenset)):
        yield from ((f"item {k}", value) for k, value in enumerate(islice(obj, _MOST)))
    elif isinstance(obj, type):
        yield from ((f'"{name}" of its class', value) for name, value in vars(obj).items() if not _is_usual(name))
    elif isinstance(getattr(obj, "__dict__", None), dict):
        yield from ((f'attribute "{name}"', value) for name, value in vars(obj).items())
        yield f"class {type(obj).__name__}", type(obj)


def _of_function(function: FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield f'variable "{name}" of the enclosing function', cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    for name in sorted(_names_in(function.__code__) & function.__globals__.keys()):
        yield f'global "{name}"', function.__globals__[name]
    defaults = inspect.signature(function).parameters.values()
    yield from ((f'default of "{p.name}"', p.default) for p in defaults if p.default is not p.empty)
    yield from ((f'attribute "{name}"', value) for name, value in vars(function).items())


def _names_in(code: CodeType) -> set[str]:
    inner = [const for const in code.co_consts if isinstance(const, CodeType)]
    return set(code.co_names).union(*(_names_in(const) for const in inner))


def _is_usual(name: str) -> bool:
    return name in ("__dict__", "__weakref__", "__doc__", "__module__")
