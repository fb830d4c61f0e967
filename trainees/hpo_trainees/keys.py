"""Which part of a program each key of config.json belongs to, by the signatures of its classes.

`model.lr`, `data.batch_size`, `trainer.max_epochs`; plain names if only one part has them. Standard library only;
knows nothing of Lightning, of files, or of the engine.
"""

from __future__ import annotations

import difflib
import inspect
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hpo_trainees.values import ConfigError, coerced, nested

Values = dict[str, dict[str, Any]]
"""Section name -> parameter -> value."""


@dataclass(frozen=True)
class Section:
    """A part of the program that takes parameters.

    Args:
        name: the prefix of its keys, such as "model".
        parameters: those that it has, by name.
        title: what messages call it, such as the name of the class.
        plain: whether its parameters may be named without the prefix.
        open: whether it takes names that are not in `parameters` (`**kwargs`); only with the prefix.
        switch: whether `name: true` alone turns it on, as for `early_stopping`.
        gone: names that it had once, and what to write instead.
    """

    name: str
    parameters: Mapping[str, inspect.Parameter]
    title: str = ""
    plain: bool = True
    open: bool = False
    switch: bool = False
    gone: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, made: Callable[..., Any], *, without: Iterable[str] = (), **more: Any) -> Section:
        """The parameters of a class or function; for a class with `**kwargs`, those of its bases as well."""
        found, is_open = parameters_of(made)
        for hidden in without:
            found.pop(hidden, None)
        return cls(name, found, title=getattr(made, "__name__", name), open=is_open, **more)


_ENDS = ("lightning", "pytorch_lightning", "torch", "builtins")
_UNNAMED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.POSITIONAL_ONLY)


def parameters_of(made: Callable[..., Any]) -> tuple[dict[str, inspect.Parameter], bool]:
    """(The named parameters with their types, whether further names are taken).

    `**kwargs` of a class are taken to be passed on to the next class in line. Lightning's own classes end the line.
    """
    found: dict[str, inspect.Parameter] = {}
    takes_more = False
    for function in _initializers(made):
        takes_more = False
        hints = _hints(function)
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                takes_more = True
            elif parameter.name != "self" and parameter.kind not in _UNNAMED:
                typed = parameter.replace(annotation=hints.get(parameter.name, parameter.annotation))
                found.setdefault(parameter.name, typed)
        if not takes_more:
            break
    return found, takes_more


def _initializers(made: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    if not inspect.isclass(made):
        yield made
        return
    for base in made.__mro__:
        own = base.__dict__.get("__init__")
        if base is not made and base.__module__.split(".")[0] in _ENDS:
            return
        if own is not None:
            yield own


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except Exception:  # a name that exists for type checkers only: all are taken as they come
        hints: dict[str, Any] = getattr(function, "__annotations__", {})
        return {name: Any if isinstance(hint, str) else hint for name, hint in hints.items()}


def route(
    settings: Mapping[str, Any],
    sections: Sequence[Section],
    *,
    aliases: Mapping[str, str] | None = None,
    links: Mapping[str, str] | None = None,
) -> Values:
    """What each section gets of `settings`, with values of the types that it wants.

    Args:
        aliases: plain names that stand for a full one if no section has a parameter by that name.
        links: source -> target, both full names: a target takes its source's value, so its plain name means the source.

    Raises:
        ConfigError: a key is unknown or ambiguous, is there twice, or has a value of the wrong kind.
    """
    by_name = {section.name: section for section in sections}
    targets = set((links or {}).values())
    out: Values = {}
    given: dict[str, str] = {}
    for key, value in _flat(settings, by_name):
        name, path = _place(key, sections, by_name, aliases or {}, targets)
        section = by_name[name]
        if not path:
            _switch(out, section, value)
            continue
        full = ".".join((name, *path)) if name else path[0]
        if full in given:
            raise ConfigError(f'"{given[full]}" and "{key}" are the same parameter: remove one of them')
        given[full] = key
        _put(out.setdefault(name, {}), section, path, value)
    return out


def merged(first: Mapping[str, Mapping[str, Any]], *later: Mapping[str, Mapping[str, Any]]) -> Values:
    """The values of all layers; a later one wins, key by key, also within a mapping. A section that a later layer
    switches off is absent."""
    out: Values = {name: dict(values) for name, values in first.items()}
    for layer in later:
        for name, values in layer.items():
            if values.get(OFF):
                out.pop(name, None)
            else:
                out[name] = nested(out.get(name, {}), values)
    return {name: values for name, values in out.items() if not values.get(OFF)}


OFF = "__off__"


def _flat(settings: Mapping[str, Any], by_name: Mapping[str, Section]) -> Iterator[tuple[str, Any]]:
    """`{"model": {"lr": 0.1}}` is `{"model.lr": 0.1}`."""
    for key, value in settings.items():
        if key in by_name and isinstance(value, Mapping):
            if not value:
                yield key, True
            yield from ((f"{key}.{name}", inner) for name, inner in value.items())
        else:
            yield key, value


def _place(
    key: str,
    sections: Sequence[Section],
    by_name: Mapping[str, Section],
    aliases: Mapping[str, str],
    targets: set[str],
) -> tuple[str, list[str]]:
    """(Section, path in it) of a key."""
    head, *rest = key.split(".")
    own = by_name.get("")
    if own is not None and head in own.parameters and not rest:
        return "", [head]
    if head in by_name and head:
        section = by_name[head]
        if not rest:
            if section.switch:
                return head, []
            raise ConfigError(f'"{head}" must be an object with parameters of {section.title}, or write "{head}.NAME"')
        if rest[0] in section.gone:
            raise ConfigError(f'"{key}": Lightning has no such argument any more; {section.gone[rest[0]]}')
        if rest[0] in section.parameters or section.open:
            return head, rest
        raise _unknown(key, sections)
    owners = [s for s in sections if s.plain and head in s.parameters]
    if len(owners) > 1:
        owners = [s for s in owners if f"{s.name}.{head}" not in targets] or owners
    if len(owners) == 1:
        return owners[0].name, [head, *rest]
    if owners:
        full = [f"{s.name}.{key}" for s in owners]
        titles = " and of ".join(s.title or s.name for s in owners)
        raise ConfigError(
            f'"{key}" is a parameter of {titles}: write {" or ".join(full)}, or have one follow the other with '
            f'link={{"{full[0]}": "{full[1]}"}}'
        )
    if key in aliases:
        name, _, parameter = aliases[key].partition(".")
        return name, [parameter]
    for section in sections:
        if head in section.gone:
            raise ConfigError(f'"{key}": Lightning has no such argument any more; {section.gone[head]}')
    raise _unknown(key, sections)


def _unknown(key: str, sections: Sequence[Section]) -> ConfigError:
    known = list(known_keys(sections))
    near = _nearest(key, known)
    some = ", ".join(known[:12]) + (" ..." if len(known) > 12 else "")
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {some}"
    section = next((s for s in sections if s.open and s.plain), None)
    more = ""
    if section is not None and "." not in key:
        more = f" ({section.title} takes **kwargs: {section.name}.{key} would be passed on)"
    return ConfigError(f'unknown key "{key}": {hint}{more}')


def _nearest(key: str, known: Sequence[str]) -> list[str]:
    """The full names that the key may mean: by its last part in any section, else by its whole."""
    last = key.rpartition(".")[2]
    by_last: dict[str, list[str]] = {}
    for name in known:
        by_last.setdefault(name.rpartition(".")[2], []).append(name)
    if last in by_last:
        return by_last[last]
    whole = difflib.get_close_matches(key, known, 1, 0.7) if "." in key else []
    return whole or [name for near in difflib.get_close_matches(last, by_last, 1, 0.6) for name in by_last[near]]


def known_keys(sections: Sequence[Section]) -> Iterator[str]:
    """The full names of all parameters."""
    for section in sections:
        if section.switch:
            yield section.name
        for name in section.parameters:
            yield f"{section.name}.{name}" if section.name else name


def _switch(out: Values, section: Section, value: Any) -> None:
    if value in (True, "true", "on", None, 1):
        out.setdefault(section.name, {})
    elif value in (False, "false", "off", 0):
        out[section.name] = {OFF: True}
    else:
        raise ConfigError(f'"{section.name}" must be true, false, or an object with the parameters of {section.title}')


def _put(values: dict[str, Any], section: Section, path: list[str], value: Any) -> None:
    name, *rest = path
    full = ".".join((section.name, *path)) if section.name else name
    parameter = section.parameters.get(name)
    if rest:
        inner: Any = value
        for part in reversed(rest):
            inner = {part: inner}
        known = values.get(name)
        if known is None and parameter is not None and isinstance(parameter.default, Mapping):
            known = parameter.default
        value = nested(known if isinstance(known, Mapping) else {}, inner)
        full = f"{section.name}.{name}" if section.name else name
    if parameter is not None:
        empty = inspect.Parameter.empty
        annotation = None if parameter.annotation is empty else parameter.annotation
        default = None if parameter.default is empty else parameter.default
        value = coerced(full, value, annotation, default, typed=parameter.annotation is not empty)
    values[name] = value


def missing(section: Section, values: Mapping[str, Any]) -> list[str]:
    """The parameters without a default that have no value, by their full names."""
    required = (p.name for p in section.parameters.values() if p.default is p.empty)
    return [f"{section.name}.{name}" for name in required if name not in values]
