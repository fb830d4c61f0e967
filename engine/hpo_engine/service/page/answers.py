"""What is made once for each version of a study, however many pages ask for it: values, and JSON for scripts, which is
sent compressed."""

from __future__ import annotations

import gzip
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from fastapi import Request, Response

from hpo_engine.reports.objects import dump

_MOST_BYTES = 64 << 20
_WORTH_IT = 1000  # bytes from which on compressing pays
_MOST_VALUES = 200
_STRIPES = 64
T = TypeVar("T")


class Latest(Generic[T]):
    """Keeps the latest value for each key. May be used from several threads: whoever asks while it is made waits."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, tuple[str, T]] = OrderedDict()
        self._lock = threading.Lock()
        self._making = Stripes()

    def of(self, key: Hashable, version: str, make: Callable[[], T]) -> T:
        """The value of `make` for this version of what it reads."""
        with self._making.of(key):
            with self._lock:
                known = self._kept.get(key)
            if known is not None and known[0] == version:
                return known[1]
            value = make()
            with self._lock:
                self._kept[key] = (version, value)
                self._kept.move_to_end(key)
                while len(self._kept) > _MOST_VALUES:
                    self._kept.popitem(last=False)
            return value


class Stripes:
    """A lock for each key; some keys share one."""

    def __init__(self) -> None:
        self._locks = tuple(threading.Lock() for _ in range(_STRIPES))

    def of(self, key: Hashable) -> threading.Lock:
        return self._locks[hash(key) % _STRIPES]


class Answers:
    """Keeps the latest answers, up to 64 MiB of them. May be used from several threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, tuple[str, bytes, bytes]] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()
        self._making = Stripes()

    def of(self, request: Request, key: Hashable, version: str, make: Callable[[], Any]) -> Response:
        """The answer to a request; 304 if the browser has it.

        Args:
            key: names what is asked for. version: of the study that `make` reads.
        """
        tag = f'"{version}"'
        headers = {"Cache-Control": "private, no-cache", "ETag": tag, "Vary": "Accept-Encoding, Cookie"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        with self._making.of(key):
            plain, packed = self._found(key, version, make)
        if packed and "gzip" in request.headers.get("accept-encoding", ""):
            return Response(packed, headers={**headers, "Content-Encoding": "gzip"}, media_type="application/json")
        return Response(plain, headers=headers, media_type="application/json")

    def _found(self, key: Hashable, version: str, make: Callable[[], Any]) -> tuple[bytes, bytes]:
        with self._lock:
            known = self._kept.get(key)
            if known is not None and known[0] == version:
                self._kept.move_to_end(key)
                return known[1:]
        plain = dump(make()).encode()
        packed = gzip.compress(plain, 3, mtime=0) if len(plain) > _WORTH_IT else b""
        with self._lock:
            before = self._kept.pop(key, None)
            self._size -= 0 if before is None else len(before[1]) + len(before[2])
            self._kept[key] = (version, plain, packed)
            self._size += len(plain) + len(packed)
            while self._size > _MOST_BYTES and len(self._kept) > 1:
                _, (_, old, old_packed) = self._kept.popitem(last=False)
                self._size -= len(old) + len(old_packed)
        return plain, packed
