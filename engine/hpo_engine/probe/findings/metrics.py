"""Where the metrics are, whether they are live, finite and in order, and whether the objective is among them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import median

from hpo_engine.contract.sources.interface import Reading
from hpo_engine.contract.sources.nearby import nearest_metric
from hpo_engine.contract.sources.verdict import verdict
from hpo_engine.probe.values import Evidence, Finding, Level, Ran
from hpo_engine.stoppers.spelling import other_spelling
from hpo_engine.study.objective import Row, has_one, pick_values
from hpo_engine.study.spec import SOURCES_AUTO
from hpo_engine.text.quoting import listed, quoted
from hpo_engine.text.tables import counted, duration, number

_TOPIC = "metrics"
_SHOWN = 6
_LONG_S = 2.0  # a shorter trial does not show whether its rows are live
_MARGIN_S = 0.3
_PACE_S = 0.05  # shorter intervals between rows are not told
_LATE = 0.9  # of a trial: rows that appear after it come at the end
_CLOSE = 0.02  # relative: two sources that round differently


def found(e: Evidence) -> Iterator[Finding]:
    runs = e.working
    if not runs:
        return
    valued = [run for run in runs if pick_values(run.rows, e.spec.objectives) is not None]
    if not valued:
        judged = [run for run in runs if run.rows or run.whole]
        if judged:
            yield _no_value(e, next((run for run in judged if run.rows), judged[0]))
        return
    for run in runs:
        if run not in valued and run.whole:
            text = verdict(run.reading, e.spec.objectives, run.id)[1].removeprefix(f"trial {run.id}: ")
            yield Finding(Level.NOTE, _TOPIC, "some_without_value", f"trial {run.id} has no value: {text}")
            break
    longest = max(valued, key=lambda run: len(run.rows))
    yield _there(longest, e)
    yield from _live(e, valued)
    yield from _order(e, valued)
    yield from _rivals(e, longest)
    yield from _others(e, longest)


# -- the objective is not there ----------------------------------------------------------------------------------------


def _no_value(e: Evidence, run: Ran) -> Finding:
    text = verdict(run.reading, e.spec.objectives, run.id)[1].removeprefix(f"trial {run.id}: ")
    lacking = [aim.metric for aim in e.spec.objectives if not run.has(aim.metric)]
    if not run.rows:
        return _no_rows(e, run, text)
    if strange := [name for name in lacking if name in run.reading.strange]:
        action = f"let the script write {strange[0]} as a number, without quotes"
        return Finding(Level.PROBLEM, _TOPIC, "string_metric", text, action)
    if lacking:
        found = _elsewhere(e, run, text, lacking[0], exact=True)
        return found or Finding(Level.PROBLEM, _TOPIC, "objective_missing", text, _other_name(run, lacking[0]))
    action = "narrower ranges in space may help; see what the script computes in its first steps"
    return Finding(Level.PROBLEM, _TOPIC, "not_finite", text, action)


def _no_rows(e: Evidence, run: Ran, text: str) -> Finding:
    metric = e.spec.objectives[0].metric
    if found := _elsewhere(e, run, text, metric, exact=True):
        return found
    if run.reading.broken:
        action = "let the script write the whole file: under another name, then renamed (os.replace)"
        return Finding(Level.PROBLEM, _TOPIC, "results_unreadable", text, action)
    if found := _elsewhere(e, run, text, metric, exact=False):
        return found
    seen = "; ".join([text, *(_has(reading) for reading in run.rivals.values())])
    action = f"let the script print {metric}=0.31 (results: stdout), or write it into val_dict_list.json"
    return Finding(Level.PROBLEM, _TOPIC, "no_results", seen, action)


def _has(reading: Reading) -> str:
    return f"{reading.source} has {listed([quoted(name) for name in reading.metrics], _SHOWN)}"


def _elsewhere(e: Evidence, run: Ran, text: str, metric: str, *, exact: bool) -> Finding | None:
    """For an objective that a source has which the study does not read. `exact`: under its own name."""
    ours = {source.name for source in e.spec.metric_sources}
    for key, reading in run.rivals.items():
        near = metric if metric in reading.metrics else _nearest(metric, list(reading.metrics))
        if key in ours or (exact and near != metric):
            continue
        if near:
            which = "" if near == metric else f", and as objective {quoted(near)}"
            action = f"in the study file, results: {key}{which}"
            return Finding(Level.PROBLEM, _TOPIC, "other_source", f"{text}; {_has(reading)}", action)
    return None


def _other_name(run: Ran, metric: str) -> str:
    names = [name for reading in (run.reading, *run.reading.also) for name in (*reading.metrics, *reading.strange)]
    near = _nearest(metric, names)
    if near:
        return f"did you mean {quoted(near)}? change the objective of the study file, or the name in the script"
    return "name one of these as objective of the study file, or let the script report that metric"


def _nearest(metric: str, names: list[str]) -> str:
    return other_spelling(metric, names) or nearest_metric(metric, names)


# -- how they are reported ---------------------------------------------------------------------------------------------


def _there(run: Ran, e: Evidence) -> Finding:
    names = [aim.metric for aim in e.spec.objectives]
    rated = _rated(run, e)
    steps = [row.step for row in rated]
    span = f"step {number(steps[0])}" if len(set(steps)) == 1 else f"steps {number(min(steps))} to {number(max(steps))}"
    others = [name for name in run.reading.metrics if name not in names]
    also = f"; also {listed(others, _SHOWN)}" if others else ""
    where = run.reading.source or "its reports"
    text = f"{' and '.join(names)} in {where}: {counted(len(rated), 'row')} ({span}){also}"
    return Finding(Level.OK, _TOPIC, "objective_there", text)


def _rated(run: Ran, e: Evidence) -> Sequence[Row]:
    """The rows that have an objective; the others cannot end a trial early."""
    return [row for row in run.rows if has_one(row, e.spec.objectives)]


def _live(e: Evidence, runs: list[Ran]) -> Iterator[Finding]:
    long = [run for run in runs if run.seconds >= _LONG_S]
    if not long:
        return
    run = max(long, key=lambda run: (len(_rated(run, e)), run.seconds))
    rows = len(_rated(run, e))
    live = [a for a in run.arrivals if a.after_s < run.seconds * _LATE - _MARGIN_S]
    if live and rows > 1:
        times = [a.after_s for a in live]
        every = (times[-1] - times[0]) / max(1, live[-1].rows - live[0].rows) if len(live) > 1 else 0.0
        pace = f", then every {duration(every)}" if every >= _PACE_S else ""
        yield Finding(Level.OK, _TOPIC, "live", f"rows can be read while it runs: after {duration(times[0])}{pace}")
        return
    if (live and not (run.whole and len(run.rows) > 1)) or (rows == 1 and run.resource == 1):
        return  # there may be, or is, no more to report
    level = Level.WARNING if e.spec.prunes else Level.NOTE
    if rows == 1:
        metric = e.spec.objectives[0].metric
        which = "one row" if len(run.rows) == 1 else f"one row with {quoted(metric)}"
        action = f"report {metric} after each epoch" if e.spec.prunes else ""
        yield Finding(level, _TOPIC, "one_row", f"{which}, at the end: such trials cannot be ended early", action)
        return
    text = (
        f"all {rows} rows appeared at the end of a run of {duration(run.seconds)}: trials cannot be ended "
        "early, and one that is interrupted has no value"
    )
    yield Finding(level, _TOPIC, "not_live", text, _flush(run))


def _flush(run: Ran) -> str:
    if run.reading.source and "output" not in run.reading.source:
        return "let the script rewrite or flush the file after each epoch"
    return (
        "let the script flush its output after each line (into a pipe, programs write blocks: stdbuf -oL, "
        "grep --line-buffered)"
    )


def _order(e: Evidence, runs: list[Ran]) -> Iterator[Finding]:
    for run in runs:
        rows = _rated(run, e)
        back = next(((a, b) for a, b in zip(rows, rows[1:], strict=False) if b.step < a.step), None)
        if back is None or (back[1] is rows[-1] and rows[0].step < back[1].step):
            continue  # in the end many scripts report their best step again
        text = f"steps go back: {number(back[1].step)} comes after {number(back[0].step)}"
        action = "count steps on over folds, phases and restarts; curves and early stopping compare trials by step"
        yield Finding(Level.WARNING, _TOPIC, "steps_back", text, action)
        return


# -- other files and metrics -------------------------------------------------------------------------------------------


def _rivals(e: Evidence, run: Ran) -> Iterator[Finding]:
    """Another file that has the objective with other values."""
    if len(e.spec.metric_sources) == 1 and e.spec.metric_sources[0].name != SOURCES_AUTO:
        return  # the study file says which one
    ours = pick_values(run.rows, e.spec.objectives)
    for key, reading in run.rivals.items():
        theirs = pick_values(reading.rows, e.spec.objectives)
        if theirs is None or ours is None or key == "stdout" or reading.source == run.reading.source:
            continue
        if all(math.isclose(a, b, rel_tol=_CLOSE, abs_tol=1e-9) for a, b in zip(ours, theirs, strict=True)):
            continue
        metric = e.spec.objectives[0].metric
        text = (
            f"{metric} is in two places: {number(ours[0])} in {run.reading.source}, which counts, and "
            f"{number(theirs[0])} in {reading.source}"
        )
        action = f"if the other one is meant, in the study file: results: {key}"
        yield Finding(Level.WARNING, _TOPIC, "two_sources", text, action)
        return


def _others(e: Evidence, run: Ran) -> Iterator[Finding]:
    """Extra metrics that are not there."""
    lacking = [name for name in e.spec.extra_metrics if not run.has(name)]
    if lacking and run.whole:
        near = _nearest(lacking[0], [name for name in run.reading.metrics if name not in e.spec.extra_metrics])
        action = f"did you mean {quoted(near)}?" if near else ""
        yield Finding(Level.NOTE, _TOPIC, "extra_missing", f"metrics: no {listed(lacking, _SHOWN)} in its rows", action)


def interval_s(run: Ran) -> float | None:
    """The usual time between two arrivals of rows (seconds)."""
    times = [a.after_s for a in run.arrivals]
    gaps = [b - a for a, b in zip(times, times[1:], strict=False)]
    return median(gaps) if gaps else None
