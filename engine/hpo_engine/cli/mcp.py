"""`mcp`: studies for assistants."""

from __future__ import annotations

import os

import click

from hpo_engine.cli.common import root_option
from hpo_engine.errors import EngineError


@click.command()
@root_option
def mcp(root: str | None) -> None:
    """Serve the studies to an assistant, by the Model Context Protocol on stdin and stdout.

    The assistant's program starts this command; it can look at studies, trials, logs and figures,
    queue configurations, and stop trials or studies. It cannot start or remove any.
    """
    from hpo_engine.contract.paths import runs_root

    try:
        from hpo_engine.assistants.server import create_server
    except ImportError as error:
        if not str(error.name).startswith("mcp"):
            raise
        raise EngineError("this needs the package mcp; run: pip install 'hpo-engine[mcp]'") from error
    create_server(runs_root(root, os.environ)).run("stdio")


VERBS = (mcp,)
