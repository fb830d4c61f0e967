"""Whether a request comes from where it may: its Host (DNS rebinding), and for a browser the page that sends it (CSRF).

Neither depends on credentials, as a browser adds these by itself.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Sequence
from typing import NamedTuple

Headers = Sequence[tuple[bytes, bytes]]
SAFE = frozenset({"GET", "HEAD"})


class Refusal(NamedTuple):
    """`text`: one line."""

    status: int
    text: str


def allowed_hosts(listening: str, more: Iterable[str] = ()) -> frozenset[str]:
    """The names by which the service may be called: of the loopback, of this machine unless it listens on the loopback
    only, and `more`. Lower case, without ports and brackets."""
    names = {"localhost", "127.0.0.1", "::1", *more}
    if not is_loopback(listening):
        names |= {listening, *machine_names(), *machine_addresses()}
    return frozenset(name.lower().rstrip(".") for name in names) - {"0.0.0.0", "::"}


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def machine_names() -> list[str]:
    name = socket.gethostname()
    return sorted({name, name.partition(".")[0], socket.getfqdn()} - {""})


def machine_addresses() -> list[str]:
    """This machine's addresses, as far as its resolver and its routes know them."""
    found = set()
    for family, target in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((target, 9))  # sends nothing: the kernel only chooses a route
                found.add(str(probe.getsockname()[0]))
        except OSError:
            pass
    try:
        found |= {str(entry[4][0]) for entry in socket.getaddrinfo(socket.gethostname(), None)}
    except OSError:
        pass
    return sorted(address.partition("%")[0] for address in found)


def refusal(method: str, headers: Headers, hosts: frozenset[str], *, tls: bool) -> Refusal | None:
    """Why the request is not even looked at; None: it may pass."""
    named = _all(headers, b"host")
    if len(named) != 1:
        return Refusal(400, "a request needs one Host header")
    if _host(named[0]) not in hosts:
        return Refusal(403, "this Host is not one of the service's names; --allow-host adds one")
    site, mode = _one(headers, b"sec-fetch-site"), _one(headers, b"sec-fetch-mode")
    if method in SAFE:
        elsewhere = site not in ("", "same-origin", "none")
        link = mode == "navigate" and _one(headers, b"sec-fetch-dest") in ("document", "")
        return Refusal(403, "other sites may link here, but not load anything") if elsewhere and not link else None
    if site not in ("", "same-origin", "none"):
        return Refusal(403, "a page of another site has sent this")
    origins = _all(headers, b"origin")
    if origins and (len(origins) > 1 or not _same_origin(origins[0], named[0], tls)):
        return Refusal(403, "a page of another origin has sent this")
    return None


def is_link_from_elsewhere(headers: Headers) -> bool:
    """Whether a browser follows a link on another site's page: then it keeps SameSite=Strict cookies to itself."""
    return _one(headers, b"sec-fetch-mode") == "navigate" and _one(headers, b"sec-fetch-site") in (
        "cross-site", "same-site",
    )  # fmt: skip


def _host(value: str) -> str:
    """The name in a Host header; "" if it is not one."""
    if any(char in value for char in "@/?#,\\ \t"):
        return ""
    name, bracket, port = value.partition("]") if value.startswith("[") else (value, "", "")
    if bracket:
        name, port = name[1:], port.removeprefix(":") if port.startswith(":") or not port else "x"
    else:
        name, _, port = value.partition(":")
    if port and not (port.isascii() and port.isdigit()):
        return ""
    return name.lower().rstrip(".")


def _same_origin(origin: str, host: str, tls: bool) -> bool:
    scheme, _, rest = origin.lower().partition("://")
    schemes = ("https",) if tls else ("http", "https")  # https: a proxy in front of us speaks it
    return scheme in schemes and _without_default(rest, scheme) == _without_default(host.lower(), scheme)


def _without_default(host: str, scheme: str) -> str:
    return host.removesuffix(":443" if scheme == "https" else ":80")


def _all(headers: Headers, name: bytes) -> list[str]:
    return [value.decode("latin-1").strip() for key, value in headers if key == name]


def _one(headers: Headers, name: bytes) -> str:
    """The value; several joined with commas, so that none of them is overlooked."""
    return ",".join(_all(headers, name)).lower()
