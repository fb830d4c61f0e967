"""What a trial's reports are worth: its values, or why it has none, in one line."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace

from hpo_engine.contract.sources.interface import Reading
from hpo_engine.contract.sources.nearby import nearest_metric
from hpo_engine.study.objective import Objective, Row, pick_values
from hpo_engine.study.trial import FailureKind
from hpo_engine.text.quoting import listed, quoted

_SOURCES, _NAMES = 5, 6  # that a message lists


def or_seen(reading: Reading, seen: Sequence[Row]) -> Reading:
    """The reading; where it has no rows those that were seen while the run went on. A run that was ended may have been
    in the middle of writing its file anew."""
    if reading.rows or not seen:
        return reading
    return replace(reading, rows=tuple(seen), source=reading.source or "its reports")


def verdict(reading: Reading, objectives: Sequence[Objective], trial_id: int) -> tuple[tuple[float, ...] | None, str]:
    """The trial's values (None: it has none) and what there is to say about it in one line ("" if nothing)."""
    values = pick_values(reading.rows, objectives)
    if values is not None:
        return values, f"trial {trial_id}: {reading.problem}" if reading.problem else ""
    return None, f"trial {trial_id}: {_why_none_of(reading, objectives)}"


def failure(reading: Reading, objectives: Sequence[Objective]) -> FailureKind:
    """What is wrong with a reading whose `verdict` has no values."""
    there = {*reading.metrics, *reading.strange}
    bad = all(o.metric in there for o in objectives) if reading.rows else reading.broken
    return FailureKind.BAD_RESULT if bad else FailureKind.NO_RESULT


def _why_none_of(reading: Reading, objectives: Sequence[Objective]) -> str:
    if len(objectives) == 1:
        return _why_none(reading, objectives[0])
    somewhere = [replace(objective, over="best") for objective in objectives]
    lacking = next((o for o in somewhere if o.pick(reading.rows) is None), None)
    if lacking is not None:
        return _why_none(reading, lacking)
    names = " and ".join(quoted(o.metric) for o in objectives)
    if pick_values(reading.rows, somewhere) is None:
        return f"{names} are never finite in the same row ({len(reading.rows)} rows) of {reading.source}"
    return f"{names} are not all finite in the last row of {reading.source}, which counts"


def _why_none(reading: Reading, objective: Objective) -> str:
    metric = objective.metric
    rows, name, source = reading.rows, quoted(metric), reading.source
    if not rows:
        return reading.problem or "has no results"
    note = f" ({reading.problem})" if reading.problem else ""
    if having := [row.values[metric] for row in rows if metric in row.values]:
        if objective.over == "last" and any(map(math.isfinite, having)):
            return f"{name} counts by its last value, which is {having[-1]} in {source} ({len(having)} rows){note}"
        where = f"any of {len(having)} rows" if len(having) > 1 else "the only row"
        return f"{name} is not finite in {where} of {source} (last: {having[-1]}){note}"
    if metric in reading.strange:
        return f"{name} is {reading.strange[metric]} in {source}, not a number{note}"
    if not reading.metrics:
        return f"no metric {name} in {source}; it has no numbers at all ({_span(rows)}){note}"
    if reading.also:
        each = (reading, *reading.also)
        near = nearest_metric(metric, [name for found in each for name in found.metrics])
        meant = f"; did you mean {quoted(near)}?" if near else ""
        return f"no source has a metric {name}: {what_they_have(each)}{meant}{note}"
    names = listed([quoted(m) for m in reading.metrics], 8)
    return f"no metric {name} in {source}; it has {names} ({_span(rows)}){note}"


def what_they_have(readings: Sequence[Reading]) -> str:
    """`metrics.csv has "a", "b"; output.log has "c"`"""
    shown = [f"{r.source} has {listed([quoted(m) for m in r.metrics], _NAMES)}" for r in readings[:_SOURCES]]
    return "; ".join(shown)


def thin(rows: Sequence[Row], limit: int = 10_000, wanted: Collection[str] = ()) -> tuple[Row, ...]:
    """At most `limit` (>= 2) of the rows, evenly spread, the first and the last among them. Rows with a metric that is
    `wanted` come before the others: there may be one of them in a thousand that have the loss of a batch."""
    if len(rows) <= limit:
        return tuple(rows)
    having = [i for i, row in enumerate(rows) if not row.values.keys().isdisjoint(wanted)]
    kept = {*_spread(having, limit)}
    if len(kept) < limit:
        kept.update(_spread([i for i in range(len(rows)) if i not in kept], limit - len(kept)))
    return tuple([rows[i] for i in sorted(kept)])


def _spread(items: Sequence[int], limit: int) -> Sequence[int]:
    if len(items) <= limit:
        return items
    return [items[i * (len(items) - 1) // (limit - 1)] for i in range(limit)] if limit > 1 else items[-1:]


def _span(rows: Sequence[Row]) -> str:
    low, high = min(row.step for row in rows), max(row.step for row in rows)
    return f"step {low}" if low == high else f"steps {low}-{high}"
