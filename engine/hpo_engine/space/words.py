"""The words of a constraint: text cut into numbers, texts, names and signs, each with its column."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from hpo_engine.errors import Problem, SpecError
from hpo_engine.text.quoting import shown

MAX_TEXT = 1000


@dataclass(frozen=True)
class Word:
    """`kind`: number, text, name (in backticks), word, sign, end; `column` from 1."""

    kind: str
    text: str
    column: int

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else shown(self.text)


_WORDS = re.compile(
    r"(?P<space>\s+)|(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)|(?P<word>[^\W\d][\w.]*)"
    r"|(?P<name>`[^`]*`)|(?P<text>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
    r"|(?P<sign>\*\*|//|<=|>=|==|!=|<>|&&|\|\||[-+*/%<>=!&|^~()\[\],{}])",
    re.DOTALL,
)
_ELSEWHERE = {"=": "==", "&&": "and", "&": "and", "||": "or", "|": "or", "!": "not", "^": "**", "<>": "!=", "~": "not"}


def words_of(text: str) -> list[Word]:
    if len(text) > MAX_TEXT:
        raise wrong(MAX_TEXT, f"a rule has at most {MAX_TEXT} characters, not {len(text)}")
    out, at = [], 0
    while at < len(text):
        found = _WORDS.match(text, at)
        if found is None:
            what = {
                "'": "a quote that is not closed",
                '"': "a quote that is not closed",
                "`": "a backtick that is not closed",
            }
            raise wrong(at + 1, what.get(text[at], f"{shown(text[at])} is not valid here"))
        kind = str(found.lastgroup)
        if kind == "sign" and found[0] in _ELSEWHERE:
            raise wrong(at + 1, f'{found[0]} is not valid here; write "{_ELSEWHERE[found[0]]}"')
        if kind != "space":
            out.append(Word(kind, found[0], at + 1))
        at = found.end()
    return [*out, Word("end", "", len(text) + 1)]


def wrong(column: int, text: str) -> SpecError:
    return SpecError([Problem("", f"column {column}: {text}")])


def literal(word: Word) -> Any:
    if word.kind == "text":
        return re.sub(r"\\(.)", r"\1", word.text[1:-1], flags=re.DOTALL)
    if len(word.text) > 60:
        raise wrong(word.column, "a number has at most 60 digits")
    value = int(word.text) if word.text.isdigit() else float(word.text)
    if math.isinf(value):
        raise wrong(word.column, f"{word} is too large for a number")
    return value
