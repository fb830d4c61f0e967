"""The servers that this user has logged in to: addresses, tokens, and certificates that were trusted."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from hpo_engine.errors import SpecError, nearest
from hpo_engine.system.files import put_in_place


@dataclass(frozen=True)
class Server:
    """`url`: without a slash at its end. `token`: "" if there is none. `fingerprint`: SHA-256 of a certificate that is
    trusted without an authority, in hex; "" if authorities decide. `user`: whom the token stands for."""

    url: str
    token: str = ""
    fingerprint: str = ""
    user: str = ""


def servers_file(env: Mapping[str, str]) -> str:
    """$XDG_CONFIG_HOME/hpo-engine/servers.json, or below ~/.config."""
    config = env.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(config, "hpo-engine", "servers.json")


def normal_url(text: str) -> str:
    """An address as it is kept: scheme, host and port, and a path if there is one. Raises SpecError."""
    parts = urlsplit(text)
    try:
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        raise SpecError(f"{text}: the port is no number") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SpecError(f"{text}: write the server as https://HOST:PORT or http://HOST:PORT")
    if parts.username is not None:
        raise SpecError("a user and a password do not belong in the address: hpo-engine login URL asks for them")
    if parts.query or parts.fragment:
        raise SpecError(f"{parts.scheme}://{parts.hostname}{port}: leave out what follows ? and # in the address")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"


def found_server(name: str, env: Mapping[str, str]) -> Server:
    """The server of that address, or of that host among those that are known. $HPO_ENGINE_TOKEN is the token, if set.

    Raises:
        SpecError: no such server is known, or the name stands for several.
    """
    known = load(env)
    if "://" in name:
        url = normal_url(name)
        server = known.get(url, Server(url))
    else:
        found = [each for each in known.values() if name in (urlsplit(each.url).hostname, urlsplit(each.url).netloc)]
        if len(found) != 1:
            hosts = [urlsplit(url).netloc for url in known]
            problem = (
                "stands for several servers"
                if found
                else f"is not a server that you have logged in to{nearest(name, hosts)}"
            )
            raise SpecError(f'"{name}" {problem}; write https://HOST:PORT, or first: hpo-engine login URL')
        (server,) = found
    token = env.get("HPO_ENGINE_TOKEN", "")
    return Server(server.url, token or server.token, server.fingerprint, "" if token else server.user)


def load(env: Mapping[str, str]) -> dict[str, Server]:
    """The known servers by their addresses. Raises SpecError if the file cannot be read."""
    path = servers_file(env)
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
        return {url: Server(url, **_fields(entry)) for url, entry in data["servers"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SpecError(f"{path} cannot be read ({error}); remove it, then log in again") from None


def keep(server: Server, env: Mapping[str, str]) -> None:
    """Adds a server to the file, or puts it in the place of what was known of it."""
    _write({**load(env), server.url: server}, env)


def forget(url: str, env: Mapping[str, str]) -> bool:
    """Takes a server out of the file; False if it was not in it."""
    known = load(env)
    gone = known.pop(url, None)
    if gone is not None:
        _write(known, env)
    return gone is not None


def _fields(entry: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(entry.get(name, "")) for name in ("token", "fingerprint", "user")}


def _write(known: Mapping[str, Server], env: Mapping[str, str]) -> None:
    path = servers_file(env)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    entries = {url: {k: v for k, v in asdict(each).items() if k != "url" and v} for url, each in known.items()}
    with _aside(path) as file:
        file.write(json.dumps({"servers": entries}, indent=2).encode() + b"\n")


@contextlib.contextmanager
def _aside(path: str) -> Iterator[Any]:
    """A file that only this user may read, given its name when it is whole."""
    aside = f"{path}.{os.getpid()}"
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            yield file
        put_in_place(aside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(aside)
        raise
