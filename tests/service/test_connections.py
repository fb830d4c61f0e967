"""What a connection may send: raw requests that no client of good faith sends, and those that take their time."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import uvicorn

from hpo_engine.service.connections import Connection, Limits
from hpo_engine.service.server import Server
from tests.support.helpers import wait_until

SHORT = replace(
    Limits(),
    head_s=1.0,
    body_s=1.0,
    rate=1 << 20,
    linger_s=0.5,
    stall_s=1.0,
    body=1 << 16,
    upload=1 << 20,
    connections=20,
)


class Application:
    """Answers with the length of the body; `/early` before there is one, `/endless` and `/events` never stop. `disconnected`:
    how many requests were told that their client is gone. `served`: paths."""

    def __init__(self) -> None:
        self.disconnected = 0
        self.served: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        self.served.append(scope["path"])
        if scope["path"] in ("/endless", "/events"):
            scope["state"]["streams"] = scope["path"] == "/events"
            await self._stream(receive, send)
            return
        size, more = 0, scope["path"] != "/early"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.disconnected += 1
                return
            size, more = size + len(message["body"]), message["more_body"]
        body = b"%d bytes" % size
        start = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]}
        await send(start)
        await send({"type": "http.response.body", "body": body})

    async def _stream(self, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        body = b"x" * (1 << 20 if self.served[-1] == "/endless" else 1)
        for _ in range(100):
            await send({"type": "http.response.body", "body": body, "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        self.disconnected += 1


class Running:
    def __init__(self, app: Application, server: Server, port: int) -> None:
        self.app, self.server, self.port = app, server, port

    def connect(self) -> socket.socket:
        found = socket.create_connection(("127.0.0.1", self.port), 20)
        found.settimeout(20)
        return found

    def answer(self, *parts: bytes) -> bytes:
        """All that comes back until the server closes; "reset" at the end if it does so hard."""
        with self.connect() as connection:
            return received(connection, *parts)


def received(connection: socket.socket, *parts: bytes) -> bytes:
    found = b""
    try:
        for part in parts:
            connection.sendall(part)
        while data := connection.recv(1 << 16):
            found += data
    except (ConnectionResetError, BrokenPipeError):
        found += b"reset"
    return found


@contextlib.contextmanager
def running(limits: Limits) -> Iterator[Running]:
    app = Application()
    kind = type("Limited", (Connection,), {"limits": limits})
    config = uvicorn.Config(app, http=kind, ws="none", lifespan="off", log_config=None, timeout_graceful_shutdown=20)
    server = Server(config, lambda: None)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        wait_until(lambda: server.started)
        try:
            yield Running(app, server, listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    with running(SHORT) as found:
        yield found


HOST = b"Host: localhost\r\n"
GET, POST = b"GET /x HTTP/1.1\r\n" + HOST, b"POST /x HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
HOSTILE = {
    "an old version": b"GET / HTTP/0.9\r\n\r\n",
    "a version to come": GET.replace(b"1.1", b"1.2") + b"\r\n",
    "a preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/3": GET.replace(b"1.1", b"3.0") + b"\r\n",
    "no version": b"GET /x HTTP/\r\n" + HOST + b"\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.0\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "binary": bytes(range(256)),
    "NULs": b"\0" * 64,
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "the same length twice": POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "a list of lengths": POST + b"Content-Length: 5, 5\r\n\r\nhello",
    "a length with a sign": POST + b"Content-Length: +5\r\n\r\nhello",
    "a negative length": POST + b"Content-Length: -5\r\n\r\nhello",
    "a hexadecimal length": POST + b"Content-Length: 0x5\r\n\r\nhello",
    "a decimal length": POST + b"Content-Length: 5.0\r\n\r\nhello",
    "a length in words": POST + b"Content-Length: five\r\n\r\nhello",
    "an empty length": POST + b"Content-Length:\r\n\r\nhello",
    "a length beyond 64 bits": POST + b"Content-Length: 99999999999999999999999\r\n\r\nhello",
    "a length of 2**64 + 5": POST + b"Content-Length: 18446744073709551621\r\n\r\nhello",
    "a length with a blank in it": POST + b"Content-Length: 5 5\r\n\r\nhello",
    "a blank before the colon": POST + b"Content-Length : 5\r\n\r\nhello",
    "a tab before the colon": POST + b"Content-Length\t: 5\r\n\r\nhello",
    "length, then chunked": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked, then length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "chunked in other letters, then length": POST + b"transfer-encoding: CHUNKED\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "an unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "identity": POST + b"Transfer-Encoding: identity\r\n\r\n",
    "gzip and chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked and identity": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "two codings": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "the same coding twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked after a vertical tab": POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "chunked in quotes": POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "chunked with a parameter": POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
    "an empty coding": POST + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n",
    "a folded coding": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n").replace(b"1.1", b"1.0"),
    "a chunk without a size": CHUNKED + b"zz\r\n\r\n",
    "a chunk of negative size": CHUNKED + b"-1\r\n\r\n",
    "a chunk with 0x": CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
    "a chunk beyond 64 bits": CHUNKED + b"ffffffffffffffffff\r\nhello",
    "a chunk longer than it says": CHUNKED + b"3\r\nhello\r\n0\r\n\r\n",
    "a chunk with a blank in its size": CHUNKED + b"5 5\r\nhello\r\n0\r\n\r\n",
    "chunks that end in LF": CHUNKED + b"5\nhello\n0\n\n",
    "a chunk extension with LF": CHUNKED + b"5;a=\nb\r\nhello\r\n0\r\n\r\n",
    "a chunk extension with NUL": CHUNKED + b"5;a=\0\r\nhello\r\n0\r\n\r\n",
    "an empty chunk size": CHUNKED + b"\r\nhello\r\n0\r\n\r\n",
    "a trailer without a colon": CHUNKED + b"0\r\nX\r\n\r\n",
    "lines that end in LF": GET.replace(b"\r\n", b"\n") + b"\n",
    "lines that end in CR": GET.replace(b"\r\n", b"\r") + b"\r",
    "a header that ends in LF": GET + b"X: a\nY: b\r\n\r\n",
    "a CR in a value": GET + b"X: a\rb\r\n\r\n",
    "a NUL in a value": GET + b"X: a\0b\r\n\r\n",
    "a control character in a value": GET + b"X: \x01\r\n\r\n",
    "an escape in a value": GET + b"X: \x1b[31m\r\n\r\n",
    "a folded header": GET + b"X: a\r\n b\r\n\r\n",
    "a header folded by a tab": GET + b"X: a\r\n\tb\r\n\r\n",
    "a first header with a blank": b"GET /x HTTP/1.1\r\n Host: localhost\r\n\r\n",
    "a blank in a name": GET + b"X y: a\r\n\r\n",
    "no colon": GET + b"Xy\r\n\r\n",
    "an empty name": GET + b": a\r\n\r\n",
    "a name in brackets": GET + b"[x]: a\r\n\r\n",
    "a name with NUL": GET + b"X\0: a\r\n\r\n",
    "a name with an umlaut": GET + b"\xfc: a\r\n\r\n",
    "a path with NUL": b"GET /a\0b HTTP/1.1\r\n" + HOST + b"\r\n",
    "a path with a blank": b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
    "a path with a tab": b"GET /a\tb HTTP/1.1\r\n" + HOST + b"\r\n",
    "a path with a byte that is no letter": b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n",
    "a path with a CR": b"GET /a\rb HTTP/1.1\r\n" + HOST + b"\r\n",
    "a path with a fragment": b"GET /x#y HTTP/1.1\r\n" + HOST + b"\r\n",
    "a path without a slash": b"GET x HTTP/1.1\r\n" + HOST + b"\r\n",
    "a whole URL": b"GET http://evil.example/x HTTP/1.1\r\n" + HOST + b"\r\n",
    "a URL of ourselves": b"GET http://localhost/x HTTP/1.1\r\n" + HOST + b"\r\n",
    "a URL of a file": b"GET file:///etc/passwd HTTP/1.1\r\n" + HOST + b"\r\n",
    "an authority": b"GET evil.example:80 HTTP/1.1\r\n" + HOST + b"\r\n",
    "CONNECT": b"CONNECT evil.example:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "an asterisk": b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    "no method": b"/x HTTP/1.1\r\n" + HOST + b"\r\n",
    "no such method": b"G3T /x HTTP/1.1\r\n" + HOST + b"\r\n",
    "a method in small letters": b"get /x HTTP/1.1\r\n" + HOST + b"\r\n",
    "a method with NUL": b"GE\0T /x HTTP/1.1\r\n" + HOST + b"\r\n",
    "a method in brackets": b"{GET} /x HTTP/1.1\r\n" + HOST + b"\r\n",
    "a tab after the method": b"GET\t/x HTTP/1.1\r\n" + HOST + b"\r\n",
    "a blank before the method": b" GET /x HTTP/1.1\r\n" + HOST + b"\r\n",
    "more after the version": b"GET /x HTTP/1.1 x\r\n" + HOST + b"\r\n",
    "an upgrade with a body": POST + b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 20\r\n\r\n" + b"GET /y HTTP/1.1\r\n\r\n",
    "an upgrade with chunks": POST + b"Upgrade: x\r\nConnection: Upgrade\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
}  # fmt: skip


def test_hostile_requests_are_refused_and_reach_nobody(service: Running) -> None:
    assert len(HOSTILE) > 85
    service.app.served.clear()
    answers = {name: service.answer(raw) for name, raw in HOSTILE.items()}
    wrong = {name: answer[:60] for name, answer in answers.items() if not answer.startswith(b"HTTP/1.1 400 ")}
    # a body's fault shows when the application has been asked already: then its connection is cut, or it is refused
    late = {name for name, answer in wrong.items() if answer == b"reset" and HOSTILE[name].startswith(CHUNKED)}
    assert set(wrong) == late, {name: answer for name, answer in wrong.items() if name not in late}
    assert len(service.app.served) <= sum(raw.startswith(CHUNKED) for raw in HOSTILE.values())
    assert all(len(re.findall(rb"HTTP/1\.1 \d{3} ", answer)) <= 1 for answer in answers.values())


@pytest.mark.parametrize(("sent", "status"), [
    (GET + b"X: " + b"a" * (1 << 17) + b"\r\n\r\n", 431), (GET + b"X: a\r\n" * 101 + b"\r\n", 431),
    (GET + b"X" * 200_000, 431), (b"GET /" + b"a" * (17 << 10) + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    (b"\r\n" * 100_000, 431), (POST + b"Content-Length: 65537\r\n\r\n", 413),
    (POST + b"Content-Length: 1048577\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n", 413),
    (CHUNKED + b"10000\r\n" + b"a" * 65536 + b"\r\n1\r\na\r\n", 413),
    (CHUNKED + b"1;" + b"a" * 10_000 + b"\r\na\r\n" + (b"1;" + b"a" * 10_000 + b"\r\na\r\n") * 300, 400),
])  # fmt: skip
def test_too_much_is_refused(service: Running, sent: bytes, status: int) -> None:
    answer = service.answer(sent)
    assert answer.startswith(b"HTTP/1.1 %d " % status) or answer == b"reset", answer[:80]


@pytest.mark.parametrize(("kind", "size"), [
    (b"", 1 << 16), (b"Content-Type: multipart/form-data; boundary=x\r\n", 1 << 20), (b"Content-Type: application/x-tar\r\n", 1 << 20),
])  # fmt: skip
def test_a_body_within_its_limit_arrives(service: Running, kind: bytes, size: int) -> None:
    answer = service.answer(POST + kind + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % size, b"a" * size)
    assert answer.endswith(b"\r\n%d bytes" % size)


def test_honest_requests_of_all_kinds_are_served(service: Running) -> None:
    close = b"Connection: close\r\n\r\n"
    assert service.answer(GET + close).endswith(b"0 bytes")
    assert service.answer(GET * 1 + b"\r\n" + GET + b"\r\n" + GET + close).count(b"0 bytes") == 3
    assert service.answer(b"\r\n" + GET + close).endswith(b"0 bytes")
    assert service.answer((GET + b"\r\n").replace(b"1.1", b"1.0")).endswith(b"0 bytes")
    assert service.answer(GET + b"Content-Length: 2\r\n" + close + b"{}").endswith(b"2 bytes"), "CPD's clients do that"
    chunked = POST + b"Transfer-Encoding: chunked\r\n" + close
    assert service.answer(chunked, b"5;x=y\r\nhel", b"lo\r\n0\r\nX-Auth-Token: x\r\n\r\n").endswith(b"5 bytes")
    assert service.answer(GET + b"Upgrade: h2c\r\n" + close).endswith(b"0 bytes")
    expecting = POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n" + close
    assert service.answer(expecting, b"hello").startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")
    with service.connect() as connection:
        for _ in range(3):
            connection.sendall(GET + b"\r\n")
            assert connection.recv(1000).endswith(b"0 bytes")


@pytest.mark.parametrize(("begun", "drop", "answer"), [
    (GET, b"X: a\r\n", b"HTTP/1.1 408"), (b"", b"\r\n", b"HTTP/1.1 408"), (b"GE", b"", b"HTTP/1.1 408"), (b"", b"", b""),
    (POST + b"Content-Length: 1000\r\n\r\n", b"a", b"HTTP/1.1 408"), (CHUNKED, b"1\r\na\r\n", b"HTTP/1.1 408"),
])  # fmt: skip
def test_trickling_is_cut(service: Running, begun: bytes, drop: bytes, answer: bytes) -> None:
    """A byte now and then does not help: the time is that of the whole."""
    before = service.app.disconnected
    with service.connect() as connection:
        connection.sendall(begun)
        found = b""
        connection.settimeout(0.05)
        for _ in range(400):
            try:
                if drop:
                    connection.sendall(drop)
                found += (data := connection.recv(1000))
                if not data:
                    break
            except TimeoutError:
                continue
            except (ConnectionResetError, BrokenPipeError):
                break
        else:
            pytest.fail("it was never cut")
    assert found.startswith(answer)
    if begun.startswith(POST):
        wait_until(lambda: service.app.disconnected == before + 1)


def test_a_steady_upload_may_take_longer_than_the_grace(service: Running) -> None:
    """The limit is a rate, so an upload may take its time: here 4 s at a rate above the least."""
    limits = replace(SHORT, rate=1024.0, body_s=0.5)
    with running(limits) as own, own.connect() as connection:
        connection.sendall(POST + b"Connection: close\r\nContent-Length: 8192\r\n\r\n")
        pause = threading.Event()
        for _ in range(8):
            connection.sendall(b"a" * 1024)
            pause.wait(0.2)
        assert received(connection).endswith(b"8192 bytes")


def test_what_comes_after_an_early_answer_is_thrown_away_for_a_while(service: Running) -> None:
    early = POST.replace(b"/x", b"/early") + b"Content-Length: 60000\r\n\r\n"
    with service.connect() as connection:
        connection.sendall(early)
        assert connection.recv(1000).endswith(b"0 bytes")
        assert received(connection, b"a" * 1000).endswith((b"", b"reset"))


def test_who_does_not_read_an_answer_is_cut(service: Running) -> None:
    before = service.app.disconnected
    with service.connect() as connection:
        connection.sendall(GET.replace(b"/x", b"/endless") + b"\r\n")
        wait_until(lambda: service.app.disconnected == before + 1 or not service.server.server_state.tasks, 20)


def test_at_the_limit_of_connections_the_idle_ones_make_room(service: Running) -> None:
    with running(replace(SHORT, head_s=60.0)) as own, contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(own.connect())
        wait_until(lambda: len(own.server.server_state.connections) == 20)
        assert own.answer(GET + b"Connection: close\r\n\r\n").startswith(b"HTTP/1.1 503 "), "they have only just come"
        threading.Event().wait(1.1)
        assert own.answer(GET + b"Connection: close\r\n\r\n").endswith(b"0 bytes")


def test_the_end_does_not_wait_for_streams_and_requests_that_are_not_whole() -> None:
    with running(replace(SHORT, stall_s=60.0, body_s=60.0, head_s=60.0)) as own, contextlib.ExitStack() as stack:
        stream, half, idle = (stack.enter_context(own.connect()) for _ in range(3))
        stream.sendall(GET.replace(b"/x", b"/events") + b"\r\n")
        half.sendall(POST + b"Content-Length: 100\r\n\r\nx")
        assert stream.recv(100) and wait_until(lambda: len(own.server.server_state.tasks) == 2)
        own.server.should_exit = True
        for each in (stream, half, idle):
            received(each)
        wait_until(lambda: own.app.disconnected == 2, 10)
