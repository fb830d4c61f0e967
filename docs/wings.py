"""The wings of the package: the table in architecture.md, the real imports, and the picture of both.

    python -m docs.wings    prints the picture, docs/wings.svg (`python -m docs.generate` writes it)

The picture is a layered drawing with one layer per floor. A long arrow passes through an invisible point on each floor
between its ends, and rounds of moving every point toward its neighbours keep arrows short. Arrows that others imply are
left out.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
PACKAGE = ROOT / "engine" / "hpo_engine"


class Wing(NamedTuple):
    floor: int
    about: str


def table() -> dict[str, Wing]:
    """The wings by name, as architecture.md describes them."""
    found = re.findall(r"^\| (\d+) \| `(\w+)/?` \| (.+?) \|$", PAGE.read_text(encoding="utf-8"), re.M)
    return {name: Wing(int(floor), about) for floor, name, about in found}


def wings() -> dict[str, Path]:
    """Wing -> its file or folder."""
    found = {path.stem: path for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    del found["__init__"], found["__main__"]
    return found


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """The modules of the package that a file imports anywhere in it, with their lines."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "hpo_engine":
            yield from ((f"hpo_engine.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hpo_engine."):
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((a.name, node.lineno) for a in node.names if a.name.startswith("hpo_engine."))


def arrows() -> dict[str, set[str]]:
    """Wing -> the other wings that any of its files imports from."""
    found: dict[str, set[str]] = {}
    for wing, top in wings().items():
        files = top.rglob("*.py") if top.is_dir() else [top]
        names = {module.split(".")[1] for path in files for module, _ in imports(path)}
        found[wing] = (names & set(wings())) - {wing}
    return found


def direct(graph: dict[str, set[str]]) -> list[tuple[str, str]]:
    """The arrows of an acyclic graph that no path of other arrows implies, sorted."""

    def below(wing: str) -> set[str]:
        return graph[wing].union(*(below(other) for other in graph[wing])) if graph[wing] else set()

    return sorted(
        (wing, other)
        for wing, others in graph.items()
        for other in others
        if not any(other in below(between) for between in others - {other})
    )


# -- the layout --------------------------------------------------------------------------------------------------------

WIDTH, MARGIN, LEFT = 1000, 22, 40
BOX, LINE, GAP = (204, 62), 16, 18  # a wing's size; the width that a passing arrow needs; the space between neighbours
FLOOR = 104  # from one floor to the next
ROUNDS, STARTS = 24, 12


@dataclass(eq=False)
class Point:
    """A wing, or where an arrow passes a floor (`wing` is empty)."""

    floor: int
    wing: str = ""
    x: float = WIDTH / 2
    near: list[Point] = field(default_factory=list)  # neighbours on other floors

    @property
    def width(self) -> int:
        return BOX[0] if self.wing else LINE


Layout = tuple[list[list[Point]], list[list[Point]]]
"""Floors from the lowest, each from left to right, and arrows as points from tail to head."""


def layout() -> Layout:
    """The least tangled of some arrangements."""
    known, edges = table(), direct(arrows())
    return min((_arranged(known, edges, start) for start in range(STARTS)), key=_tangle)


def _arranged(known: dict[str, Wing], edges: list[tuple[str, str]], start: int) -> Layout:
    """One arrangement; `start` turns the order in which the points of each floor begin."""
    wing_points = {name: Point(wing.floor, name) for name, wing in known.items()}
    floors: list[list[Point]] = [[] for _ in range(max(w.floor for w in known.values()))]
    for point in wing_points.values():
        floors[point.floor - 1].append(point)
    paths = []
    for tail, head in edges:
        between = [Point(floor) for floor in range(known[tail].floor - 1, known[head].floor, -1)]
        for point in between:
            floors[point.floor - 1].append(point)
        path = [wing_points[tail], *between, wing_points[head]]
        for upper, lower in zip(path, path[1:], strict=False):
            upper.near.append(lower)
            lower.near.append(upper)
        paths.append(path)
    for points in floors:
        for i, point in enumerate(points):
            point.x = WIDTH * ((i + start) % len(points) + 1) / (len(points) + 1)
    for turn in range(ROUNDS):
        for points in floors if turn % 2 else reversed(floors):
            _settle(points)
    return floors, paths


def _settle(points: list[Point]) -> None:
    """Moves each point of a floor to the mean of its neighbours, and then apart from the points beside it."""
    wanted = {point: sum(p.x for p in point.near) / len(point.near) if point.near else point.x for point in points}
    points.sort(key=lambda point: wanted[point])
    for point in points:
        point.x = wanted[point]
    for _ in range(60):
        moved = False
        for left, right in zip(points, points[1:], strict=False):
            overlap = (left.width + right.width) / 2 + GAP - (right.x - left.x)
            if overlap > 0.1:
                left.x, right.x, moved = left.x - overlap / 2, right.x + overlap / 2, True
        for point in points:
            point.x = min(max(point.x, LEFT + MARGIN + point.width / 2), WIDTH - MARGIN - point.width / 2)
        if not moved:
            break


def _tangle(found: Layout) -> tuple[int, int]:
    """How many arrows cross, then how far they go sideways."""
    pieces = [(upper, lower) for path in found[1] for upper, lower in zip(path, path[1:], strict=False)]
    crossings = sum(
        (a.x - c.x) * (b.x - d.x) < 0 for a, b in pieces for c, d in pieces if a.floor == c.floor and a is not c
    )
    return crossings, round(sum(abs(upper.x - lower.x) for upper, lower in pieces))


# -- the picture -------------------------------------------------------------------------------------------------------

STYLE = """
  text { font-family: 'DejaVu Sans', Verdana, sans-serif; }
  .page { fill: #fbfcfe; }
  .floor { fill: #eef3f9; }
  .number { font-size: 13px; fill: #8295ad; text-anchor: middle; }
  .box { fill: #ffffff; stroke: #35618f; stroke-width: 1.4; }
  .name { font-family: 'DejaVu Sans Mono', Menlo, Consolas, monospace; font-size: 14px; font-weight: bold; fill: #1d3a5a; text-anchor: middle; }
  .about { font-size: 10.5px; fill: #44566c; text-anchor: middle; }
  .arrow { fill: none; stroke: #6d8fb5; stroke-width: 1.5; }
"""  # noqa: E501


def svg() -> str:
    """The picture; the same text for the same table and imports."""
    floors, paths = layout()
    height = FLOOR * len(floors) + 2 * MARGIN - (FLOOR - BOX[1] - 24)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">',
        "<title>The wings of hpo_engine, floor by floor; an arrow is an import</title>",
        f"<style>{STYLE}</style>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0,0.5 L8,4 L0,7.5 z" fill="#6d8fb5"/></marker></defs>',
        f'<rect class="page" width="{WIDTH}" height="{height}" rx="12"/>',
    ]
    top = {floor: MARGIN + 12 + FLOOR * (len(floors) - floor) for floor in range(1, len(floors) + 1)}
    for floor in sorted(top, reverse=True):
        y = top[floor] - 12
        parts.append(f'<rect class="floor" x="{MARGIN}" y="{y}" width="{WIDTH - 2 * MARGIN}" height="86" rx="8"/>')
        parts.append(f'<text class="number" x="{MARGIN + 18}" y="{y + 48}">{floor}</text>')
    parts += [_arrow(path, top) for path in paths]
    about = table()
    parts += [_box(p, top[p.floor], about[p.wing].about) for points in reversed(floors) for p in points if p.wing]
    return "\n".join([*parts, "</svg>", ""])


def _box(point: Point, y: int, about: str) -> str:
    x, (width, height) = round(point.x), BOX
    lines = textwrap.wrap(about.replace("`", ""), 34)
    if len(lines) > 2:
        raise ValueError(f"the description of {point.wing} does not fit into its box: {about}")
    texts = "".join(
        f'<text class="about" x="{x}" y="{y + 38 + 13 * i}">{escape(line)}</text>' for i, line in enumerate(lines)
    )
    return (
        f'<rect class="box" x="{x - width // 2}" y="{y}" width="{width}" height="{height}" rx="6"/>'
        f'<text class="name" x="{x}" y="{y + 20}">{point.wing}</text>{texts}'
    )


def _arrow(path: list[Point], top: dict[int, int]) -> str:
    """A smooth line from the lower edge of one box to the upper edge of another; straight down past a floor."""
    tail, *between, head = path
    x, y = tail.x + _port(tail, path[1]), top[tail.floor] + BOX[1]
    drawn = f"M{x:.0f},{y}"
    for point in between:
        upper, lower = top[point.floor] - 12, top[point.floor] + BOX[1] + 12
        drawn += f" {_curve(x, y, point.x, upper)} L{point.x:.0f},{lower}"
        x, y = point.x, lower
    return f'<path class="arrow" marker-end="url(#head)" d="{drawn} {_curve(x, y, head.x + _port(head, path[-2]), top[head.floor])}"/>'  # noqa: E501


def _port(box: Point, other: Point) -> float:
    """Where on a box's edge, from its middle, the arrow to or from `other` is: in the order of the other ends."""
    same = sorted((p for p in box.near if (p.floor < box.floor) == (other.floor < box.floor)), key=lambda p: p.x)
    return (same.index(other) + 0.5 - len(same) / 2) * min(26, (BOX[0] - 30) / len(same))


def _curve(x: float, y: float, to_x: float, to_y: float) -> str:
    middle = (y + to_y) / 2
    return f"C{x:.0f},{middle:.0f} {to_x:.0f},{middle:.0f} {to_x:.0f},{to_y:.0f}"


if __name__ == "__main__":
    print(svg(), end="")
