"""Verbs for the service only: the process that forks its engines, and one that checks a study with code of its own."""

from __future__ import annotations

import socket

import click

_ROOMS = ("hpo_engine.cli.runs", "hpo_engine.cli.start", "hpo_engine.cli.driver")


@click.command(name="_engines", hidden=True)
@click.argument("descriptor", type=int)
@click.argument("root")
def engines(descriptor: int, root: str) -> None:
    """Fork engines for the service at the other end of the socket DESCRIPTOR."""
    from hpo_engine.cli import main
    from hpo_engine.service.host.forking import fork_engines

    fork_engines(socket.socket(fileno=descriptor), root, main, _ROOMS)


@click.command(name="_check", hidden=True)
def check() -> None:
    """Check the study on standard input."""
    from hpo_engine.service.records.checking import check_asked

    check_asked()


VERBS = (engines, check)
