"""`show`: a study with its trials in any order, or one trial with all details."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from hpo_engine.cli.common import (
    find,
    json_option,
    judged,
    judging_options,
    output_width,
    read_history,
    root_option,
    server_option,
    study_argument,
    trial_of,
)
from hpo_engine.reports.objects import (
    attempt_object,
    dump,
    provenance_object,
    results_object,
    sources_object,
    state_word,
    summary,
    trial_object,
)

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.study.history import History
    from hpo_engine.study.trial import Attempt, Trial


@click.command()
@study_argument
@click.argument("trial", type=int, required=False)
@root_option
@server_option
@click.option("--sort", metavar="NAME", help="By a metric, a parameter, trial, state or duration; -NAME reverses.")
@click.option("--reverse", is_flag=True, help="Reverse the order.")
@click.option("--top", type=click.IntRange(1), metavar="N", help="Only the first N; without --sort, the best N.")
@judging_options
@json_option
def show(
    study: str,
    trial: int | None,
    root: str | None,
    sort: str | None,
    reverse: bool,
    top: int | None,
    metric: str | None,
    goal: str | None,
    over: str | None,
    as_json: bool,
) -> None:
    """Show STUDY's state and trials, or one TRIAL in full."""
    from hpo_engine.reports.ranking import ordered
    from hpo_engine.store.lock import who_leads
    from hpo_engine.trackers.lines import objective_text

    paths = find(study, root)
    read = read_history(paths)
    history = judged(read, metric, goal, over)
    led = who_leads(paths.lock) is not None
    if trial is not None:
        _show_trial(history, trial_of(history, trial), paths, as_json)
        return
    sort = sort or (f"metrics.{history.spec.objectives[0].metric}" if top is not None else None)
    trials = list(history.trials) if sort is None else ordered(history, sort, reverse=reverse)
    if sort is None and reverse:
        trials.reverse()
    trials = trials[:top]
    if as_json:
        objects = [trial_object(history, t) for t in trials]
        found = sources_object(history)
        first = {**summary(history, led, time.time()), "folder": paths.root, "metrics_from": found}
        click.echo(dump({**first, "provenance": provenance_object(history), "trials": objects}))
    else:
        _show_study(history, trials, sort, paths, led, "" if history is read else objective_text(read.spec), reverse)


VERBS = (show,)
GOALS = ("minimize", "maximize")


def _show_study(
    history: History, trials: Sequence[Trial], sort: str | None, paths: StudyPaths, led: bool, once: str, reverse: bool
) -> None:
    """`once`: the study's own objectives in words, if its trials are judged by another one."""
    from hpo_engine.executors.machine import waits
    from hpo_engine.reports import provenance
    from hpo_engine.reports.remarks import identical
    from hpo_engine.store.lock import who_leads
    from hpo_engine.study.spec import LOCAL
    from hpo_engine.study.trial import TrialState
    from hpo_engine.text.tables import assignments, duration, room_beside, safe_text, table
    from hpo_engine.trackers.lines import counts, front_line, metrics_are, objective_text, progress

    spec = history.spec
    lines = [
        f"{spec.name}: {state_word(history.state.value, led)}" + (f" ({history.reason})" if history.reason else ""),
        f"  {once or objective_text(spec)} with {spec.algorithm.name} (seed {spec.seed})",
        *([f"  runs on {spec.executor.name}"] if spec.executor.name != LOCAL else []),
        *(
            [f"  judged again: {objective_text(spec)}, by the {spec.objectives[0].over} row of each trial"]
            if once
            else []
        ),
        f"  {progress(history)}: " + ", ".join(text for _, text in counts(history)),
        f"  ran {duration(history.elapsed_s(time.time() if led else history.last_at))} in {paths.root}",
    ]
    lines += [f"  {metrics_are(found, spec)}" for found in history.metrics_from]
    lines += [f"  {line}" for line in provenance.lines(history.provenance)]
    if spec.multi_objective and history.front:
        lines.append(f"  {front_line(history)}")
    if remark := identical(history):
        lines.append(f"  {remark}")
    if led:
        lines.append(f"  run by hpo-engine ({who_leads(paths.lock)})")
        if waiting := waits(paths.root, os.environ):
            lines.append(f"  {waiting}")
    if order := _order(history, sort, reverse):
        lines.append(f"  {order}")
    click.echo("\n".join(safe_text(line) for line in lines) + "\n")
    if trials:
        extra = _columns(history, sort)
        rows = [_row(history, t, extra) for t in trials]
        metrics = [safe_text(name.upper()) for name in (*(aim.metric for aim in spec.objectives), *extra)]
        headers = ["TRIAL", "STATE", *metrics, "TOOK"]
        room = room_beside(headers, rows, output_width())
        for row, trial in zip(rows, trials, strict=True):
            config = history.config if trial.state is TrialState.RUNNING else history.result_config
            params = assignments(config(trial), None if trial.reason else room)
            row.append(f"{safe_text(trial.reason)}  [{params}]" if trial.reason else params)
        click.echo(table([*headers, "PARAMETERS"], rows, width=output_width()))
        if len(trials) < len(history.trials):
            click.echo(f"... and {len(history.trials) - len(trials)} more")


def _order(history: History, sort: str | None, reverse: bool) -> str:
    """How the trials are sorted, if by a metric for which the study file gives no direction."""
    from hpo_engine.reports.ranking import is_metric

    name = _sort_name(sort)
    known = any(aim.metric == name for aim in history.spec.objectives) or history.spec.extra_metrics.get(name) in GOALS
    if not name or known or not is_metric(history, name):
        return ""
    if reverse != (sort or "").startswith("-"):
        return f"sorted by {name}, highest first"
    return f"sorted by {name}, lowest first; --reverse for highest"


def _columns(history: History, sort: str | None) -> list[str]:
    """The metrics beside the objectives: those of `metrics:`, and the one that the trials are sorted by."""
    from hpo_engine.reports.ranking import beside_names, is_metric

    names, name = beside_names(history.spec), _sort_name(sort)
    known = {"", *names, *(aim.metric for aim in history.spec.objectives)}
    return [*names, name] if name not in known and is_metric(history, name) else names


def _sort_name(sort: str | None) -> str:
    """The name in --sort; "" without one."""
    return (sort or "").removeprefix("-").removeprefix("metrics.")


def _row(history: History, trial: Trial, extra: Sequence[str]) -> list[str]:
    """The cells of a trial. Values in parentheses are not results: the value that a pruned trial had reached, and the
    latest value of a running one."""
    from hpo_engine.reports.ranking import newest, wanted
    from hpo_engine.study.objective import pick_values
    from hpo_engine.study.trial import TrialState
    from hpo_engine.text.tables import duration, number

    aims, running = history.spec.objectives, trial.state is TrialState.RUNNING
    values = [number(v) for v in history.values(trial)] or [""] * len(aims)
    beside = [wanted(history.spec, name).pick(trial.rows) for name in extra]
    state, took = trial.state.value, trial.took_s
    if trial.state is TrialState.PRUNED:
        values = [f"({number(v)})" for v in pick_values(trial.rows, aims) or ()] or values
    if running:
        values = ["" if v is None else f"({number(v)})" for v in (newest(trial, aim.metric) for aim in aims)]
        beside = [newest(trial, name) for name in extra]
        state += f" (step {number(trial.rows[-1].step)})" if trial.rows else ""
        since = trial.attempt.started_at if trial.attempt else None
        took = None if since is None else time.time() - since
    shown = ["" if v is None else f"({number(v)})" if running else number(v) for v in beside]
    mark = "*" if trial.id in history.front_ids else ""
    return [f"{trial.id}{mark}", state, *values, *shown, duration(took)]


def _show_trial(history: History, trial: Trial, paths: StudyPaths, as_json: bool) -> None:
    from hpo_engine.contract.outputlog import logfiles
    from hpo_engine.contract.placing import filled_command
    from hpo_engine.text.quoting import without_password
    from hpo_engine.text.tables import number, safe_text, table
    from hpo_engine.text.tables import value as text_of

    one = trial_object(history, trial)
    folders = paths.trial(trial.id)
    if as_json:
        one["rows"] = [{"step": r.step, **r.values} for r in trial.rows]
        one["runs"] = [attempt_object(attempt) for attempt in trial.attempts]
        one["result_dir"], one["log_dir"] = folders.result_dir, folders.log_dir
        click.echo(dump(one))
        return
    click.echo(
        f"trial {trial.id} of {history.spec.name}: {trial.state.value}"
        + (f" ({safe_text(trial.reason)})" if trial.reason else "")
    )
    for name, value in one["params"].items():
        click.echo(f"  {safe_text(name)} = {text_of(value)}")
    if command := filled_command(history.spec, folders, history.config(trial)):
        click.echo(f"  command: {safe_text(shlex.join(command))}")
    for attempt in trial.attempts:
        click.echo(f"  {_attempt_line(history, trial, attempt)}")
    if trial.attempt is not None:
        for name, text in trial.attempt.variables.items():
            click.echo(f"  set for its script: {name}={safe_text(without_password(text))}")
    if "schedule" in one:
        click.echo(f"\nschedule:\n{_schedule_table(history, trial)}\n")
    elif len(trial.results) > 1 or (trial.results and trial.done < len(trial.attempts)):
        for result in results_object(history, trial):
            values = result.get("values") or {history.spec.objectives[0].metric: result["value"]}
            text = ", ".join(f"{safe_text(name)} {number(v)}" for name, v in values.items())
            click.echo(f"  with {_amount(history, result['resource'])}: {text}")
    if trial.cleared:
        click.echo("  checkpoints: deleted, to make room")
    click.echo(f"  results: {folders.result_dir}\n  logs: {folders.log_dir}")
    if trial.rows:
        names = list(dict.fromkeys(name for row in trial.rows for name in row.values))
        shown = trial.rows[-20:]
        rows = [[number(r.step), *(number(r.values[n]) if n in r.values else "" for n in names)] for r in shown]
        click.echo("\n" + table(["STEP", *(safe_text(n) for n in names)], rows, width=output_width()))
    if not paths.is_local:
        from hpo_engine.cli import mirrors

        mirrors.fetch_output(paths, trial.id)
    lines = logfiles.lines(folders.attempt(trial.attempt.number)) if trial.attempt is not None else []
    while lines and not lines[-1].strip():
        lines.pop()
    if lines:
        click.echo("\nlast output:\n" + "\n".join("  " + safe_text(line) for line in lines[-20:]))


def _attempt_line(history: History, trial: Trial, attempt: Attempt) -> str:
    """`attempt 2, carried on to epochs 9: exit code 0, 12 s, 11 s of processor time, 340 MiB at most`."""
    from hpo_engine.text.tables import counted, duration, number

    end, line = attempt.exit, f"attempt {attempt.number}"
    if attempt.resume is not None:
        how = "carried on" if attempt.resume == trial.id else f"from what trial {attempt.resume} had"
        line += f", {how} to {_amount(history, attempt.resource)}{', but it began anew' if attempt.anew else ''}"
    line += f": {end or 'runs'}"
    if end is not None and end.seconds is not None:
        line += f", {duration(end.seconds)}"
    if end is not None and end.cpu_s is not None:
        line += f", {duration(end.cpu_s)} of processor time"
    if end is not None and end.memory_peak_mb is not None:
        line += f", {number(round(end.memory_peak_mb))} MiB at most"
    if end is not None and end.leftovers:
        line += f", {counted(end.leftovers, 'process', 'processes')} left behind and killed"
    return line + (f" on GPU {','.join(attempt.devices)}" if attempt.devices else "")


def _schedule_table(history: History, trial: Trial) -> str:
    """What led to the trial: from which amount of the resource to which, in which trial, with which values."""
    from hpo_engine.study.lineage import schedule
    from hpo_engine.text.tables import assignments, number, safe_text, table

    spec = history.spec
    assert spec.resource is not None
    rows = []
    for run in schedule(history, trial):
        values = [number(o.value(loss)) for o, loss in zip(spec.objectives, run.losses, strict=False)]
        values = values or [""] * len(spec.objectives)
        rows.append([f"{run.start}-{run.end}", str(run.trial), *values, assignments(run.params)])
    metrics = [safe_text(aim.metric.upper()) for aim in spec.objectives]
    return table([safe_text(spec.resource.name.upper()), "TRIAL", *metrics, "PARAMETERS"], rows, width=output_width())


def _amount(history: History, resource: int | None) -> str:
    from hpo_engine.text.tables import safe_text

    return f"{safe_text(history.spec.resource.name)} {resource}" if history.spec.resource else "its end"
