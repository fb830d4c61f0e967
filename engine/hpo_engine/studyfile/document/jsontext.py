"""JSON text to data and marks. Strict: what Python's own reader lets pass in silence is refused here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from hpo_engine.studyfile.document.checks import (
    MAX_DEPTH,
    MAX_DIGITS,
    MAX_VALUES,
    Mark,
    check_key,
    check_value,
    finite,
    refuse,
    too_many,
)

_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)


def read_json(text: str, file: str) -> tuple[Any, Mark]:
    tokens = list(_json_tokens(text, file))  # refuses what json would take in silence, or choke on
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        refuse(f"not valid JSON: {error.msg} (column {error.colno})", file, error.lineno)
    return data, _json_mark(iter(tokens), file)


def _json_tokens(text: str, file: str) -> Iterator[tuple[str, int]]:
    """(token, line), checked one by one; whether they make JSON is not known yet."""
    line, seen, depth, one_line = 1, 0, 0, "\n" not in text
    for number, match in enumerate(_TOKEN.finditer(text)):
        token = match[0]
        if not one_line:
            line += text.count("\n", seen, match.start())
            seen = match.start()
        if token[0] in '":,':  # most are
            pass
        elif token in "{[":
            depth += 1
            if depth > MAX_DEPTH:
                refuse(f"nested deeper than {MAX_DEPTH} levels", file, line)
        elif token in "}]":
            depth -= 1
        elif token in ("NaN", "Infinity", "-Infinity"):
            refuse(f"not valid JSON: {token} is not a number", file, line)
        elif token[0] in "-0123456789":
            if len(token) > MAX_DIGITS:
                refuse(f"a number of {len(token)} digits", file, line)
            if _NUMBER.fullmatch(token):
                finite(token, file, line)
        if number > 3 * MAX_VALUES:  # a value comes with a comma or colon, and perhaps brackets
            too_many(file, line)
        yield token, line


def _json_mark(tokens: Iterator[tuple[str, int]], file: str) -> Mark:
    """The marks of one value; `tokens` are those of valid JSON."""
    token, line = next(tokens)
    return _json_mark_of(token, line, tokens, file)


def _json_mark_of(token: str, line: int, tokens: Iterator[tuple[str, int]], file: str) -> Mark:
    if token == "{":
        members: dict[str, Mark] = {}
        for inner, at in tokens:
            if inner == "}":
                break
            if inner != ",":
                key = check_key(_json_string(inner, file, at), members, file, at)
                next(tokens)  # the colon
                mark = _json_mark(tokens, file)
                members[key] = (at, mark[1]) if isinstance(mark, tuple) else at
        return line, members
    if token == "[":
        items: list[Mark] = []
        for inner, at in tokens:
            if inner == "]":
                break
            if inner != ",":
                items.append(_json_mark_of(inner, at, tokens, file))
        return line, items
    if token[0] == '"':
        _json_string(token, file, line)
    return line


def _json_string(token: str, file: str, line: int) -> str:
    text: str = json.loads(token) if "\\" in token else token[1:-1]
    return check_value(text, file, line) if "\\u" in token else text
