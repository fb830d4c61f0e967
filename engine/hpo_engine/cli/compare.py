"""`compare`: trials of a study side by side, or studies."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from hpo_engine.cli.common import (
    find,
    json_option,
    output_width,
    read_history,
    root_option,
    server_option,
    trial_of,
)
from hpo_engine.errors import SpecError
from hpo_engine.reports.objects import dump, trial_object

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.reports.comparison import Table

_MOST_FILES = 2_000  # of one trial


@click.command()
@click.argument("study", metavar="STUDY")
@click.argument("others", metavar="TRIAL...|STUDY...", nargs=-1, required=True)
@root_option
@server_option
@json_option
def compare(study: str, others: tuple[str, ...], root: str | None, as_json: bool) -> None:
    """Show how TRIALs of STUDY differ, or how several STUDYs do.

    Of trials: the parameters that differ, values, curves at equal steps, how the runs ended, what
    they took, which files they left. Of studies: what differs in their study files and in what
    they ran on, their best trials, and how fast each came near the best of all.
    """
    numbers = all(other.isdecimal() for other in others)
    if numbers and len(others) < 2:
        raise SpecError("compare: name at least two trials")
    if len(set(others)) < len(others) or study in others:
        named = (study, *others)
        raise SpecError(f'compare: "{next(o for o in named if named.count(o) > 1)}" is named twice')
    if numbers:
        _trials(find(study, root), [int(other) for other in others], as_json)
    else:
        _studies([study, *others], [find(name, root) for name in (study, *others)], as_json)


VERBS = (compare,)


def _trials(paths: StudyPaths, ids: Sequence[int], as_json: bool) -> None:
    from hpo_engine.reports import comparison

    history = read_history(paths)
    chosen = [trial_of(history, number) for number in ids]
    tables = comparison.trials(history, chosen, [_files(paths, number) for number in ids])
    if as_json:
        objects = [trial_object(history, trial) for trial in chosen]
        found = {"study": history.spec.name, "trials": objects, "differences": comparison.as_object(tables)}
        click.echo(dump(found))
    else:
        click.echo("\n\n".join(map(_text, tables)))


def _studies(names: Sequence[str], paths: Sequence[StudyPaths], as_json: bool) -> None:
    from hpo_engine.reports import comparison
    from hpo_engine.studies import differences
    from hpo_engine.text.tables import safe_text

    found = [read_history(one) for one in paths]
    tables = [*comparison.studies(names, found), *comparison.ran_on(names, found)]
    specs = {
        name: [line for line in differences(found[0].spec, other.spec) if not line.startswith("name: ")]
        for name, other in zip(names[1:], found[1:], strict=True)
    }
    if as_json:
        click.echo(dump({"studies": list(names), "differences": comparison.as_object(tables), "study_files": specs}))
        return
    click.echo("\n\n".join(map(_text, tables)))
    for name, lines in specs.items():
        head = f"study files, {names[0]} -> {name}:"
        click.echo("\n" + "\n  ".join([safe_text(head), *(safe_text(line) for line in lines or ["the same"])]))
    if not comparison.comparable(found):
        click.echo("\nthe objectives differ, or are several: best values are not compared")


def _text(one: Table) -> str:
    from hpo_engine.text.tables import safe_text, table

    if not one.rows:
        return safe_text(one.title)
    rows = [[name, *cells] for name, cells in one.rows]
    title = f"{safe_text(one.title)}\n" if one.title else ""
    return title + table(["", *one.heads], rows, width=output_width())


def _files(paths: StudyPaths, number: int) -> frozenset[str]:
    """The names of the files that a trial has left; of very many the first ones."""
    if not paths.is_local:
        from hpo_engine.cli import mirrors

        return mirrors.result_files(paths, number)
    folder = paths.trial(number).result_dir
    out = set[str]()
    for at, _, names in os.walk(folder):
        out |= {os.path.relpath(os.path.join(at, name), folder) for name in names}
        if len(out) > _MOST_FILES:
            break
    return frozenset(out)
