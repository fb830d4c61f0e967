"""Learning curves: what trials reported step by step, the best one highlighted, others marked where they ended."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from hpo_engine.errors import SpecError, nearest
from hpo_engine.reports.figures import NothingToShow, theme
from hpo_engine.reports.figures.clock import unit_of
from hpo_engine.reports.figures.frame import Frame, frame_of
from hpo_engine.reports.figures.words import NUMBER, label
from hpo_engine.study.history import History
from hpo_engine.study.objective import Row
from hpo_engine.study.trial import Trial, TrialState
from hpo_engine.text.tables import counted

MOST, MOST_POINTS = 300, 200
"""Curves that are drawn, and points of one: more cannot be told apart."""
_MOST_METRICS = 3
_KINDS = {
    "completed": (TrialState.COMPLETED, ""),
    "ended early": (TrialState.PRUNED, "triangle-down"),
    "stopped": (TrialState.STOPPED, "square"),
    "failed": (TrialState.FAILED, "x"),
    "running": (TrialState.RUNNING, "circle-open"),
}
"""What a curve may belong to: the state whose colour it has, and the marker at its end."""


@dataclass(frozen=True)
class Curve:
    """What a trial reported of one metric: (k,) steps, seconds and values; `turns`: the places at which it was promoted
    with more of the resource."""

    trial: Trial
    steps: np.ndarray
    seconds: np.ndarray
    values: np.ndarray
    turns: tuple[int, ...]

    @property
    def kind(self) -> str:
        state = self.trial.state
        if state in (TrialState.FAILED, TrialState.TIMED_OUT, TrialState.LOST):
            return "failed"
        words = {TrialState.PRUNED: "ended early", TrialState.STOPPED: "stopped", TrialState.COMPLETED: "completed"}
        return words.get(state, "running")


def curves(history: History, *, metric: str | None = None, over: str = "steps") -> go.Figure:
    """The curves of a metric, of at most MOST trials; a menu changes the metric and what the curves are drawn over.

    Args:
        metric: the first objective if None; any metric that the trials report.
        over: steps or time.
    """
    if over not in ("steps", "time"):
        raise SpecError(f'over: there is no axis "{over}"; known: steps, time')
    frame = frame_of(history)
    names = [metric] if metric is not None else [aim.metric for aim in history.spec.objectives[:_MOST_METRICS]]
    chosen, left_out = _chosen(frame)
    found = {name: list(_curves(frame, chosen, name)) for name in names}
    found = {name: several for name, several in found.items() if several}
    if not found:
        raise NothingToShow(_none(frame, names))
    figure = theme.new(height=theme.HEIGHT + 40)
    groups = [(name, how) for name in found for how in ("steps", "time") if how == "steps" or _timed(found[name])]
    first = (next(iter(found)), over if (next(iter(found)), over) in groups else "steps")
    of, layouts = list[tuple[str, str]](), {}
    for group in groups:
        traces, layouts[group] = _group(frame, found[group[0]], *group)
        for trace in traces:
            figure.add_trace(trace.update(visible=group == first))
            of.append(group)
    figure.update_layout(layouts[first])
    if left_out:
        figure.add_annotation(
            text=f"{left_out:,} of {left_out + len(chosen):,} curves are left out: the best ones are all here",
            xref="paper", x=1, xanchor="right", yref="paper", y=float(frame.signs[0] > 0), showarrow=False,
            yanchor="top" if frame.signs[0] > 0 else "bottom",
        )  # fmt: skip
    if len(groups) > 1:
        words = {group: _word(frame, group, len(found)) for group in groups}
        theme.menu(figure, [(words[group], [group == one for one in of], layouts[group]) for group in groups])
    return figure


def _chosen(frame: Frame) -> tuple[list[Trial], int]:
    """The trials to draw, and how many are left out: the better half of what there is room for, and of the others some
    of every quality."""
    candidates = [trial for trial in frame.trials if trial.rows]
    if len(candidates) <= MOST:
        return candidates, 0
    losses = np.where(frame.completed, frame.losses[:, 0], frame.reached[:, 0] * frame.signs[0])
    rank = sorted(candidates, key=lambda t: (-t.trained, math.inf if math.isnan(losses[t.id]) else losses[t.id], t.id))
    best, rest = rank[: MOST // 2], rank[MOST // 2 :]
    places = np.linspace(0, len(rest) - 1, MOST - len(best)).astype(int)
    return sorted([*best, *(rest[k] for k in places.tolist())], key=lambda t: t.id), len(candidates) - MOST


def _curves(frame: Frame, trials: Sequence[Trial], metric: str) -> Iterator[Curve]:
    for trial in trials:
        rows = [row for row in trial.rows if metric in row.values]
        if len(rows) < 2:
            continue
        seconds = _seconds(trial, len(rows), frame.history.last_at)
        turns = _turns(trial, rows)
        keep = np.arange(len(rows))
        if len(rows) > MOST_POINTS:
            some = np.linspace(0, len(rows) - 1, MOST_POINTS).astype(int)
            keep = np.unique(np.concatenate([some, np.array(turns, dtype=int)]))
        values = np.array([rows[k].values[metric] for k in keep.tolist()], dtype=float)
        steps = np.array([rows[k].step for k in keep.tolist()], dtype=float)
        values[~np.isfinite(values)] = math.nan
        places = tuple(np.searchsorted(keep, turns).tolist())
        yield Curve(trial, steps, seconds[keep], values, places)


def _turns(trial: Trial, rows: Sequence[Row]) -> list[int]:
    """The places in the rows at which the trial had its results, but for the last one."""
    ends = [result.rows[-1].step for result in trial.results[:-1] if result.rows]
    return [k for k, row in enumerate(rows) if row.step in ends]


def _seconds(trial: Trial, count: int, now: float) -> np.ndarray:  # (count,); NaN: unknown
    """About when the rows were reported, in seconds of training: evenly between the first report and the end, as the
    log keeps no time for each row."""
    attempt, took = trial.attempt, trial.took_s
    if trial.state is TrialState.RUNNING and attempt is not None and attempt.started_at is not None:
        took = now - attempt.started_at
    if took is None:
        return np.full(count, math.nan)
    first = took / count
    if len(trial.attempts) == 1 and attempt is not None and attempt.started_at is not None and trial.seen_at:
        seen = trial.seen_at[0] - attempt.started_at
        first = seen if 0 < seen <= took / 2 else first
    return np.linspace(min(first, took), took, count)


def _timed(curves: Sequence[Curve]) -> bool:
    return any(np.isfinite(curve.seconds).any() for curve in curves)


# -- traces ------------------------------------------------------------------------------------------------------------


def _group(frame: Frame, curves: Sequence[Curve], metric: str, over: str) -> tuple[list[go.Scatter], dict[str, object]]:
    """The traces of one choice of the menu, and what it sets in the layout."""
    unit, symbol = unit_of(max((float(c.seconds[-1]) for c in curves if np.isfinite(c.seconds[-1])), default=0.0))
    aim = next((a for a in frame.spec.objectives if a.metric == metric), None)
    best = _best(frame, metric)
    traces: list[go.Scatter] = []
    for kind, (state, marker) in _KINDS.items():
        some = [c for c in curves if c.kind == kind and c.trial.id != best]
        if some:
            opacity = 0.75 if len(curves) <= 12 else 0.45 if len(curves) <= 60 else 0.25
            colour = theme.rgba(theme.STATES[state][0], opacity)
            name = f"{kind} ({len(some)})"
            traces.append(_lines(some, over, unit, name, {"color": colour, "width": 1.2}))
            if marker:
                traces.append(_ends(some, over, unit, name, theme.STATES[state][0], marker))
    promoted = [c for c in curves if c.turns]
    if promoted:
        traces.append(_promotions(promoted, over, unit))
    if winners := [c for c in curves if c.trial.id == best]:
        traces.append(_lines(winners, over, unit, f"best: trial {best}", {"color": theme.BEST, "width": 2.6}))
    steps = "Step" if frame.spec.resource is None else label(frame.spec.resource.name)
    values = np.concatenate([curve.values for curve in curves])
    log = theme.wants_log(values)
    ends = theme.visible(values, lower_is_better=aim is None or aim.goal != "maximize", log=log)
    return traces, {
        "xaxis.title.text": steps if over == "steps" else f"Time of training ({symbol}), spread evenly over reports",
        "yaxis.title.text": label(metric, 36),
        "yaxis.type": "log" if log else "linear",
        "yaxis.range": ends,
        "yaxis.autorange": ends is None,
    }


def _best(frame: Frame, metric: str) -> int | None:
    """The best trial; of the front of several objectives the one that is best by this metric, or by the first one."""
    front = np.array(frame.history.front_ids, dtype=int)
    column = next((k for k, aim in enumerate(frame.spec.objectives) if aim.metric == metric), 0)
    return int(front[np.argmin(frame.losses[front, column])]) if len(front) else None


def _word(frame: Frame, group: tuple[str, str], metrics: int) -> str:
    steps = "steps" if frame.spec.resource is None else label(frame.spec.resource.name)
    over = steps if group[1] == "steps" else "time"
    return f"over {over}" if metrics == 1 else f"{label(group[0], 20)} over {over}"


def _x(curve: Curve, over: str, unit: float) -> np.ndarray:
    return curve.steps if over == "steps" else curve.seconds / unit


def _lines(curves: Sequence[Curve], over: str, unit: float, name: str, line: dict[str, object]) -> go.Scatter:
    """All of the curves in one trace, with a gap after each."""
    gap = np.array([math.nan])
    x = np.concatenate([part for c in curves for part in (_x(c, over, unit), gap)])
    y = np.concatenate([part for c in curves for part in (c.values, gap)])
    ids = np.concatenate([np.full(len(c.values) + 1, c.trial.id, dtype=np.int32) for c in curves])
    return go.Scatter(
        x=x, y=y, customdata=ids, mode="lines", name=name, legendgroup=name, line=line,
        hovertemplate=f"trial %{{customdata}}: %{{y:{NUMBER}}} at %{{x:{NUMBER}}}<extra></extra>",
    )  # fmt: skip


def _ends(curves: Sequence[Curve], over: str, unit: float, name: str, colour: str, marker: str) -> go.Scatter:
    """Where the curves ended."""
    last = [(c, int(np.flatnonzero(np.isfinite(c.values))[-1])) for c in curves if np.isfinite(c.values).any()]
    return go.Scatter(
        x=np.array([_x(c, over, unit)[k] for c, k in last]), y=np.array([c.values[k] for c, k in last]),
        customdata=np.array([c.trial.id for c, _ in last], dtype=np.int32), mode="markers", name=name, legendgroup=name,
        showlegend=False, marker={"color": colour, "symbol": marker, "size": 7 if len(curves) <= 60 else 5},
        hovertemplate=f"trial %{{customdata}} ended at %{{x:{NUMBER}}}: %{{y:{NUMBER}}}<extra></extra>",
    )  # fmt: skip


def _promotions(curves: Sequence[Curve], over: str, unit: float) -> go.Scatter:
    """Where trials were promoted, and trained further."""
    points = [(c, k) for c in curves for k in c.turns]
    return go.Scatter(
        x=np.array([_x(c, over, unit)[k] for c, k in points]), y=np.array([c.values[k] for c, k in points]),
        customdata=np.array([c.trial.id for c, _ in points], dtype=np.int32), mode="markers", name="trained further",
        marker={"color": theme.BLUE, "symbol": "circle", "size": 5},
        hovertemplate="trial %{customdata} was trained further from here<extra></extra>",
    )  # fmt: skip


def _none(frame: Frame, names: Sequence[str]) -> str:
    known = list(dict.fromkeys(name for trial in frame.trials[:200] for row in trial.rows for name in row.values))
    if not len(frame):
        return "no trial has been proposed yet"
    if not known:
        return "no trial has reported a metric yet"
    if not any(name in known for name in names):
        return f'no trial has reported "{label(names[0])}"{nearest(names[0], known)}'
    return f"no trial has reported {label(names[0])} more than once: {counted(len(frame), 'trial')} of one value each"
