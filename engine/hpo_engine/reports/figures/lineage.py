"""A population that trains while its parameters change: who took over from whom, and the schedule behind the winner."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from hpo_engine.reports.figures import NothingToShow, theme
from hpo_engine.reports.figures.frame import Frame, with_results
from hpo_engine.reports.figures.words import NUMBER, label, words
from hpo_engine.space.searchspace import Choice
from hpo_engine.study.history import History
from hpo_engine.study.lineage import Segment, has_schedule, schedule
from hpo_engine.study.trial import Trial
from hpo_engine.text.tables import value

_MOST_PARAMS, _MOST_TRIALS = 6, 400
_TOP, _EACH = 300, 110  # pixels: the panel of values, and that of one parameter


def lineage(history: History) -> go.Figure:
    """The values of the whole population over the resource, and below them the parameters that the winner had."""
    if history.spec.resource is None:
        raise NothingToShow("the study has no resource, such as epochs, so no trial starts from another one's files")
    frame = with_results(history)
    if not any(has_schedule(history, trial) for trial in history.trials):
        raise NothingToShow("no trial started from another one's files, or changed its parameters while it trained")
    best = history.best
    assert best is not None
    runs = schedule(history, best)
    names = _changing(frame, runs)
    height = _TOP + _EACH * len(names)
    figure = theme.new(height=height + 110)
    figure.add_trace(_population(frame))
    if (taken := _takeovers(frame)) is not None:
        figure.add_trace(taken)
    figure.add_trace(_winner(frame, runs, best.id))
    for k, name in enumerate(names):
        figure.add_trace(_steps(runs, name, k + 2))
    _lay_out(figure, frame, names, height)
    return figure


def _changing(frame: Frame, runs: Sequence[Segment]) -> list[str]:
    """The parameters that changed along the way, in the order of the study file; if none did, the first ones."""
    seen = {name: {value(run.params.get(name)) for run in runs} for name in frame.names}
    return ([name for name in frame.names if len(seen[name]) > 1] or list(frame.names))[:_MOST_PARAMS]


def _drawn(frame: Frame) -> list[Trial]:
    """The trials of the population; of a large one the best."""
    trials = [trial for trial in frame.trials if trial.results]
    return sorted(trials, key=lambda t: (-t.trained, t.losses[0]))[:_MOST_TRIALS]


def _population(frame: Frame) -> go.Scatter:
    sign = float(frame.signs[0])
    x, y, ids = list[float](), list[float](), list[int]()
    for trial in _drawn(frame):
        x += [float(result.resource or 0) for result in trial.results] + [math.nan]
        y += [result.losses[0] * sign for result in trial.results] + [math.nan]
        ids += [trial.id] * (len(trial.results) + 1)
    return go.Scatter(
        x=np.array(x), y=np.array(y), customdata=np.array(ids, dtype=np.int32), mode="lines+markers", name="population",
        line={"color": theme.rgba(theme.BLUE, 0.3), "width": 1},
        marker={"color": theme.rgba(theme.BLUE, 0.5), "size": 5},
        hovertemplate=f"trial %{{customdata}} at %{{x}}: %{{y:{NUMBER}}}<extra></extra>",
    )  # fmt: skip


def _takeovers(frame: Frame) -> go.Scatter | None:
    """Dotted lines from what a trial started from to its own first result; None: there are none."""
    sign = float(frame.signs[0])
    x, y = list[float](), list[float]()
    for trial in _drawn(frame):
        if trial.origin is None:
            continue
        before = [r for r in frame.trials[trial.origin.trial].results if r.attempt <= trial.origin.attempt]
        if before:
            x += [float(before[-1].resource or 0), float(trial.results[0].resource or 0), math.nan]
            y += [before[-1].losses[0] * sign, trial.results[0].losses[0] * sign, math.nan]
    if not x:
        return None
    return go.Scatter(
        x=np.array(x), y=np.array(y), mode="lines", name="took over files", hoverinfo="skip",
        line={"color": theme.rgba(theme.PURPLE, 0.6), "width": 1, "dash": "dot"},
    )  # fmt: skip


def _winner(frame: Frame, runs: Sequence[Segment], best: int) -> go.Scatter:
    sign = float(frame.signs[0])
    ended = [run for run in runs if run.losses]
    return go.Scatter(
        x=np.array([run.end for run in ended]), y=np.array([run.losses[0] * sign for run in ended]),
        mode="lines+markers", name=f"led to trial {best}, the best",
        customdata=np.array([run.trial for run in ended], dtype=np.int32),
        line={"color": theme.BEST, "width": 2.6}, marker={"color": theme.BEST, "size": 7},
        hovertemplate=f"trial %{{customdata}} at %{{x}}: %{{y:{NUMBER}}}<extra></extra>",
    )  # fmt: skip


def _steps(runs: Sequence[Segment], name: str, axis: int) -> go.Scatter:
    """The values of a parameter, each from the start of its run to the end."""
    x, y = list[float](), list[Any]()
    for run in runs:
        x += [run.start, run.end]
        y += [_plain(run.params.get(name))] * 2
    return go.Scatter(
        x=x, y=y, yaxis=f"y{axis}", mode="lines", showlegend=False, line={"color": theme.BEST, "width": 2},
        hovertemplate=f"{label(name)} = %{{y}} at %{{x}}<extra></extra>",
    )  # fmt: skip


def _plain(thing: Any) -> Any:
    """Numbers as they are, other values as text."""
    return thing if isinstance(thing, int | float) and not isinstance(thing, bool) else words(value(thing), 14)


def _lay_out(figure: go.Figure, frame: Frame, names: Sequence[str], height: int) -> None:
    assert frame.spec.resource is not None
    gap = 26 / height
    values = np.concatenate([np.asarray(trace.y, dtype=float) for trace in figure.data[:1]])
    aim = frame.spec.objectives[0]
    log = theme.wants_log(values)
    layout: dict[str, Mapping[str, Any]] = {
        "yaxis": {
            "domain": [1 - _TOP / height + gap, 1], "title": {"text": label(aim.metric, 28)},
            "type": "log" if log else "linear",
            "range": theme.visible(values, lower_is_better=aim.goal != "maximize", log=log),
        }
    }  # fmt: skip
    top = 1 - _TOP / height
    for k, name in enumerate(names):
        param = frame.spec.space[name]
        kind = "category" if isinstance(param, Choice) else "linear"
        choices = [_plain(choice) for choice in param.choices] if isinstance(param, Choice) else None
        layout[f"yaxis{k + 2}"] = {
            "domain": [max(0.0, top - _EACH / height + gap), top], "title": {"text": label(name, 14)}, "type": kind,
            "nticks": 4, "categoryorder": None if choices is None else "array", "categoryarray": choices,
        }  # fmt: skip
        top -= _EACH / height
    last = f"y{len(names) + 1}" if names else "y"
    figure.update_layout(xaxis={"title": {"text": label(frame.spec.resource.name)}, "anchor": last}, **layout)
