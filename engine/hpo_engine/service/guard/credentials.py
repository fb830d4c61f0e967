"""What a request brings to say who it is, in each manner that clients know."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import NamedTuple


class Credentials(NamedTuple):
    """`kind`: "basic" (name and password in `secret`), "token" or "session" (`name` is "")."""

    kind: str
    name: str
    secret: str


_HEADERS = (b"x-auth-token", b"authorization", b"cookie")
_UNREADABLE = Credentials("token", "", "")


def credentials_of(headers: Sequence[tuple[bytes, bytes]], cookie: str) -> Credentials | None:
    """The credentials among the headers (lower-case names); None if there are none.

    An explicit token counts before what a browser adds by itself. What cannot be read is nobody's token.
    Args:
        cookie: the name of the session's.
    """
    values = [(key, value.strip()) for key, value in headers if key in _HEADERS and value.strip()]
    explicit = [(key, value) for key, value in values if key != b"cookie"]
    if len({key for key, _ in explicit}) < len(explicit):
        return _UNREADABLE  # two that may contradict each other
    tokens = dict(explicit)
    if token := tokens.get(b"x-auth-token"):
        return Credentials("token", "", _text(token))
    if b"authorization" in tokens:
        kind, _, rest = tokens[b"authorization"].partition(b" ")
        if kind.lower() == b"bearer":
            return Credentials("token", "", _text(rest.strip()))
        return _basic(rest.strip()) if kind.lower() == b"basic" else _UNREADABLE
    for pair in b";".join(value for _, value in values).split(b";"):
        name, _, value = pair.strip().partition(b"=")
        if name == cookie.encode() and value:
            return Credentials("session", "", _text(value))
    return None


def _basic(encoded: bytes) -> Credentials:
    try:
        name, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return _UNREADABLE
    return Credentials("basic", name, password) if colon else _UNREADABLE


def _text(value: bytes) -> str:
    return value.decode("latin-1")
