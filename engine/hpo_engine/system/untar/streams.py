"""The bytes of a tar, in order, out of a plain or a gzip file."""

from __future__ import annotations

import os
import zlib
from typing import Protocol

from hpo_engine.system.untar.limits import BadTar, TarLimits

_CHUNK = 256 << 10
_GZIP = b"\x1f\x8b"
_HEADERS = 64 << 20  # bytes of headers and padding beside the contents of files


class Stream(Protocol):
    """`at`: how many bytes were read or skipped."""

    at: int

    def read(self, most: int) -> bytes:
        """At most so many of the next bytes; b"" at the end."""
        ...

    def skip(self, count: int) -> None:
        """Goes past the next bytes. Raises BadTar if there are fewer."""
        ...


def opened(fd: int, limits: TarLimits) -> Stream:
    """The tar in a file, from its beginning."""
    os.lseek(fd, 0, os.SEEK_SET)
    return _Gzip(fd, limits) if os.pread(fd, 2, 0) == _GZIP else _Plain(fd)


class _Plain:
    def __init__(self, fd: int) -> None:
        self.at = 0
        self._fd, self._size = fd, os.fstat(fd).st_size

    def read(self, most: int) -> bytes:
        data = os.read(self._fd, min(most, _CHUNK))
        self.at += len(data)
        return data

    def skip(self, count: int) -> None:
        if count > self._size - self.at:
            raise cut_off()
        self.at = os.lseek(self._fd, self.at + count, os.SEEK_SET)


class _Gzip:
    """One gzip stream, or several one after the other, as pigz and others write them."""

    def __init__(self, fd: int, limits: TarLimits) -> None:
        self.at = 0
        self._fd, self._limits = fd, limits
        self._most = max(limits.free, limits.ratio * os.fstat(fd).st_size)
        self._out, self._waiting, self._data = 0, b"", memoryview(b"")
        self._inflate = zlib.decompressobj(31)

    def read(self, most: int) -> bytes:
        if not self._data:
            self._data = memoryview(self._more())
        data = bytes(self._data[:most])
        self._data = self._data[len(data) :]
        self.at += len(data)
        return data

    def skip(self, count: int) -> None:
        while count:
            data = self.read(min(count, _CHUNK))
            if not data:
                raise cut_off()
            count -= len(data)

    def _more(self) -> bytes:
        """The next expanded bytes; b"" at the end of the file."""
        while True:
            if self._inflate.eof:
                rest = self._inflate.unused_data or os.read(self._fd, _CHUNK)
                if not rest.strip(b"\0"):  # padding, of tapes
                    return b""
                self._inflate, self._waiting = zlib.decompressobj(31), rest
            if not self._waiting:
                self._waiting = os.read(self._fd, _CHUNK)
                if not self._waiting:
                    raise cut_off()
            try:
                data = self._inflate.decompress(self._waiting, _CHUNK)
            except zlib.error:
                raise BadTar("the gzip data is damaged; pack it again") from None
            self._waiting = self._inflate.unconsumed_tail
            if data:
                self._count(len(data))
                return data

    def _count(self, count: int) -> None:
        self._out += count
        if self._out > self._most:
            raise BadTar(f"the tar expands past {self._limits.ratio} times its size", large=True)
        if self._out > self._limits.unpacked + _HEADERS:
            raise too_large(self._limits)


def too_large(limits: TarLimits) -> BadTar:
    return BadTar(f"the tar expands past the limit of {limits.unpacked / (1 << 20):,.6g} MiB", large=True)


def cut_off() -> BadTar:
    return BadTar("the tar is cut off; send it again")
