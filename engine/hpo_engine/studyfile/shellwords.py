"""A command line split into words as a POSIX shell splits it, where no shell runs: quotes, backslashes, comments.

Nothing is expanded: `$x`, `*`, `~`, `>`, `|` are kept; a word records which of its characters a shell would
have looked at. Line breaks separate words as blanks do.
"""

from __future__ import annotations

from typing import NamedTuple

HIDDEN = "\0"
"""Stands for a character that has no special meaning where it is."""

_BLANKS = " \t\n"
_ESCAPED_IN_QUOTES = '$`"\\'  # before anything else a backslash in double quotes stands for itself (POSIX 2.2.3)


class Word(NamedTuple):
    """A word of a command line: its `text`; `bare`: the same with every quoted character hidden; `live`: with those
    hidden that are in single quotes or behind a backslash, so that no shell would expand them. `first`: it is the first
    one of a line."""

    text: str
    bare: str
    live: str
    first: bool = False


def split(text: str) -> list[str]:
    """The texts of the words of `text`. Raises ValueError as `words` does."""
    return [word.text for word in words(text)]


def words(text: str) -> list[Word]:
    """The words of `text`. Raises ValueError, in plain words, with the place of what is wrong."""
    found: list[Word] = []
    at, first = 0, True
    while at < len(text):
        if text[at] in _BLANKS:
            first = first or text[at] == "\n"
            at += 1
        elif text.startswith("\\\n", at):  # a continued line; no word begins with it
            at += 2
        elif text[at] == "#":
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
        else:
            pieces, at = _word(text, at)
            whole, bare, live = ("".join(column) for column in zip(*pieces, strict=True))
            found.append(Word(whole, bare, live, first))
            first = False
    return found


_Piece = tuple[str, str, str]
"""Of a word's text, bare and live."""


def _word(text: str, at: int) -> tuple[list[_Piece], int]:
    """The word that begins at `at`, and where it ends."""
    pieces: list[_Piece] = [("", "", "")]
    while at < len(text) and text[at] not in _BLANKS:
        char = text[at]
        if char == "'":
            end = text.find("'", at + 1)
            if end < 0:
                raise ValueError(_unclosed(text, at))
            pieces.append(_hidden(text[at + 1 : end]))
            at = end + 1
        elif char == '"':
            quoted, at = _double_quoted(text, at)
            pieces += quoted
        elif char == "\\":
            if at + 1 == len(text):
                raise ValueError(f"cannot be split into words: a backslash stands at the end ({_place(text, at)})")
            pieces.append(_hidden(text[at + 1 : at + 2].strip("\n")))
            at += 2
        else:
            pieces.append((char, char, char))
            at += 1
    return pieces, at


def _double_quoted(text: str, begin: int) -> tuple[list[_Piece], int]:
    pieces: list[_Piece] = []
    at = begin + 1
    while at < len(text) and text[at] != '"':
        following = text[at + 1 : at + 2]
        if text[at] == "\\" and following and following in _ESCAPED_IN_QUOTES:
            pieces.append(_hidden(following))
            at += 2
        elif text.startswith("\\\n", at):
            at += 2
        else:
            pieces.append((text[at], HIDDEN, text[at]))
            at += 1
    if at >= len(text):
        raise ValueError(_unclosed(text, begin))
    return pieces, at + 1


def _hidden(text: str) -> _Piece:
    return text, HIDDEN * len(text), HIDDEN * len(text)


def _unclosed(text: str, at: int) -> str:
    return f"cannot be split into words: a quote is not closed (the {text[at]} at {_place(text, at)})"


def _place(text: str, at: int) -> str:
    """`character 8`, counted from 1; with the line if there are several."""
    line = text.count("\n", 0, at) + 1
    column = at - text.rfind("\n", 0, at)
    return f"line {line}, character {column}" if "\n" in text.rstrip("\n") else f"character {column}"
