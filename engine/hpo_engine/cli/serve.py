"""The verb serve: studies over HTTP."""

from __future__ import annotations

import os
from typing import Any

import click

from hpo_engine.cli.common import json_option, root_option, to_stderr

_PORT = 8642


@click.command()
@root_option
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=_PORT, show_default=True, help="Port to listen on; 0: a free one."
)
@click.option(
    "--studies",
    type=click.IntRange(1),
    metavar="N",
    default=16,
    show_default=True,
    help="Studies that run at the same time; others wait.",
)
@click.option("--tls", is_flag=True, help="Speak TLS with a certificate of its own making, kept below the root.")
@click.option("--tls-cert", type=click.Path(), help="Speak TLS with this certificate (PEM).")
@click.option("--tls-key", type=click.Path(), help="Its key, if it is not in the same file.")
@click.option("--insecure", is_flag=True, help="Let other machines reach the service without TLS.")
@click.option("--allow-host", metavar="NAME", multiple=True, help="Another name by which it may be called (a proxy's).")
@click.option("--allow-plugins", is_flag=True, help="Let admins install search plugins, which are code.")
@click.option("--access-log", is_flag=True, help="Print a line on stderr for each request.")
@json_option
def serve(root: str | None, studies: int, allow_plugins: bool, access_log: bool, as_json: bool, **how: Any) -> int:
    """Serve the studies over HTTP: a page, a JSON API, and WMLA's REST calls.

    Studies run in processes of their own: they go on when the service ends, and it finds them again. Without --host,
    only this machine can reach it. The URL that it prints logs a browser in; `hpo-engine users` says who else may.
    """
    from hpo_engine.contract.paths import runs_root

    try:
        from hpo_engine.service.listening import Listening
        from hpo_engine.service.server import serve
    except ModuleNotFoundError as error:
        raise click.UsageError(f"serve needs {error.name}: pip install 'hpo-engine[serve]'") from None
    asked = Listening(
        how["host"], how["port"], how["tls_cert"], how["tls_key"], how["tls"], how["insecure"], how["allow_host"]
    )
    for name in ("HPO_ENGINE_SERVER", "HPO_ENGINE_TOKEN"):  # of whoever starts it: not for trials
        os.environ.pop(name, None)
    log = to_stderr if access_log else None
    folder = runs_root(root, os.environ)
    ended_by = serve(
        folder, asked, lambda where: _announce(where, as_json), log, allow_plugins=allow_plugins, studies=studies
    )
    if not as_json:
        click.echo("The service has ended. Studies that run go on; the next `hpo-engine serve` finds them again.")
    return 128 + ended_by


VERBS = (serve,)


def _announce(where: dict[str, Any], as_json: bool) -> None:
    from hpo_engine.reports.objects import dump

    if as_json:
        click.echo(dump(where))
        return
    click.echo(f"hpo-engine serves {where['root']} at {' and '.join(where['urls'])}")
    click.echo("  in a browser, signed in by the token:")
    click.echo(where["login"])  # a line of its own: it fits into 80 columns, and is copied as a whole
    click.echo(f"  for programs: the token in {where['token_file']}, as X-Auth-Token")
    if where["certificate"]:
        click.echo(f"  certificate:  {where['certificate']}")
        click.echo(f"                SHA-256 {where['fingerprint']}")
    click.echo("Ctrl-C ends the service; studies that run go on.")
