"""What no study file may hold, whatever its syntax: limits, and the refusals that name file and line."""

from __future__ import annotations

import math
from typing import NoReturn

from hpo_engine.errors import Problem, SpecError
from hpo_engine.text.quoting import quoted

MAX_BYTES = 1 << 20
MAX_DEPTH = 20
MAX_KEY = 1000
MAX_VALUES = 200_000
MAX_DIGITS = 400

# A mark is the line of a scalar, or (line, marks of the children).
Mark = int | tuple[int, "dict[str, Mark] | list[Mark]"]


def line_of(mark: Mark) -> int:
    return mark[0] if isinstance(mark, tuple) else mark


def refuse(text: str, file: str, line: int | None) -> NoReturn:
    raise SpecError([Problem("", text, line)], file)


def too_large(file: str) -> NoReturn:
    raise SpecError(f"is larger than {MAX_BYTES >> 20} MB; a study file is not that large", file)


def too_many(file: str, line: int) -> NoReturn:
    refuse(f"contains more than {MAX_VALUES:,} values", file, line)


def check_text(text: str, file: str) -> None:
    if len(text) > MAX_BYTES:
        too_large(file)
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        refuse("contains half of a surrogate pair, which is not text", file, text.count("\n", 0, error.start) + 1)
    if size > MAX_BYTES:
        too_large(file)
    if text.startswith("\ufeff"):
        refuse("begins with a byte order mark (BOM); save it as UTF-8 without one", file, 1)
    if "\0" in text:
        refuse("contains a NUL character", file, text.count("\n", 0, text.index("\0")) + 1)
    if not text.strip():
        refuse("is empty", file, 1)


def check_value(text: str, file: str, line: int) -> str:
    """The text of a scalar; escapes may have made what the file itself does not hold."""
    if "\0" in text:
        refuse("contains a NUL character", file, line)
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        refuse("contains half of a surrogate pair, which is not text", file, line)
    return text


def check_key(key: str, seen: dict[str, Mark], file: str, line: int) -> str:
    if len(key) > MAX_KEY:
        refuse(f"a key has {len(key)} characters; at most {MAX_KEY} are allowed", file, line)
    if key in seen:
        refuse(f"duplicate key {quoted(key)}; it is also in line {line_of(seen[key])}", file, line)
    return key


def finite(text: str, file: str, line: int) -> float:
    value = float(text)
    if math.isinf(value):
        refuse(f"{text} is too large for a number", file, line)
    return value
