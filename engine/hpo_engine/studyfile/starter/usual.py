"""The arguments of a usual run, which the user gave: what of them becomes a parameter is left out of the command."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from hpo_engine.contract.placeholders import literal

_NUMBER = re.compile(r"-\.?\d")


def pairs(words: Sequence[str]) -> Iterator[tuple[str, str | None, int]]:
    """(option, value, number of words) for each option, and (word, None, 1) for each other word.

    The value of `--name` is the next word, unless that is an option itself.
    """
    number = 0
    while number < len(words):
        word = words[number]
        name, equals, value = word.partition("=")
        following = words[number + 1] if number + 1 < len(words) else None
        if not _is_option(word):
            yield word, None, 1
        elif equals:
            yield name, value, 1
        elif following is not None and not _is_option(following):
            yield name, following, 2
            number += 1
        else:
            yield name, None, 1
        number += 1


def without(words: Sequence[str], options: Collection[str]) -> tuple[str, ...]:
    """The words as the command has them, less the options (`--lr`) that {params} writes, with their values."""
    kept: list[str] = []
    number = 0
    for name, _, count in pairs(words):
        if name not in options:
            kept += words[number : number + count]
        number += count
    return tuple(literal(word) for word in kept)


def _is_option(word: str) -> bool:
    return word.startswith("-") and word not in ("-", "--") and not _NUMBER.match(word)
