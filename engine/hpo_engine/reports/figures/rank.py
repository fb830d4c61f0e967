"""Ranks: pairs of the parameters that matter most, trials coloured by rank, so that no outlier hides the rest."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import plotly.graph_objects as go

from hpo_engine.reports.figures import NothingToShow, panels, theme
from hpo_engine.reports.figures.frame import Frame, with_results
from hpo_engine.reports.figures.importance import leading
from hpo_engine.reports.figures.scales import spread
from hpo_engine.reports.figures.words import label
from hpo_engine.study.history import History

MOST = 4
"""Parameters whose pairs are shown."""


def rank(history: History, *, objective: int = 0) -> go.Figure:
    """A panel for each pair of the most important parameters.

    Args:
        objective: the number of the objective, from 0.
    """
    frame = with_results(history)
    rows = np.flatnonzero(frame.comparable)
    there = ~np.isnan(frame.unit[rows])
    columns = {name: there[:, frame.names.index(name)] for name in leading(history, MOST)}
    pairs = [(a, b) for a, b in combinations(columns, 2) if (columns[a] & columns[b]).any()]
    if not pairs:
        raise NothingToShow("it takes two parameters with more than one value that apply together")
    share = np.full(len(frame), np.nan)
    losses = frame.losses[rows, objective]
    share[rows] = np.searchsorted(np.sort(losses), losses) / max(1, len(rows) - 1)
    rows = panels.chosen(frame, rows)
    grid = panels.Grid(len(pairs), 3, gap=0.14, height=250)
    figure = theme.new(height=grid.height)
    for i, (a, b) in enumerate(pairs):
        x, y = grid.domains(i)
        key = panels.key(i)
        figure.add_trace(_dots(frame, rows, a, b, share, i))
        front = rows[frame.front[rows]]
        places = [frame.unit[front, frame.names.index(name)] for name in (a, b)]
        figure.add_trace(panels.star(frame, front, places[0], places[1], i))
        figure.update_layout({
            f"xaxis{key}": {**panels.axis_of(frame, a, 3), "domain": x, "anchor": f"y{key}"},
            f"yaxis{key}": {**panels.axis_of(frame, b, 5, 7), "domain": y, "anchor": f"x{key}", "tickangle": 0},
        })  # fmt: skip
    metric = label(frame.spec.objectives[objective].metric, 20)
    figure.update_layout(coloraxis={
        "colorscale": panels.GOOD_TO_BAD, "cmin": 0, "cmax": 1,
        "colorbar": panels.colorbar(
            f"rank by {metric}", grid.height, tickvals=[0, 0.25, 0.5, 0.75, 1],
            ticktext=["best", "25%", "50%", "75%", "worst"],
        ),
    })  # fmt: skip
    return figure


def _dots(frame: Frame, rows: np.ndarray, a: str, b: str, share: np.ndarray, i: int) -> go.Scatter:
    places = [frame.unit[rows, frame.names.index(name)] for name in (a, b)]
    there = ~np.isnan(places[0]) & ~np.isnan(places[1])
    rows = rows[there]
    x, y = (spread(frame.spec.space, name, place[there]) for name, place in zip((a, b), places, strict=True))
    texts = [frame.column(name) for name in (a, b)]
    return go.Scatter(
        x=x.astype(np.float32), y=y.astype(np.float32), mode="markers", showlegend=False,
        text=[f"{panels.shown(texts[0][row])}<br>{label(b)} = {panels.shown(texts[1][row])}" for row in rows],
        customdata=rows.astype(np.int32),
        hovertemplate=f"trial %{{customdata}}<br>{label(a)} = %{{text}}<extra></extra>",
        xaxis=f"x{panels.key(i)}", yaxis=f"y{panels.key(i)}",
        marker={"color": share[rows].astype(np.float32), "coloraxis": "coloraxis", **panels.dots(len(rows))},
    )  # fmt: skip
