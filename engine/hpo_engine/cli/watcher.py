"""`watch`: the same display as `submit`, fed from the event log by a process that only reads."""

from __future__ import annotations

import sys

import click

from hpo_engine.cli.common import chosen_server, find, root_option, server_option, study_argument


@click.command()
@study_argument
@root_option
@server_option
def watch(study: str, root: str | None) -> int:
    """Watch STUDY while it runs; Ctrl-C ends only the display."""
    from hpo_engine.control.following import display

    if (server := chosen_server(root, study)) is not None:
        from hpo_engine.cli import remote

        return remote.watch(server, study)
    display(find(study, root), sys.stdout, on_interrupt="the study keeps running")
    return 0


VERBS = (watch,)
