"""Verbs that show what the event log knows: list, show, best, export."""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from engine.cli.common import (
    dump,
    find,
    json_option,
    root_option,
    state_word,
    study_argument,
    summary,
    terminal_size,
    trial_object,
    trial_of,
)
from engine.errors import EngineError, JournalError, SpecError

if TYPE_CHECKING:
    from engine.glance import Glance
    from engine.paths import StudyPaths
    from engine.study import History, Trial


@click.command("list")
@root_option
@json_option
def list_(root: str | None, as_json: bool) -> None:
    """The studies under the root."""
    from engine.glance import glance
    from engine.lead import who_leads
    from engine.paths import runs_root, studies
    from engine.tables import table

    folder = runs_root(root, os.environ)
    objects: list[dict[str, Any]] = []
    rows = []
    for paths in studies(folder):
        name = os.path.basename(paths.root)
        try:
            seen = glance(paths.db)
        except JournalError as error:
            objects.append({"study": name, "state": "damaged", "error": str(error), "folder": paths.root})
            rows.append([name, "damaged", "", "", "", ""])
            continue
        led = who_leads(paths.lock) is not None
        state = state_word(seen.state, led)
        best = None if seen.best is None else {"trial": seen.best[0], "value": seen.best[1]}
        several = {"front": seen.front} if len(seen.metrics) > 1 else {}
        objects.append({
            "study": name, "state": state, "best": best, **several, "counts": seen.counts, "trials": seen.total,
            "algorithm": seen.algorithm, "last_at": seen.last_at, "folder": paths.root,
        })  # fmt: skip
        rows.append([
            name, state, f"{seen.ended}/{seen.total or '?'}",
            _best_word(seen), seen.algorithm,
            time.strftime("%Y-%m-%d %H:%M", time.localtime(seen.last_at)),
        ])  # fmt: skip
    if as_json:
        click.echo(dump(objects))
    elif rows:
        click.echo(table(["STUDY", "STATE", "TRIALS", "BEST", "ALGORITHM", "LAST"], rows, width=_width()))
    else:
        click.echo(f"no studies under {folder}; begin with: hpo-engine submit algo.yaml")


@click.command()
@study_argument
@click.argument("trial", type=int, required=False)
@root_option
@json_option
def show(study: str, trial: int | None, root: str | None, as_json: bool) -> None:
    """STUDY's state and trials, or one TRIAL in full."""
    from engine.lead import who_leads

    paths = find(study, root)
    history = _read(paths)
    led = who_leads(paths.lock) is not None
    if trial is not None:
        _show_trial(history, trial_of(history, trial), paths, as_json)
    elif as_json:
        trials = [trial_object(history, t) for t in history.trials]
        click.echo(dump({**summary(history, led, time.time()), "folder": paths.root, "trials": trials}))
    else:
        _show_study(history, paths, led)


@click.command()
@study_argument
@click.argument("trial", type=int, required=False)
@root_option
@click.option("--config", is_flag=True, help="Print the best config.json, ready to use.")
@json_option
def best(study: str, trial: int | None, root: str | None, config: bool, as_json: bool) -> None:
    """The best trial of STUDY, or the front of its objectives.

    With several objectives there is no best trial but a front: those that no other one beats in
    all of them. TRIAL chooses one of it.
    """
    from engine.cli.common import best_object, front_object, member_object

    history = _read(find(study, root))
    several = bool(history.spec.objectives)
    if history.best is None:
        metrics = " and ".join(aim.metric for aim in history.spec.aims)
        raise EngineError(f"{history.spec.name} has no finished trial with a valid {metrics} yet")
    found = history.best if trial is None else _of_front(history, trial)
    if config and several and trial is None:
        raise SpecError(
            f"{history.spec.name} has {len(history.front)} best trials, as it has several objectives; say which: "
            f"hpo-engine best {history.spec.name} {found.id} --config"
        )
    if config:
        click.echo(json.dumps(history.whole_config(found), indent=2, ensure_ascii=False))
    elif several and trial is None:
        from engine.trackers import lines

        click.echo(dump(front_object(history)) if as_json else "\n".join(lines.front(history, _width())))
    elif as_json:
        click.echo(dump(best_object(history) if trial is None else member_object(history, found)))
    else:
        _show_best(history, found)


@click.command()
@study_argument
@root_option
@click.option("--format", "form", type=click.Choice(["csv", "json"]), default="csv", show_default=True)
def export(study: str, root: str | None, form: str) -> None:
    """Every trial of STUDY, one row each, on stdout."""
    history = _read(find(study, root))
    if form == "json":
        click.echo(dump([trial_object(history, t) for t in history.trials]))
        return
    import csv

    params = list(dict.fromkeys(name for t in history.trials for name in history.config(t)))
    metrics = sorted({name for t in history.trials if t.rows for name in t.rows[-1].values})
    out = csv.writer(sys.stdout, lineterminator="\n")
    values = [f"values.{aim.metric}" for aim in history.spec.objectives]  # several objectives: in place of value
    fixed = ["trial", "state", *([*values, "front"] if values else ["value"])]
    fixed += ["attempts", "started_at", "ended_at", "reason"]
    out.writerow([*fixed, *(f"params.{p}" for p in params), *(f"last.{m}" for m in metrics)])
    for t in history.trials:
        one = trial_object(history, t)
        if values:
            one.update(
                {f"values.{name}": value for name, value in (one["values"] or {}).items()}, front=int(one["front"])
            )
        row = [one[k] if one.get(k) is not None else "" for k in fixed]
        config, last = one["params"], one["last_row"] or {}
        out.writerow(
            [*row, *(_plain(config[p]) if p in config else "" for p in params), *(last.get(m, "") for m in metrics)]
        )


def _read(paths: StudyPaths) -> History:
    from engine import digest

    history = digest.read(paths.db)
    gc.freeze()  # a verb that shows is over before any of it is garbage
    return history


VERBS = (list_, show, best, export)


def _best_word(seen: Glance) -> str:
    """`loss=0.31`, or `front of 7: loss, size`."""
    from engine.tables import number, safe_text

    if seen.best is None:
        return ""
    metrics = ", ".join(map(safe_text, seen.metrics))
    return f"front of {seen.front}: {metrics}" if len(seen.metrics) > 1 else f"{metrics}={number(seen.best[1])}"


def _show_study(history: History, paths: StudyPaths, led: bool) -> None:
    from engine.lead import who_leads
    from engine.study import TrialState, pick_values
    from engine.tables import assignments, duration, number, safe_text, table
    from engine.trackers.lines import aim, front_line

    spec = history.spec
    total = spec.budget.trials
    lines = [
        f"{spec.name}: {state_word(history.state.value, led)}" + (f" ({history.reason})" if history.reason else ""),
        f"  {aim(spec)} with {spec.algorithm} (seed {spec.seed})",
        f"  trials {history.ended_count}/{total or '?'}: "
        + ", ".join(f"{count} {state.value}" for state, count in sorted(history.counts.items())),
        f"  ran {duration(history.elapsed_s(time.time() if led else history.last_at))} in {paths.root}",
    ]
    if spec.objectives and history.members:
        lines.append(f"  {front_line(history)}")
    if led:
        lines.append(f"  led by {who_leads(paths.lock)}")
    click.echo("\n".join(safe_text(line) for line in lines) + "\n")
    rows, front = [], set(history.front)
    for t in history.trials:
        values = [number(v) for v in history.values(t)] or [""] * len(spec.aims)
        if t.state is TrialState.PRUNED:  # what it had, which is no result
            values = [f"({number(v)})" for v in pick_values(t.rows, spec.aims) or ()] or values
        took = duration(t.ran_s)
        mark = "*" if t.id in front else ""
        params = assignments(history.config(t))
        said = f"{safe_text(t.reason)}  [{params}]" if t.reason else params
        rows.append([f"{t.id}{mark}", t.state.value, *values, took, said])
    if rows:
        metrics = [aim.metric.upper() for aim in spec.aims]
        click.echo(table(["TRIAL", "STATE", *metrics, "TOOK", "PARAMETERS"], rows, width=_width()))


def _show_trial(history: History, trial: Trial, paths: StudyPaths, as_json: bool) -> None:
    from engine import outputlog
    from engine.tables import number, safe_text, table
    from engine.tables import value as text_of

    one = trial_object(history, trial)
    folders = paths.trial(trial.id)
    if as_json:
        one["rows"] = [{"step": r.step, **r.values} for r in trial.rows]
        one["result_dir"], one["log_dir"] = folders.result_dir, folders.log_dir
        click.echo(dump(one))
        return
    click.echo(
        f"trial {trial.id} of {history.spec.name}: {trial.state.value}"
        + (f" ({safe_text(trial.reason)})" if trial.reason else "")
    )
    for name, value in one["params"].items():
        click.echo(f"  {safe_text(name)} = {text_of(value)}")
    for attempt in trial.attempts:
        left = (
            f", {attempt.exit.leftovers} processes left and killed" if attempt.exit and attempt.exit.leftovers else ""
        )
        click.echo(
            f"  attempt {attempt.number}: {attempt.exit or 'runs'}{left}"
            + (f" on GPU {','.join(attempt.gpus)}" if attempt.gpus else "")
        )
    click.echo(f"  results: {folders.result_dir}\n  logs: {folders.log_dir}")
    if trial.rows:
        names = list(dict.fromkeys(name for row in trial.rows for name in row.values))
        shown = trial.rows[-20:]
        rows = [[number(r.step), *(number(r.values[n]) if n in r.values else "" for n in names)] for r in shown]
        click.echo("\n" + table(["STEP", *(safe_text(n) for n in names)], rows, width=_width()))
    lines = outputlog.lines(folders.attempt(trial.attempt.number)) if trial.attempt is not None else []
    while lines and not lines[-1].strip():
        lines.pop()
    if lines:
        click.echo("\nlast output:\n" + "\n".join("  " + safe_text(line) for line in lines[-20:]))


def _show_best(history: History, trial: Trial) -> None:
    from engine.tables import number, safe_text
    from engine.tables import value as text_of

    values = zip(history.spec.aims, history.values(trial), strict=True)
    click.echo(f"trial {trial.id}: " + ", ".join(f"{safe_text(aim.metric)} = {number(v)}" for aim, v in values))
    for name, value in history.config(trial).items():
        click.echo(f"  {safe_text(name)} = {text_of(value)}")


def _of_front(history: History, number: int) -> Trial:
    """The trial, which must be among the best."""
    trial = trial_of(history, number)
    if number not in history.front:
        name, front = history.spec.name, history.front
        best = f"in the front ({', '.join(map(str, front[:20]))}{' ...' if len(front) > 20 else ''})"
        what = best if history.spec.objectives else f"the best one ({front[0]})"
        raise SpecError(f"trial {number} of {name} is not {what}; to see it: hpo-engine show {name} {number}")
    return trial


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _width() -> int | None:
    """The terminal's width; None (no limit) where the output is no terminal."""
    return terminal_size()[0] if sys.stdout.isatty() else None
