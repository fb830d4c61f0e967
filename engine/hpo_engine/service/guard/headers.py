"""Headers of every answer: what a browser may do with it."""

from __future__ import annotations

from collections.abc import Iterable

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_ALWAYS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # with "no-referrer" a browser would send "Origin: null" with our own forms
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_UNLESS_SET = [(b"content-security-policy", CSP.encode()), (b"cache-control", b"no-store")]


def guarded(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers of an answer, with those that each of ours has. A route may choose its own Cache-Control, and its own
    Content-Security-Policy (with a nonce)."""
    own = [(key.lower(), value) for key, value in headers]
    names = {key for key, _ in own}
    fixed = {key for key, _ in _ALWAYS}
    kept = [pair for pair in own if pair[0] not in fixed]
    return [*kept, *_ALWAYS, *(pair for pair in _UNLESS_SET if pair[0] not in names)]
