"""`backtest`: a study's log played again under other stopping rules."""

from __future__ import annotations

import os

import click

from hpo_engine.cli.common import find, json_option, output_width, root_option, server_option, study_argument
from hpo_engine.reports.objects import dump


@click.command()
@study_argument
@click.option(
    "--stop",
    "stops",
    metavar="RULE",
    multiple=True,
    help="As in the study file, 'asha eta=3'; several in one set as 'asha eta=3 + no_improvement'. Can be repeated. "
    "[every rule that ends trials, with its defaults]",
)
@root_option
@server_option
@json_option
def backtest(study: str, stops: tuple[str, ...], root: str | None, as_json: bool) -> None:
    """Show what other stopping rules would have saved in STUDY, and which winner they would have lost.

    The rows of its trials are played again, as they arrived; nothing is run. The configurations stay those
    that the study tried: what a searcher would have tried instead is not known.
    """
    from hpo_engine import assembly
    from hpo_engine.reports import backtest as report

    paths = find(study, root)
    found = assembly.backtest(paths, stops, os.getcwd())
    name = os.path.basename(paths.root)
    if as_json:
        click.echo(dump(report.as_object(name, found)))
    else:
        click.echo("\n".join(report.lines(name, found, output_width())))


VERBS = (backtest,)
