"""Parallel coordinates: each trial is a line through its parameters, coloured by its value."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from hpo_engine.reports.figures import panels, theme
from hpo_engine.reports.figures.frame import Frame, with_results
from hpo_engine.reports.figures.importance import leading
from hpo_engine.reports.figures.scales import ticks
from hpo_engine.reports.figures.words import bare, label
from hpo_engine.study.history import History
from hpo_engine.text.tables import cut_name, number, safe_text

MOST = 24
"""Axes for parameters: the most important ones."""
_ABSENT = -0.14  # the place of "not set", below the range
_SCALE = ((0.0, theme.BLUE), (0.12, theme.SKY), (0.4, theme.FAINT), (1.0, theme.FAINT))  # most lines stay behind
_LINES = 400  # more cannot be told apart
_MANY = 9  # axes, from which on their names are slanted


def parallel(history: History) -> go.Figure:
    """The comparable trials, the best drawn last; the objectives first, then the parameters, the most important next to
    them. An axis can be brushed to select trials, and moved."""
    frame = with_results(history)
    rows = panels.chosen(frame, np.flatnonzero(frame.comparable), _LINES)
    aims = frame.spec.objectives
    dimensions = [_objective(frame, rows, k) for k in range(min(len(aims), 4))]
    names = leading(history, MOST)
    dimensions += [_parameter(frame, rows, name, len(names)) for name in names]
    values = frame.values[rows, 0]
    ends = theme.visible(values, lower_is_better=aims[0].goal != "maximize") or (values.min(), values.max())
    crowded = len(dimensions) >= _MANY
    figure = theme.new(height=theme.HEIGHT + (110 if crowded else 30))
    figure.add_trace(go.Parcoords(
        dimensions=dimensions, labelangle=-40 if crowded else 0, labelside="top",
        line={
            "color": panels.compact(np.clip(values, *ends)), "cmin": float(ends[0]), "cmax": float(ends[1]),
            "colorscale": [(1 - at, colour) for at, colour in _SCALE[::-1]] if aims[0].goal == "maximize" else _SCALE,
            "showscale": True,
            "colorbar": panels.colorbar(label(aims[0].metric, 18), x=1.03),
        },
        unselected={"line": {"color": theme.FAINT, "opacity": 0.25}},
        labelfont={"color": theme.INK, "size": 12}, tickfont={"color": theme.MUTED, "size": 10 if crowded else 11},
        rangefont={"color": theme.PAPER, "size": 1},
    ))  # fmt: skip
    figure.update_layout(margin={"l": 84, "r": 44, "t": 136 if crowded else 64, "b": 28})
    return figure


def _objective(frame: Frame, rows: np.ndarray, k: int) -> dict[str, Any]:
    aim, values = frame.spec.objectives[k], frame.values[rows, k]
    low, high = float(values.min()), float(values.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    places = np.linspace(low, high, 6)
    return {
        "label": _short(aim.metric), "values": panels.compact(values), "range": [low, high],
        "tickvals": places.tolist(), "ticktext": _texts(places),
    }  # fmt: skip


def _texts(places: np.ndarray) -> list[str]:
    """With three digits, or as many as it takes to tell neighbours apart."""
    for digits in range(3, 7):
        texts = [number(float(f"{one:.{digits}g}")) for one in places]
        if len(set(texts)) == len(texts):
            return texts
    for digits in range(7, 18):
        texts = [f"{one:.{digits}g}" for one in places]
        if len(set(texts)) == len(texts):
            break
    return texts


def _parameter(frame: Frame, rows: np.ndarray, name: str, count: int) -> dict[str, Any]:
    places = frame.unit[rows, frame.names.index(name)]
    absent = np.isnan(places)
    at, text = ticks(frame.spec.space, name, most=6, width=9 if count >= _MANY else 14, markup=False)
    if absent.any():
        at, text = [_ABSENT, *at], ["not set", *text]
    return {
        "label": _short(name), "values": np.where(absent, _ABSENT, places).astype(np.float32),
        "range": [_ABSENT if absent.any() else 0, 1], "tickvals": at, "ticktext": text,
    }  # fmt: skip


def _short(name: str) -> str:
    """A name above an axis, where Plotly reads no markup."""
    return bare(cut_name(safe_text(name), 16))
