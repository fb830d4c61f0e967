"""Figures of many small panels: where each is, which trials are drawn in it, the colours of values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import plotly.graph_objects as go

from hpo_engine.reports.figures import theme
from hpo_engine.reports.figures.frame import Frame
from hpo_engine.reports.figures.scales import ticks
from hpo_engine.reports.figures.words import label, words
from hpo_engine.text.tables import value

MOST_POINTS = 900
"""In one panel; of more trials the best ones, and an even choice of the others, which hides nothing that could be
seen."""


def compact(values: np.ndarray) -> np.ndarray:  # any shape
    """As 32-bit numbers, half the size of a page, if nobody can tell the difference in a picture; else as they are."""
    sizes = np.abs(values[np.isfinite(values) & (values != 0)])
    if len(sizes) == 0:
        return values.astype(np.float32)
    largest = float(sizes.max())
    if largest > 1e38 or float(sizes.min()) < 1e-37:
        return values
    crowded = float(np.nanmax(values) - np.nanmin(values)) < 1e-4 * largest  # an offset: 32 bits would make steps of it
    return values if crowded else values.astype(np.float32)


def chosen(frame: Frame, rows: np.ndarray, most: int = MOST_POINTS) -> np.ndarray:
    """The trials to draw, in the order in which to draw them: the best ones and all of the front last."""
    rows = rows[np.lexsort([-frame.losses[rows, 0], frame.front[rows]])]
    most = max(most, 2 * int(frame.front[rows].sum()))
    if len(rows) <= most:
        return rows
    best = rows[-(most // 2) :]
    others = rows[: len(rows) - len(best)]
    return np.concatenate([others[np.linspace(0, len(others) - 1, most - len(best)).astype(int)], best])


GOOD_TO_BAD = [[0.0, theme.BLUE], [0.4, theme.SKY], [1.0, theme.FAINT]]
"""The colour scale of losses: good ones stand out from either background."""
BAD_TO_GOOD = [[0.0, theme.FAINT], [0.6, theme.SKY], [1.0, theme.BLUE]]


def colorbar(title: str, height: int = 0, **more: Any) -> dict[str, Any]:
    """The key of a colour scale; `height`: pixels of the figure, if the key is to be shorter than that."""
    size = {"len": min(1.0, 320 / height)} if height else {}
    return {
        "title": {"text": title, "font": {"size": 12}}, "tickfont": {"size": 11, "color": theme.MUTED}, "thickness": 12,
        "outlinewidth": 0, **size, **more,
    }  # fmt: skip


def dots(n: int) -> dict[str, Any]:
    """Size and opacity of n dots in a panel."""
    size = 8 if n <= 100 else 6 if n <= 400 else 4
    return {"size": size, "opacity": 0.85 if n <= 400 else 0.65}


class Grid:
    """`count` panels in rows of at most `columns`, from the top left.

    Args:
        gap: between two in a row, as a share of the width. height, row_gap: of a panel, and between rows (pixels).
    """

    def __init__(self, count: int, columns: int, *, gap: float = 0.06, height: int = 230, row_gap: int = 74) -> None:
        self.columns = min(columns, count)
        self._gap, rows = gap, math.ceil(count / self.columns)
        inner = rows * height + (rows - 1) * row_gap
        self.height = inner + 120
        self._row, self._row_gap = height / inner, row_gap / inner

    def domains(self, i: int) -> tuple[list[float], list[float]]:
        """The x and the y domain of panel i."""
        row, column = divmod(i, self.columns)
        width = (1 - self._gap * (self.columns - 1)) / self.columns
        left, top = column * (width + self._gap), 1 - row * (self._row + self._row_gap)
        return [left, min(1.0, left + width)], [max(0.0, top - self._row), top]


def axis_of(frame: Frame, name: str, most: int = 5, width: int = 14) -> dict[str, Any]:
    """The layout of an axis for a parameter."""
    at, text = ticks(frame.spec.space, name, most, width)
    return {
        "title": {"text": label(name, 26), "standoff": 4}, "range": [-0.04, 1.04], "tickvals": at, "ticktext": text,
        "showgrid": False, "tickangle": 0 if sum(map(len, text)) < 34 else -30,
    }  # fmt: skip


def key(i: int) -> str:
    """The suffix of panel i's axes."""
    return "" if i == 0 else str(i + 1)


def star(frame: Frame, front: np.ndarray, x: np.ndarray, y: np.ndarray, i: int, name: str = "") -> go.Scatter:
    """The trials of the front, or the best one, at these places of panel i; the first panel has them in the legend."""
    name = name or ("Pareto front" if frame.spec.multi_objective else "best trial")
    return go.Scatter(
        x=x, y=y, mode="markers", name=name, legendgroup="front", showlegend=i == 0, text=frame.hovers[front],
        hovertemplate="%{text}<extra></extra>", xaxis=f"x{key(i)}", yaxis=f"y{key(i)}",
        marker={"color": theme.BEST, "symbol": "star", "size": 12, "line": {"color": theme.PAPER, "width": 1}},
    )  # fmt: skip


def shown(thing: Any) -> str:
    """A parameter's value in a hover."""
    return words(value(thing), 40)
