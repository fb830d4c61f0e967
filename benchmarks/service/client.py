"""A client of many connections: raw sockets and asyncio, so that most of the processor is left to the service."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

_HOST = "127.0.0.1"
BOUNDARY = "load-0123456789"


@dataclass
class Load:
    """What came back. `latencies`: seconds of each answer; `statuses`: how many of each."""

    latencies: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    failed: int = 0
    seconds: float = 0.0

    def add(self, status: int, latency: float) -> None:
        self.latencies.append(latency)
        self.statuses[status] = self.statuses.get(status, 0) + 1

    def rate(self, *good: int) -> float:
        """Answers of these statuses per second."""
        return sum(self.statuses.get(status, 0) for status in good) / max(self.seconds, 1e-9)

    def quantile(self, q: float) -> float:
        found = sorted(self.latencies)
        return found[min(len(found) - 1, int(q * len(found)))] if found else float("nan")


class Connection:
    """One connection, kept open as long as the service does."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def open(self) -> None:
        if self._streams is None:
            self._streams = await asyncio.open_connection(_HOST, self._port)

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and body. Raises OSError, asyncio.IncompleteReadError: the connection broke."""
        await self.open()
        assert self._streams is not None
        reader, writer = self._streams
        try:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.split(b"\r\n")
            names = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
            body = await reader.readexactly(int(names.get(b"content-length", b"0")))
            if names.get(b"connection", b"").lower() == b"close":
                self.close()
            return int(lines[0].split()[1]), body
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


def get(port: int, token: str, path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {_HOST}:{port}\r\nX-Auth-Token: {token}\r\n\r\n".encode()


def post(port: int, token: str, path: str, text: str, script: str, key: str = "") -> bytes:
    """A submission as notebooks send it: a form with the text and the script."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="data"\r\n\r\n{text}\r\n',
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="model"; filename="train.py"\r\n\r\n{script}\r\n',
        f"--{BOUNDARY}--\r\n",
    ]
    body = "".join(parts).encode()
    more = f"Idempotency-Key: {key}\r\n" if key else ""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {_HOST}:{port}\r\nX-Auth-Token: {token}\r\n{more}"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def load(port: int, connections: int, seconds: float, request: Callable[[int], bytes]) -> Load:
    """Asks over so many connections, each the next thing as soon as it has its answer, until the time is over.

    Args:
        request: for the number of the request.
    """
    result, number = Load(), iter(range(1 << 60))
    open_ones = [Connection(port) for _ in range(connections)]
    for first in range(0, connections, 100):  # no more at a time than a listening socket keeps waiting
        await asyncio.gather(*[each.open() for each in open_ones[first : first + 100]])
    began = time.perf_counter()
    end = began + seconds

    async def run(connection: Connection) -> None:
        while (at := time.perf_counter()) < end:
            try:
                status, _ = await connection.ask(request(next(number)))
            except (OSError, asyncio.IncompleteReadError):
                result.failed += 1
                continue
            result.add(status, time.perf_counter() - at)

    await asyncio.gather(*[run(each) for each in open_ones])
    result.seconds = time.perf_counter() - began
    for each in open_ones:
        each.close()
    return result


async def one(port: int, request: bytes) -> tuple[int, object]:
    """Status and JSON of one request."""
    connection = Connection(port)
    try:
        status, body = await connection.ask(request)
    finally:
        connection.close()
    return status, json.loads(body) if body else None


def run(port: int, requests: Sequence[bytes]) -> list[tuple[int, object]]:
    async def all_of_them() -> list[tuple[int, object]]:
        return [await one(port, request) for request in requests]

    return asyncio.run(all_of_them())
