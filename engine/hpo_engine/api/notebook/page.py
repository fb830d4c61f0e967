"""A study as HTML: its progress, its best trials, those that run. A pure function of history and time.

Whatever a user or a trial made is escaped. Without styles, which some viewers remove, the text still reads well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from hpo_engine.reports import remarks
from hpo_engine.reports.objects import state_word
from hpo_engine.reports.ranking import beside, beside_names, best_first
from hpo_engine.space.params import json_text
from hpo_engine.study.history import History, StudyState
from hpo_engine.study.trial import BAD, Trial
from hpo_engine.text.tables import assignments, duration, number, safe_text, value
from hpo_engine.trackers import display
from hpo_engine.trackers.eta import seconds_left
from hpo_engine.trackers.lines import STATE_WORDS, counts, objective_text, progress_label, reason

_MOST_RUNNING, _MOST_BEST, _MOST_COLUMNS = 8, 5, 12

STYLE = """<style>
.hpo { font-family: var(--jp-ui-font-family, system-ui, sans-serif); font-size: 13px; line-height: 1.5;
  max-width: 960px; color: var(--jp-content-font-color1, var(--vscode-foreground, inherit)); }
.hpo .dim { opacity: .7; }
.hpo .head { display: flex; gap: 1em; align-items: baseline; }
.hpo .head b { font-size: 15px; }
.hpo .state { margin-left: auto; padding: 0 .6em; border: 1px solid currentColor; border-radius: 1em; font-size: 12px; }
.hpo .state.finished { color: #0a7d5c; } .hpo .state.failed { color: #c0392b; }
.hpo .bar { height: 6px; margin: 6px 0; border-radius: 3px; background: rgba(128, 128, 128, .25); overflow: hidden; }
.hpo .bar div { height: 100%; background: #0072b2; }
.hpo .best { font-weight: 600; font-variant-numeric: tabular-nums; }
.hpo .scroll { overflow-x: auto; }
.hpo table { border-collapse: collapse; margin: 6px 0; font-size: 12px; font-variant-numeric: tabular-nums; }
.hpo th, .hpo td { padding: 2px 12px 2px 0; text-align: left; white-space: nowrap; border: 0; background: none;
  max-width: 22em; overflow: hidden; text-overflow: ellipsis; }
.hpo th { opacity: .7; font-weight: 500; border-bottom: 1px solid rgba(128, 128, 128, .4); }
</style>"""


def study_page(history: History, now: float, *, led: bool) -> str:
    """The study as one `<div>`.

    Args:
        now: UTC seconds; led: whether an engine runs it.
    """
    parts = [_head(history, led), _bar(history), _tally(history, now), _best(history)]
    parts.append(_running(history, now) if history.open_ids else _top(history))
    parts.append(_failure(history))
    return f'<div class="hpo">{STYLE}{"".join(parts)}</div>'


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], more: str = "") -> str:
    """A table of texts, which are escaped; `more`: a line below it."""
    head = "".join(f"<th>{_text(name)}</th>" for name in headers)
    body = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    below = f'<div class="dim">{_text(more)}</div>' if more else ""
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{below}'


def trials_page(history: History, most: int = 20) -> str:
    """The trials in their order as one `<div>`: the first and the last of them if there are many."""
    trials = list(history.trials)
    left_out = len(trials) - most
    shown = trials if left_out <= 0 else [*trials[: most // 2], *trials[-(most - most // 2) :]]
    names, metrics = _params(history), [o.metric for o in history.spec.objectives]
    extra = beside_names(history.spec)
    rows = [_row(history, trial, names, extra, with_state=True) for trial in shown]
    more = f"{len(trials)} trials, of which {left_out} in the middle are not shown" if left_out > 0 else ""
    return f'<div class="hpo">{STYLE}{table(["trial", "state", *metrics, *extra, *names], rows, more)}</div>'


def space_page(entries: Mapping[str, Any], rules: Sequence[str]) -> str:
    """A search space as one `<div>`. `entries`: what a study file has under `space`."""
    rows = [[name, *_entry(entry)] for name, entry in entries.items()]
    more = f"require {'; '.join(rules)}" if rules else ""
    return f'<div class="hpo">{STYLE}{table(["parameter", "kind", "values", "details"], rows, more)}</div>'


def _entry(entry: Any) -> list[str]:
    """Kind, values, and the rest."""
    if not isinstance(entry, dict):
        return ["constant", value(entry), ""]
    (kind, first), *more = entry.items()
    shown = " to ".join(map(value, first)) if kind in ("float", "int") else ", ".join(map(value, first))
    return [kind, shown, ", ".join(f"{name}: {json_text(rest)}" for name, rest in more)]


def _head(history: History, led: bool) -> str:
    state = state_word(history.state.value, led)
    what = f"{safe_text(history.spec.algorithm.name)}, {objective_text(history.spec)}"
    return (
        f'<div class="head"><b>{_text(history.spec.name)}</b> <span class="dim">{escape(what)}</span> '
        f'<span class="state {escape(state)}">{escape(state)}</span></div>'
    )


def _bar(history: History) -> str:
    done, total = history.progress
    if not total:
        return ""
    return f'<div class="bar"><div style="width: {min(1.0, done / total):.1%}"></div></div>'


def _tally(history: History, now: float) -> str:
    words = [progress_label(history), *(text for _, text in counts(history))]
    clock = duration(history.elapsed_s(now), tenths=False)
    left = seconds_left(history, now) if history.state is StudyState.RUNNING else None
    clock += "" if left is None else f", about {duration(left, tenths=False)} left"
    return f'<div>{escape(" · ".join(words))} <span class="dim">· {escape(clock)}</span></div>'


def _best(history: History) -> str:
    best, best_value = history.best, history.best_value
    if best is None or best_value is None:
        return ""
    if history.spec.multi_objective:
        count = len(history.front_ids)
        return f'<div class="best">Pareto front: {count} {"trial" if count == 1 else "trials"}</div>'
    metric = history.spec.objectives[0].metric
    params = assignments(remarks.searched(history.spec, history.result_config(best)))
    extra = assignments(beside(history, best))
    rest = f"trial {best.id}" + (f"  {extra}" if extra else "") + f"  {params}"
    return (
        f'<div>best {_text(metric)} <span class="best">{escape(number(best_value))}</span> '
        f'<span class="dim">{_text(rest)}</span></div>'
    )


def _running(history: History, now: float) -> str:
    names, extra = display.varied(history)[:_MOST_COLUMNS], beside_names(history.spec)
    metrics = [o.metric for o in history.spec.objectives]
    trials = history.running
    headers = ["trial", "run", "time", "step", *metrics, *extra, *names]
    rows = [display.cells(trial, history, now, extra, names) for trial in trials[:_MOST_RUNNING]]
    kept = [k for k in range(len(headers)) if k != 1 or any(row[1] for row in rows)]
    more = f"and {len(trials) - _MOST_RUNNING} more" if len(trials) > _MOST_RUNNING else ""
    return table([headers[k] for k in kept], [[row[k] for k in kept] for row in rows], more) if rows else ""


def _top(history: History) -> str:
    """The best trials of a study that does not run."""
    if history.spec.multi_objective:
        best = [history.trials[trial] for _, trial in history.front][: 2 * _MOST_BEST]
    else:
        best = best_first(history)[:_MOST_BEST]
    names, extra = _params(history), beside_names(history.spec)
    metrics = [o.metric for o in history.spec.objectives]
    rows = [_row(history, trial, names, extra) for trial in best]
    return table(["trial", *metrics, *extra, *names], rows) if len(rows) > 1 else ""


def _failure(history: History) -> str:
    bad = [trial for trial in history.trials if trial.state in BAD]
    if not bad:
        return ""
    last = max(bad, key=lambda trial: (trial.ended_at or 0.0, trial.id))
    return f'<div class="dim">last failure, trial {last.id}: {_text(reason(last) or "no reason given")}</div>'


def _row(
    history: History, trial: Trial, names: Sequence[str], extra: Sequence[str], *, with_state: bool = False
) -> list[str]:
    values = history.values(trial)
    config, others = history.result_config(trial), beside(history, trial)
    return [
        str(trial.id),
        *([STATE_WORDS[trial.state]] if with_state else []),
        *([number(v) for v in values] or [""] * len(history.spec.objectives)),
        *(number(others[name]) if name in others else "" for name in extra),
        *(value(config[name]) if name in config else "" for name in names),
    ]


def _params(history: History) -> list[str]:
    return display.varied(history)[:_MOST_COLUMNS]


def _text(text: str) -> str:
    return escape(safe_text(text))
