"""Verbs for servers that this user works with: login, logout."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hpo_engine.client.servers import Server


@click.command()
@click.argument("url", metavar="URL")
@click.option("--user", metavar="NAME", help="Log in with a password [with a token].")
@click.option("--fingerprint", metavar="SHA256", help="Trust the server's own certificate if it is this one.")
def login(url: str, user: str | None, fingerprint: str | None) -> None:
    """Log in to an `hpo-engine serve`, for `submit --server` and others.

    Asks for the token that the server has printed or made for you, or with --user for a password; without a terminal it
    is the first line of the input. URL may be the one that `serve` prints, with its token. A token is kept in
    ~/.config/hpo-engine/servers.json, readable by you only; a password is not kept.
    """
    from hpo_engine.client.connection import Connection
    from hpo_engine.client.servers import Server, keep, load, normal_url, servers_file

    url, token = _split(url)
    url = normal_url(url)
    server = replace(load(os.environ).get(url, Server(url)), token="", user="")
    server = _trusted(server, fingerprint)
    if user is not None:
        token = Connection(server).log_on(user, _secret("Password"))
    server = replace(server, token=token or _secret("Token"))
    me = Connection(server).get("/me").json()
    server = replace(server, user=str(me["user"]))
    keep(server, os.environ)
    click.echo(f"logged in to {url} as {server.user}{' (an administrator)' if me['admin'] else ''}")
    click.echo(f"  hpo-engine submit algo.yaml --server {url}")
    click.echo(f"  or for all verbs: export HPO_ENGINE_SERVER={url}")
    click.echo(f"The token is in {servers_file(os.environ)}; hpo-engine logout {url} removes it.")


@click.command()
@click.argument("url", metavar="URL")
def logout(url: str) -> None:
    """Forget the token of a server, and end the session if it was begun with a password."""
    from hpo_engine.client.connection import Connection
    from hpo_engine.client.servers import forget, load, normal_url
    from hpo_engine.errors import EngineError, SpecError

    url = normal_url(url)
    server = load(os.environ).get(url)
    if server is None:
        raise SpecError(f"you are not logged in to {url}")
    forget(url, os.environ)
    try:
        Connection(server).log_off()
    except EngineError as error:
        click.echo(f"the token is forgotten; the server was not told ({error})", err=True)
    click.echo(f"logged out of {url}")


VERBS = (login, logout)


def _split(url: str) -> tuple[str, str]:
    """The address, and the token in it if it is the one that `serve` prints."""
    from urllib.parse import parse_qs, urlsplit

    parts = urlsplit(url)
    token = parse_qs(parts.query).get("token", [""])[0]
    if not token:
        return url, ""
    return f"{parts.scheme}://{parts.netloc}{parts.path.removesuffix('/login')}", token


def _secret(called: str) -> str:
    """Asked on a terminal, else the first line of the input. Raises SpecError if there is none."""
    from hpo_engine.errors import SpecError

    on_terminal = sys.stdin.isatty()
    found = str(click.prompt(called, hide_input=True, err=True)) if on_terminal else sys.stdin.readline()
    if not found.strip():
        raise SpecError(f"there is no {called.lower()} on the input: write it as its first line")
    return found.strip("\r\n")


def _trusted(server: Server, fingerprint: str | None) -> Server:
    """The server with the fingerprint of its certificate, if authorities do not vouch for it and the user does."""
    from hpo_engine.client.connection import Connection, shown_fingerprint
    from hpo_engine.errors import SpecError

    found = Connection(server).fingerprint()
    if not found:
        return server
    shown = shown_fingerprint(found)
    if fingerprint is not None:
        if fingerprint.replace(":", "").lower() != found:
            raise SpecError(f"{server.url}: its certificate has another SHA-256, {shown}; nothing was sent")
    elif not sys.stdin.isatty():
        raise SpecError(
            f"{server.url}: its certificate is of no authority; its SHA-256 is {shown}. If that is what the server "
            "prints: --fingerprint SHA256"
        )
    else:
        was = " It is not the one that you trusted before." if server.fingerprint else ""
        click.echo(f"The certificate of {server.url} is of no authority.{was} Its SHA-256:\n  {shown}", err=True)
        click.confirm("Is that what the server printed at its start?", abort=True, err=True)
    return replace(server, fingerprint=found)
