"""What a request brings to say who it is, in each manner that clients know."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import NamedTuple

COOKIE = "hpo-engine-session"


class Credentials(NamedTuple):
    """`kind`: "basic" (name and password in `secret`), "token" or "session" (`name` is ""); `ambient`: a browser adds
    them by itself, so that any page may have sent the request."""

    kind: str
    name: str
    secret: str

    @property
    def ambient(self) -> bool:
        return self.kind != "token"


def credentials_of(headers: Mapping[bytes, bytes]) -> Credentials | None:
    """The credentials among the headers (lower-case names); None if there are none that can be read.

    An explicit token counts before what a browser adds by itself.
    """
    if token := headers.get(b"x-auth-token", b"").strip():
        return Credentials("token", "", _text(token))
    kind, _, rest = headers.get(b"authorization", b"").strip().partition(b" ")
    if kind.lower() == b"bearer" and rest.strip():
        return Credentials("token", "", _text(rest.strip()))
    if kind.lower() == b"basic":
        return _basic(rest.strip())
    for pair in headers.get(b"cookie", b"").split(b";"):
        name, _, value = pair.strip().partition(b"=")
        if name == COOKIE.encode() and value:
            return Credentials("session", "", _text(value))
    return None


def _basic(encoded: bytes) -> Credentials | None:
    try:
        name, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return Credentials("basic", name, password) if colon else None


def _text(value: bytes) -> str:
    return value.decode("latin-1")
