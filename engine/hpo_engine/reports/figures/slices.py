"""Slices: the value of each trial over each of its parameters."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from hpo_engine.reports.figures import NothingToShow, panels, theme
from hpo_engine.reports.figures.frame import Frame, with_results
from hpo_engine.reports.figures.importance import leading
from hpo_engine.reports.figures.scales import spread
from hpo_engine.reports.figures.words import NUMBER, label
from hpo_engine.study.history import History

MOST = 12
"""Parameters shown: the most important ones."""


def slices(history: History, *, objective: int = 0) -> go.Figure:
    """A panel for each parameter, the most important first. Dark dots are early trials, bright ones late: where the
    search went.

    Args:
        objective: the number of the objective, from 0.
    """
    frame = with_results(history)
    names = leading(history, MOST)
    if not names:
        raise NothingToShow("no parameter has more than one value")
    rows = panels.chosen(frame, np.flatnonzero(frame.comparable))
    aim, values = frame.spec.objectives[objective], frame.values[:, objective]
    grid = panels.Grid(len(names), 4 if len(names) > 6 else 3)
    figure = theme.new(height=grid.height)
    log = theme.wants_log(values[rows])
    ends = theme.visible(values[rows], lower_is_better=aim.goal != "maximize", log=log)
    for i, name in enumerate(names):
        x, y = grid.domains(i)
        figure.add_trace(_dots(frame, rows, name, values, i))
        front = rows[frame.front[rows] & ~np.isnan(frame.unit[rows, frame.names.index(name)])]
        places = frame.unit[front, frame.names.index(name)]
        figure.add_trace(panels.star(frame, front, places, values[front], i))
        first = i % grid.columns == 0
        key = panels.key(i)
        figure.update_layout({
            f"xaxis{key}": {**panels.axis_of(frame, name, 4), "domain": x, "anchor": f"y{key}"},
            f"yaxis{key}": {
                "domain": y, "anchor": f"x{key}", "type": "log" if log else "linear", "range": ends,
                "showticklabels": first, "title": {"text": label(aim.metric, 24) if first else ""}, "nticks": 6,
                **({"matches": "y"} if i else {}),
            },
        })  # fmt: skip
    figure.update_layout(coloraxis={
        "colorscale": theme.SEQUENTIAL, "cmin": 0, "cmax": max(1, len(frame) - 1),
        "colorbar": panels.colorbar("trial", grid.height),
    })  # fmt: skip
    return figure


def _dots(frame: Frame, rows: np.ndarray, name: str, values: np.ndarray, i: int) -> go.Scatter:
    places = frame.unit[rows, frame.names.index(name)]
    there = ~np.isnan(places)
    rows, places = rows[there], places[there]
    texts = frame.column(name)
    return go.Scatter(
        x=spread(frame.spec.space, name, places).astype(np.float32), y=panels.compact(values[rows]), mode="markers",
        showlegend=False, customdata=rows.astype(np.int32), text=[panels.shown(texts[row]) for row in rows],
        hovertemplate=f"trial %{{customdata}}<br>{label(name)} = %{{text}}<br>value %{{y:{NUMBER}}}<extra></extra>",
        xaxis=f"x{panels.key(i)}", yaxis=f"y{panels.key(i)}",
        marker={"color": rows.astype(np.int32), "coloraxis": "coloraxis", **panels.dots(len(rows))},
    )  # fmt: skip
