"""`watch`: the same display as `submit`, fed from the event log by a process that only reads."""

from __future__ import annotations

import sys

import click

from hpo_engine.cli.common import find, root_option, study_argument


@click.command()
@study_argument
@root_option
def watch(study: str, root: str | None) -> int:
    """Watch STUDY while it runs; Ctrl-C ends only the display."""
    from hpo_engine.control.following import display

    display(find(study, root), sys.stdout, on_interrupt="the study keeps running")
    return 0


VERBS = (watch,)
