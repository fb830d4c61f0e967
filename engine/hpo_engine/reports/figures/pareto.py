"""The Pareto front: what each objective costs in terms of another."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import plotly.graph_objects as go

from hpo_engine.reports.figures import NothingToShow, panels, theme
from hpo_engine.reports.figures.frame import Frame, with_results
from hpo_engine.reports.figures.words import label
from hpo_engine.study.history import History
from hpo_engine.text.tables import counted, number

MOST = 4
"""Objectives whose pairs are shown."""


def pareto(history: History) -> go.Figure:
    """Each pair of objectives in a panel: three axes in one flat picture could not be read."""
    frame = with_results(history)
    if not frame.spec.multi_objective:
        raise NothingToShow("the study has one objective")
    m = min(len(frame.spec.objectives), MOST)
    pairs = list(combinations(range(m), 2))
    rows = panels.chosen(frame, np.flatnonzero(frame.comparable))
    single = len(pairs) == 1
    grid = panels.Grid(len(pairs), 3, gap=0.11, height=theme.HEIGHT if single else 280)
    figure = theme.new(height=grid.height)
    for i, (a, b) in enumerate(pairs):
        for trace in _traces(frame, rows, a, b, i):
            figure.add_trace(trace)
        x, y = grid.domains(i)
        key = panels.key(i)
        figure.update_layout({
            f"xaxis{key}": {**_axis(frame, rows, a), "domain": x, "anchor": f"y{key}"},
            f"yaxis{key}": {**_axis(frame, rows, b), "domain": y, "anchor": f"x{key}"},
        })  # fmt: skip
    figure.add_annotation(
        text=_said(frame), xref="paper", yref="paper", x=1, y=1, xanchor="right", yanchor="bottom", showarrow=False,
        yshift=26,
    )  # fmt: skip
    figure.update_layout(margin={"t": 62})
    return figure


def _axis(frame: Frame, rows: np.ndarray, k: int) -> dict[str, object]:
    aim, values = frame.spec.objectives[k], frame.values[rows, k]
    log = theme.wants_log(values)
    better = "more is better" if aim.goal == "maximize" else "less is better"
    return {
        "title": {"text": f"{label(aim.metric, 26)} ({better})"}, "type": "log" if log else "linear", "nticks": 7,
        "range": theme.visible(values, lower_is_better=aim.goal != "maximize", log=log),
    }  # fmt: skip


def _traces(frame: Frame, rows: np.ndarray, a: int, b: int, i: int) -> list[go.Scatter]:
    values, front = frame.values, rows[frame.front[rows]]
    front = front[np.argsort(values[front, a])]
    beaten = rows[~frame.front[rows]]
    axes = {"xaxis": f"x{panels.key(i)}", "yaxis": f"y{panels.key(i)}"}
    out = [go.Scatter(
        x=panels.compact(values[beaten, a]), y=panels.compact(values[beaten, b]), mode="markers",
        name="dominated", legendgroup="dominated", showlegend=i == 0 and len(beaten) > 0, text=frame.hovers[beaten],
        hovertemplate="%{text}<extra></extra>", **axes,
        marker={**panels.dots(len(rows)), "color": theme.MUTED, "opacity": 0.45 if len(rows) <= 200 else 0.3},
    )]  # fmt: skip
    if len(frame.spec.objectives) == 2:
        out.append(_stairs(frame, front, axes))
    name = f"Pareto front ({len(front)})"
    out.append(panels.star(frame, front, values[front, a], values[front, b], i, name))
    return out


def _stairs(frame: Frame, front: np.ndarray, axes: dict[str, str]) -> go.Scatter:
    """The edge of what the front dominates: between two trials, the worse of their values."""
    minimised = frame.signs[0] > 0
    return go.Scatter(
        x=frame.values[front, 0], y=frame.values[front, 1], mode="lines", showlegend=False, hoverinfo="skip", **axes,
        line={"color": theme.BEST, "width": 1.5, "shape": "hv" if minimised else "vh"},
    )  # fmt: skip


def _said(frame: Frame) -> str:
    history, aims = frame.history, frame.spec.objectives
    text = f"{counted(int(frame.comparable.sum()), 'trial')}, {len(history.front_ids)} of them not dominated"
    if history.hypervolume is None:
        return text
    reference = ", ".join(
        number(float(f"{aim.value(loss):.4g}")) for aim, loss in zip(aims, history.reference, strict=False)
    )
    return f"{text}; hypervolume {number(float(f'{history.hypervolume:.4g}'))} from ({reference})"
