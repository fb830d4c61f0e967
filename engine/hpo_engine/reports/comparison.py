"""Trials of a study side by side, and studies side by side: what differs, as tables and as JSON.

Pure functions of histories; what is in folders is looked up by the caller.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpo_engine.reports import provenance
from hpo_engine.reports.ranking import beside, beside_names
from hpo_engine.study.history import History
from hpo_engine.study.objective import last_step
from hpo_engine.study.reached import losses_at, reached
from hpo_engine.study.trial import Trial
from hpo_engine.text.tables import duration, number, value

_STEPS = (0.25, 0.5, 0.75, 1.0)  # of what all trials reached: where their curves are compared
_COUNTS = (5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)  # trials after which regret is shown
_MOST_FILES = 8
_MISSING = "-"


@dataclass(frozen=True)
class Table:
    """A table with a column for each of what is compared. `rows`: what it is, and a cell for each."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Any, ...]], ...]


# -- trials ------------------------------------------------------------------------------------------------------------


def trials(history: History, chosen: Sequence[Trial], files: Sequence[frozenset[str]]) -> list[Table]:
    """Trials of one study: how they ended, the parameters in which they differ, their curves at equal steps, what their
    runs took, and the files that not all of them left.

    Args:
        files: for each trial the names of what is in its RESULT_DIR.
    """
    heads = tuple(f"TRIAL {t.id}" + ("*" if t.id in history.front_ids else "") for t in chosen)
    tables = [
        Table("", heads, _outcomes(history, chosen)),
        Table(_same_params(history, chosen), heads, _params(history, chosen)),
        Table("at equal steps", heads, _at_steps(history, chosen)),
        Table("runs", heads, _runs(chosen)),
        Table("files that not all have", heads, _files(files)),
    ]
    return [table for table in tables if table.rows or table.title.startswith("param")]


def _outcomes(history: History, chosen: Sequence[Trial]) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    rows: list[tuple[str, tuple[Any, ...]]] = [("state", tuple(t.state.value for t in chosen))]
    for k, aim in enumerate(history.spec.objectives):
        rows.append((aim.metric, tuple(_value(history, t, k) for t in chosen)))
    for name in beside_names(history.spec):
        rows.append((name, tuple(beside(history, t).get(name) for t in chosen)))
    if history.spec.resource is not None:
        rows.append((history.spec.resource.name, tuple(t.trained or None for t in chosen)))
    if any(t.reason for t in chosen):
        rows.append(("reason", tuple(t.reason for t in chosen)))
    return tuple(rows)


def _value(history: History, trial: Trial, k: int) -> str:
    """The trial's value; in parentheses what it had reached if it was ended early."""
    if trial.losses:
        return number(history.values(trial)[k])
    found = reached(trial, history.spec.objectives)
    return _MISSING if found is None else f"({number(history.spec.objectives[k].value(found.losses[k]))})"


def _configs(history: History, chosen: Sequence[Trial]) -> list[dict[str, Any]]:
    return [dict(history.result_config(t)) for t in chosen]


def _differing(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    names = dict.fromkeys(name for config in configs for name in config)
    return [n for n in names if len({repr(c.get(n, ...)) for c in configs}) > 1]


def _params(history: History, chosen: Sequence[Trial]) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    configs = _configs(history, chosen)
    return tuple(
        (name, tuple(value(c[name]) if name in c else _MISSING for c in configs)) for name in _differing(configs)
    )


def _same_params(history: History, chosen: Sequence[Trial]) -> str:
    configs = _configs(history, chosen)
    names = {name for config in configs for name in config}
    same = len(names) - len(_differing(configs))
    if same == len(names):
        return "parameters: all the same"
    return "parameters" if not same else f"parameters that differ ({same} the same)"


def _at_steps(history: History, chosen: Sequence[Trial]) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    """The objectives at steps that all the trials which reported anything had reached; the best value up to there, or
    the last one, as the study counts them."""
    aims = history.spec.objectives
    ends = [step for t in chosen if (step := last_step(t.rows, aims)) is not None]
    steps = sorted({row.step for t in chosen for row in t.rows if ends and row.step <= min(ends)})
    if len(ends) < 2 or not steps:
        return ()
    picked = sorted({steps[max(0, math.ceil(share * len(steps)) - 1)] for share in _STEPS})
    rows = []
    for k, aim in enumerate(aims):
        for step in picked:
            losses = [losses_at(t.rows, step, aims) for t in chosen]
            cells = tuple(_MISSING if found is None else number(aim.value(found[k])) for found in losses)
            rows.append((f"{aim.metric} up to step {number(step)}", cells))
    return tuple(rows)


def _runs(chosen: Sequence[Trial]) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    ends = [t.attempt.exit if t.attempt is not None else None for t in chosen]
    peaks = [t.memory_peak_mb for t in chosen]
    rows: list[tuple[str, tuple[Any, ...]]] = [
        ("attempts", tuple(len(t.attempts) for t in chosen)),
        ("exit", tuple(_MISSING if end is None else str(end) for end in ends)),
        ("took", tuple(duration(t.took_s) or _MISSING for t in chosen)),
        ("processor", tuple(duration(t.cpu_s) or _MISSING for t in chosen)),
        ("memory at most", tuple(_MISSING if peak is None else f"{peak:.0f} MiB" for peak in peaks)),
    ]
    if any(t.attempt is not None and t.attempt.devices for t in chosen):
        rows.append(("GPUs", tuple(",".join(t.attempt.devices) if t.attempt else "" for t in chosen)))
    starts = [None if t.attempt is None else t.attempt.resume for t in chosen]
    if any(start is not None for start in starts):
        rows.append(("went on from", tuple(_MISSING if start is None else f"trial {start}" for start in starts)))
    return tuple(rows)


def _files(files: Sequence[frozenset[str]]) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    every = sorted(frozenset[str]().union(*files) - frozenset.intersection(*files)) if files else []
    rows = [(name, tuple("yes" if name in own else _MISSING for own in files)) for name in every[:_MOST_FILES]]
    if len(every) > _MOST_FILES:
        rows.append((f"and {len(every) - _MOST_FILES} more", tuple(str(len(own)) for own in files)))
    return tuple(rows)


# -- studies -----------------------------------------------------------------------------------------------------------


def studies(names: Sequence[str], found: Sequence[History]) -> list[Table]:
    """Studies side by side: what they came to, what was best, and how fast they came near it."""
    heads = tuple(names)
    rows: list[tuple[str, tuple[Any, ...]]] = [
        ("state", tuple(h.state.value for h in found)),
        ("algorithm", tuple(h.spec.algorithm.name for h in found)),
        ("seed", tuple(_MISSING if h.spec.seed is None else str(h.spec.seed) for h in found)),
        ("trials", tuple(h.next_id for h in found)),
    ]
    states = dict.fromkeys(state for h in found for state in h.counts)
    rows += [(f"  {s.value}", tuple(h.counts.get(s, 0) for h in found)) for s in states if len(states) > 1]
    rows.append(("engines ran", tuple(duration(h.elapsed_s(h.last_at)) for h in found)))
    tables = [Table("", heads, tuple(rows))]
    best = [_best_cells(h) for h in found]
    metrics = dict.fromkeys(name for cells in best for name in cells)
    tables.append(Table("best", heads, tuple((n, tuple(c.get(n, _MISSING) for c in best)) for n in metrics)))
    params = [dict(h.result_config(h.best)) if h.best else {} for h in found]
    names_ = dict.fromkeys(name for config in params for name in config)
    if not any(h.spec.multi_objective for h in found):
        cells = tuple((n, tuple(value(p[n]) if n in p else _MISSING for p in params)) for n in names_)
        tables.append(Table("parameters of the best trials", heads, cells))
    tables += _regrets(heads, found)
    return [table for table in tables if table.rows]


def _best_cells(history: History) -> dict[str, str]:
    if history.best is None:
        return {}
    if history.spec.multi_objective:
        volume = history.hypervolume
        return {
            "trials of the front": str(len(history.front_ids)),
            "hypervolume": _MISSING if volume is None else number(volume),
        }
    return {
        history.spec.objectives[0].metric: number(history.values(history.best)[0]), "trial": str(history.best.id),
    }  # fmt: skip


def comparable(found: Sequence[History]) -> bool:
    """Whether their best values are values of the same one objective."""
    return len({h.spec.objectives for h in found}) == 1 and not found[0].spec.multi_objective


def _regrets(heads: tuple[str, ...], found: Sequence[History]) -> list[Table]:
    """How far the best value so far was from the best of all the studies, over trials and over time."""
    curves = [_incumbents(h) for h in found]
    if not comparable(found) or not all(curves):
        return []
    goal = min(curve[-1][2] for curve in curves)
    ended = min(len(curve) for curve in curves)
    counts = [n for n in _COUNTS if n < ended] + [ended]
    by_trials = tuple((f"after {n} trials", tuple(number(c[n - 1][2] - goal) for c in curves)) for n in counts[-6:])
    time = min(curve[-1][1] for curve in curves)
    by_time = tuple(
        (f"after {duration(time * share)}", tuple(_until(c, time * share, goal) for c in curves)) for share in _STEPS
    )
    metric = found[0].spec.objectives[0].metric
    regret = f"distance of the best {metric} so far from the best of all"
    return [
        Table(f"{regret}, over trials with a result", heads, by_trials),
        Table(f"{regret}, over time", heads, by_time),
    ]


def _incumbents(history: History) -> list[tuple[int, float, float]]:
    """(trial, seconds since the first start, lowest loss so far) of each comparable result, in the order of ends."""
    rows = [t for t in history.trials if t.results and t.trained == history.front_resource]
    begun = min((t.started_at for t in history.trials if t.started_at is not None), default=0.0)
    out, best = list[tuple[int, float, float]](), math.inf
    for trial in sorted(rows, key=lambda t: (t.ended_at or 0.0, t.id)):
        best = min(best, trial.losses[0])
        out.append((trial.id, (trial.ended_at or begun) - begun, best))
    return out


def _until(curve: Sequence[tuple[int, float, float]], seconds: float, goal: float) -> str:
    place = bisect_right([at for _, at, _ in curve], seconds + 1e-9)
    return _MISSING if place == 0 else number(curve[place - 1][2] - goal)


def ran_on(names: Sequence[str], found: Sequence[History]) -> list[Table]:
    """The lines of what the studies ran on, if they are not all the same."""
    lines = [[line.strip() for line in provenance.lines(h.provenance)] for h in found]
    if all(own == lines[0] for own in lines):
        return []
    keyed = [{line.partition(" ")[0]: line.partition(" ")[2] for line in own} for own in lines]
    keys = dict.fromkeys(key for own in keyed for key in own)
    rows = tuple((key, cells) for key in keys if len(set(cells := tuple(own.get(key, _MISSING) for own in keyed))) > 1)
    return [Table("what they ran on, where it differs", tuple(names), rows)] if rows else []


def as_object(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """For `--json`."""
    return [
        {
            "title": table.title,
            "rows": {name.strip(): dict(zip(table.heads, cells, strict=True)) for name, cells in table.rows},
        }
        for table in tables
    ]
