r"""Patterns with named groups for printed lines: `epoch (?P<step>\d+).*val_loss[:=] ?(?P<val_loss>\S+)`.

They come from the study file and meet whatever a script prints, in the loop that serves all trials; so a match has to
take time linear in the line, whatever the pattern. Python's `re` cannot promise that: `(a+)+$` takes years. RE2 can.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

from hpo_engine.contract.sources.numbers import STEPS, printable
from hpo_engine.contract.sources.numbers import step as to_step
from hpo_engine.contract.sources.printedlines import Line, as_number, plain
from hpo_engine.errors import Problem, SpecError
from hpo_engine.text.quoting import listed, quoted

_MOST = 20  # patterns
_LONGEST = 2000  # characters of one
_LINE = 4096  # characters of a line that are searched


class Patterns:
    """Args:
        named: the metrics that the study names; a group may have underscores for their other signs.

    Raises:
        SpecError: a pattern that is wrong, or that no metric can come from; google-re2 is missing.
    """

    def __init__(self, patterns: Sequence[str], named: Collection[str] = ()) -> None:
        if len(patterns) > _MOST:
            raise _wrong("", f"has {len(patterns)} patterns, at most {_MOST}")
        self._patterns = [_compiled(pattern, _place(i, patterns)) for i, pattern in enumerate(patterns)]
        groups = {group for pattern in self._patterns for group in pattern.groupindex}
        known = {plain(name): name for name in named}
        self._names = {group: known.get(plain(group), group) for group in groups}
        self._steps = [key for key in STEPS if key in groups and self._names[key] not in named]
        metrics = [name for group, name in sorted(self._names.items()) if group not in self._steps]
        if not metrics:
            raise _wrong("", r"has no group for a metric, only for the step: add one, such as (?P<loss>\S+)")
        if named and not set(named) & set(metrics):
            lacking = listed([quoted(name) for name in sorted(named)], 4)
            raise _wrong("", f"has groups for {listed(metrics, 8)}, and none for {lacking} of this study")

    def read(self, text: str) -> Line:
        """What the patterns find in a line, each at most once."""
        found: dict[str, str] = {}
        for pattern in self._patterns:
            if (match := pattern.search(text[:_LINE])) is not None:
                found = {group: text for group, text in match.groupdict().items() if text} | found
        at = next((s for key in self._steps if (s := to_step(found.get(key, ""))) is not None), None)
        values = {
            printable(self._names[group]): value
            for group, text in found.items()
            if group not in self._steps and (value := as_number(text)) is not None
        }
        return Line(values, at)


def _place(i: int, patterns: Sequence[str]) -> str:
    return f"[{i}]" if len(patterns) > 1 else ""


def _wrong(place: str, text: str) -> SpecError:
    return SpecError([Problem(f"results.pattern{place}", text)])


def _compiled(pattern: str, place: str) -> Any:
    if len(pattern) > _LONGEST:
        raise _wrong(place, f"is too long ({len(pattern)} characters, at most {_LONGEST})")
    try:
        import re2
    except ImportError:
        text = "needs google-re2, which matches every pattern in linear time: pip install 'hpo-engine[patterns]'"
        raise _wrong(place, text) from None
    options = re2.Options()
    options.log_errors = False  # which would go to standard error
    try:
        compiled = re2.compile(pattern, options)
    except (re2.error, ValueError, UnicodeError) as error:
        raise _wrong(place, _fault(pattern, error)) from None
    if not compiled.groupindex:
        raise _wrong(place, rf"has no named group: write (?P<loss>\S+) where the value of loss stands, not {pattern}")
    return compiled


def _fault(pattern: str, error: Exception) -> str:
    """What is wrong with a pattern, and where."""
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError, ValueError) as known:
        at = getattr(known, "pos", None)
        rest = pattern[at : at + 20] if at is not None else ""
        where = f"at character {(at or 0) + 1}, {quoted(rest)}" if rest else "at its end"
        return f"is not a regular expression: {getattr(known, 'msg', known)} ({where})"
    said = error.args[0] if error.args else ""
    text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    return f"cannot be matched in linear time ({text}): RE2 has no look-around, back-references or large repeats"
