"""Rules between parameters, such as "hidden2 <= hidden1": a small language of our own, parsed once and then evaluated.

    rule    := or                        names of parameters (odd ones in `backticks`), numbers, 'text', true, false,
    or      := and ("or" and)*           null, [lists]; + - * / // % **; < <= > >= == != (chained), in, not in;
    and     := not ("and" not)*          and, or, not; min(), max(), abs(), log(), log2(), sqrt()
    not     := "not" not | compare
    compare := sum (("<" | ... | "in" | "not" "in") sum)*
    sum     := term (("+" | "-") term)*
    term    := factor (("*" | "/" | "//" | "%") factor)*
    factor  := "-" factor | atom ("**" factor)?
    atom    := value | name | function "(" or ("," or)* ")" | "(" or ")" | "[" (or ("," or)*)? "]"

Decimals are exact (0.1 + 0.2 == 0.3, and 0.3 % 0.1 == 0); if a value from a continuous range, a logarithm or a root is
involved, every comparison has a tolerance of 1e-9: see `hpo_engine.space.arithmetic`.

Rules are untrusted input: nothing is passed to Python's own parser, and length, depth and sizes of numbers are bounded.
Knows parameters by their kinds only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hpo_engine.errors import SpecError, nearest
from hpo_engine.space import arithmetic
from hpo_engine.space.arithmetic import exact
from hpo_engine.space.operators import (
    ARITHMETIC,
    COMPARE,
    FUNCTIONS,
    LIST,
    NUMBER,
    ORDER,
    TEXT,
    TRUTH,
    among,
    number,
    truth,
    type_of,
)
from hpo_engine.space.params import Choice, Constant, Float, Int, Param
from hpo_engine.space.words import Word, literal, words_of, wrong
from hpo_engine.text.quoting import shown

_MAX_DEPTH = 40

_DRAWN, _WHOLE, _LISTED = "drawn", "whole", "listed"
_VALUES: Mapping[str, Any] = {"true": True, "false": False, "null": None}
_RESERVED = ("and", "or", "not", "in")
_Types = frozenset[str]
_Run = Callable[[Mapping[str, Any]], Any]


@dataclass(frozen=True)
class Rule:
    """One rule. `names`: its parameters. `length`: the number of its words and signs, a measure of its cost."""

    text: str
    names: frozenset[str]
    length: int
    _run: _Run = field(repr=False, compare=False)

    def holds(self, params: Mapping[str, Any]) -> bool:
        """Whether `params` satisfy it. A rule on a parameter that is missing (because it does not apply) is satisfied;
        one that cannot be evaluated (a division by zero, text instead of a number) is not."""
        if not self.names <= params.keys():
            return True
        try:
            return self._run(params) is True
        except (TypeError, ValueError, ArithmeticError):
            return False


def read_rule(text: str, params: Sequence[Param]) -> Rule:
    """Parses a rule about these parameters.

    Raises:
        SpecError: "column N: ..." with what was found there and what was expected.
    """
    return _Reader(text, {p.name: _types_of(p) for p in params}, {p.name: _origin(p) for p in params}).rule()


def _origin(param: Param) -> str:
    """The origin of a parameter's numbers: drawn from a range (floats as they are), whole, or listed (decimals)."""
    if isinstance(param, Float):
        return _DRAWN if param.step is None and param.low != param.high else _LISTED
    return _WHOLE if isinstance(param, Int) else _LISTED


def _types_of(param: Param) -> _Types:
    if isinstance(param, Choice):
        return frozenset(type_of(v) for v in param.choices)
    return frozenset([type_of(param.value) if isinstance(param, Constant) else NUMBER])


# -- reading ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Node:
    """A part of a rule: how it is evaluated, its possible types, and where it begins."""

    run: _Run
    types: _Types
    column: int

    def needs(self, type_: str, what: str) -> _Node:
        """Itself; raises SpecError if it can never be of this type."""
        if type_ not in self.types:
            raise wrong(self.column, f"{what} needs {type_}, and this is {_either(self.types)}")
        return self


def _either(types: _Types) -> str:
    return " or ".join(sorted(types))


class _Reader:
    def __init__(self, text: str, known: Mapping[str, _Types], origins: Mapping[str, str]) -> None:
        self._text, self._known, self._origins = text, known, origins
        self._words, self._at, self._depth = words_of(text), 0, 0
        self._names: set[str] = set()
        # If all values are drawn from ranges nothing is exact, and floats are faster.
        named = {origins.get(word.text.strip("`")) for word in self._words if word.kind in ("word", "name")}
        self._number = float if _DRAWN in named and not named & {_WHOLE, _LISTED} else exact

    def rule(self) -> Rule:
        node = self._or()
        if self._now.kind != "end":
            raise self._unexpected("an operator or the end")
        node.needs(TRUTH, "a rule")
        if not self._names:
            raise wrong(1, "a rule must name at least one parameter")
        return Rule(self._text, frozenset(self._names), len(self._words) - 1, node.run)

    @property
    def _now(self) -> Word:
        return self._words[self._at]

    def _take(self, *texts: str) -> Word | None:
        """Consumes the current word if it is one of these."""
        word = self._now
        if word.kind not in ("word", "sign") or word.text not in texts:
            return None
        self._at += 1
        return word

    def _must(self, text: str) -> None:
        if self._take(text) is None:
            raise self._unexpected(f'"{text}"')

    def _unexpected(self, expected: str) -> SpecError:
        return wrong(self._now.column, f"{expected} is expected, not {self._now}")

    def _deeper(self, read: Callable[[], _Node]) -> _Node:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise wrong(self._now.column, f"nested more than {_MAX_DEPTH} deep")
        node = read()
        self._depth -= 1
        return node

    def _or(self) -> _Node:
        return self._truths("or", self._and, any)

    def _and(self) -> _Node:
        return self._truths("and", self._not, all)

    def _truths(self, word: str, read: Callable[[], _Node], join: Callable[[Any], bool]) -> _Node:
        first = read()
        if not (self._now.kind == "word" and self._now.text == word):
            return first
        nodes = [first.needs(TRUTH, word)]
        while self._take(word):
            nodes.append(read().needs(TRUTH, word))
        runs = [node.run for node in nodes]
        return _Node(lambda params: join(truth(run(params)) for run in runs), frozenset([TRUTH]), first.column)

    def _not(self) -> _Node:
        word = self._take("not")
        if word is None:
            return self._compare()
        inner = self._deeper(self._not).needs(TRUTH, "not").run
        return _Node(lambda params: not truth(inner(params)), frozenset([TRUTH]), word.column)

    def _compare(self) -> _Node:
        first = left = self._sum()
        steps: list[tuple[Callable[[Any, Any], bool], _Run]] = []
        while (found := self._comparison()) is not None:
            word, compare = found
            right = self._sum()
            if word.text in ORDER and not any(t in left.types and t in right.types for t in (NUMBER, TEXT)):
                what = f"{_either(left.types)} with {_either(right.types)}"
                raise wrong(word.column, f"{word} compares numbers or texts, not {what}")
            if word.text in ("in", "not"):
                right.needs(LIST, "in")
            steps.append((compare, right.run))
            left = right
        if not steps:
            return first
        begin = first.run

        def run(params: Mapping[str, Any]) -> bool:
            before = begin(params)
            for compare, then in steps:
                after = then(params)
                if not compare(before, after):
                    return False
                before = after
            return True

        return _Node(run, frozenset([TRUTH]), first.column)

    def _comparison(self) -> tuple[Word, Callable[[Any, Any], bool]] | None:
        word = self._take(*COMPARE, "in", "not")
        if word is None:
            return None
        if word.text == "not":
            self._must("in")
            return word, lambda a, b: not among(a, b)
        return word, among if word.text == "in" else COMPARE[word.text]

    def _sum(self) -> _Node:
        return self._numbers(self._term, "+", "-")

    def _term(self) -> _Node:
        return self._numbers(self._factor, "*", "/", "//", "%")

    def _numbers(self, read: Callable[[], _Node], *signs: str) -> _Node:
        first = read()
        steps: list[tuple[Callable[[Any, Any], Any], _Run]] = []
        while (sign := self._take(*signs)) is not None:
            first.needs(NUMBER, sign.text)
            steps.append((ARITHMETIC[sign.text], read().needs(NUMBER, sign.text).run))
        if not steps:
            return first
        begin = first.run

        def run(params: Mapping[str, Any]) -> Any:
            value = number(begin(params))
            for compute, then in steps:
                value = compute(value, number(then(params)))
            return value

        return _Node(run, frozenset([NUMBER]), first.column)

    def _factor(self) -> _Node:
        sign = self._take("-", "+")
        if sign is not None:
            inner = self._deeper(self._factor).needs(NUMBER, sign.text).run
            negative = sign.text == "-"
            return _Node(
                lambda params: arithmetic.negative(number(inner(params))) if negative else number(inner(params)),
                frozenset([NUMBER]), sign.column,
            )  # fmt: skip
        base = self._atom()
        if self._take("**") is None:
            return base
        low, high = base.needs(NUMBER, "**").run, self._deeper(self._factor).needs(NUMBER, "**").run
        return _Node(
            lambda params: arithmetic.power(number(low(params)), number(high(params))),
            frozenset([NUMBER]), base.column,
        )  # fmt: skip

    def _atom(self) -> _Node:
        word = self._now
        if word.kind in ("number", "text"):
            self._at += 1
            value = literal(word)
            if word.kind == "number":
                value = self._number(value)
            return _Node(lambda params: value, frozenset([type_of(value)]), word.column)
        if word.kind == "name":
            return self._name(word, word.text[1:-1])
        if word.kind == "word":
            return self._word(word)
        if self._take("("):
            node = self._deeper(self._or)
            self._must(")")
            return node
        if self._take("["):
            runs = [node.run for node in self._list("]")]
            return _Node(lambda params: [run(params) for run in runs], frozenset([LIST]), word.column)
        raise self._unexpected("a parameter, a number or a text")

    def _word(self, word: Word) -> _Node:
        if word.text in _VALUES and word.text not in self._known:
            self._at += 1
            value = _VALUES[word.text]
            return _Node(lambda params: value, frozenset([type_of(value)]), word.column)
        if word.text in _RESERVED:
            raise self._unexpected("a parameter, a number or a text")
        after = self._words[self._at + 1]
        if word.text in FUNCTIONS and after.kind == "sign" and after.text == "(":
            return self._call(word)
        return self._name(word, word.text)

    def _name(self, word: Word, name: str) -> _Node:
        if name not in self._known:
            also = () if word.kind == "name" else (*_VALUES, *FUNCTIONS)
            raise wrong(word.column, f"there is no parameter {shown(name)}{nearest(name, self._known, also)}")
        self._at += 1
        self._names.add(name)
        if self._origins[name] == _LISTED and NUMBER in self._known[name]:
            return _Node(lambda params: exact(params[name]), self._known[name], word.column)
        return _Node(lambda params: params[name], self._known[name], word.column)

    def _call(self, word: Word) -> _Node:
        self._at += 2
        nodes = [node.needs(NUMBER, word.text) for node in self._list(")")]
        least, most, compute = FUNCTIONS[word.text]
        if not least <= len(nodes) <= most:
            need = "one number" if most == 1 else "at least two numbers"
            raise wrong(word.column, f"{word.text}() takes {need}, not {len(nodes)}")
        runs = [node.run for node in nodes]
        return _Node(lambda params: compute(*[number(run(params)) for run in runs]), frozenset([NUMBER]), word.column)

    def _list(self, close: str) -> list[_Node]:
        nodes: list[_Node] = []
        while not self._take(close):
            if nodes:
                self._must(",")
            nodes.append(self._deeper(self._or))
        return nodes
