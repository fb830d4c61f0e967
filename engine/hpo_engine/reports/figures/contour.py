"""Contours: what a forest expects over the two parameters that matter most, with the trials that it knows."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from hpo_engine.errors import SpecError, nearest
from hpo_engine.maths.anova import marginals
from hpo_engine.reports.figures import NothingToShow, panels, theme
from hpo_engine.reports.figures.frame import Frame, with_results
from hpo_engine.reports.figures.importance import computed, leading
from hpo_engine.reports.figures.scales import spread
from hpo_engine.reports.figures.words import NUMBER, label
from hpo_engine.reports.importance import Sample, forest_of
from hpo_engine.study.history import History

_LEAST = 20  # trials, for a surface
_MOST_POINTS = 600
_BLUR = 1.2  # bins: how far steps of the forest are smoothed


def contour(history: History, *, x: str | None = None, y: str | None = None, objective: int = 0) -> go.Figure:
    """The mean of the objective over all other parameters, as the forest of functional ANOVA has it.

    Args:
        x, y: the parameters; the two most important ones that are left out.
        objective: the number of the objective, from 0.
    """
    frame = with_results(history)
    for name in (x, y):
        if name is not None and name not in frame.names:
            raise SpecError(f'contour: {frame.spec.name} has no parameter "{name}"{nearest(name, frame.names)}')
    sample, _ = computed(history)
    if len(sample) < _LEAST:
        raise NothingToShow(f"a surface needs at least {_LEAST} trials with a result; there are {len(sample)}")
    left = [name for name in leading(history, len(frame.names)) if name not in (x, y)]
    if len(left) < (x is None) + (y is None):
        raise NothingToShow("only one parameter has more than one value")
    x = left.pop(0) if x is None else x
    y = left.pop(0) if y is None else y
    aim = frame.spec.objectives[objective]
    figure = theme.new(height=theme.HEIGHT + 80)
    figure.add_trace(_surface(frame, sample, x, y, objective))
    shown = frame.comparable & ~np.isnan(frame.unit[:, [frame.names.index(x), frame.names.index(y)]]).any(axis=1)
    rows = panels.chosen(frame, np.flatnonzero(shown), _MOST_POINTS)
    figure.add_trace(_dots(frame, rows, x, y))
    front = rows[frame.front[rows]]
    places = [frame.unit[front, frame.names.index(name)] for name in (x, y)]
    figure.add_trace(panels.star(frame, front, places[0], places[1], 0))
    range_ = {"range": [0, 1], "constrain": "domain"}
    figure.update_layout(
        xaxis={**panels.axis_of(frame, x, 8), **range_}, yaxis={**panels.axis_of(frame, y, 8), **range_}
    )
    figure.add_annotation(
        text=f"{label(aim.metric)} as a random forest on {len(sample)} trials expects it, over all other parameters",
        xref="paper", yref="paper", x=0, y=1, xanchor="left", yanchor="bottom", showarrow=False, yshift=28,
    )  # fmt: skip
    figure.update_layout(margin={"t": 70})
    return figure


def _surface(frame: Frame, sample: Sample, x: str, y: str, objective: int) -> go.Contour:
    forest, bins = forest_of(sample, objective)
    j, k = sample.names.index(x), sample.names.index(y)
    sizes = [int((bins.weights[c] > 0).sum()) for c in (j, k)]
    aim = frame.spec.objectives[objective]
    z = marginals(forest, bins, j, k)[: sizes[0], : sizes[1]] * (-1.0 if aim.goal == "maximize" else 1.0)
    edges = [np.concatenate([[0.0], bins.weights[c][: sizes[i]].cumsum()]) for i, c in enumerate((j, k))]
    ordered = [bool(bins.ordered[c]) for c in (j, k)]
    for axis in (0, 1):
        if ordered[axis] and sizes[axis] > 6:
            z = _blurred(z, axis)
    # Beyond the middles of the outermost bins the surface is as it is there.
    at = [np.concatenate([[0.0], (edge[1:] + edge[:-1]) / 2, [1.0]]) for edge in edges]
    z = np.pad(z, 1, mode="edge")
    smooth = all(size > 6 for size in sizes) and all(ordered)
    if not smooth:
        at, z = edges, z[1:-1, 1:-1]
    colours = {
        "colorscale": panels.BAD_TO_GOOD if aim.goal == "maximize" else panels.GOOD_TO_BAD,
        "colorbar": panels.colorbar(label(aim.metric, 18)),
        "hovertemplate": f"expected {label(aim.metric)} %{{z:{NUMBER}}}<extra></extra>",
    }  # fmt: skip
    z = panels.compact(z.T)
    if not smooth:
        return go.Heatmap(x=at[0], y=at[1], z=z, **colours)
    return go.Contour(x=at[0], y=at[1], z=z, ncontours=14, line={"width": 0.4, "color": theme.PAPER}, **colours)


def _blurred(z: np.ndarray, axis: int) -> np.ndarray:
    reach = 4
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / _BLUR) ** 2)
    pad = [(reach, reach) if a == axis else (0, 0) for a in (0, 1)]
    padded = np.pad(z, pad, mode="edge")
    found: np.ndarray = np.apply_along_axis(
        lambda line: np.convolve(line, weights / weights.sum(), "valid"), axis, padded
    )
    return found


def _dots(frame: Frame, rows: np.ndarray, x: str, y: str) -> go.Scatter:
    places = [spread(frame.spec.space, name, frame.unit[rows, frame.names.index(name)]) for name in (x, y)]
    return go.Scatter(
        x=places[0], y=places[1], mode="markers", name="trial", text=frame.hovers[rows],
        hovertemplate="%{text}<extra></extra>", showlegend=False,
        marker={
            "size": 6 if len(rows) <= 100 else 4, "color": theme.rgba(theme.INK, 0.75),
            "line": {"color": theme.PAPER, "width": 0.8},
        },
    )  # fmt: skip
