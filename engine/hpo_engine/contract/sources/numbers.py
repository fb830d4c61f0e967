"""Numbers and names as scripts write them: JSON with NaN, steps in strings, integers of any length, broken text."""

from __future__ import annotations

import json
import math
from typing import Any

from hpo_engine.text.quoting import quoted

NUMBERS = frozenset((int, float))  # not bool
STEPS = ("step", "steps", "epoch", "iteration")
BOM = b"\xef\xbb\xbf"
_IS_DIGIT = bytes(48 if 48 <= i < 58 else 32 for i in range(256))
_LONG = 400  # digits; Python refuses integers of thousands, or takes minutes, and 1e400 is infinite anyway
_EXACT = 1 << 53  # up to here a float tells whole numbers apart


def load_json(text: str, data: bytes) -> Any:
    """`json.loads` that takes NaN and Infinity, and integers of any length in linear time; `data`: the text's bytes."""
    if len(data) >= _LONG and b"0" * _LONG in data.translate(_IS_DIGIT):
        return json.loads(text, parse_int=_int)
    return json.loads(text)


def _int(text: str) -> float:
    if len(text) <= _LONG:
        return int(text)
    return -math.inf if text.startswith("-") else math.inf


def metric(value: float) -> float:
    """A number as a metric: a float; a whole number that no float holds stays as it is."""
    if -_EXACT <= value <= _EXACT:
        return float(value)
    try:
        return value if math.isfinite(value) else float(value)
    except OverflowError:
        return -math.inf if value < 0 else math.inf


def number(text: str) -> float:
    """Raises ValueError."""
    try:
        return int(text)
    except ValueError:
        return float(text)


def step(value: Any) -> float | None:
    """A step as an int if it is one; None if it cannot be a step (NaN, true, words, beyond 64 bits)."""
    if type(value) is str:
        try:
            value = number(value) if len(value) <= 40 else None
        except ValueError:
            return None
    if type(value) not in NUMBERS or not -(2**63) < value < 2**63:
        return None
    return int(value) if value == int(value) else float(value)


def counted_by(name: str) -> str:
    """What a step is, for people, if that is the name of it ("": rows are counted)."""
    known = {
        "": "a row",
        **dict.fromkeys(("epoch", "epochs"), "an epoch"),
        **dict.fromkeys(("iteration", "iterations", "iter"), "an iteration"),
        **dict.fromkeys(("round", "rounds"), "a round"),
        **dict.fromkeys(("batch", "batches"), "a batch"),
    }
    what = known.get(name.lower())
    return f"steps are its own ({quoted(name)})" if what is None else f"a step is {what}"


def printable(name: str) -> str:
    """Without half surrogate pairs, which no file, log or terminal takes."""
    return name.encode("utf-8", "replace").decode()
