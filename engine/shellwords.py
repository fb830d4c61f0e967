"""A command line split into words as a POSIX shell splits it, where no shell runs: quotes, backslashes, comments.

Nothing is expanded: `$x`, `*`, `~`, `>`, `|` stay as they stand. Line breaks separate words as blanks do.
"""

from __future__ import annotations

_BLANKS = " \t\n"
_ESCAPED_IN_QUOTES = '$`"\\'  # before anything else a backslash in double quotes stands for itself (POSIX 2.2.3)


def split(text: str) -> list[str]:
    """The words of `text`. Raises ValueError, in plain words, with the place of what is wrong."""
    words: list[str] = []
    at = 0
    while at < len(text):
        if text[at] in _BLANKS:
            at += 1
        elif text.startswith("\\\n", at):  # a line that goes on; no word begins with it
            at += 2
        elif text[at] == "#":
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
        else:
            word, at = _word(text, at)
            words.append(word)
    return words


def _word(text: str, at: int) -> tuple[str, int]:
    """The word that begins at `at`, and where it ends."""
    pieces: list[str] = []
    while at < len(text) and text[at] not in _BLANKS:
        char = text[at]
        if char == "'":
            end = text.find("'", at + 1)
            if end < 0:
                raise ValueError(_unclosed(text, at))
            pieces.append(text[at + 1 : end])
            at = end + 1
        elif char == '"':
            piece, at = _double_quoted(text, at)
            pieces.append(piece)
        elif char == "\\":
            if at + 1 == len(text):
                raise ValueError(f"cannot be split into words: a backslash stands at the end ({_place(text, at)})")
            pieces.append("" if text[at + 1] == "\n" else text[at + 1])
            at += 2
        else:
            pieces.append(char)
            at += 1
    return "".join(pieces), at


def _double_quoted(text: str, begin: int) -> tuple[str, int]:
    pieces: list[str] = []
    at = begin + 1
    while at < len(text) and text[at] != '"':
        following = text[at + 1 : at + 2]
        if text[at] == "\\" and following and following in _ESCAPED_IN_QUOTES:
            pieces.append(following)
            at += 2
        elif text.startswith("\\\n", at):
            at += 2
        else:
            pieces.append(text[at])
            at += 1
    if at >= len(text):
        raise ValueError(_unclosed(text, begin))
    return "".join(pieces), at + 1


def _unclosed(text: str, at: int) -> str:
    return f"cannot be split into words: a quote is not closed (the {text[at]} at {_place(text, at)})"


def _place(text: str, at: int) -> str:
    """`character 8`, counted from 1; with the line where there are several."""
    line = text.count("\n", 0, at) + 1
    column = at - text.rfind("\n", 0, at)
    return f"line {line}, character {column}" if "\n" in text.rstrip("\n") else f"character {column}"
