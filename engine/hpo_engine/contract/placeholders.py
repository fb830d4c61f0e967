"""Placeholders such as {learning_rate} in the words of a command and in the values of its environment.

    {name}              the value of a parameter, or of one of the names in BUILT_IN
    {name?on} {name?on:off}
                        the text `on` if the parameter is true, else `off`, which may be left out
    {name...}           the items of a list, a word each
    {params}            `--name value` for every parameter that is placed nowhere else; {params:FORM}, see `Form`
    {{name}}            {name}; other braces, as in `{"a": 1}`, `{}` or `${HOME}`, stay as they are

Filled word by word and never read by a shell: a value is one word, whatever is in it. A word with a parameter that
does not apply to the trial goes away, and so does the option before it, unless that has other `key=value` words, as in
`--cfg-options load_from={resume_from} lr={lr}`. A program in a word (`sh -c TEXT`) stays as it
is, so that no value becomes a part of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hpo_engine.contract.command import program_texts
from hpo_engine.errors import nearest
from hpo_engine.text.quoting import shown

RESUME_FROM = "resume_from"
"""The checkpoint that an attempt goes on from. One that begins afresh has none: then it does not apply, as a parameter
may not, and a switch on it is off."""
BUILT_IN = ("trial", "study", "seed", "result_dir", "log_dir", "data_dir", RESUME_FROM)
"""Names that a parameter of the same name hides."""

_PARAMS = "params"
_TOKEN = re.compile(r"\$\{[^{}]*\}?|\{\{(?P<kept>[^{}]*)\}\}|\{(?P<inner>[^{}]*)\}")
_MEANT = re.compile(r"[^\W\d][\w.-]*?(\.\.\.|\?.*)?$", re.DOTALL)  # a placeholder, even if it names nothing
_OPTION = re.compile(r"--?[^\W\d][^=]*$")  # no number such as -1, and nothing that has its value already


class PlaceholderError(ValueError):
    """A text has a placeholder that cannot be filled; the message says which."""


@dataclass(frozen=True)
class Form:
    """How {params} writes a parameter: what comes before its name, and what joins name and value (" " is two words).

    `dashes`: underscores in the name become dashes.
    """

    prefix: str = "--"
    joint: str = " "
    dashes: bool = False

    @classmethod
    def parse(cls, text: str) -> Form:
        """`--name value`, `--name=value`, `name=value`, `+name=value` and so on; a final `-` stands for dashes, alone
        or after a comma. Raises PlaceholderError."""
        head, _, tail = text.rpartition(",") if text.endswith(",-") else (text, "", "")
        if text == "-":
            return cls(dashes=True)
        found = re.fullmatch(r"(?P<prefix>[^\w\s{}]*)name(?P<joint>[ =:])value", head)
        if found is None:
            raise PlaceholderError(
                f"{{params:{shown(text)}}} must be {{params:--name=value}}, {{params:name=value}}, or {{params:-}}"
            )
        return cls(found["prefix"], found["joint"], dashes=tail == "-")

    def words(self, name: str, value: str, spelling: str | None) -> list[str]:
        """`spelling`: the option as the script calls it; ends in "=" if it is joined with the value."""
        option = spelling or f"{self.prefix}{name.replace('_', '-') if self.dashes else name}"
        if option.endswith("="):
            return [f"{option}{value}"]
        # Parsers of arguments take a separate word that begins with a dash for an option.
        joint = "=" if self.joint == " " and value.startswith("-") and option.startswith("--") else self.joint
        return [option, value] if joint == " " else [f"{option}{joint}{value}"]


@dataclass(frozen=True)
class _Value:
    name: str
    many: bool = False


@dataclass(frozen=True)
class _Switch:
    name: str
    on: str
    off: str | None


@dataclass(frozen=True)
class _Params:
    form: Form


_Piece = str | _Value | _Switch | _Params


@dataclass(frozen=True)
class Template:
    """Words with placeholders, parsed. `placed`: the names in them; `takes_all`: {params} is among them."""

    words: tuple[tuple[_Piece, ...], ...]
    placed: frozenset[str] = frozenset()
    takes_all: bool = False
    _options: Mapping[int, int] = field(default_factory=dict, hash=False)  # first and last words that an option is for

    @classmethod
    def parse(cls, words: Sequence[str], known: Iterable[str]) -> Template:
        """`known`: the study's parameters and its resource.

        Raises:
            PlaceholderError: a placeholder names nothing, or stands for several words and is not one by itself.
        """
        names, plain = frozenset(known), program_texts(words)
        parsed = tuple((word,) if k in plain else tuple(_pieces(word, names)) for k, word in enumerate(words))
        flat = [piece for pieces in parsed for piece in pieces]
        first = (k for k in range(1, len(parsed)) if _is_option(parsed[k - 1]) and not _begins_with_dash(parsed[k]))
        return cls(
            parsed,
            placed=frozenset(piece.name for piece in flat if isinstance(piece, (_Value, _Switch))),
            takes_all=any(isinstance(piece, _Params) for piece in flat),
            _options={k: _last_setting(parsed, k) for k in first},
        )

    @classmethod
    def parse_text(cls, text: str, known: Iterable[str]) -> Template:
        """Of one word that must stay one. Raises PlaceholderError."""
        template = cls.parse((text,), known)
        if template.takes_all or any(isinstance(piece, _Value) and piece.many for piece in template.words[0]):
            raise PlaceholderError(f"{shown(text)} stands for several words, and there is room for one")
        return template

    def fill_text(self, values: Mapping[str, Any]) -> str:
        """Of `parse_text`: the whole text, with nothing in place of what does not apply."""
        pieces = [
            piece
            for piece in self.words[0]
            if isinstance(piece, str) or (isinstance(piece, (_Value, _Switch)) and _applies(piece, values))
        ]
        return "".join(_text(piece, values) for piece in pieces)

    @property
    def instead(self) -> tuple[str, ...]:
        """What stands for its words if there are none: an empty one if it is only the checkpoint to go on from."""
        return ("",) if self.words == ((_Value(RESUME_FROM),),) else ()

    @property
    def may_vanish(self) -> bool:
        """Whether the first word may become none although its parameter applies, or several."""
        first = self.words[0][0]
        return (
            isinstance(first, _Params)
            or (isinstance(first, _Value) and (first.many or first.name == RESUME_FROM))
            or (len(self.words[0]) == 1 and isinstance(first, _Switch) and first.off is None)
        )

    @property
    def fixed(self) -> int:
        """The number of words at the beginning that are always the same."""
        first = next((k for k, word in enumerate(self.words) if not all(isinstance(p, str) for p in word)), None)
        return len(self.words) if first is None else first - (first in self._options)

    def fill(
        self,
        values: Mapping[str, Any],
        rest: Sequence[str] = (),
        spellings: Mapping[str, str] | None = None,
    ) -> tuple[str, ...]:
        """The words of one trial.

        Args:
            values: what applies to the trial, by name. rest: the names that {params} stands for, in order; those that
                do not apply are left out. spellings: of some of them, see `Form.words`.
        """
        filled: list[str] = []
        last, before, gone = -1, 0, False  # of the option whose words these are
        for number, pieces in enumerate(self.words):
            if number in self._options:
                last, before, gone = self._options[number], len(filled), False
            words = _filled(pieces, values, rest, spellings or {})
            filled += words or []
            gone = gone or words is None
            if number == last and gone and len(filled) == before:
                filled.pop()
        return tuple(filled)


def as_word(value: Any) -> str:
    """A value as one word: text as it is, all else as in config.json."""
    return value if isinstance(value, str) else json.dumps(value)


def literal(text: str) -> str:
    """The text as `Template` leaves it unchanged: nothing in it is a placeholder."""
    return re.sub(r"(?<!\$)\{[^{}]*\}", r"{\g<0>}", text)


def _pieces(word: str, known: frozenset[str]) -> Iterator[_Piece]:
    """The pieces of a word, adjacent texts joined."""
    text, end = "", 0
    for token in _TOKEN.finditer(word):
        text += word[end : token.start()]
        end = token.end()
        piece = None if token["inner"] is None else _placeholder(token["inner"], known)
        if piece is None:
            text += token[0] if token["kept"] is None else f"{{{token['kept']}}}"
            continue
        if text:
            yield text
            text = ""
        if (isinstance(piece, _Params) or (isinstance(piece, _Value) and piece.many)) and token[0] != word:
            raise PlaceholderError(f"{shown(token[0])} stands for several words and must be a word by itself")
        yield piece
    text += word[end:]
    if text or not word:
        yield text


def _placeholder(inner: str, known: frozenset[str]) -> _Piece | None:
    """None: it is none."""
    names = known | set(BUILT_IN)
    if inner in names:
        return _Value(inner)
    if inner == _PARAMS:
        return _Params(Form())
    if inner.startswith(f"{_PARAMS}:"):
        return _Params(Form.parse(inner.partition(":")[2]))
    if not _MEANT.match(inner):
        return None
    name, switch, texts = inner.partition("?")
    many = name.endswith("...")
    name = name.removesuffix("...")
    if name not in names or (many and switch):
        known_names = nearest(name, names, also=(_PARAMS,))
        raise PlaceholderError(
            f"{{{shown(inner)}}} names no parameter{known_names} ({{{{{shown(inner)}}}}} is that text)"
        )
    on, colon, off = texts.partition(":")
    if switch and not on and not off:
        raise PlaceholderError(f"{{{shown(inner)}}} lacks what to write if {shown(name)} is true")
    return _Switch(name, on, off if colon else None) if switch else _Value(name, many)


def _is_option(pieces: tuple[_Piece, ...]) -> bool:
    return len(pieces) == 1 and isinstance(pieces[0], str) and _OPTION.match(pieces[0]) is not None


def _last_setting(words: Sequence[tuple[_Piece, ...]], first: int) -> int:
    """The last word that belongs to an option: `first`, or the last one of a row of `key=value` from there on."""
    end = first
    while end < len(words) and _is_setting(words[end]):
        end += 1
    return max(first, end - 1)


def _is_setting(pieces: tuple[_Piece, ...]) -> bool:
    match pieces:
        case (_Params(form),):
            return form.joint == "=" and not form.prefix.startswith("-")
        case (str(text), *_) | (_Switch(on=text), *_):
            return "=" in text and not text.startswith("-")
    return False


def _begins_with_dash(pieces: tuple[_Piece, ...]) -> bool:
    """Whether a word is an option itself, so that the one before it has nothing to do with it."""
    first = pieces[0] if pieces else ""
    text = first if isinstance(first, str) else first.on if isinstance(first, _Switch) else ""
    return text.startswith("-") or isinstance(first, _Params)


def _filled(
    pieces: tuple[_Piece, ...], values: Mapping[str, Any], rest: Sequence[str], spellings: Mapping[str, str]
) -> list[str] | None:
    """The words that one word becomes; None: it goes away."""
    match pieces:
        case (_Params(form),):
            present = [name for name in rest if name in values]
            return [word for name in present for word in form.words(name, as_word(values[name]), spellings.get(name))]
        case (_Value(name, many=True),):
            value = values.get(name)
            items = value if isinstance(value, (list, tuple)) else [value]
            return [as_word(item) for item in items] if name in values else None
        case (_Switch(off=None) as switch,):
            return [switch.on] if values.get(switch.name) else None
    if any(isinstance(piece, (_Value, _Switch)) and not _applies(piece, values) for piece in pieces):
        return None
    return ["".join(_text(piece, values) for piece in pieces)]


def _applies(piece: _Value | _Switch, values: Mapping[str, Any]) -> bool:
    return piece.name in values or (isinstance(piece, _Switch) and piece.name == RESUME_FROM)


def _text(piece: _Piece, values: Mapping[str, Any]) -> str:
    match piece:
        case _Value(name):
            return as_word(values[name])
        case _Switch(name, on, off):
            return on if values.get(name) else off or ""
    return str(piece)
