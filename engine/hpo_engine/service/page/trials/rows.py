"""What trials have reported: metrics with their latest and best values, and curves for scripts to draw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Depends, Response

from hpo_engine.reports.columns import best_step
from hpo_engine.reports.objects import dump
from hpo_engine.reports.ranking import wanted
from hpo_engine.service.dependencies import caller_of, desk_of
from hpo_engine.service.desk import Caller, Desk
from hpo_engine.service.page.rendering import HEADERS, PageRoute
from hpo_engine.service.page.trials.finding import found, numbers
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective, Row
from hpo_engine.study.trial import Trial
from hpo_engine.text.tables import safe_text

router = APIRouter(route_class=PageRoute)
MOST_CURVES, MOST_METRICS, MOST_POINTS = 12, 60, 2_000


class Metric(NamedTuple):
    """A metric of a trial. `goal`: "" if the study file gives none; then `best` is None. `aim`: it is an objective."""

    name: str
    goal: str
    aim: bool
    latest: float | None
    latest_step: float | None
    best: float | None
    best_step: float | None


def metrics(history: History, trial: Trial) -> list[Metric]:
    """The objectives first, then those that the study file names, then the others by name."""
    spec = history.spec
    aims = [aim.metric for aim in spec.objectives]
    latest: dict[str, Row] = {}
    for row in trial.rows:
        for name in row.values:
            latest[name] = row
    rest = sorted(name for name in latest if name not in aims and name not in spec.extra_metrics)
    out = []
    for name in dict.fromkeys([*aims, *spec.extra_metrics, *rest]):
        if name not in latest and name not in aims:
            continue
        how = wanted(spec, name)
        goal = how.goal if name in aims or how.over == "best" else ""
        best = Objective(name, goal or "minimize").pick(trial.rows) if goal else None
        at = None if best is None else best_step(trial.rows, Objective(name, goal), best)
        last = latest.get(name)
        value = None if last is None else last.values[name]
        out.append(Metric(name, goal, name in aims, value, None if last is None else last.step, best, at))
    return out


def curves(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """For each metric that the trials have reported more than once: a curve of each trial. Those with the objective's
    name are not put first; that is for who draws them."""
    names = dict.fromkeys(name for trial in trials for row in trial.rows for name in row.values)
    out = []
    for name in list(names)[:MOST_METRICS]:
        found = list[dict[str, Any]]()
        for trial in trials:
            points = [(row.step, row.values[name]) for row in trial.rows if name in row.values]
            if points:
                thinned = thin(points, MOST_POINTS)
                values = [v if math.isfinite(v) else None for _, v in thinned]
                found.append({"trial": trial.id, "steps": [step for step, _ in thinned], "values": values})
        if any(len(each["steps"]) > 1 for each in found):
            out.append({"metric": safe_text(name), "curves": found})
    return out


def thin(points: Sequence[tuple[float, float]], most: int) -> Sequence[tuple[float, float]]:
    """At most so many of the points: of each stretch the lowest and the highest, and the ends."""
    if len(points) <= most:
        return points
    stretch = math.ceil(len(points) / (most // 2 - 1))
    kept = [points[0]]
    for start in range(1, len(points) - 1, stretch):
        part = [point for point in points[start : min(start + stretch, len(points) - 1)] if math.isfinite(point[1])]
        if part:
            ends = {min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])}
            kept += sorted(ends)
    return [*kept, points[-1]]


@router.get("/studies/{name}/curves.json")
def curves_json(
    name: str,
    desk: Annotated[Desk, Depends(desk_of)],
    caller: Annotated[Caller, Depends(caller_of)],
    trials: str,
) -> Response:
    """The curves of a few trials: `trials=1,2,7`."""
    study = found(desk, caller, name)
    chosen = [study.trial(number) for number in numbers(trials, MOST_CURVES)]
    drawn = curves(chosen)
    first = [safe_text(aim.metric) for aim in study.history.spec.objectives]
    drawn.sort(key=lambda one: first.index(one["metric"]) if one["metric"] in first else len(first))
    unit = study.history.spec.resource.name if study.history.spec.resource else "step"
    answer = dump(
        {"events": study.history.events, "unit": safe_text(unit), "trials": [t.id for t in chosen], "metrics": drawn}
    )
    return Response(answer, headers=HEADERS, media_type="application/json")
