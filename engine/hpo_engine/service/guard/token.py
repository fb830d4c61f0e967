"""The administrator's token: 256 random bits in a file that only the service's user can read."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from hpo_engine.errors import SpecError
from hpo_engine.system.files import put_in_place
from hpo_engine.system.writing import write_all

if TYPE_CHECKING:
    from hpo_engine.service.places import ServicePaths

_BYTES = 32
_LEAST = 32  # characters; what somebody has put there by hand may be shorter than ours, but no password


def admin_token(paths: ServicePaths) -> str:
    """The token in the file, which is made on first use.

    Raises:
        SpecError: the file holds something that can be guessed.
    """
    try:
        fd = os.open(paths.token, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return _made(paths)
    with os.fdopen(fd, encoding="ascii", errors="replace") as file:
        os.fchmod(fd, 0o600)
        token = file.read(4096).strip()
    if len(token) < _LEAST or not token.isprintable() or " " in token:
        raise SpecError(f"{paths.token}: a token has at least {_LEAST} printable characters; remove it for a new one")
    return token


def _made(paths: ServicePaths) -> str:
    token = secrets.token_urlsafe(_BYTES)
    aside = f"{paths.token}.{os.getpid()}"  # may be left of one that died: in a container, every service has one number
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        write_all(fd, token.encode() + b"\n")
        os.fsync(fd)
    finally:
        os.close(fd)
    put_in_place(aside, paths.token)
    return token
