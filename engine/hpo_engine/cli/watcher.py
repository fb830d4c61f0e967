"""`watch`: the same display as `submit`, fed from the event log by a process that only reads."""

from __future__ import annotations

import sys

import click

from hpo_engine.cli.common import chosen_server, find, root_option, server_option, study_argument
from hpo_engine.cli.results import stream_lines


@click.command()
@study_argument
@root_option
@server_option
@click.option("--jsonl", is_flag=True, help="Print each event as a line of JSON, until the study ends.")
@click.option("--after", type=click.IntRange(0), metavar="N", help="With --jsonl: begin after event number N.")
def watch(study: str, root: str | None, jsonl: bool, after: int | None) -> int:
    """Watch STUDY while it runs; Ctrl-C ends only the display.

    With --jsonl, its events from the first one on, for programs: `hpo-engine schema --output watch` describes them. The
    last line has the event `end`. A program that was interrupted goes on with --after and the last number that it saw.
    """
    from hpo_engine.control.following import display, happenings

    if after is not None and not jsonl:
        raise click.UsageError("--after needs --jsonl")
    if (server := chosen_server(root, study)) is not None:
        from hpo_engine.cli import remote

        return remote.stream(server, study, after or 0) if jsonl else remote.watch(server, study)
    if jsonl:
        return stream_lines(happenings(find(study, root), after or 0))
    display(find(study, root), sys.stdout, on_interrupt="the study keeps running")
    return 0


VERBS = (watch,)
