"""Commands that messages advise. Where a verb works with a server that was named on the command line, they name it."""

from __future__ import annotations

import re
import shlex
from contextvars import ContextVar

AT_SERVERS = (
    "backtest", "best", "cancel", "compare", "edit", "enqueue", "explain", "export", "logs", "pause", "plot", "remove",
    "report", "resume", "retry", "show", "stop", "submit", "watch",
)  # fmt: skip
"""Verbs that take a study, or a study file, and --server."""

_COMMAND = re.compile(rf"hpo-engine (?:{'|'.join(AT_SERVERS)}) (?:'[^']*'|[^\s;,:()`\"']*[^\s;,:()`\"'.])")
_server: ContextVar[str] = ContextVar("server", default="")


def name_server(server: str) -> None:
    """From now on, commands that are advised are for the studies at that server."""
    _server.set(server)


def advised(text: str) -> str:
    """The text, with `--server` in each command in it that is for a study there."""
    server = _server.get()
    if not server:
        return text

    def complete(found: re.Match[str]) -> str:
        said = text.startswith(" --server ", found.end())
        return found[0] if said else f"{found[0]} --server {shlex.quote(server)}"

    return _COMMAND.sub(complete, text)
