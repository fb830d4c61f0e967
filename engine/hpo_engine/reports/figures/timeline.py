"""What ran where and when: a bar for each attempt on the worker or the device that it had, and how busy these were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from hpo_engine.reports.figures import NothingToShow, theme
from hpo_engine.reports.figures.clock import Clock, span_of
from hpo_engine.reports.figures.words import words
from hpo_engine.study.history import History
from hpo_engine.study.trial import Attempt, StopCause, Trial, TrialState
from hpo_engine.text.tables import duration

_LANE, _MOST_HEIGHT, _USE = 26, 900, 90  # pixels: a lane, all lanes together, the panel of utilisation
_MOST_STEPS = 300
_KINDS = {
    "ended by itself": theme.STATES[TrialState.COMPLETED][0],
    "ended early": theme.STATES[TrialState.PRUNED][0],
    "failed": theme.STATES[TrialState.FAILED][0],
    "stopped or interrupted": theme.STATES[TrialState.STOPPED][0],
    "running": theme.STATES[TrialState.RUNNING][0],
}
_EARLY = (StopCause.EARLY, StopCause.DIVERGED, StopCause.CONVERGED)


@dataclass(frozen=True)
class Bar:
    """An attempt on its lane, from `start` to `end` in UTC seconds."""

    trial: Trial
    attempt: Attempt
    start: float
    end: float
    lane: str

    @property
    def kind(self) -> str:
        exit_ = self.attempt.exit
        if self.attempt.failure is not None:
            return "failed"
        if self.attempt.ended_at is None:
            return "running"
        if exit_ is None or exit_.stop_cause is None:
            return "ended by itself"
        return "ended early" if exit_.stop_cause in _EARLY else "stopped or interrupted"


def timeline(history: History) -> go.Figure:
    """Attempts as bars over time, by worker or device; above them the share of workers that were busy."""
    bars, lanes = _bars(history)
    if not bars:
        raise NothingToShow("no trial has started yet")
    clock = Clock([(bar.start, bar.end) for bar in bars])
    height = min(_MOST_HEIGHT, max(3, len(lanes)) * _LANE)
    whole = height + _USE + 130
    figure = theme.new(height=whole, barmode="overlay", bargap=0.15)
    for kind, colour in _KINDS.items():
        some = [bar for bar in bars if bar.kind == kind]
        if some:
            figure.add_trace(_trace(some, kind, colour, clock, len(bars)))
    figure.add_trace(_use(bars, len(lanes), clock))
    split = 1 - (_USE + 24) / (height + _USE + 24)
    figure.update_layout(
        xaxis={
            "title": {"text": f"Time since the first trial began ({clock.unit[1]})"}, "anchor": "y", "showgrid": False,
            "range": [0, 1.005 * clock.length / clock.unit[0] or 1.0],
        },
        yaxis={
            "domain": [0, split], "categoryorder": "array", "categoryarray": list(reversed(lanes)), "type": "category",
            "showgrid": False, "nticks": 24, "ticks": "", "range": [-0.5, len(lanes) - 0.5],
        },
        yaxis2={"domain": [1 - _USE / (height + _USE + 24), 1], "range": [0, 1.02], "tickformat": ".0%", "nticks": 3},
    )  # fmt: skip
    share = sum(bar.end - bar.start for bar in bars) / (len(lanes) * clock.length) if clock.length else 1.0
    figure.add_annotation(
        text=f"busy {min(1.0, share):.0%} of the time", xref="paper", x=1, xanchor="right", yref="paper", y=1,
        yanchor="bottom", showarrow=False,
    )  # fmt: skip
    for gap in clock.gaps:
        figure.add_vline(
            x=gap.at / clock.unit[0], line={"dash": "dot", "color": theme.MUTED, "width": 1},
            annotation={"text": f"nothing ran for {duration(gap.seconds)}", "textangle": 0, "yanchor": "bottom"},
        )  # fmt: skip
    return figure


def _bars(history: History) -> tuple[list[Bar], list[str]]:
    """The attempts that ran, each on a lane, and the lanes in order.

    An attempt with devices is on the lane of the first one, and on another one of its name while that is taken (several
    trials may share a device); others take the first free worker.
    """
    spans = [
        (span, trial, attempt)
        for trial in history.trials
        for attempt in trial.attempts
        if (span := span_of(attempt, history)) is not None
    ]
    spans.sort(key=lambda found: found[0])
    free: dict[str, list[float]] = {}
    bars = []
    for (start, end), trial, attempt in spans:
        group = ", ".join(attempt.devices)
        ends = free.setdefault(group, [])
        lane = next((k for k, before in enumerate(ends) if before <= start + 1e-6), len(ends))
        ends[lane : lane + 1] = [end]
        bars.append(Bar(trial, attempt, start, end, _lane(group, lane)))
    lanes = [_lane(group, k) for group in sorted(free, key=_in_order) for k in range(len(free[group]))]
    wanted = min(history.spec.resources.parallel, history.spec.budget.most or history.spec.resources.parallel)
    idle = wanted - len(lanes)
    if list(free) == [""] and idle > 0:
        lanes += [_lane("", len(lanes) + k) for k in range(min(idle, 64))]
    return bars, lanes


def _lane(group: str, number: int) -> str:
    if not group:
        return f"worker {number + 1}"
    return f"GPU {words(group, 20)}" + (f" ({number + 1})" if number else "")


def _in_order(group: str) -> tuple[int, str]:
    return (int(group), "") if group.isdecimal() else (10**9, group)


def _trace(bars: Sequence[Bar], kind: str, colour: str, clock: Clock, count: int) -> go.Bar:
    starts, ends = (clock.at(np.array([getattr(bar, side) for bar in bars])) for side in ("start", "end"))
    return go.Bar(
        orientation="h", base=starts, x=ends - starts, y=[bar.lane for bar in bars], name=kind,
        text=[_hover(bar) for bar in bars], textposition="none", hovertemplate="%{text}<extra></extra>",
        marker={"color": colour, "line": {"color": theme.PAPER, "width": 1 if count <= 300 else 0}},
    )  # fmt: skip


def _hover(bar: Bar) -> str:
    number = f", attempt {bar.attempt.number}" if len(bar.trial.attempts) > 1 else ""
    how = "running" if bar.attempt.exit is None else words(str(bar.attempt.exit), 70)
    return f"<b>trial {bar.trial.id}</b>{number}<br>{duration(bar.end - bar.start)}<br>{how}"


def _use(bars: Sequence[Bar], lanes: int, clock: Clock) -> go.Scatter:
    """The share of lanes that were busy, as steps; of many bars the mean of each 300th part of the time."""
    starts, ends = (np.sort(clock.at(np.array([getattr(bar, side) for bar in bars]))) for side in ("start", "end"))
    edges = np.unique(np.concatenate([starts, ends]))
    if len(edges) > _MOST_STEPS:
        edges = np.linspace(0.0, clock.length / clock.unit[0], _MOST_STEPS + 1)
    done = _passed(starts, edges) - _passed(ends, edges)  # worker-time until each edge
    share = np.diff(done) / np.maximum(np.diff(edges), 1e-12) / max(1, lanes)
    return go.Scatter(
        x=edges, y=np.append(share, 0.0), yaxis="y2", mode="lines", showlegend=False, fill="tozeroy",
        line={"color": theme.GREEN, "width": 1, "shape": "hv"}, fillcolor=theme.rgba(theme.GREEN, 0.25),
        hovertemplate="%{y:.0%} of the workers busy<extra></extra>",
    )  # fmt: skip


def _passed(times: np.ndarray, edges: np.ndarray) -> np.ndarray:  # (k,) ascending, (e,) -> (e,)
    """The sum over all times of what has passed since, at each edge."""
    before = np.searchsorted(times, edges, side="right")
    return np.asarray(before * edges - np.concatenate([[0.0], np.cumsum(times)])[before])
