"""Requests to a server, and its refusals as the errors that the same thing raises here."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from hpo_engine.client.servers import Server
from hpo_engine.errors import EngineError, JournalError, Problem, SpecError, StudyExists, StudyLocked, StudyNotFound
from hpo_engine.text.quoting import shortened
from hpo_engine.version import __version__

_CONNECT_S, _ANSWER_S = 10.0, 60.0
_PAUSES_S = (0.2, 0.5, 1.0, 2.0)  # before each further try
_API = 1


class ServerAway(EngineError):
    """The server cannot be reached, or has broken off. Exit 5: nothing is known to have changed."""

    exit_code = 5


class NotLoggedIn(EngineError):
    """The server does not know who asks, or does not permit it. Exit 2."""

    exit_code = 2


class UntrustedCertificate(ServerAway):
    """The server's certificate is of no authority, and is not the one that was trusted. `fingerprint`: its SHA-256."""

    def __init__(self, text: str, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        super().__init__(text)


class Reply(NamedTuple):
    """`status` of HTTP, and the body."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    def json(self) -> Any:
        """Raises SpecError if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise SpecError("what answers there is not an hpo-engine service; is the address right?") from None


class Upload(NamedTuple):
    """A body that is made anew for each try. `pieces` gives its bytes, `size` of them together."""

    kind: str
    size: int
    pieces: Callable[[], Iterable[bytes]]


class Connection:
    """Connections to one server. May be used from several threads: each request has one of its own.

    Args:
        again: called once each time that a request is tried again, with one line that says why.
    """

    def __init__(self, server: Server, again: Callable[[str], None] = lambda text: None) -> None:
        self.server, self._again = server, again
        self._parts = urlsplit(server.url)
        self.host = self._parts.hostname or ""

    def get(
        self, path: str, query: Mapping[str, Any] | None = None, *, patience_s: float = _ANSWER_S, once: bool = False
    ) -> Reply:
        """Asks; tries again if the server is away for a moment, unless `once`. `path`: below /api/v1, quoted."""
        return self.request("GET", path, query, safe=True, patience_s=patience_s, once=once)

    def post(self, path: str, body: Any = None, *, patience_s: float = _ANSWER_S) -> Reply:
        """Has something done; not tried again once the server may have begun with it. `body`: sent as JSON."""
        return self.request("POST", path, None, body, patience_s=patience_s)

    def delete(self, path: str, query: Mapping[str, Any] | None = None) -> Reply:
        return self.request("DELETE", path, query)

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        safe: bool = False,
        once: bool = False,
        patience_s: float = _ANSWER_S,
    ) -> Reply:
        """One request, at most as often as it is safe.

        Args:
            path: below /api/v1, each part quoted. body: an `Upload`, or what is sent as JSON (None: nothing).
            safe: whether it does no harm twice. once: it is not tried again in any case.

        Raises:
            ServerAway. NotLoggedIn. SpecError, StudyNotFound, StudyExists, StudyLocked, EngineError: what the server
            says.
        """
        target = f"{self._parts.path}/api/v1{path}" + (f"?{urlencode(query)}" if query else "")
        pauses = iter(() if once else _PAUSES_S)
        while True:
            try:
                reply = self._once(method, target, body, headers or {}, patience_s)
                if reply.status != 503 or not safe:
                    return self._sound(reply)
                why = ServerAway(f"{self.server.url} is too busy ({_said(reply)}); try again later")
            except UntrustedCertificate:
                raise
            except _NotSent as error:
                why = ServerAway(f"{self.server.url} cannot be reached ({error}); is `hpo-engine serve` running there?")
            except (OSError, http.client.HTTPException) as error:
                why = ServerAway(f"{self.server.url} has broken off ({_text(error)})")
                if not safe:
                    raise ServerAway(f"{why}; whether it has done it is not known: look with `show`") from None
            pause = next(pauses, None)
            if pause is None:
                raise why
            self._again(str(why))
            time.sleep(pause)

    def log_on(self, user: str, password: str) -> str:
        """A token for that user, which expires within hours. Raises NotLoggedIn, ServerAway."""
        basic = base64.b64encode(f"{user}:{password}".encode()).decode()
        reply = self._tried("GET", "/auth/v1/logon", headers={"Authorization": f"Basic {basic}"})
        if reply.status == 401:
            raise NotLoggedIn(f"{self.server.url}: wrong user or password")
        return str(self._sound(reply).json()["accessToken"])

    def log_off(self) -> None:
        """Ends what `log_on` has begun. Raises NotLoggedIn, ServerAway."""
        self._sound(self._tried("POST", "/auth/v1/logoff"))

    def _tried(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        try:
            return self._once(method, f"{self._parts.path}{path}", None, headers or {}, _ANSWER_S)
        except UntrustedCertificate:
            raise
        except (_NotSent, OSError, http.client.HTTPException) as error:
            raise ServerAway(f"{self.server.url} cannot be reached ({_text(error)})") from None

    def fingerprint(self) -> str:
        """SHA-256 of the certificate that the server has, in hex; "" if it needs none that is not known already.

        Raises:
            ServerAway.
        """
        if self._parts.scheme != "https":
            return ""
        try:
            self._opened(_CONNECT_S).close()
        except UntrustedCertificate as error:
            return error.fingerprint
        except _NotSent as error:
            raise ServerAway(f"{self.server.url} cannot be reached ({error})") from None
        return ""

    def _once(self, method: str, target: str, body: Any, headers: Mapping[str, str], patience_s: float) -> Reply:
        connection = self._opened(_CONNECT_S)
        try:
            assert connection.sock is not None
            connection.sock.settimeout(patience_s)
            sent = {"User-Agent": f"hpo-engine/{__version__}", "Accept-Encoding": "gzip", **headers}
            if self.server.token and "Authorization" not in sent:
                sent["Authorization"] = f"Bearer {self.server.token}"
            pieces: Iterable[bytes] | None = None
            if isinstance(body, Upload):
                sent |= {"Content-Type": body.kind, "Content-Length": str(body.size)}
                pieces = body.pieces()
            elif body is not None:
                data = json.dumps(body).encode()
                sent |= {"Content-Type": "application/json", "Content-Length": str(len(data))}
                pieces = [data]
            elif method != "GET":
                sent["Content-Length"] = "0"
            with _answered_early():
                connection.request(method, target, pieces, sent)
            answer = connection.getresponse()
            found = answer.read()
            if answer.getheader("Content-Encoding") == "gzip":
                found = gzip.decompress(found)
            return Reply(answer.status, found, {k.lower(): v for k, v in answer.getheaders()})
        finally:
            connection.close()

    def _opened(self, timeout_s: float) -> http.client.HTTPConnection:
        host, port = self.host, self._parts.port
        pinned = self.server.fingerprint
        connection: http.client.HTTPConnection
        if self._parts.scheme == "http":
            connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
        else:
            context = ssl.create_default_context()
            if pinned:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection = http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)
        try:
            connection.connect()
        except ssl.SSLCertVerificationError as error:
            raise self._untrusted(error.verify_message or str(error)) from None
        except (OSError, http.client.HTTPException) as error:
            raise _NotSent(_text(error)) from None
        if pinned and isinstance(connection.sock, ssl.SSLSocket) and _sha256(connection.sock) != pinned:
            connection.close()
            raise self._untrusted("it is not the certificate that was trusted")
        return connection

    def _untrusted(self, why: str) -> UntrustedCertificate:
        """Looks at the certificate, over a connection on which nothing is sent."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection((self.host, self._parts.port or 443), _CONNECT_S) as sock,
            context.wrap_socket(sock, server_hostname=self.host) as secure,
        ):
            found = _sha256(secure)
        return UntrustedCertificate(
            f"{self.server.url}: its certificate is not trusted ({why}); its SHA-256 is {shown_fingerprint(found)}. "
            f"If that is the server's (it prints it at its start): hpo-engine login {self.server.url}",
            found,
        )

    def _sound(self, reply: Reply) -> Reply:
        if 200 <= reply.status < 300:
            return reply
        text = _said(reply)
        if reply.status in (401, 403):
            if self.server.token and reply.status == 401:
                raise NotLoggedIn(
                    f"{self.server.url} does not know this token: it is mistyped, revoked or too old; "
                    f"to log in again: hpo-engine login {self.server.url}"
                )
            if reply.status == 403:
                raise NotLoggedIn(f"{self.server.url}: {text}; to log in again: hpo-engine login {self.server.url}")
            raise NotLoggedIn(f"{self.server.url} asks who you are: hpo-engine login {self.server.url}")
        kinds = {404: StudyNotFound, 409: StudyExists, 423: StudyLocked, 429: ServerAway, 503: JournalError}
        if reply.status == 400 or reply.status in (413, 422):
            raise SpecError(_problems(reply) or text)
        if reply.status == 404 and "error" not in _object(reply):
            raise SpecError(
                f"{self.server.url} is not an hpo-engine service with this API (version {_API}); "
                f"this is hpo-engine {__version__}: see which one the server runs"
            )
        raise kinds.get(reply.status, EngineError)(text)


class _NotSent(Exception):
    """The server was not reached: nothing of the request has been sent."""


@contextlib.contextmanager
def _answered_early() -> Any:
    """A server that refuses an upload may close the connection before it has read all: its answer says why."""
    try:
        yield
    except (BrokenPipeError, ConnectionResetError):
        pass


def part(text: str) -> str:
    """A name as one part of a path."""
    return quote(text, safe="")


def shown_fingerprint(sha256: str) -> str:
    """In pairs, as certificates' fingerprints are written."""
    return ":".join(sha256[i : i + 2] for i in range(0, len(sha256), 2)).upper()


def _sha256(sock: ssl.SSLSocket) -> str:
    return hashlib.sha256(sock.getpeercert(binary_form=True) or b"").hexdigest()


def _text(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__


def _object(reply: Reply) -> Mapping[str, Any]:
    try:
        found = reply.json()
    except SpecError:
        return {}
    return found if isinstance(found, dict) else {}


def _said(reply: Reply) -> str:
    """The server's own words, else what is to be seen."""
    text = _object(reply).get("error")
    if isinstance(text, str) and text:
        return text
    return shortened(" ".join(reply.body.decode("utf-8", "replace").split()), 200) or f"HTTP status {reply.status}"


def _problems(reply: Reply) -> list[Problem]:
    found = _object(reply).get("problems")
    if not isinstance(found, list):
        return []
    return [
        Problem(str(each.get("path", "")), str(each.get("text", "")), each.get("line"))
        for each in found
        if isinstance(each, dict)
    ]
