"""Plain text for people: values, durations, tables; safe to print whatever a trial or a user put into them.

Imports nothing heavy, for `hpo-engine list` is over in the time that a table library takes to load. Knows no study.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

ELLIPSIS = "…"
_WHOLE = 10**40  # integers up to here are shown with all their digits
SHORT_NAME = 16  # columns of a name with dots or slashes where room is short


def safe_text(text: str) -> str:
    """`text` on one line, without anything that moves the cursor, colours, hides or reorders.

    Line breaks and tabs become spaces; other control characters, bidirectional and invisible ones, and halves of
    surrogate pairs are shown as escapes (`\\x1b`, `\\u202e`).
    """
    if text.isprintable():
        return text
    return "".join([c if c.isprintable() else _harmless(c) for c in text])


def _harmless(char: str) -> str:
    if char in "\n\r\t\v\f\x85\u2028\u2029":
        return " "
    # joiners are part of words and of emoji; unassigned and private characters are boxes at worst
    if unicodedata.category(char) not in ("Cc", "Cf", "Cs") or char in "\u200c\u200d":
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def number(value: float) -> str:
    """Six significant digits and no noise: 0.30000000000000004 is 0.3, 1e-05 is 1e-5, 12.0 is 12; integers whole."""
    if type(value) is float and not value.is_integer() and "e" not in (text := f"{value:.6g}"):
        return text  # most of a table is this
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if value != value else "inf" if value > 0 else "-inf"
    if abs(value) < (10**15 if isinstance(value, float) else _WHOLE) and value == int(value):
        return str(int(value))
    try:
        text = f"{value:.6g}"
    except OverflowError:  # an int beyond 1e308
        return f"{'-' if value < 0 else ''}1e{int(math.log10(abs(value)))}"
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if e else text


def value(thing: Any) -> str:
    """A parameter's value: numbers by `number`, strings as they are, else JSON text."""
    kind = type(thing)
    if kind is float or kind is int:  # most are
        return number(thing)
    if isinstance(thing, str):
        return safe_text(thing)
    if isinstance(thing, (int, float)) and not isinstance(thing, bool):
        return number(thing)
    try:
        return safe_text(json.dumps(thing, ensure_ascii=False))
    except (TypeError, ValueError):
        return safe_text(str(thing))


def assignments(params: Mapping[str, Any], width: int | None = None) -> str:
    """`lr=0.01 hidden=64 note="two words"`, cut to `width` columns: long names with dots first, then the end."""
    text = _assignments(params, width, None)
    if width is None or columns(text) <= width:
        return text
    return cut(_assignments(params, width, SHORT_NAME), width)


def _assignments(params: Mapping[str, Any], width: int | None, longest_name: int | None) -> str:
    words = []
    room = width if width is not None else math.inf
    for name, thing in params.items():
        shown = value(thing)
        if isinstance(thing, str) and (not shown or " " in shown or '"' in shown):
            shown = json.dumps(shown, ensure_ascii=False)
        name = name if name.isprintable() else safe_text(name)
        if longest_name is not None and ("." in name or "/" in name):
            name = cut_name(name, longest_name)
        words.append(f"{name}={shown}")
        room -= len(words[-1])
        if room < 0:
            break
    return " ".join(words)


def counted(count: int, one: str, many: str = "") -> str:
    """`1 trial`, `2 trials`; `many`: if it is not `one` with an s."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def size_text(size: float) -> str:
    """`28 kB`, `1.2 MB`, of a number of bytes."""
    units = ["byte" if size == 1 else "bytes", "kB", "MB", "GB", "TB"]
    while size >= 999.5 and len(units) > 1:
        size /= 1000
        del units[0]
    return f"{size:.0f} {units[0]}" if units[0].startswith("byte") or size >= 9.95 else f"{size:.1f} {units[0]}"


def duration(seconds: float | None, *, tenths: bool = True) -> str:
    """`3.2 s` (without `tenths`: `3 s`), `1m 04s`, `2h 10m`, `3d 04h`; empty for None."""
    if seconds is None:
        return ""
    if not math.isfinite(seconds):
        return "?"
    seconds = max(0.0, seconds)
    if seconds < (59.95 if tenths else 59.5):
        return f"{seconds:.{1 if tenths else 0}f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}h {minutes:02d}m"
    return f"{hours // 24}d {hours % 24:02d}h"


def columns(text: str) -> int:
    """How many columns of a terminal `text` takes."""
    if text.isascii():
        return len(text)
    return sum(map(_columns, text))


def _columns(char: str) -> int:
    if char.isascii():
        return 1
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def cut(text: str, width: int) -> str:
    """`text` in at most `width` columns, its end replaced by an ellipsis if it does not fit."""
    if len(text) * 2 <= width or columns(text) <= width:
        return text
    if width <= 0:
        return ""
    used = 0
    for i, char in enumerate(text):
        used += _columns(char)
        if used > width - 1:
            return text[:i].rstrip() + ELLIPSIS
    return text


def cut_name(name: str, width: int) -> str:
    """`name` in at most `width` columns; one with dots or slashes loses its beginning: `optimizer.init_args.lr` is
    `…init_args.lr`."""
    if columns(name) <= width or not ("." in name or "/" in name):
        return cut(name, width)
    parts = re.split(r"(?<=[./])", name)
    for i in range(1, len(parts)):
        rest = "".join(parts[i:])
        if rest and columns(rest) < width:
            return ELLIPSIS + rest
    rest = parts[-1] or name
    while rest and columns(rest) >= width:
        rest = rest[1:]
    return ELLIPSIS + rest if width > 0 else ""


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]], *, align: str = "", width: int | None = None) -> str:
    """Aligned columns two spaces apart, no line longer than `width` (None: as long as it takes).

    Args:
        align: a letter a column, l or r; columns without one go left. Headers follow their column.
        rows: cells of any type; numbers by `number`, None is empty, strings made safe.
    """
    lines = [[safe_text(h) for h in headers]]
    lines += [[_cell(row[i]) if i < len(row) else "" for i in range(len(headers))] for row in rows]
    plain = all(map(str.isascii, map("".join, lines)))  # then a character is a column
    taken = [[len(line[i]) if plain else columns(line[i]) for line in lines] for i in range(len(headers))]
    widths = list(map(max, taken))
    if width is not None:
        widths = _narrowed(widths, [sizes[0] for sizes in taken], width - 2 * (len(headers) - 1))
    padded = []
    for i, (w, sizes) in enumerate(zip(widths, taken, strict=True)):
        cells = [line[i] if size <= w else cut(line[i], w) for line, size in zip(lines, sizes, strict=True)]
        cells[0] = lines[0][i] if sizes[0] <= w else cut_name(lines[0][i], w)
        right = align[i : i + 1] == "r"
        if not plain:
            cells = [_pad(cell, w, right) for cell in cells]
        else:
            cells = [cell.rjust(w) for cell in cells] if right else [cell.ljust(w) for cell in cells]
        padded.append(cells)
    texts = ["  ".join(cells).rstrip() for cells in zip(*padded, strict=True)]
    return "\n".join(texts if width is None else [cut(text, width) for text in texts])


def room_beside(
    headers: Sequence[str], rows: Sequence[Sequence[str]], width: int | None, least: int = 20
) -> int | None:
    """Columns left beside such a table for one more column; at least `least`, None if there is no limit."""
    if width is None:
        return None
    used = sum(max(map(columns, cells)) + 2 for cells in zip(headers, *rows, strict=True))
    return max(least, width - used)


def _cell(thing: Any) -> str:
    if type(thing) is str and thing.isprintable():
        return thing
    return "" if thing is None else value(thing)


def _pad(text: str, width: int, right: bool) -> str:
    gap = " " * (width - columns(text))
    return gap + text if right else text + gap


def _narrowed(widths: list[int], headers: list[int], room: int) -> list[int]:
    """Takes from the widest columns first, and below their headers only when nothing else is left to take."""
    widths = [min(w, max(room, 1)) for w in widths]
    for floors in ([max(h, 8) for h in headers], [3] * len(widths)):
        while sum(widths) > room:
            widest = max(range(len(widths)), key=lambda i: widths[i] if widths[i] > floors[i] else 0)
            if widths[widest] <= floors[widest]:
                break
            widths[widest] -= 1
    return widths


def next_lines(steps: Sequence[tuple[str, str]], width: int) -> list[str]:
    """Commands worth typing next, each with a comment, in lines of `width` columns.

    The comments stand in one column; without room for that, each is below its command.
    """
    widest = max((len(command) for command, _ in steps if len(command) <= 50), default=0)
    out: list[str] = []
    for command, comment in steps:
        full = f"{command:{widest}}  # {comment}"
        out += [full] if columns(full) <= width - 8 else [command, f"  # {comment}"]
    return [f"{'' if number else 'next':8}{line}" for number, line in enumerate(out)]
