"""One connection of a client, with limits on what it may send, how slowly, and how much of it we hold.

uvicorn has no deadline for receiving: a client that sends a byte now and then keeps its connection for ever. Here the
head of a request has a fixed time, a body has to come at a minimum rate, and an answer has to be read. Time in which
we do not read, as what was received is still being written to a disk, is not counted.
"""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_REASONS = {
    400: "Bad Request", 408: "Request Timeout", 413: "Content Too Large", 414: "URI Too Long",
    431: "Request Header Fields Too Large", 503: "Service Unavailable",
}  # fmt: skip
_UPLOADS = (b"multipart/form-data", b"application/octet-stream", b"application/x-tar", b"application/gzip")
_CULL_S = 0.1  # at the limit of connections, room is made at most that often
_OVERHEAD = 1 << 20  # bytes of chunk headers that a body may have whatever its size


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes, times in seconds.

    `body` is for what is held in memory, `upload` for what goes to a file; a body has `body_s` and the time that it
    takes at `rate` bytes/s. `linger_s`: how long what a refused client still sends is thrown away, so that it reads our
    answer before it finds the connection closed. `stall_s`: how long nothing of an answer may be read.
    """

    connections: int = 2000
    head: int = 64 << 10
    url: int = 16 << 10
    headers: int = 100
    body: int = 4 << 20
    upload: int = 2 << 30
    head_s: float = 15.0
    body_s: float = 15.0
    rate: float = 16 << 10
    linger_s: float = 5.0
    stall_s: float = 30.0


class Phase(enum.Enum):
    """What is expected of the client.

    HEAD -> BODY -> ANSWER -> HEAD ...; REST if the answer is complete before the request; REFUSED from any of them.
    """

    HEAD = "a request line and headers"
    BODY = "a body"
    ANSWER = "nothing: it waits for us"
    REST = "the rest of a body that nobody wants"
    REFUSED = "whatever it still sends"


class Connection(HttpToolsProtocol):
    """uvicorn's protocol with `limits`. `check` is to be called about once per second."""

    limits = Limits()
    _last_cull = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._began = self.loop.time()
        self._head_size, self._received, self._raw, self._allowed = 0, 0, 0, 0
        self._too_many = False
        self._unread, self._unread_since = 0, self._began
        self._checked = self._began
        self._expect(Phase.HEAD)
        if len(self.connections) > self.limits.connections and not self._room_made():
            self._refuse(503, "too many connections; try again in a few seconds")

    def data_received(self, data: bytes) -> None:
        if self._phase is Phase.REFUSED:
            return
        in_body = self._phase in (Phase.BODY, Phase.REST)
        if in_body:
            self._raw += len(data)
        else:
            self._head_size += len(data)
        super().data_received(data)
        if self._phase in (Phase.HEAD, Phase.ANSWER) and self._head_size > self.limits.head:
            self._refuse(431, f"the headers are larger than {self.limits.head} bytes")
        elif in_body and self._raw > 8 * self._received + _OVERHEAD:
            self._refuse(400, "a chunked body of which next to nothing is content")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._too_many = False
        if self._phase is Phase.ANSWER:  # the next request of a pipeline
            self._expect(Phase.HEAD)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._phase is not Phase.HEAD:
            return  # a trailer: nobody wants any, and the application has the headers already
        if len(self.headers) >= self.limits.headers:
            self._too_many = True
        else:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._phase is Phase.REFUSED:
            return
        self._head_size = 0
        refused = self._head_refusal()
        if refused is not None:
            self._refuse(*refused)
            return
        super().on_headers_complete()
        self._received = self._raw = 0
        self._expect(Phase.BODY)

    def on_body(self, body: bytes) -> None:
        if self._phase is Phase.REFUSED:
            return
        self._received += len(body)
        if self._received > self._allowed:
            self._refuse(413, f"the body is larger than {self._allowed} bytes")
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._phase is Phase.REFUSED:
            return
        super().on_message_complete()
        self._expect(Phase.HEAD if self.cycle is None or self.cycle.response_complete else Phase.ANSWER)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.cycle.response_complete:
            return  # that of an earlier request of a pipeline
        if self._phase is Phase.ANSWER:
            self._expect(Phase.HEAD)
        elif self._phase is Phase.BODY:
            self._expect(Phase.REST)

    def send_400_response(self, msg: str) -> None:
        if self._phase is not Phase.REFUSED:
            self._refuse(400, "this is not HTTP/1.1 as we read it")

    def shutdown(self) -> None:
        """Lets an answer that is on its way end, but not one that never does, nor a request that is not complete."""
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            endless = cycle.scope.get("state", {}).get("streams", False)
            if endless or self._phase is Phase.BODY:
                self._tell_application()
                self.transport.close()
                return
        super().shutdown()

    def check(self, now: float) -> None:
        """Closes the connection if it has used up its time."""
        spent, self._checked = now - self._checked, now
        if self._answer_is_stuck(now):
            self.transport.abort()
        elif self.transport.is_closing():
            pass
        elif self.flow.read_paused:
            self._since += spent
        elif self._phase is Phase.HEAD and now > self._since + self.limits.head_s:
            if self._head_size:
                self._refuse(408, f"no complete request within {self.limits.head_s:.0f} s")
            else:
                self.transport.close()
        elif self._phase is Phase.BODY:
            if now > self._since + self.limits.body_s + self._received / self.limits.rate:
                self._refuse(408, f"the body comes more slowly than {self.limits.rate:.0f} bytes/s")
        elif self._phase in (Phase.REST, Phase.REFUSED) and now > self._since + self.limits.linger_s:
            self.transport.abort()

    @property
    def idle_since(self) -> float | None:
        """Since when a request is awaited that has not come; None if one is being served."""
        return self._since if self._phase is Phase.HEAD else None

    def _expect(self, phase: Phase) -> None:
        self._phase, self._since = phase, self.loop.time()

    def _head_refusal(self) -> tuple[int, str] | None:
        """Sets how large the body may be."""
        headers = self.headers
        size = len(self.url) + sum(len(name) + len(value) for name, value in headers)
        if self._too_many or size > self.limits.head:
            return 431, f"more than {self.limits.headers} headers, or more than {self.limits.head} bytes of them"
        if len(self.url) > self.limits.url:
            return 414, f"the URL is longer than {self.limits.url} bytes"
        if not self.url.startswith(b"/") or b"#" in self.url:
            return 400, "a request names a path, not a whole URL"
        if self.parser.get_http_version() not in ("1.0", "1.1"):
            return 400, "this is not HTTP/1.1 as we read it"
        found = dict(headers)
        coding, length = found.get(b"transfer-encoding"), found.get(b"content-length")
        if coding is not None and (coding.lower() != b"chunked" or self.parser.get_http_version() == "1.0"):
            return 400, "of transfer codings only chunked is read"
        if b"upgrade" in found and (coding is not None or length not in (None, b"0")):
            return 400, "a request for another protocol has no body"
        upload = found.get(b"content-type", b"").lower().startswith(_UPLOADS)
        self._allowed = self.limits.upload if upload else self.limits.body
        if length is not None and int(length) > self._allowed:
            return 413, f"the body is larger than {self._allowed} bytes"
        return None

    def _refuse(self, status: int, text: str) -> None:
        """Answers, if there can still be an answer, and reads nothing any more."""
        begun = self._tell_application()
        self._expect(Phase.REFUSED)
        self._unset_keepalive_if_required()
        if self.transport.is_closing():
            return
        if begun:
            self.transport.abort()
            return
        body = b'{"error": "%s", "problems": []}' % text.encode()
        self.transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
            b"x-content-type-options: nosniff\r\ncache-control: no-store\r\nconnection: close\r\n%s\r\n%s"
            % (status, _REASONS[status].encode(), len(body), b"retry-after: 5\r\n" if status == 503 else b"", body)
        )
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _tell_application(self) -> bool:
        """Ends the request that is being served, if there is one; returns whether its answer has begun, or there is
        another one to come before ours."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return False
        cycle.disconnected = True
        cycle.message_event.set()
        return bool(cycle.response_started) or self._phase is not Phase.BODY

    def _answer_is_stuck(self, now: float) -> bool:
        unread = self.transport.get_write_buffer_size()
        if unread == 0 or unread != self._unread:
            self._unread, self._unread_since = unread, now
        return now > self._unread_since + self.limits.stall_s

    def _room_made(self) -> bool:
        """At the limit, those go that have waited longest without a request, a twentieth of all at once."""
        now = self.loop.time()
        if now < Connection._last_cull + _CULL_S:
            return len(self.connections) <= self.limits.connections * 1.05
        Connection._last_cull = now
        others: list[Any] = [each for each in self.connections if each is not self]
        idle = sorted((each.idle_since, id(each), each) for each in others if (each.idle_since or now) < now - 1.0)
        for _, _, each in idle[: max(1, self.limits.connections // 20)]:
            each.transport.abort()
        return bool(idle)
