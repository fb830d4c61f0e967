"""Where the service listens: the socket, its TLS, and by which names it may be called."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from hpo_engine.errors import SpecError
from hpo_engine.service import tls
from hpo_engine.service.guard.origin import allowed_hosts, is_loopback, machine_names
from hpo_engine.service.places import ServicePaths

_BACKLOG = 2048


@dataclass(frozen=True)
class Listening:
    """What the user asks for.

    `port`: 0 takes a free one. `certificate`, `key`: files; `self_made`: a certificate of our own. `insecure`: other
    machines may reach the service without TLS. `hosts`: more names by which it may be called.
    """

    host: str = "127.0.0.1"
    port: int = 0
    certificate: str | None = None
    key: str | None = None
    self_made: bool = False
    insecure: bool = False
    hosts: Sequence[str] = ()

    @property
    def tls(self) -> bool:
        return self.self_made or self.certificate is not None

    def check(self) -> None:
        """Raises SpecError: passwords and tokens would travel in the clear, or the options contradict each other."""
        if self.key is not None and self.certificate is None:
            raise SpecError("--tls-key needs --tls-cert")
        if self.certificate is not None and self.self_made:
            raise SpecError("--tls makes a certificate, and --tls-cert names one; only one of them")
        if not is_loopback(self.host) and not self.tls and not self.insecure:
            raise SpecError(
                f"{self.host} can be reached from other machines, and passwords and tokens would travel in the clear: "
                "add --tls (a certificate of its own making), --tls-cert and --tls-key, or --insecure"
            )


@dataclass(frozen=True)
class Secured:
    """The certificate, and the context that uses it; both None without TLS."""

    certificate: tls.Certificate | None = None
    context: ssl.SSLContext | None = None


def secured(asked: Listening, paths: ServicePaths) -> Secured:
    """Raises SpecError: no usable certificate."""
    if asked.self_made:
        names = allowed_hosts(asked.host, [*asked.hosts, *machine_names()])
        certificate = tls.self_made(paths.tls, names)
    elif asked.certificate is not None:
        certificate = tls.read(asked.certificate, asked.key)
    else:
        return Secured()
    return Secured(certificate, tls.context(certificate.path, certificate.key_path))


def listener(asked: Listening) -> socket.socket:
    """Raises SpecError: the port is taken, or the address is not ours."""
    try:
        family, _, _, _, address = socket.getaddrinfo(asked.host, asked.port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise SpecError(f"cannot listen on {asked.host}: {error.strerror}") from None
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(_BACKLOG)
    except OSError as error:
        found.close()
        text = f"cannot listen on {asked.host} port {asked.port}: {error.strerror}"
        raise SpecError(f"{text}; --port takes another one, --port 0 any that is free") from None
    return found


def urls(asked: Listening, bound: socket.socket) -> list[str]:
    """By which the service is reached, the first one from this machine."""
    address, port = bound.getsockname()[:2]
    scheme = "https" if asked.tls else "http"
    if not ipaddress.ip_address(address).is_unspecified:
        return [f"{scheme}://{_in_url(address)}:{port}"]
    here = "::1" if bound.family == socket.AF_INET6 else "127.0.0.1"
    return [f"{scheme}://{_in_url(name)}:{port}" for name in (here, *machine_names()[-1:])]


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address
