"""The arguments of a usual run, which the user gave: what of them becomes a parameter is left out of the command."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

from hpo_engine.contract.placeholders import literal
from hpo_engine.studyfile.starter.interface import Parameter, Reading
from hpo_engine.studyfile.starter.trees import value_of

_NUMBER = re.compile(r"-\.?\d")


def pairs(words: Sequence[str], flags: Collection[str] = ()) -> Iterator[tuple[str, str | None, int]]:
    """(option, value, number of words) for each option, and (word, None, 1) for each other word.

    The value of `--name` is the next word, unless that is an option itself, or `--name` is one of the `flags`.
    """
    number = 0
    while number < len(words):
        word = words[number]
        name, equals, value = word.partition("=")
        following = words[number + 1] if number + 1 < len(words) else None
        if not is_option(word):
            yield word, None, 1
        elif equals:
            yield name, value, 1
        elif following is not None and not is_option(following) and name not in flags:
            yield name, following, 2
            number += 1
        else:
            yield name, None, 1
        number += 1


def followed(reading: Reading, arguments: Sequence[str]) -> Reading:
    """The reading with the values of a usual run as the parameters' defaults, and with its words.

    A reader that follows the arguments by itself has them in its words already.
    """
    if not arguments:
        return reading
    flags = {p.option for p in reading.parameters if p.type is bool}
    values = {name: value for name, value, _ in pairs(arguments, flags) if is_option(name)}
    values |= {name: "true" for name, value in values.items() if value is None and name in flags}
    plain = [name for name, _, _ in pairs(arguments, flags) if not is_option(name)]
    places = [p for p in reading.parameters if p.positional]
    placed = dict(zip((p.name for p in places), plain, strict=False))
    parameters = tuple(
        replace(_with(p, literal(placed[p.name])), required=True) if p.name in placed
        else replace(_with(p, value), required=False) if p.option and (value := values.get(p.option)) is not None
        else p
        for p in reading.parameters
    )  # fmt: skip
    own = any(word in reading.words for word in arguments)
    words = reading.words if own else (*reading.words, *_less(arguments, flags, set(placed.values()).__contains__))
    return replace(reading, parameters=parameters, words=words)


def without(reading: Reading, searched: Collection[str], arguments: Sequence[str]) -> tuple[str, ...]:
    """The words of the command, less those that give what is searched. `searched`: names of parameters."""
    flags = {p.option for p in reading.parameters if p.type is bool}
    options = {p.option for p in reading.parameters if p.option and p.name in searched}

    def is_searched(name: str) -> bool:
        head, equals, _ = name.partition("=")
        return name in options or f"{head}{equals}" in options

    kept = _less(reading.words, flags, is_searched)
    return tuple(literal(word) if word in arguments else word for word in kept)


def is_option(word: str) -> bool:
    return word.startswith("-") and word not in ("-", "--") and not _NUMBER.match(word)


def _less(words: Sequence[str], flags: Collection[str], dropped: Callable[[str], bool]) -> list[str]:
    """The words without the options that are `dropped`, with their values, and without such words."""
    kept: list[str] = []
    number = 0
    for name, _, count in pairs(words, flags):
        if not dropped(name):
            kept += words[number : number + count]
        number += count
    return kept


def _with(parameter: Parameter, text: str) -> Parameter:
    """The parameter with the value of a word as its default."""
    value: Any = value_of(text)
    if parameter.type is str or (parameter.type is None and isinstance(parameter.default, str)):
        value = text
    if parameter.type is float and isinstance(value, int):
        value = float(value)
    return replace(parameter, default=value)
