"""Verbs that print what is in the event log: list, best, export."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from hpo_engine.cli.common import (
    chosen_server,
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
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.errors import EngineError, SpecError
from hpo_engine.reports.objects import dump, trial_object

if TYPE_CHECKING:
    from hpo_engine.control.listing import Listed
    from hpo_engine.store.summary import Summary
    from hpo_engine.study.history import History
    from hpo_engine.study.trial import Trial


@click.command("list")
@root_option
@server_option
@json_option
def list_(root: str | None, as_json: bool) -> None:
    """List the studies in the root folder, or at a server."""
    from hpo_engine.contract.paths import runs_root
    from hpo_engine.control.listing import listed_object, studies_in
    from hpo_engine.text.tables import table

    if (server := chosen_server(root)) is not None:
        from hpo_engine.cli import remote

        remote.list_studies(server, as_json)
        return
    folder = runs_root(root, os.environ)
    found = list(studies_in(folder))
    if as_json:
        click.echo(dump([listed_object(one) for one in found]))
    elif found:
        heads = ["STUDY", "STATE", "TRIALS", "BEST", "ALGORITHM", "LAST"]
        click.echo(table(heads, [_row(one) for one in found], width=output_width()))
    else:
        click.echo(f"no studies under {folder}; start with: hpo-engine submit algo.yaml")


@click.command()
@study_argument
@click.argument("trial", type=int, required=False)
@root_option
@server_option
@click.option("--config", is_flag=True, help="Print the best trial's config.json, ready to use.")
@judging_options
@json_option
def best(
    study: str,
    trial: int | None,
    root: str | None,
    config: bool,
    metric: str | None,
    goal: str | None,
    over: str | None,
    as_json: bool,
) -> None:
    """Show the best trial of STUDY, or its Pareto front.

    With several objectives there is no single best trial but a front: the trials that no other
    trial beats in every objective. TRIAL picks one of them.
    """
    from hpo_engine.contract.placing import filled_command
    from hpo_engine.reports.objects import best_object, front_object, member_object
    from hpo_engine.text.tables import safe_text
    from hpo_engine.trackers import lines

    paths = find(study, root)
    history = judged(read_history(paths), metric, goal, over)
    several = history.spec.multi_objective
    if history.best is None:
        metrics = " and ".join(aim.metric for aim in history.spec.objectives)
        text = f"{history.spec.name} has no finished trial with a valid {metrics} yet"
        raise EngineError(f"{text}{_unfinished(history) or _other(history)}")
    found = history.best if trial is None else _of_front(history, trial)
    if config and several and trial is None:
        raise SpecError(
            f"{history.spec.name} has {len(history.front_ids)} best trials, as it has several objectives; choose one: "
            f"hpo-engine best {history.spec.name} {found.id} --config"
        )
    if config:
        click.echo(
            json.dumps({**history.spec.base, **history.result_config(found)}, indent=2)
        )  # as `write_config` does
    elif several and trial is None:
        click.echo(dump(front_object(history)) if as_json else "\n".join(lines.front(history, output_width())))
    elif as_json:
        click.echo(dump(best_object(history) if trial is None else member_object(history, found)))
    else:
        _show_best(history, found)
        if trial is None and (equal := lines.equals(history)):
            click.echo(equal)
        folders = paths.trial(found.id)
        if command := filled_command(history.spec, folders, history.result_config(found)):
            click.echo(f"command {safe_text(shlex.join(command))}")
        click.echo(f"folder {safe_text(folders.result_dir)}")


@click.command()
@study_argument
@root_option
@server_option
@click.option("--format", "form", type=click.Choice(["csv", "json"]), default="csv", show_default=True)
@judging_options
def export(study: str, root: str | None, form: str, metric: str | None, goal: str | None, over: str | None) -> None:
    """Print every trial of STUDY as a row of CSV, or as JSON."""
    history = judged(read_history(find(study, root)), metric, goal, over)
    if form == "json":
        click.echo(dump([trial_object(history, t) for t in history.trials]))
        return
    import csv

    from hpo_engine.reports.ranking import beside_names

    params = list(dict.fromkeys(name for t in history.trials for name in history.config(t)))
    metrics = sorted({name for t in history.trials if t.rows for name in t.rows[-1].values})
    out = csv.writer(sys.stdout, lineterminator="\n")
    several = history.spec.objectives if history.spec.multi_objective else ()
    values = [f"values.{objective.metric}" for objective in several]  # in place of value
    fixed = ["trial", "state", *([*values, "front"] if values else ["value"])]
    fixed += [f"metrics.{name}" for name in beside_names(history.spec)]
    fixed += ["attempts", "started_at", "ended_at", "failure", "reason", "cpu_s", "memory_peak_mb"]
    objects = [trial_object(history, t) for t in history.trials]
    fixed += ["schedule"] if any("schedule" in one for one in objects) else []
    out.writerow([*fixed, *(f"params.{p}" for p in params), *(f"last.{m}" for m in metrics)])
    for one in objects:
        if values:
            one.update(
                {f"values.{name}": value for name, value in (one["values"] or {}).items()}, front=int(one["front"])
            )
        one.update({f"metrics.{name}": value for name, value in one.get("metrics", {}).items()})
        if "schedule" in one:
            one["schedule"] = dump(one["schedule"])
        row = [one[k] if one.get(k) is not None else "" for k in fixed]
        config, last = one["params"], one["last_row"] or {}
        out.writerow(
            [*row, *(_plain(config[p]) if p in config else "" for p in params), *(last.get(m, "") for m in metrics)]
        )


VERBS = (list_, best, export)


def _row(one: Listed) -> list[str]:
    if (found := one.summary) is None:
        return [one.name, one.state, "", "", "", one.problem.removeprefix(f"{StudyPaths(one.folder).db}: ")]
    return [
        one.name, one.state, f"{found.done}/{found.total or '?'}", _best_cell(found), found.algorithm,
        time.strftime("%Y-%m-%d %H:%M", time.localtime(found.last_at)),
    ]  # fmt: skip


def _best_cell(found: Summary) -> str:
    """`loss=0.31`, or `front of 7: loss, size`."""
    from hpo_engine.text.tables import number, safe_text

    if found.best is None:
        return ""
    metrics = ", ".join(map(safe_text, found.metrics))
    return f"front of {found.front}: {metrics}" if len(found.metrics) > 1 else f"{metrics}={number(found.best[1])}"


def _show_best(history: History, trial: Trial) -> None:
    from hpo_engine.reports.ranking import beside
    from hpo_engine.study.lineage import LAST_VALUES, has_schedule
    from hpo_engine.text.tables import number, safe_text
    from hpo_engine.text.tables import value as text_of

    shown = {aim.metric: v for aim, v in zip(history.spec.objectives, history.values(trial), strict=True)}
    shown.update(beside(history, trial))
    click.echo(f"trial {trial.id}: " + ", ".join(f"{safe_text(name)} = {number(v)}" for name, v in shown.items()))
    for name, value in history.result_config(trial).items():
        click.echo(f"  {safe_text(name)} = {text_of(value)}")
    if has_schedule(history, trial):
        click.echo(f"  {LAST_VALUES}: hpo-engine show {shlex.quote(safe_text(history.spec.name))} {trial.id}")


def _unfinished(history: History) -> str:
    """What trials that were ended early had reached; "" if there is none."""
    from hpo_engine.reports.ranking import farthest
    from hpo_engine.text.tables import number, safe_text

    if (found := farthest(history)) is None:
        return ""
    trial, reached = found
    shown = [
        f"{safe_text(aim.metric)} = {number(aim.value(loss))}"
        for aim, loss in zip(history.spec.objectives, reached.losses, strict=True)
    ]
    had = f"trial {trial.id} had {', '.join(shown)} at step {number(reached.step)}"
    more = f"hpo-engine show {history.spec.name} {trial.id}"
    return f"; the best of those that were ended early, {had} (not finished): {more}"


def _other(history: History) -> str:
    """The command that judges by a metric which the trials report instead of the objective."""
    from hpo_engine.reports.ranking import row_metrics, whole

    there = list(row_metrics(history)) if any(map(whole, history.trials)) else []
    if not there:
        return ""
    named = ", ".join(f'"{name}"' for name in there[:12]) + (" ..." if len(there) > 12 else "")
    return f"; its trials have {named}: hpo-engine best {history.spec.name} --metric NAME --goal minimize|maximize"


def _of_front(history: History, number: int) -> Trial:
    """The trial with that number, which must be the best one or in the front."""
    trial = trial_of(history, number)
    if number not in history.front_ids:
        name, front = history.spec.name, history.front_ids
        best = f"in the front ({', '.join(map(str, front[:20]))}{' ...' if len(front) > 20 else ''})"
        what = best if history.spec.multi_objective else f"the best one ({front[0]})"
        raise SpecError(f"trial {number} of {name} is not {what}; to see it: hpo-engine show {name} {number}")
    return trial


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
