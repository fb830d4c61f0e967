"""A study's figures for a terminal, which needs no library: history, curves, importance, slices, the Pareto front.

Pure functions of a history. The figures of a page or a notebook are in `reports/figures`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hpo_engine.errors import EngineError
from hpo_engine.reports import importance
from hpo_engine.reports.ranges import visible, wants_log
from hpo_engine.reports.ranking import best_first
from hpo_engine.space.searchspace import Choice
from hpo_engine.study.history import History
from hpo_engine.study.reached import reached
from hpo_engine.text.chart import Bar, Chart, Series
from hpo_engine.text.tables import counted, number, safe_text, value

_CURVES = 8  # learning curves, of the best trials
_SLICES = 4
_COLOURS = ("blue", "yellow", "green", "magenta", "cyan", "red", "grey")


class Nothing(EngineError):
    """A study has nothing to draw; the text says why."""

    exit_code = 3


def history(history: History) -> list[Chart]:
    """The values of trials in their order, and the best so far, for each objective."""
    rows = [t for t in history.trials if t.results and t.trained == history.front_resource]
    if not rows:
        raise Nothing(f"{history.spec.name}: no trial has a result yet")
    early = [(t.id, found) for t in history.trials if (found := reached(t, history.spec.objectives)) is not None]
    out = []
    for k, aim in enumerate(history.spec.objectives):
        losses = np.array([t.losses[k] for t in rows])
        values = losses * _sign(aim.goal)
        best = np.minimum.accumulate(losses) * _sign(aim.goal)
        ids = [t.id for t in rows]
        last = max(1, history.next_id - 1)
        series = [Series("trial", ids, values.tolist(), "blue")]
        if early:
            points = [found.losses[k] * _sign(aim.goal) for _, found in early]
            series.append(Series("ended early: value reached", [i for i, _ in early], points, "magenta", mark="▿"))
        series.append(Series("best so far", [*ids, last], [*best.tolist(), float(best[-1])], "yellow", "steps"))
        title = f"{aim.metric}: best {number(float(best[-1]))} after {counted(history.next_id, 'trial')}"
        out.append(_scaled(title, series, aim.goal, x_title="trial", x_range=(0, last)))
    return out


def curves(history: History) -> list[Chart]:
    """The learning curves of the best trials, by the first objective."""
    aim = history.spec.objectives[0]
    ranked = best_first(history) or [t for t in history.trials if t.rows]
    series = list[Series]()
    for trial in ranked:
        rows = [(row.step, row.values[aim.metric]) for row in trial.rows if aim.metric in row.values]
        if len(rows) > 1 and len(series) < _CURVES:
            colour = "yellow" if not series else _COLOURS[len(series) % len(_COLOURS)]
            series.append(Series(f"trial {trial.id}", [s for s, _ in rows], [v for _, v in rows], colour, "line"))
    if not series:
        raise Nothing(f"{history.spec.name}: no trial has reported {aim.metric} more than once")
    title = f"{aim.metric} of {'the best trial' if len(series) == 1 else f'the best {len(series)} trials'}"
    return [_scaled(title, series[::-1], aim.goal, x_title="step")]


def slices(history: History) -> list[Chart]:
    """The first objective over each of the parameters that matter most."""
    aim, space = history.spec.objectives[0], history.spec.space
    rows = [t for t in history.trials if t.results and t.trained == history.front_resource]
    if not rows:
        raise Nothing(f"{history.spec.name}: no trial has a result yet")
    out = []
    for name in _leading(history):
        axis = space.axis(name)
        points = [(axis.encode(p[name]), t) for t in rows if name in (p := history.result_config(t))]
        if not points:
            continue
        param = space[name]
        ends = [(axis.encode(v), value(v)) for v in (axis.decode(0.0), axis.decode(1.0))]
        shown = [(axis.encode(c), value(c)) for c in param.choices] if isinstance(param, Choice) else ends
        places, values = [x for x, _ in points], [t.losses[0] * _sign(aim.goal) for _, t in points]
        best = [(x, v) for (x, t), v in zip(points, values, strict=True) if t.id in history.front_ids]
        series = [
            Series("", places, values, "blue"),
            Series("best", [x for x, _ in best], [v for _, v in best], "yellow", mark="◆"),
        ]
        log = " (log)" if getattr(param, "log", False) or getattr(param, "power", None) else ""
        out.append(
            _scaled(f"{aim.metric} over {name}{log}", series, aim.goal, x_range=(-0.02, 1.02), ticks=shown)
        )  # fmt: skip
    return out


def pareto(history: History) -> list[Chart]:
    """The front and what it dominates, by the first two objectives."""
    if not history.spec.multi_objective:
        raise Nothing(f"{history.spec.name} has one objective, so there is no Pareto front")
    rows = [t for t in history.trials if t.results and t.trained == history.front_resource]
    if not rows:
        raise Nothing(f"{history.spec.name}: no trial has a result yet")
    a, b = history.spec.objectives[:2]
    split = [[t for t in rows if (t.id in history.front_ids) is front] for front in (False, True)]
    series = [
        Series(name, [a.value(t.losses[0]) for t in part], [b.value(t.losses[1]) for t in part], colour, mark=mark)
        for name, part, colour, mark in zip(("dominated", "front"), split, ("grey", "yellow"), "•◆", strict=True)
    ]
    volume = history.hypervolume
    notes = [] if volume is None else [f"hypervolume {number(float(f'{volume:.4g}'))}"]
    title = f"Pareto front: {counted(len(split[1]), 'trial')} of {len(rows)}"
    return [Chart(title, series, a.metric, b.metric, notes=notes)]


CHARTS: Mapping[str, Callable[[History], list[Chart]]] = {
    "history": history, "curves": curves, "slices": slices, "pareto": pareto,
}  # fmt: skip
"""By name; importance has bars, see `importance_bars`."""


def importance_bars(history: History) -> tuple[Sequence[str], list[tuple[importance.Importance, list[Bar]]]]:
    """Which trials count, and each ranking with its bars: parameters, then the strongest interactions."""
    sample, found = importance.importances(history)
    return sample.notes, [(one, [*map(_bar, one.effects), *map(_bar, one.pairs[:3])]) for one in found]


def importance_object(history: History) -> dict[str, Any]:
    """For `--json`."""
    sample, found = importance.importances(history)
    return {
        "trials": len(sample), "resource": sample.resource, "notes": list(sample.notes),
        "importance": [
            {
                "method": one.method, "target": one.target, "how": one.how, "doubts": list(one.doubts),
                "explained": one.explained, "rest": one.rest,
                "parameters": {e.names[0]: _effect_object(e) for e in one.effects},
                "interactions": [{"parameters": list(e.names), **_effect_object(e)} for e in one.pairs],
            }
            for one in found
        ],
    }  # fmt: skip


def chart_object(chart: Chart) -> dict[str, Any]:
    """For `--json`."""
    series = [{"name": s.name, "x": list(s.x), "y": list(s.y)} for s in chart.series]
    return {"title": chart.title, "x": chart.x_title, "y": chart.y_title, "series": series}


def _effect_object(effect: importance.Effect) -> dict[str, Any]:
    chance = {} if effect.chance is None else {"chance": effect.chance}
    return {"share": effect.share, "low": effect.low, "high": effect.high, **chance}


def _bar(effect: importance.Effect) -> Bar:
    text = f"{effect.share:4.0%}  {effect.low:.0%} to {effect.high:.0%}"
    return Bar(" x ".join(effect.names), effect.share, text, not effect.distinct)


def _leading(history: History) -> list[str]:
    names = [p.name for p, n in zip(history.spec.space.dimensions, history.spec.space.cells, strict=True) if n != 1]
    try:
        _, found = importance.importances(history, [importance.PED_ANOVA])
    except importance.TooFew:
        return names[:_SLICES]
    return [effect.names[0] for effect in found[-1].effects][:_SLICES]


def _sign(goal: str) -> float:
    return -1.0 if goal == "maximize" else 1.0


def _scaled(title: str, series: Sequence[Series], goal: str, **more: Any) -> Chart:
    """A chart whose y axis shows the good values well."""
    values = np.array([v for s in series for v in s.y if np.isfinite(v)])
    log = wants_log(values)
    ends = visible(values, lower_is_better=goal != "maximize", log=log)
    notes = []
    if ends is not None:
        low, high = (10**end if log else end for end in ends)
        ends = (low, high)
        beyond = int(((values < low) | (values > high)).sum())
        notes = [f"{counted(beyond, 'value')} beyond this range"] if beyond else []
    return Chart(safe_text(title), series, y_range=ends, log=log, notes=notes, **more)
