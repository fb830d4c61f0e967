"""What verbs print at the end, of studies here and at a server alike."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from hpo_engine.reports.objects import dump, summary
from hpo_engine.text.commands import advised

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.control.trials import Answer
    from hpo_engine.study.history import History


def show_result(history: History, paths: StudyPaths, as_json: bool) -> int:
    """How a study has ended. Returns the exit code."""
    if as_json:
        click.echo(dump(summary(history, False, history.last_at)))
    else:
        from hpo_engine.study.spec import SCHEDULED
        from hpo_engine.trackers import lines
        from hpo_engine.trackers.next_steps import called, next_steps

        name, unit = called(history, paths.root), history.progress_unit
        had = history.runs if unit == "run" or history.counts_runs else history.begun
        more = (f"hpo-engine resume {name} --{unit}s {had + 10}", f"ten more {unit}s")
        useless = history.by_rule or history.spec.algorithm.name in SCHEDULED
        steps = [*next_steps(history, paths.root), *([] if useless else [(advised(more[0]), more[1])])]
        click.echo("\n".join(lines.summary(history, history.last_at, paths.root, steps, before=True)))
    return 3 if history.state.value == "failed" else 0


def nothing_to_retry(history: History, paths: StudyPaths, as_json: bool) -> bool:
    """Says so if no trial has failed. A study whose retry was killed half-way continues by the same command."""
    from hpo_engine.store.lock import who_leads
    from hpo_engine.study.trial import BAD
    from hpo_engine.trackers.next_steps import called

    if history.state.value == "running" or any(history.counts.get(s) for s in BAD) or who_leads(paths.lock):
        return False
    more = f"; to continue: hpo-engine resume {called(history, paths.root)}" if history.pending else ""
    click.echo(advised(f"nothing to retry: no trial failed{more}"), err=as_json)
    if as_json:
        click.echo(dump(summary(history, False, history.last_at)))
    return True


def say(answers: Sequence[Answer], as_json: bool) -> None:
    """What has become of trials, before the study that they belong to is displayed."""
    for answer in answers:
        if answer.text and not as_json:
            click.echo(answer.text)


def stream_lines(found: Iterable[Mapping[str, Any]]) -> int:
    """Prints each as a line of JSON. Returns the exit code."""
    for one in found:
        print(dump(one), flush=True)
    return 0


def goes_ahead(
    study: str, lines: Sequence[str], effects: Sequence[str], *, empty: bool, dry_run: bool, yes: bool, as_json: bool
) -> bool:
    """Says what a change to a study comes to, and asks on a terminal. False: nothing changes (`empty`), or it was
    only a look."""
    if empty:
        click.echo(dump({"changed": False, "lines": []}) if as_json else "nothing changes")
        return False
    if not as_json:
        for line in [*lines, *effects]:
            click.echo(f"  {line}")
    if dry_run:
        if as_json:
            click.echo(dump({"changed": False, "lines": list(lines), "effects": list(effects)}))
        return False
    if not yes and not as_json and sys.stdin.isatty():
        click.confirm(f"Change {study}?", abort=True)
    return True
