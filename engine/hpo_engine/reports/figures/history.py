"""Every trial's value and the best one so far, over trials, time, or what had been spent."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from hpo_engine.errors import SpecError, nearest
from hpo_engine.reports.figures import NothingToShow, theme
from hpo_engine.reports.figures.clock import clock_of, processor_cost, resource_cost, spent, unit_of
from hpo_engine.reports.figures.frame import Frame, frame_of, no_results
from hpo_engine.reports.figures.words import NUMBER, label
from hpo_engine.study.history import History
from hpo_engine.study.trial import TrialState
from hpo_engine.text.tables import counted

MOST_PANELS = 4
_PANEL, _RUG = 300, 0.07  # pixels of a panel, if there are several; the share that trials without a value take
_GAP = 0.06


@dataclass(frozen=True)
class Axis:
    """What the trials are laid out over: its word for a menu, its title, the places of the trials (n,)."""

    word: str
    title: str
    places: np.ndarray

    @property
    def layout(self) -> dict[str, Any]:
        """Title and ticks; trials are whole numbers."""
        few = self.word == "Trials" and len(self.places) <= 12
        return {"xaxis.title.text": self.title, "xaxis.dtick": 1 if few else None}


def history(history: History, *, over: str = "trials") -> go.Figure:
    """The values of all trials, and the best so far; a panel for each objective.

    Args:
        over: trials, time, processor, or resource (or its name): what the trials are laid out over at first; a menu
            changes it.
    """
    frame = frame_of(history)
    shown = np.where(np.isnan(frame.values), frame.reached, frame.values)
    running = _running(frame)
    if not (np.isfinite(shown).any() or np.isfinite(running).any()):
        raise NothingToShow(no_results(frame))
    axes = {axis.word: axis for axis in _axes(frame)}
    first = _named(over, axes, frame)
    panels = min(len(frame.spec.objectives), MOST_PANELS)
    figure = theme.new(height=theme.HEIGHT if panels == 1 else _PANEL * panels + 60)
    of = list[Axis]()  # for each trace, the axis that it belongs to
    for axis in axes.values():
        for panel in range(panels):
            for trace in _traces(frame, axis, panel, running):
                figure.add_trace(trace.update(visible=axis is first, yaxis=f"y{panel + 1 if panel else ''}"))
                of.append(axis)
    _lay_out(figure, frame, panels, shown, running)
    figure.update_layout(first.layout)
    if len(axes) > 1:
        theme.menu(figure, [(a.word, [axis is a for axis in of], a.layout) for a in axes.values()])
    return figure


def _named(over: str, axes: dict[str, Axis], frame: Frame) -> Axis:
    resource = "" if frame.spec.resource is None else label(frame.spec.resource.name)
    words = {word.lower(): axis for word, axis in axes.items()}
    if resource in axes:
        words["resource"] = axes[resource]
    if over.lower() not in words:
        if over in ("resource", "processor", "time"):
            raise NothingToShow(f"it is not known how much {over} the trials have taken")
        raise SpecError(f'over: there is no axis "{over}"{nearest(over, words)}')
    return words[over.lower()]


def _axes(frame: Frame) -> Iterator[Axis]:
    """What is known of the trials' order and cost."""
    history = frame.history
    yield Axis("Trials", "Trial", frame.ids.astype(float))
    times, clock = _times(frame), clock_of(history)
    if clock is None:
        return
    cut = "" if not clock.gaps else f", without {counted(len(clock.gaps), 'pause')} in which nothing ran"
    yield Axis("Time", f"Time since the first trial began ({clock.unit[1]}{cut})", clock.at(times))
    amount = None if frame.spec.resource is None else spent(history, resource_cost(history), times)
    if frame.spec.resource is not None and amount is not None:
        name = label(frame.spec.resource.name)
        yield Axis(name, f"{name} trained by all trials", amount)
    seconds = spent(history, processor_cost, times)
    if seconds is not None:
        unit = unit_of(float(np.nanmax(seconds)))
        yield Axis("Processor", f"Processor time of all trials ({unit[1]})", seconds / unit[0])


def _times(frame: Frame) -> np.ndarray:  # (n,) UTC seconds
    """When each trial had what is shown of it: its latest result, its end, or by now."""
    out = []
    for trial in frame.trials:
        attempt = trial.attempt_of(trial.results[-1]) if trial.results else trial.attempt
        if attempt is None or attempt.started_at is None:
            out.append(math.nan)
        else:
            out.append(frame.history.last_at if attempt.ended_at is None else attempt.ended_at)
    return np.array(out, dtype=float)


def _running(frame: Frame) -> np.ndarray:  # (n, m)
    """The best values so far of trials that run and have no result yet; NaN for others."""
    out = np.full(frame.losses.shape, math.nan)
    for trial in frame.history.running:
        if not trial.results and not trial.provisional:
            for k, aim in enumerate(frame.spec.objectives):
                picked = aim.pick(trial.rows)
                out[trial.id, k] = math.nan if picked is None else picked
    return out


# -- traces ------------------------------------------------------------------------------------------------------------


def _traces(frame: Frame, axis: Axis, panel: int, running: np.ndarray) -> Iterator[go.Scatter]:
    """The dots by state, those without a value in a row below, and the line of the best so far."""
    values, hovers, first = frame.values[:, panel], frame.hovers, panel == 0
    reached, look = frame.reached[:, panel], theme.STATES
    known = ~np.isnan(axis.places)
    fewer = frame.completed & ~frame.comparable
    dots = [
        ("completed", frame.comparable, values, look[TrialState.COMPLETED]),
        (_fewer(frame), fewer, values, (theme.FAINT, "circle")),
        ("pruned: value reached", frame.where(TrialState.PRUNED), reached, look[TrialState.PRUNED]),
        ("stopped: value reached", frame.where(TrialState.STOPPED), reached, look[TrialState.STOPPED]),
        ("running: value so far", frame.where(TrialState.RUNNING), running[:, panel], look[TrialState.RUNNING]),
    ]
    valued = np.zeros(len(frame), dtype=bool)
    for name, mask, column, (colour, symbol) in dots:
        mask = mask & known & np.isfinite(column)
        valued |= mask
        if mask.any():
            yield _dots(name, axis.places[mask], column[mask], hovers[mask], colour, symbol, len(frame), first)
    yield from _best(frame, axis, panel, first)
    if not first:
        return
    for state in (TrialState.FAILED, TrialState.TIMED_OUT, TrialState.LOST, TrialState.PRUNED, TrialState.STOPPED):
        mask = frame.where(state) & known & ~valued
        if mask.any():
            colour, symbol = theme.STATES[state]
            name = f"{state.value.replace('_', ' ')}: no value"
            zero = np.zeros(int(mask.sum()), dtype=np.int8)
            trace = _dots(name, axis.places[mask], zero, hovers[mask], colour, symbol, len(frame), True)
            yield trace.update(meta="rug")


def _fewer(frame: Frame) -> str:
    resource = frame.spec.resource
    return "" if resource is None else f"completed with fewer {label(resource.name)}"


def _dots(
    name: str, x: np.ndarray, y: np.ndarray, hovers: np.ndarray, colour: str, symbol: str, n: int, legend: bool
) -> go.Scatter:
    size = 8 if n <= 100 else 6 if n <= 1000 else 5
    return go.Scatter(
        x=x, y=y, mode="markers", name=name, legendgroup=name, showlegend=legend, text=hovers,
        hovertemplate="%{text}<extra></extra>",
        marker={"color": colour, "symbol": symbol, "size": size, "opacity": 0.9 if n <= 300 else 0.6},
    )  # fmt: skip


def _best(frame: Frame, axis: Axis, panel: int, legend: bool) -> Iterator[go.Scatter]:
    """The best so far as steps to the right end, and the trials of the front."""
    have = np.flatnonzero(frame.comparable & ~np.isnan(axis.places))
    if not len(have):
        return
    order = have[np.argsort(axis.places[have], kind="stable")]
    line, x = frame.best_so_far(order, panel), axis.places[order]
    turns = np.flatnonzero(np.concatenate([[True], line[1:] != line[:-1]]))
    end = float(np.nanmax(axis.places))
    yield go.Scatter(
        x=np.append(x[turns], end), y=np.append(line[turns], line[-1]), mode="lines", name="best so far",
        legendgroup="best", showlegend=legend, line={"color": theme.BEST, "width": 2, "shape": "hv"},
        hovertemplate=f"best so far: %{{y:{NUMBER}}}<extra></extra>",
    )  # fmt: skip
    front = np.flatnonzero(frame.front & ~np.isnan(axis.places))
    yield go.Scatter(
        x=axis.places[front], y=frame.values[front, panel], mode="markers",
        name="Pareto front" if frame.spec.multi_objective else "best trial", legendgroup="front", showlegend=legend,
        text=frame.hovers[front], hovertemplate="%{text}<extra></extra>",
        marker={"color": theme.BEST, "symbol": "star", "size": 13, "line": {"color": theme.PAPER, "width": 1}},
    )  # fmt: skip


# -- layout ------------------------------------------------------------------------------------------------------------


def _lay_out(figure: go.Figure, frame: Frame, panels: int, shown: np.ndarray, running: np.ndarray) -> None:
    """The panels one below the other over one x axis, and the row of trials without a value at the bottom."""
    rug = any(trace.meta == "rug" for trace in figure.data)
    low = _RUG / panels + 0.02 if rug else 0.0
    each = (1 - low - _GAP * (panels - 1)) / panels
    for panel, aim in enumerate(frame.spec.objectives[:panels]):
        top = 1 - panel * (each + _GAP)
        column = np.concatenate([shown[:, panel], running[:, panel]])
        log = theme.wants_log(column)
        ends = theme.visible(column, lower_is_better=aim.goal != "maximize", log=log)
        figure.update_layout({
            f"yaxis{panel + 1 if panel else ''}": {
                "domain": [max(0.0, top - each), top], "title": {"text": label(aim.metric, 32)},
                "type": "log" if log else "linear", "range": ends, "anchor": "x",
            }
        })  # fmt: skip
        if ends is not None:
            _say_beyond(figure, column, ends, log, top)
    axis = f"y{panels + 1}"
    figure.for_each_trace(lambda trace: trace.update(yaxis=axis, meta=None) if trace.meta == "rug" else None)
    if rug:
        figure.update_layout({
            f"yaxis{panels + 1}": {
                "domain": [0, _RUG / panels], "range": [-1, 1], "showticklabels": False, "ticks": "", "showgrid": False,
                "fixedrange": True, "showline": False, "title": None,
            }
        })  # fmt: skip
    figure.update_layout(xaxis={"anchor": axis if rug else f"y{panels if panels > 1 else ''}", "showgrid": False})


def _say_beyond(figure: go.Figure, column: np.ndarray, ends: tuple[float, float], log: bool, top: float) -> None:
    """How many values are outside the range."""
    finite = column[np.isfinite(column)]
    if log:
        finite = np.log10(finite[finite > 0])
    above, below = int((finite > ends[1]).sum()), int((finite < ends[0]).sum())
    words = f"{counted(above or below, 'value')} {'above' if above else 'below'} this range; double-click to see all"
    figure.add_annotation(
        text=words, xref="paper", x=1, xanchor="right", yref="paper", y=top, yanchor="top", showarrow=False,
    )  # fmt: skip
