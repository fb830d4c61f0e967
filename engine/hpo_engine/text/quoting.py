"""Foreign text inside a message: shortened, quoted, without control characters."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

_MOST = 60  # characters


def shortened(text: str, most: int = _MOST) -> str:
    """At most `most` characters; dots replace what was cut off. (`tables.cut` counts the columns of a terminal.)"""
    return text if len(text) <= most else text[: most - 3] + "..."


def shown(name: object, most: int = _MOST) -> str:
    """A name, shortened, with unprintable characters as code points."""
    return shortened("".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in str(name)), most)


def quoted(text: str, most: int = _MOST) -> str:
    """Shortened, in double quotes; escaped as in JSON if a character of it cannot be printed."""
    short = shortened(text, most)
    return json.dumps(short, ensure_ascii=not short.isprintable())


def listed(names: Sequence[str], most: int) -> str:
    """At most `most` of the names, and how many more there are: `a, b and 3 more`."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def without_password(text: str) -> str:
    """A URL in the text without the user and the password that it may hold: `https://***@host`."""
    return re.sub(r"(\w://)[^/@\s]+@", r"\1***@", text)
