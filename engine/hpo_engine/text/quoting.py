"""A foreign text within a line of ours: short, and without control characters."""

from __future__ import annotations

import json

_MOST = 60  # characters


def shortened(text: str, most: int = _MOST) -> str:
    """At most `most` characters; dots stand for what was cut off. `tables.cut` goes by columns of a terminal."""
    return text if len(text) <= most else text[: most - 3] + "..."


def shown(name: object, most: int = _MOST) -> str:
    """A name as it is, shortened, with what cannot be printed as its code point."""
    return shortened("".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in str(name)), most)


def quoted(text: str) -> str:
    """Shortened, in double quotes; escaped as in JSON if a character of it cannot be printed."""
    short = shortened(text)
    return json.dumps(short, ensure_ascii=not short.isprintable())
