"""The verb serve: studies over HTTP."""

from __future__ import annotations

import os
from typing import Any

import click

from hpo_engine.cli.common import json_option, root_option

_PORT = 8642


@click.command()
@root_option
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=_PORT, show_default=True, help="Port to listen on; 0: a free one."
)
@json_option
def serve(root: str | None, host: str, port: int, as_json: bool) -> int:
    """Serve the studies over HTTP: a page, a JSON API, and WMLA's REST calls.

    Studies run in processes of their own: they go on when the service ends, and it finds them again.
    """
    from hpo_engine.contract.paths import runs_root

    try:
        from hpo_engine.service.server import Listening, serve
    except ModuleNotFoundError as error:
        raise click.UsageError(f"serve needs {error.name}: pip install 'hpo-engine[serve]'") from None
    ended_by = serve(runs_root(root, os.environ), Listening(host, port), lambda where: _announce(where, as_json))
    if not as_json:
        click.echo("The service has ended. Studies that run go on; the next `hpo-engine serve` finds them again.")
    return 128 + ended_by


VERBS = (serve,)


def _announce(where: dict[str, Any], as_json: bool) -> None:
    from hpo_engine.reports.objects import dump

    if as_json:
        click.echo(dump(where))
    else:
        click.echo(f"hpo-engine serves {where['root']} at {where['url']}")
        click.echo(f"  in a browser: {where['login']}")
        click.echo(f"  for programs: the token in {where['token_file']}, as X-Auth-Token")
        click.echo("Ctrl-C ends the service; studies that run go on.")
