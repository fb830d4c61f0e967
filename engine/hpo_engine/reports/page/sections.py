"""The text of a report's page, as HTML: everything that comes from a study is escaped here."""

from __future__ import annotations

import html
import json
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from hpo_engine.reports import provenance
from hpo_engine.reports.figures import FIGURES
from hpo_engine.reports.figures.failures import failed
from hpo_engine.reports.ranking import best_first, farthest
from hpo_engine.reports.remarks import identical
from hpo_engine.study.history import History
from hpo_engine.study.trial import Trial
from hpo_engine.text.tables import counted, cut, duration, number, safe_text, value
from hpo_engine.version import __version__

_TOP, _FAILURES, _PARAMS, _CELL = 10, 200, 12, 120


@dataclass(frozen=True)
class Moment:
    """What a report says beside the history: the study's `state` in a word, the time `now` (UTC seconds), its `folder`,
    and the best trial's `command` ("": none)."""

    state: str
    now: float
    folder: str
    command: str = ""


def body(history: History, moment: Moment, drawn: Sequence[str], missing: Sequence[tuple[str, str]]) -> Iterator[str]:
    """The page's body.

    Args:
        drawn: names of the figures that the page's script draws.
        missing: names of others, each with why there is nothing to show.
    """
    yield from _navigation(history, drawn)
    yield "<header>"
    yield from _head(history, moment)
    yield "</header><main>"
    yield from _winner(history, moment)
    yield from _top(history)
    yield '<noscript><p class="nothing">The figures and the table of all trials need JavaScript.</p></noscript>'
    for name in drawn:
        yield _section(name, FIGURES[name].title)
        yield f'<p class="reading">{text(FIGURES[name].reading)}</p>'
        yield f'<div class="figure" id="figure-{name}"></div></section>'
    if missing:
        yield _section("missing", "Figures without content")
        yield "<ul>"
        yield from (f"<li>{text(FIGURES[name].title)}: {why}</li>" for name, why in missing)
        yield "</ul></section>"
    yield from _trials(history)
    yield from _failures(history)
    yield from _environment(history, moment)
    when = datetime.fromtimestamp(moment.now, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    yield f"</main><footer>Written by hpo-engine {__version__}, {when}.</footer>"


def text(words: str) -> str:
    """Text from anywhere, safe inside an element or a quoted attribute."""
    return html.escape(safe_text(words), quote=True)


def _section(name: str, title: str) -> str:
    return f'<section id="{name}"><h2>{text(title)}</h2>'


def _navigation(history: History, drawn: Sequence[str]) -> Iterator[str]:
    links = [("winner", "Winner"), *((name, FIGURES[name].title) for name in drawn)]
    links += [("trials-all", "All trials")] if history.trials else []
    links += [("failed-runs", "Failures")] if any(True for _ in failed(history)) else []
    yield "<nav>"
    yield from (f'<a href="#{name}">{text(title)}</a>' for name, title in [*links, ("environment", "Environment")])
    yield '<button id="theme" type="button">Dark</button></nav>'


def _head(history: History, moment: Moment) -> Iterator[str]:
    spec = history.spec
    yield f'<h1>{text(cut(spec.name, 200))} <span class="badge {text(moment.state)}">{text(moment.state)}</span></h1>'
    aims = ", ".join(f"{aim.goal} {cut(safe_text(aim.metric), 80)}" for aim in spec.objectives)
    seed = "" if spec.seed is None else f", seed {spec.seed}"
    yield f'<p class="muted">{text(f"{aims}; {spec.algorithm.name} search{seed}")}</p>'
    if history.reason:
        yield f"<p>{text(history.reason)}</p>"
    if remark := identical(history):
        yield f"<p>{text(remark)}</p>"
    yield '<dl class="cards">'
    yield from (
        f"<div><dt>{text(name)}</dt><dd>{text(shown)}"
        + (f"<small>{text(more)}</small>" if more else "")
        + "</dd></div>"
        for name, shown, more in _cards(history, moment)
    )
    yield "</dl>"


def _cards(history: History, moment: Moment) -> Iterator[tuple[str, str, str]]:
    """A name, a figure, and a few words on it."""
    spec, best = history.spec, history.best
    if spec.multi_objective:
        yield "Pareto front", str(len(history.front)), f"of {counted(len(history.trials), 'trial')}"
    elif best is not None:
        metric = cut(safe_text(spec.objectives[0].metric), 40)
        amount = f", {cut(safe_text(spec.resource.name), 30)} {best.trained}" if spec.resource and best.trained else ""
        yield f"Best {metric}", number(history.values(best)[0]), f"trial {best.id}{amount}"
    else:
        yield "Best", "none yet" if history.open_ids else "none", "no trial has a result"
    done, total = history.progress
    counts = ", ".join(f"{count} {state.value.replace('_', ' ')}" for state, count in history.counts.items())
    yield f"{history.progress_unit.capitalize()}s", f"{done}" + (f" of {total}" if total else ""), counts
    if history.runs > history.begun:
        yield "Runs", str(history.runs), "with promotions"
    took = history.elapsed_s(moment.now if moment.state == "running" else history.last_at)
    yield "Ran", duration(took, tenths=False), f"{spec.resources.parallel} at a time"
    trained = [attempt.ran_s for trial in history.trials for attempt in trial.attempts if attempt.ran_s is not None]
    if trained:
        yield "Training", duration(sum(trained), tenths=False), f"in {counted(len(trained), 'run')}"


def _winner(history: History, moment: Moment) -> Iterator[str]:
    """The configuration of the best trial, to be copied; of several objectives the whole front."""
    yield _section("winner", "Pareto front" if history.spec.multi_objective else "Winner")
    best = history.best
    if best is None:
        yield f'<p class="nothing">{_nothing(history)}</p></section>'
        return
    if history.spec.multi_objective:
        yield "<p>No other trial beats one of these in every objective. Below is the configuration of the first."
        yield from _table(history, [history.trials[number] for _, number in history.front[:_TOP]])
        if (more := len(history.front) - _TOP) > 0:
            yield f'<p class="muted">and {more} more, marked in the table of all trials</p>'
    values = zip(history.spec.objectives, history.values(best), strict=True)
    reached = ", ".join(f"{cut(safe_text(aim.metric), 60)} = {number(found)}" for aim, found in values)
    yield f"<p>Trial {best.id}: {text(reached)}</p>"
    yield _block("config", json.dumps({**history.spec.base, **history.result_config(best)}, indent=2, default=str))
    if moment.command:
        yield '<p class="muted">Its command:</p>'
        yield _block("command", moment.command)
    yield "</section>"


def _nothing(history: History) -> str:
    found = farthest(history)
    if found is None:
        return (
            "No trial has a result yet." if history.open_ids or not history.trials else "No trial ended with a result."
        )
    trial, reached = found
    aims = zip(history.spec.objectives, reached.losses, strict=True)
    values = ", ".join(f"{cut(safe_text(aim.metric), 60)} = {number(aim.value(loss))}" for aim, loss in aims)
    return text(f"No trial ended with a result. Trial {trial.id}, which was ended early, had {values}.")


def _block(name: str, content: str) -> str:
    """Text with a button that copies it."""
    shown = html.escape(content, quote=True)
    button = f'<button type="button" data-copies="{name}">Copy</button>'
    return f'<div class="block">{button}<pre id="{name}">{shown}</pre></div>'


def _top(history: History) -> Iterator[str]:
    """The ten best trials of a study with one objective."""
    best = best_first(history)
    if history.spec.multi_objective or len(best) < 2:
        return
    yield _section("top", f"The best {min(_TOP, len(best))} trials")
    yield from _table(history, best[:_TOP])
    yield "</section>"


def _table(history: History, trials: Sequence[Trial]) -> Iterator[str]:
    aims = [aim.metric for aim in history.spec.objectives]
    names = list(dict.fromkeys(name for trial in trials for name in history.result_config(trial)))
    left_out = len(names) - _PARAMS
    names = names[:_PARAMS]
    yield '<div class="scroll"><table><thead><tr>'
    yield from (f"<th>{text(cut(safe_text(name), 40))}</th>" for name in ["trial", *aims, "took", *names])
    yield "</tr></thead><tbody>"
    for trial in trials:
        config = history.result_config(trial)
        cells = [str(trial.id), *map(number, history.values(trial)), duration(trial.took_s)]
        cells += [cut(value(config[name]), _CELL) if name in config else "" for name in names]
        mark = ' class="best"' if trial.id == history.best_id else ""
        yield f"<tr{mark}>" + "".join(f"<td>{text(cell)}</td>" for cell in cells) + "</tr>"
    yield "</tbody></table></div>"
    if left_out > 0:
        yield f'<p class="muted">{counted(left_out, "more parameter")} in the table of all trials</p>'


def _trials(history: History) -> Iterator[str]:
    if not history.trials:
        return
    yield _section(
        "trials-all", f"All {counted(len(history.trials), 'trial')}" if len(history.trials) > 1 else "The trial"
    )
    yield '<p class="reading">A click on a name sorts by it. ★ marks '
    yield ("the Pareto front" if history.spec.multi_objective else "the best trial") + ".</p>"
    yield '<div class="tools"><select id="state" aria-label="state"><option value="">every state</option></select>'
    yield '<input id="filter" type="search" placeholder="find" aria-label="find in the table">'
    yield '<button type="button" id="before">Previous</button><span id="where"></span>'
    yield '<button type="button" id="after">Next</button></div>'
    yield '<div class="scroll"><table id="trials"><thead></thead><tbody></tbody></table></div></section>'


def _failures(history: History) -> Iterator[str]:
    """Each reason with the trials that it befell, the commonest first."""
    found = [(kind, reason.removeprefix(f"trial {trial.id}: "), trial.id) for trial, _, kind, reason in failed(history)]
    if not found:
        return
    yield _section("failed-runs", "Failed runs and their reasons")
    yield '<div class="scroll"><table><thead><tr><th>kind</th><th>runs</th><th>reason</th><th>trials</th></tr></thead>'
    yield "<tbody>"
    counts = Counter((kind, reason) for kind, reason, _ in found)
    for (kind, reason), count in counts.most_common(_FAILURES):
        ids = list(dict.fromkeys(number for one, why, number in found if (one, why) == (kind, reason)))
        shown = ", ".join(map(str, ids[:12])) + (", ..." if len(ids) > 12 else "")
        cells = f"<td>{text(kind)}</td><td>{count}</td>"
        yield f'<tr>{cells}<td class="long">{text(cut(reason, 600))}</td><td class="long">{shown}</td></tr>'
    yield "</tbody></table></div>"
    if (more := len(counts) - _FAILURES) > 0:
        yield f'<p class="muted">and {counted(more, "more reason")}</p>'
    logs = f"hpo-engine logs {shlex.quote(history.spec.name)} TRIAL"
    yield f'<p class="muted">The output of a trial: {text(logs)}</p>'
    yield "</section>"


def _environment(history: History, moment: Moment) -> Iterator[str]:
    spec = history.spec
    yield _section("environment", "Environment")
    begun = datetime.fromtimestamp(history.opened_at, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    lines = [f"opened {begun}", f"folder: {moment.folder}", f"command: {cut(shlex.join(spec.command), 2000)}"]
    lines += list(provenance.lines(history.provenance))
    lines += [f"metrics are read from {found.source} ({found.key})" for found in history.metrics_from]
    yield "<ul>" + "".join(f"<li>{text(line)}</li>" for line in lines) + "</ul>"
    runtime = history.provenance.runtime
    if runtime is not None and runtime.packages:
        yield f"<details><summary>{counted(len(runtime.packages), 'package')}</summary>"
        packages = "\n".join(f"{name}=={version}" for name, version in sorted(runtime.packages.items()))
        yield _block("packages", packages) + "</details>"
    yield "</section>"
