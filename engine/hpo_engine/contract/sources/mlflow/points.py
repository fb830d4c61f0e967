"""Rows made of what MLflow keeps: single values, each of a run, with a name, a step and a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from hpo_engine.contract.sources.numbers import metric, printable
from hpo_engine.study.objective import Row

MAX_POINTS = 600_000  # of an attempt


class Point(NamedTuple):
    run: str
    name: str
    value: float
    step: int
    time_ms: int


class RowsOfPoints:
    """Values of one run and step that come together are one row.

    A script that gives no step (MLflow keeps 0 for each) has its values counted.
    """

    def __init__(self) -> None:
        self._count: dict[tuple[str, str], int] = {}  # how many values of a metric there were
        self._stepped: set[str] = set()  # runs that have given a step
        self._points = 0

    def add(self, points: Iterable[Point]) -> list[Row]:
        """The rows that these values make; those that were made before stay as they are."""
        rows: list[Row] = []
        latest: dict[tuple[str, float], int] = {}  # of a run and a step: its row
        for point in sorted(points, key=lambda point: point.time_ms):
            self._points += 1
            if self._points > MAX_POINTS:
                break
            at, name = self._step(point), printable(point.name)
            index = latest.get((point.run, at))
            if index is None or name in rows[index].values:
                latest[(point.run, at)] = len(rows)
                rows.append(Row(at, {name: metric(point.value)}))
            else:
                rows[index] = Row(at, {**rows[index].values, name: metric(point.value)})
        return rows

    def _step(self, point: Point) -> int:
        key = (point.run, point.name)
        count = self._count[key] = self._count.get(key, -1) + 1
        if point.step:
            self._stepped.add(point.run)
        return count if point.step == 0 and point.run not in self._stepped else point.step
