"""The verb explain: a trial, or the best one, in words."""

from __future__ import annotations

import click

from hpo_engine.cli.common import (
    find,
    json_option,
    read_history,
    root_option,
    server_option,
    study_argument,
    trial_of,
)


@click.command()
@study_argument
@click.argument("trial", type=int, required=False)
@root_option
@server_option
@json_option
def explain(study: str, trial: int | None, root: str | None, as_json: bool) -> None:
    """Say why a trial of STUDY was proposed, how it ranks, why it ended, and what it would have needed.

    Without TRIAL, of the best one. Where the log does not know, it says so.
    """
    from hpo_engine.control.explaining import explain as found_for
    from hpo_engine.errors import SpecError
    from hpo_engine.reports.explaining import explanation_object, lines
    from hpo_engine.reports.objects import dump
    from hpo_engine.text.tables import safe_text

    paths = find(study, root)
    history = read_history(paths)
    if trial is None and history.best_id is None:
        raise SpecError(f"{history.spec.name} has no best trial yet; name one, from 0 to {history.next_id - 1}")
    one = trial_of(history, history.best_id if trial is None else trial)  # type: ignore[arg-type]
    found = found_for(paths, history, one)
    if as_json:
        click.echo(dump(explanation_object(history, one, found)))
    else:
        click.echo("\n".join(safe_text(line) for line in lines(history, one, found)))


VERBS = (explain,)
