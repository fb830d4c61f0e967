"""The list of studies: what its rows say, and which of them a reader asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple

from hpo_engine.errors import JournalError
from hpo_engine.reports.ranges import visible
from hpo_engine.service.desk import View
from hpo_engine.service.page.rendering import query
from hpo_engine.study.history import History
from hpo_engine.study.trial import BAD

STATES = ("running", "queued", "interrupted", "stopped", "finished", "failed", "damaged")
"""In the order in which they are offered."""
SORTS = {"recent": "Latest first", "name": "Name", "state": "State", "progress": "Progress"}
_SHORT = {"minimize": "min", "maximize": "max"}
_MOST_KEPT = 5000
_POINTS = 60  # of a sparkline
_WIDTH, _HEIGHT, _PAD = 120.0, 28.0, 2.0


@dataclass(frozen=True)
class Row:
    """A study in the list.

    `best`: the value, or None; `goal`: of which metrics, as in `min loss`. `total`: None if unlimited.
    `version`: see View. `ahead`: studies that are queued before it. `last_at`: UTC seconds of the latest event.
    """

    name: str
    state: str
    owner: str
    elsewhere: str
    problem: str
    algorithm: str
    goal: str
    best: float | None
    front: int
    done: int
    total: int | None
    failed: int
    version: str
    last_at: float
    ahead: int = 0


class Wanted(NamedTuple):
    """What the URL asks for."""

    q: str = ""
    state: str = ""
    owner: str = ""
    sort: str = "recent"

    def url(self, **changes: str) -> str:
        """The list's URL with these parts changed; without those that are as they are by default."""
        parts = {**self._asdict(), **changes}
        if parts["sort"] == "recent":
            parts["sort"] = ""
        return "/" + query(**parts)


class Rows:
    """Makes rows of views, and keeps each until its study has changed. May be used from several threads."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[str, Row]] = {}
        self._goals: dict[tuple[str, float], tuple[str, ...]] = {}

    def of(self, views: Sequence[View]) -> list[Row]:
        """The rows in the order of the views."""
        rows, kept = [], dict[str, tuple[str, Row]]()
        waiting = sorted((view.created, view.name) for view in views if view.state == "queued")
        for view in views:
            known = self._kept.get(view.name)
            row = known[1] if known is not None and known[0] == view.version else row_of(view, self._goals_of(view))
            kept[view.name] = (view.version, row)
            if view.state == "queued":
                row = Row(**{**row.__dict__, "ahead": waiting.index((view.created, view.name))})
            rows.append(row)
        self._kept = {**self._kept, **kept} if len(self._kept) < _MOST_KEPT else kept
        return rows

    def _goals_of(self, view: View) -> tuple[str, ...]:
        key = (view.name, view.created)
        if key not in self._goals:
            if len(self._goals) > _MOST_KEPT:
                self._goals.clear()
            self._goals[key] = goals_of(view)
        return self._goals[key]


def row_of(view: View, goals: Sequence[str]) -> Row:
    """The row of one study.

    Args:
        goals: of its objectives.
    """
    found, spec = view.summary, None if view.summary is not None else view.spec
    metrics = found.metrics if found is not None else () if spec is None else [aim.metric for aim in spec.objectives]
    words = [f"{_SHORT.get(goal, '')} {metric}".strip() for metric, goal in zip_longest(metrics, goals, fillvalue="")]
    return Row(
        name=view.name, state="damaged" if view.problem and found is None and view.paths else view.state,
        owner=view.owner, elsewhere=view.elsewhere, problem=view.problem,
        algorithm=found.algorithm if found is not None else "" if spec is None else spec.algorithm.name,
        goal=", ".join(words), best=None if found is None or found.best is None else found.best[1],
        front=0 if found is None else found.front, done=0 if found is None else found.done,
        total=found.total if found is not None else None if spec is None else spec.budget.trials,
        failed=0 if found is None else sum(found.counts.get(state.value, 0) for state in BAD),
        version=view.version, last_at=view.created if found is None else found.last_at,
    )  # fmt: skip


def goals_of(view: View) -> tuple[str, ...]:
    """The goals of the study's objectives, which never change; () if they cannot be read."""
    from hpo_engine.store.journal import read_first
    from hpo_engine.study.events import StudyOpened

    if view.summary is None or view.paths is None:
        return () if view.spec is None else tuple([aim.goal for aim in view.spec.objectives])
    try:
        event = read_first(view.paths.db)
    except JournalError:
        return ()
    return tuple([aim.goal for aim in event.opened().spec.objectives]) if isinstance(event, StudyOpened) else ()


def chosen(rows: Iterable[Row], wanted: Wanted) -> list[Row]:
    """Those that are asked for, in that order. A text is looked for in names, owners, algorithms and metrics."""
    words = wanted.q.casefold().split()
    found = [
        row for row in rows
        if (not wanted.state or row.state == wanted.state) and (not wanted.owner or row.owner == wanted.owner)
        and all(word in f"{row.name} {row.owner} {row.algorithm} {row.goal}".casefold() for word in words)
    ]  # fmt: skip
    found.sort(key=lambda row: row.name.casefold())
    if wanted.sort == "state":
        found.sort(key=lambda row: STATES.index(row.state) if row.state in STATES else len(STATES))
    elif wanted.sort == "progress":
        found.sort(key=lambda row: row.done / row.total if row.total else 0.0, reverse=True)
    elif wanted.sort != "name":
        found.sort(key=lambda row: row.last_at, reverse=True)
    return found


def best_so_far(history: History) -> list[float]:
    """The best value of the first objective after each trial with a result that compares with the best one's."""
    objective = history.spec.objectives[0]
    best, out = None, list[float]()
    for trial in history.trials:
        loss = trial.loss
        if loss is None or trial.trained != history.front_resource:
            continue
        best = loss if best is None else min(best, loss)
        out.append(objective.value(best))
    return out


def sparkline_of(history: History) -> str:
    """That of the first objective; see `sparkline`."""
    return sparkline(best_so_far(history), history.spec.objectives[0].goal == "maximize")


def picture(points: str) -> str:
    """A sparkline as an SVG file. Its colour can be seen on light and on dark."""
    line = f'<polyline points="{points}" fill="none" stroke="#d08410" stroke-width="1.6" stroke-linejoin="round"/>'
    box = f'width="{_WIDTH:.0f}" height="{_HEIGHT:.0f}" viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box}>{line if points else ""}</svg>'


def sparkline(values: Sequence[float], rises: bool) -> str:
    """The points of a step line in a box of 120 x 28, `x,y x,y ...`; "" for fewer than two values."""
    if len(values) < 2:
        return ""
    import numpy as np

    every = np.array(values)
    picked = np.unique(np.linspace(0, len(every) - 1, min(_POINTS, len(every))).round().astype(int))
    column = every[picked]
    low, high = visible(column, lower_is_better=not rises) or (float(column.min()), float(column.max()))
    span = (high - low) or 1.0
    x = _PAD + (_WIDTH - 2 * _PAD) * picked / (len(every) - 1)
    y = _HEIGHT - _PAD - (_HEIGHT - 2 * _PAD) * (np.clip(column, low, high) - low) / span
    points = [f"{x[0]:.1f},{y[0]:.1f}"]
    for k in range(1, len(x)):
        points += [f"{x[k]:.1f},{y[k - 1]:.1f}", f"{x[k]:.1f},{y[k]:.1f}"]
    return " ".join(points)
