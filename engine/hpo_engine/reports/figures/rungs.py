"""Configurations over the amounts of the resource that they were trained with: which were promoted, and what they came
to with more."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from hpo_engine.reports.figures import NothingToShow, theme
from hpo_engine.reports.figures.frame import Frame, no_results, with_results
from hpo_engine.reports.figures.words import NUMBER, label
from hpo_engine.study.history import History
from hpo_engine.study.spec import SCHEDULED
from hpo_engine.text.tables import counted

_MOST_LINES = 600
_JITTER = 0.28
Ladder = list[tuple[int, float, int]]
"""What a configuration came to: (rung, value, trial), with the least of the resource first."""


def rungs(history: History) -> go.Figure:
    """A column of results for each amount of the resource, and a line for each promotion."""
    if history.spec.resource is None:
        raise NothingToShow("the study has no resource, such as epochs, of which trials could get more or less")
    if history.spec.algorithm.name in SCHEDULED:
        raise NothingToShow("the trials form a population that trains to the end: nothing is promoted")
    frame = with_results(history)
    ladders = _ladders(frame)
    levels = sorted({amount for ladder in ladders.values() for amount, _, _ in ladder})
    if len(levels) < 2:
        name = label(history.spec.resource.name)
        raise NothingToShow(f"all results so far are of {levels[0]} {name}" if levels else no_results(frame))
    places = {amount: k for k, amount in enumerate(levels)}
    winner = next((root for root, ladder in ladders.items() if ladder[-1][2] == history.best_id), None)
    figure = theme.new(height=theme.HEIGHT + 40)
    rng = np.random.default_rng(0)
    shift = {root: float(rng.uniform(-_JITTER, _JITTER)) if len(ladders) > 12 else 0.0 for root in ladders}
    climbers = sorted((one[-1][0], -root) for root, one in ladders.items() if len(one) > 1 and root != winner)
    climbers = climbers[-_MOST_LINES:]
    figure.add_trace(_lines([ladders[-r] for _, r in climbers], [shift[-r] for _, r in climbers], places))
    figure.add_trace(_dots(ladders, shift, places, promoted=False))
    figure.add_trace(_dots(ladders, shift, places, promoted=True))
    if winner is not None:
        trace = _lines([ladders[winner]], [shift[winner]], places)
        figure.add_trace(
            trace.update(
                mode="lines+markers",
                name=f"best: trial {history.best_id}",
                line={"color": theme.BEST, "width": 2.6},
                marker={"color": theme.BEST, "symbol": "star", "size": 12},
                showlegend=True,
                hoverinfo="skip",
            )  # fmt: skip
        )
    _lay_out(figure, frame, ladders, levels)
    return figure


def _ladders(frame: Frame) -> Mapping[int, Ladder]:
    """The results of each configuration, by the trial that it began with: promoted ones go on in their own trial, or in
    another one that repeats it from the beginning."""
    roots = dict[int, int]()
    out = dict[int, Ladder]()
    sign = float(frame.signs[0])
    for trial in frame.trials:
        repeated = trial.proposal.repeats
        root = roots[trial.id] = trial.id if repeated is None else roots.get(repeated, repeated)
        out.setdefault(root, []).extend(
            (result.resource, result.losses[0] * sign, trial.id) for result in trial.results if result.resource
        )
    return {root: sorted(ladder) for root, ladder in out.items() if ladder}


def _lines(ladders: Sequence[Ladder], shifts: Sequence[float], places: Mapping[int, int]) -> go.Scatter:
    x, y = list[float](), list[float]()
    for ladder, shift in zip(ladders, shifts, strict=True):
        x += [places[amount] + shift for amount, _, _ in ladder] + [math.nan]
        y += [value for _, value, _ in ladder] + [math.nan]
    return go.Scatter(
        x=np.array(x), y=np.array(y), mode="lines", name="promoted", showlegend=False, hoverinfo="skip",
        line={"color": theme.rgba(theme.BLUE, 0.4 if len(ladders) <= 60 else 0.18), "width": 1.2},
    )  # fmt: skip


def _dots(
    ladders: Mapping[int, Ladder], shift: Mapping[int, float], places: Mapping[int, int], *, promoted: bool
) -> go.Scatter:
    """The results that were promoted from their rung, or those that were not."""
    last = max(places)
    points = [
        (places[amount] + shift[root], value, trial, amount)
        for root, ladder in ladders.items()
        for k, (amount, value, trial) in enumerate(ladder)
        if (k + 1 < len(ladder) or amount == last) is promoted
    ]
    x, y, trials, amounts = zip(*points, strict=True) if points else ((), (), (), ())
    return go.Scatter(
        x=np.array(x), y=np.array(y), customdata=np.array([trials, amounts], dtype=np.int32).T, mode="markers",
        name="promoted, or trained to the end" if promoted else "not promoted",
        marker={
            "color": theme.BLUE if promoted else theme.FAINT, "size": 7 if len(ladders) <= 300 else 5, "opacity": 0.85,
        },
        hovertemplate=f"trial %{{customdata[0]}} with %{{customdata[1]}}: %{{y:{NUMBER}}}<extra></extra>",
    )  # fmt: skip


def _lay_out(figure: go.Figure, frame: Frame, ladders: Mapping[int, Ladder], levels: Sequence[int]) -> None:
    assert frame.spec.resource is not None
    aim = frame.spec.objectives[0]
    values = np.array([value for ladder in ladders.values() for _, value, _ in ladder])
    log = theme.wants_log(values)
    counts = Counter(amount for ladder in ladders.values() for amount, _, _ in ladder)
    every = max(1, math.ceil(len(levels) / 7))
    ticks = [f"{amount:,}" + (f"<br>{counted(counts[amount], 'result')}" if every == 1 else "") for amount in levels]
    figure.update_layout(
        xaxis={
            "title": {"text": label(frame.spec.resource.name)}, "tickvals": list(range(len(levels)))[::every],
            "ticktext": ticks[::every], "range": [-0.5, len(levels) - 0.5], "showgrid": False, "zeroline": False,
        },
        yaxis={
            "title": {"text": label(aim.metric, 36)}, "type": "log" if log else "linear",
            "range": theme.visible(values, lower_is_better=aim.goal != "maximize", log=log),
        },
    )  # fmt: skip
