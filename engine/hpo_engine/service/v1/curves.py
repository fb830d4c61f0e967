"""Rows of trials as the API sends them: all, those after a step, or so few that they still look the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from hpo_engine.study.objective import Row


def thinned(rows: Sequence[Row], metrics: Sequence[str], points: int) -> Sequence[Row]:
    """At most about `points` of the rows: of each stretch of them those with the least and the greatest value of every
    one of `metrics`, and always the first and the last, so that a curve keeps its peaks. All of them if they are few.
    """
    if len(rows) <= points or not metrics:
        return rows if len(rows) <= points else [rows[i] for i in _evenly(len(rows), points)]
    stretches = max(1, (points - 2) // (2 * len(metrics)))
    kept = {0, len(rows) - 1}
    for k in range(stretches):
        stretch = range(len(rows) * k // stretches, len(rows) * (k + 1) // stretches)
        for name in metrics:
            found = [(value, i) for i in stretch if (value := rows[i].values.get(name)) is not None]
            finite = [pair for pair in found if math.isfinite(pair[0])]
            if finite:
                kept |= {min(finite)[1], max(finite)[1]}
    return [rows[i] for i in sorted(kept)]


def _evenly(n: int, points: int) -> list[int]:
    return sorted({round(i * (n - 1) / max(1, points - 1)) for i in range(points)})


def curve(rows: Sequence[Row], metric: str, points: int) -> dict[str, list[Any]]:
    """One metric as two arrays of the same length, `steps` and `values`."""
    having = [row for row in rows if metric in row.values]
    kept = thinned(having, [metric], points)
    return {"steps": [row.step for row in kept], "values": [row.values[metric] for row in kept]}
