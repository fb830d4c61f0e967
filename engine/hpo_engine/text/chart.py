"""Charts made of characters, for a terminal: points, lines and steps between two axes, and bars.

Braille patterns have eight dots per character; a terminal that cannot show them gets ASCII. Knows no study.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from hpo_engine.text.tables import columns, cut_name, number, safe_text

COLOURS = {"blue": 34, "yellow": 33, "green": 32, "magenta": 35, "cyan": 36, "red": 31, "grey": 90}
"""Names of colours -> their codes (SGR)."""
_BRAILLE = 0x2800
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of rows and columns within a character
_MARKS = "*o+x#@%&"
_FEW = 300  # dots that are drawn as a whole character each
_EIGHTHS = " ▏▎▍▌▋▊▉█"


@dataclass(frozen=True)
class Style:
    """`width`: columns. `height`: lines of the area between the axes. `plain`: ASCII only. `coloured`: with colours."""

    width: int
    height: int = 16
    plain: bool = False
    coloured: bool = False


@dataclass(frozen=True)
class Series:
    """Points in their order, drawn as dots, as a line through them, or as steps; those that are not finite are left
    out."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str = "blue"
    form: str = "dots"  # dots | line | steps
    mark: str = "•"  # of a dot, if there are few; in ASCII each series has its own


@dataclass(frozen=True)
class Chart:
    """What is drawn.

    `x_range`, `y_range`: None: as far as the data go. `log`: a logarithmic y axis. `ticks`: places on the x axis and
    what stands there. `notes`: lines below.
    """

    title: str
    series: Sequence[Series]
    x_title: str = ""
    y_title: str = ""
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    log: bool = False
    ticks: Sequence[tuple[float, str]] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Bar:
    """`share` in [0, 1]; `faint`: no more than chance. `text`: what stands behind it."""

    name: str
    share: float
    text: str
    faint: bool = False


def drawn(chart: Chart, style: Style) -> list[str]:
    """The lines of a chart, none longer than the width."""
    up = (lambda v: math.log10(v) if v > 0 else math.nan) if chart.log else float
    points = [(s, [(float(a), up(b)) for a, b in zip(s.x, s.y, strict=True)]) for s in chart.series]
    points = [(s, [p for p in found if math.isfinite(p[0]) and math.isfinite(p[1])]) for s, found in points]
    everything = [p for _, found in points for p in found]
    left, right = chart.x_range or _span([x for x, _ in everything])
    low, high = _ends([y for _, y in everything]) if chart.y_range is None else tuple(map(up, chart.y_range))
    labels = _labels(low, high, style.height, chart.log)
    margin = max(map(len, labels.values()), default=0)
    canvas = _Canvas(max(8, style.width - margin - 2), style.height, style.plain)
    for number_, (series, found) in enumerate(points):
        places = [((x - left) / (right - left), (y - low) / (high - low)) for x, y in found]
        mark = _MARKS[number_ % len(_MARKS)] if style.plain else series.mark if len(found) <= _FEW else ""
        canvas.draw(places, series.form, series.colour, mark)
    edge, corner, rule = ("|", "+", "-") if style.plain else ("│", "└", "─")
    lines = [safe_text(chart.title), *([f"{'':{margin}} {safe_text(chart.y_title)}"] if chart.y_title else [])]
    for row in range(style.height):
        lines.append(f"{labels.get(row, ''):>{margin}} {edge}{canvas.line(row, style.coloured)}".rstrip())
    lines.append(f"{'':{margin}} {corner}{rule * canvas.width}")
    lines.append(f"{'':{margin}}  {_under(chart, left, right, canvas.width)}".rstrip())
    lines += [f"{'':{margin}}  {line}" for line in _legend(chart.series, style, canvas.width)]
    return [*lines, *(safe_text(note) for note in chart.notes)]


def bars(found: Sequence[Bar], style: Style) -> list[str]:
    """A line for each bar."""
    names = min(max((columns(safe_text(bar.name)) for bar in found), default=0), max(12, style.width // 3))
    texts = max((len(bar.text) for bar in found), default=0)
    room = max(5, style.width - names - texts - 4)
    top = max((bar.share for bar in found), default=0.0) or 1.0
    lines = []
    for bar in found:
        name = cut_name(safe_text(bar.name), names)
        body = _bar(bar.share / top * room, style.plain, bar.faint)
        body = _painted(body, "grey" if bar.faint else "blue", style.coloured) + " " * (room - len(body))
        lines.append(f"{name}{' ' * (names - columns(name))}  {body}  {bar.text}".rstrip())
    return lines


def _bar(length: float, plain: bool, faint: bool) -> str:
    whole = int(length)
    if plain:
        return ("." if faint else "#") * round(length)
    if faint:
        return "░" * round(length)
    return "█" * whole + _EIGHTHS[int((length - whole) * 8)].strip()


class _Canvas:
    """Characters, each of two by four dots (`plain`: of one); the last colour that is drawn there wins."""

    def __init__(self, width: int, height: int, plain: bool) -> None:
        self.width, self.height, self._plain = width, height, plain
        self._across, self._down = (1, 1) if plain else (2, 4)
        self._cells = [[0] * width for _ in range(height)]
        self._marks = [[""] * width for _ in range(height)]
        self._colours = [[""] * width for _ in range(height)]

    def draw(self, places: Sequence[tuple[float, float]], form: str, colour: str, mark: str) -> None:
        """Places in [0, 1]^2 from the lower left; what is outside is not drawn. `mark`: of whole characters; lines have
        none but in ASCII."""
        wide, high = self.width * self._across - 1, self.height * self._down - 1
        dots = [(x * wide, (1 - y) * high) for x, y in places]
        if form == "dots" or len(dots) == 1:
            for x, y in dots:
                self._dot(x, y, colour, mark)
            return
        mark = mark if self._plain else ""
        for (x, y), (to_x, to_y) in pairwise(dots):
            if form == "steps":
                self._stroke(x, y, to_x, y, colour, mark)
                x = to_x
            self._stroke(x, y, to_x, to_y, colour, mark)

    def line(self, row: int, coloured: bool) -> str:
        cells = [chr(_BRAILLE + cell) if cell else " " for cell in self._cells[row]]
        texts = [mark or cell for mark, cell in zip(self._marks[row], cells, strict=True)]
        if not coloured:
            return "".join(texts)
        out, at = "", 0
        while at < self.width:
            end = at
            while end < self.width and self._colours[row][end] == self._colours[row][at]:
                end += 1
            out += _painted("".join(texts[at:end]), self._colours[row][at], True)
            at = end
        return out

    def _stroke(self, x: float, y: float, to_x: float, to_y: float, colour: str, mark: str) -> None:
        steps = max(1, min(math.ceil(max(abs(to_x - x), abs(to_y - y))), 4 * (self.width + self.height) * self._down))
        for i in range(steps + 1):
            self._dot(x + (to_x - x) * i / steps, y + (to_y - y) * i / steps, colour, mark)

    def _dot(self, x: float, y: float, colour: str, mark: str) -> None:
        column, row = round(x), round(y)
        if not (0 <= column < self.width * self._across and 0 <= row < self.height * self._down):
            return
        i, j = row // self._down, column // self._across
        if not self._plain:
            self._cells[i][j] |= _DOTS[row % 4][column % 2]
            if not mark and self._marks[i][j]:
                return  # a line goes behind dots
        self._marks[i][j], self._colours[i][j] = mark, colour


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values, default=0.0), max(values, default=1.0)
    return (low, high) if low < high else (low - max(abs(low), 1.0) * 0.02, high + max(abs(high), 1.0) * 0.02)


def _ends(values: Sequence[float]) -> tuple[float, float]:
    low, high = _span(values)
    pad = (high - low) * 0.02
    return low - pad, high + pad


def _labels(low: float, high: float, height: int, log: bool) -> dict[int, str]:
    """Row -> the value there."""
    out = {}
    for row in sorted({0, height // 4, height // 2, height * 3 // 4, height - 1}):
        at = high - (high - low) * (row + 0.5) / height
        value = 10**at if log else at
        out[row] = number(float(f"{value:.3g}"))
    return out


def _under(chart: Chart, left: float, right: float, width: int) -> str:
    """The line below the x axis: what stands at its places, and the title in the middle if there is room."""
    places = chart.ticks or [(left, number(float(f"{left:.3g}"))), (right, number(float(f"{right:.3g}")))]
    line = [" "] * width
    middle = safe_text(chart.x_title)
    for at, text in places:
        text = safe_text(text)
        begin = round((at - left) / (right - left) * (width - 1)) - len(text) // 2
        begin = min(max(begin, 0), width - len(text))
        if begin >= 0 and not "".join(line[max(0, begin - 1) : begin + len(text) + 1]).strip():
            line[begin : begin + len(text)] = text
    begin = (width - len(middle)) // 2
    if middle and begin > 0 and not "".join(line[begin - 2 : begin + len(middle) + 2]).strip():
        line[begin : begin + len(middle)] = middle
    return "".join(line).rstrip()


def _legend(series: Sequence[Series], style: Style, width: int) -> list[str]:
    entries = []
    for i, one in enumerate(series):
        if not one.name:
            continue
        mark = _MARKS[i % len(_MARKS)] if style.plain else one.mark if one.form == "dots" else "━"
        entries.append((f"{mark} {safe_text(one.name)}", one.colour))
    lines, now, used = list[str](), "", 0
    for text, colour in entries:
        if used and used + 3 + columns(text) > width:
            lines.append(now)
            now, used = "", 0
        now += ("   " if used else "") + _painted(text[0], colour, style.coloured) + text[1:]
        used += columns(text) + (3 if used else 0)
    return [*lines, now] if now else lines


def _painted(text: str, colour: str, coloured: bool) -> str:
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if coloured and colour and text.strip() else text
