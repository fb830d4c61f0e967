"""A Python dict as text to data and marks, as notebooks hold requests: one literal, perhaps with `name =` before it.

Reads values only: text (adjacent pieces and `+` join), numbers, True, False, None, dicts, lists, tuples. Names, calls
and f-strings are refused: no code is run, and nothing is handed to Python but single texts and numbers. Imports before
it are passed over.
"""

from __future__ import annotations

import ast
import keyword
import math
import re
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn

from hpo_engine.studyfile.document.checks import (
    MAX_DEPTH,
    MAX_DIGITS,
    MAX_VALUES,
    Mark,
    check_key,
    check_value,
    refuse,
    too_many,
)
from hpo_engine.text.quoting import quoted

_TOKEN = re.compile(
    r"""
    (?P<blank>(?:\s|\\\r?\n|\#[^\n]*)+)
  | (?P<text>(?P<prefix>[A-Za-z]{0,2})(?:
        '''[^'\\]*(?:(?:\\.|'(?!''))[^'\\]*)*'''
      | \"\"\"[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*\"\"\"
      | '(?!'')[^'\\\n]*(?:\\(?:\r\n|.)[^'\\\n]*)*'
      | "(?!"")[^"\\\n]*(?:\\(?:\r\n|.)[^"\\\n]*)*"
    ))
  | (?P<number>\.?[0-9](?:[eE][-+]|[\w.])*)
  | (?P<name>[^\W\d]\w*)
  | (?P<sign>[{}\[\](),:=+-])
    """,
    re.VERBOSE | re.DOTALL,
)
HEAD = re.compile(r"(?:\s|\#[^\n]*|(?:import|from)[ \t][^\n(;{=]*(?:\n|$))*")  # what a notebook's cell may begin with
_WORDS = {"True": True, "False": False, "None": None}
_OF_JSON = {"true": "True", "false": "False", "null": "None"}
_NO_CODE = "only values can be read here, no code is run"


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


def read_python(text: str, file: str) -> tuple[Any, Mark]:
    return _Reader(list(_tokens(text, file)), file).document()


def _tokens(text: str, file: str) -> Iterator[_Token]:
    head = HEAD.match(text)
    at, count, depth = head.end() if head else 0, 0, 0
    line = text.count("\n", 0, at) + 1
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            open_quote = text[at] in "'\""
            what = "a quote that opens here is not closed" if open_quote else _unexpected(text[at])
            refuse(f"not a Python dict: {what}", file, line)
        token = match[0]
        if match.lastgroup != "blank":
            count += 1
            depth += (token in "{[(") - (token in "}])")
            if depth > MAX_DEPTH:
                refuse(f"nested deeper than {MAX_DEPTH} levels", file, line)
            if count > 3 * MAX_VALUES:  # a value comes with a comma or colon, and perhaps brackets
                too_many(file, line)
            yield _Token(match.lastgroup or "", token, line)
        line += token.count("\n")
        at = match.end()
    yield _Token("end", "", line)


def _unexpected(text: str) -> str:
    return f"{quoted(text)} is not expected here; {_NO_CODE}"


class _Reader:
    """Takes the tokens one by one; their depth was checked, so recursion ends soon."""

    def __init__(self, tokens: list[_Token], file: str) -> None:
        self._tokens, self._file, self._at, self._count = tokens, file, 0, 0

    def document(self) -> tuple[Any, Mark]:
        self._skip_assignment()
        token = self._peek()
        if token.kind == "end":
            self._refuse("a dict is missing", token)
        data, mark = self._value()
        rest = self._peek()
        if rest.kind != "end":
            self._refuse(f"more follows after the first value; the file must hold nothing else; {_NO_CODE}", rest)
        return data, mark

    def _skip_assignment(self) -> None:
        """`data =`, `data: dict =`, `a = b =`."""
        while self._peek().kind == "name":
            equals = self._at + 1
            if self._tokens[equals].text == ":":
                equals += 1
                while self._tokens[equals].kind == "name" or self._tokens[equals].text in ("[", "]", ","):
                    equals += 1
            if self._tokens[equals].text != "=":
                return
            self._at = equals + 1

    def _value(self) -> tuple[Any, Mark]:
        token = self._take()
        self._count += 1
        if self._count > MAX_VALUES:
            too_many(self._file, token.line)
        if token.text == "{":
            return self._dict(token)
        if token.text == "[":
            items, marks = self._items(token, "]")
            return items, (token.line, marks)
        if token.text == "(":
            return self._bracket(token)
        if token.kind == "text":
            return self._joined(self._text(token)), token.line
        if token.kind == "number" or token.text in ("-", "+"):
            return self._number(token), token.line
        if token.text not in _WORDS:
            self._no_value(token)
        return _WORDS[token.text], token.line

    def _no_value(self, token: _Token) -> NoReturn:
        if token.kind == "end":
            self._refuse("it ends where a value is expected", token)
        if token.kind != "name":
            self._refuse(_unexpected(token.text), token)
        if token.text in _OF_JSON:
            self._refuse(f"{token.text} is JSON's word; Python's is {_OF_JSON[token.text]}", token)
        what = "a call" if self._peek().text == "(" else "code" if keyword.iskeyword(token.text) else "a variable"
        self._refuse(f"{quoted(token.text)} is {what}; write its value out: {_NO_CODE}", token)

    def _dict(self, opening: _Token) -> tuple[dict[str, Any], Mark]:
        items: dict[str, Any] = {}
        marks: dict[str, Mark] = {}
        while self._peek().text != "}":
            first = self._peek()
            key, _ = self._value()
            if not isinstance(key, str):
                self._refuse("a key must be text in quotes", first)
            colon = self._take()
            if colon.text != ":":
                self._refuse(f'a ":" is missing after the key {quoted(key)}', colon)
            check_key(key, marks, self._file, first.line)
            items[key], mark = self._value()
            marks[key] = (first.line, mark[1]) if isinstance(mark, tuple) else first.line
            self._comma(opening, "}")
        self._take()
        return items, (opening.line, marks)

    def _items(self, opening: _Token, closing: str) -> tuple[list[Any], list[Mark]]:
        items: list[Any] = []
        marks: list[Mark] = []
        while self._peek().text != closing:
            data, mark = self._value()
            items.append(data)
            marks.append(mark)
            self._comma(opening, closing)
        self._take()
        return items, marks

    def _bracket(self, opening: _Token) -> tuple[Any, Mark]:
        """A tuple, which is a list here, or a value in brackets, which is itself."""
        items, marks = self._items(opening, ")")
        if len(items) == 1 and self._tokens[self._at - 2].text != ",":
            return (self._joined(items[0]) if isinstance(items[0], str) else items[0]), marks[0]
        return items, (opening.line, marks)

    def _comma(self, opening: _Token, closing: str) -> None:
        token = self._peek()
        if token.text == ",":
            self._take()
        elif token.kind == "end":
            self._refuse(f'the "{opening.text}" of line {opening.line} is not closed', token)
        elif token.text != closing:
            self._refuse(f'a "," or "{closing}" is missing before {quoted(token.text)}; {_NO_CODE}', token)

    def _joined(self, text: str) -> str:
        """The text with the pieces that follow it: `'a' 'b' + 'c'`."""
        pieces = [text]
        while self._peek().kind == "text" or self._peek().text == "+":
            token = self._take()
            if token.text == "+":
                token = self._take()
            if token.kind != "text":
                self._no_value(token)
            pieces.append(self._text(token))
        return "".join(pieces)

    def _text(self, token: _Token) -> str:
        prefix = token.text[: min(token.text.find(q) for q in "'\"" if q in token.text)].lower()
        if prefix not in ("", "r", "u"):
            what = "an f-string is code" if "f" in prefix else "bytes are not text"
            self._refuse(f"{what}; write the text out", token)
        if prefix == "r" or "\\" not in token.text:
            quote = 3 if token.text[len(prefix) :][:3] in ("'''", '"""') else 1
            return token.text[len(prefix) + quote : -quote]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of escapes that Python does not know and leaves alone
                value = ast.literal_eval(token.text)
        except (ValueError, SyntaxError):
            self._refuse(f"{quoted(token.text)} has an escape that cannot be read", token)
        return check_value(str(value), self._file, token.line)

    def _number(self, token: _Token) -> int | float:
        sign = 1
        while token.text in ("-", "+"):
            sign = -sign if token.text == "-" else sign
            token = self._take()
        if token.kind != "number":
            self._no_value(token)
        if len(token.text) > MAX_DIGITS:
            self._refuse(f"a number of {len(token.text)} digits", token)
        try:
            value = ast.literal_eval(token.text)
        except (ValueError, SyntaxError):
            value = None
        if not isinstance(value, (int, float)):
            self._refuse(f"{quoted(token.text)} is not a number", token)
        if math.isinf(value):
            refuse(f"{token.text} is too large for a number", self._file, token.line)
        return sign * value

    def _peek(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._tokens[self._at]
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def _refuse(self, text: str, token: _Token) -> NoReturn:
        refuse(f"not a Python dict: {text}", self._file, token.line)
