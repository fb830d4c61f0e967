"""The verb users: who may use the service of a root, with what, and what they have done there.

It works on the service's files, so a service that runs, or none, makes no difference.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from hpo_engine.cli.common import json_option, output_width, root_option, to_stderr

if TYPE_CHECKING:
    from hpo_engine.service.guard.accounts import Accounts, Token
    from hpo_engine.service.places import ServicePaths

_DAY_S = 86400.0
_user = click.argument("name", metavar="NAME")


@click.group()
def users() -> None:
    """Say who may use the service: users, their passwords and tokens; show what they did."""


@users.command()
@_user
@click.option("--admin", is_flag=True, help="Sees all studies, and those of the command line.")
@root_option
def add(name: str, admin: bool, root: str | None) -> None:
    """Add the user NAME. The password is asked for, or read from standard input."""
    with _accounts(root) as accounts:
        from hpo_engine.service.guard.accounts import check_name

        check_name(name)
        accounts.add(name, _hash(name), admin=admin)
    click.echo(f"{name} may log in now{', as an admin' if admin else ''}.")


@users.command("list")
@root_option
@json_option
def list_users(root: str | None, as_json: bool) -> None:
    """List the users."""
    from hpo_engine.reports.objects import dump

    with _accounts(root) as accounts:
        found, tokens = accounts.users(), accounts.tokens()
    rows = [
        {
            "name": user.name, "role": "admin" if user.admin else "user", "created": _time(user.created),
            "tokens": sum(token.user == user.name and token.kind == "api" for token in tokens),
        }
        for user in found
    ]  # fmt: skip
    if as_json:
        click.echo(dump(rows))
    elif not rows:
        click.echo("There are no users: whoever has the token may do everything. `hpo-engine users add NAME` adds one.")
    else:
        click.echo(_table(rows))


@users.command()
@_user
@root_option
def remove(name: str, root: str | None) -> None:
    """Remove the user NAME, with all tokens and sessions; studies stay."""
    with _accounts(root) as accounts:
        accounts.remove(name)
    click.echo(f"{name} is removed; studies of {name} are seen by admins only.")


@users.command()
@_user
@root_option
def passwd(name: str, root: str | None) -> None:
    """Change the password of the user NAME, and end all sessions; tokens stay."""
    with _accounts(root) as accounts:
        accounts.known(name)
        accounts.set_password(name, _hash(name))
    click.echo(f"{name} has a new password, and is logged out everywhere.")


@users.group()
def token() -> None:
    """API tokens, for programs: made, listed, revoked."""


@token.command("add")
@click.argument("name", metavar="[NAME]", required=False, default="")
@click.option("--label", metavar="TEXT", default="", help="What it is for.")
@click.option("--days", type=click.FloatRange(min=0, min_open=True), help="How long it is valid [for ever].")
@root_option
def add_token(name: str, label: str, days: float | None, root: str | None) -> None:
    """Make a token for the user NAME [the administrator], and print it: it is not shown again."""
    with _accounts(root) as accounts:
        if name:
            accounts.known(name)
        made, secret = accounts.issue(name, "api", label[:100], None if days is None else days * _DAY_S)
    click.echo(secret)
    to_stderr(f"hpo-engine: token {made.id}: send it as X-Auth-Token or Bearer; it is not shown again")


@token.command("list")
@click.argument("name", metavar="[NAME]", required=False)
@root_option
@json_option
def list_tokens(name: str | None, root: str | None, as_json: bool) -> None:
    """List the tokens of the user NAME [of all]; sessions and logons are among them."""
    from hpo_engine.reports.objects import dump

    with _accounts(root) as accounts:
        if name:
            accounts.known(name)
        rows = [_token_row(each) for each in accounts.tokens(name)]
    if as_json:
        click.echo(dump(rows))
    elif rows:
        click.echo(_table(rows))
    else:
        click.echo("no tokens")


@token.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@root_option
def revoke(ids: tuple[str, ...], root: str | None) -> None:
    """Revoke tokens: they are refused from now on. ID is as `list` shows it."""
    with _accounts(root) as accounts:
        for each in ids:
            accounts.revoke(each)
            click.echo(f"token {each} is revoked")


@users.command()
@click.option("--last", type=click.IntRange(min=1), default=50, show_default=True, help="How many calls.")
@click.option("--user", "name", metavar="NAME", help="Of this user only.")
@root_option
@json_option
def audit(last: int, name: str | None, root: str | None, as_json: bool) -> None:
    """Show who did what: calls that changed something, and logons."""
    from collections import deque

    from hpo_engine.reports.objects import dump

    with _needed():
        from hpo_engine.service.guard.audit import entries

    found = [each for each in entries(_paths(root).audit) if name is None or each.get("user") == name]
    rows = list(deque(found, last))
    if as_json:
        click.echo(dump(rows))
    elif rows:
        click.echo(_table(rows))
    else:
        click.echo("nothing yet")


VERBS = (users,)


@contextlib.contextmanager
def _accounts(root: str | None) -> Iterator[Accounts]:
    with _needed():
        from hpo_engine.service.guard.accounts import Accounts
    paths = _paths(root)
    paths.make()
    with contextlib.closing(Accounts(paths.accounts)) as accounts:
        yield accounts


def _paths(root: str | None) -> ServicePaths:
    from hpo_engine.contract.paths import runs_root
    from hpo_engine.service.places import ServicePaths

    return ServicePaths(runs_root(root, os.environ))


@contextlib.contextmanager
def _needed() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise click.UsageError(f"users needs {error.name}: pip install 'hpo-engine[serve]'") from None


def _hash(name: str) -> str:
    """Of the password that is asked for."""
    from hpo_engine.service.guard.passwords import check_password, hash_of

    if sys.stdin.isatty():
        password = click.prompt(f"Password of {name}", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    check_password(password)
    return hash_of(password)


def _table(rows: list[dict[str, Any]]) -> str:
    from hpo_engine.text.tables import table

    return table(list(rows[0]), [list(row.values()) for row in rows], width=output_width())


def _token_row(token: Token) -> dict[str, Any]:
    expires = None if token.expires is None else _time(token.expires)
    return {
        "id": token.id, "user": token.user or "(administrator)", "kind": token.kind, "label": token.label,
        "created": _time(token.created), "expires": expires,
    }  # fmt: skip


def _time(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
