"""The records of one event file, as far as they are whole: small ones as they are, of big ones what may be a scalar.

Images, histograms and graphs between scalars are passed over without being read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from hpo_engine.contract.sources.tensorboard.messages import varint
from hpo_engine.system import tfrecord

_SMALL = 4096  # bytes of a record that is read whole, and of a field of a bigger one that is kept
_MARK = 64  # bytes before the place where reading ended, by which a file that was written anew is recognised
_NEAR, _FAR = 4096, 128 << 10  # bytes that are read at once: after a jump, and at most
_MOST_FIELDS = 20_000  # of a big record; one that has more is passed over
_SUMMARY = 5  # the field of an event that holds values


class EventFile:
    """Where the reading of a file has come to.

    `damaged`: where a checksum of a length is wrong; what follows cannot be read. `spoilt`: how many records were
    passed over, since the checksum of their content is wrong. `more`: whether the latest call of `records` left any;
    `read`: how many bytes it read.
    """

    def __init__(self, start: int = 0) -> None:
        self.offset = start
        self.damaged: int | None = None
        self.spoilt = 0
        self.more = False
        self.read = 0
        self._mark = b""

    def is_same(self, fd: int, size: int) -> bool:
        """Whether the file still begins with what was read of it."""
        mark = self._mark
        return self.offset <= size and os.pread(fd, len(mark), self.offset - len(mark)) == mark

    def records(self, fd: int, size: int, most: int) -> Iterator[bytes]:
        """The payloads of the records that have not been read yet and are whole; about `most` bytes are read.

        Args:
            size: of the file, in bytes. A record that goes beyond it is not there yet.
        """
        window = _Window(fd)
        self.more = False
        while self.damaged is None:
            if window.read >= most:
                self.more = True
                break
            body = self.offset + tfrecord.HEADER
            if body > size:
                break
            try:
                length = tfrecord.length_of(window.at(self.offset, tfrecord.HEADER))
            except ValueError:
                self.damaged = self.offset
                break
            end = body + length + tfrecord.FOOTER
            if end > size:
                break
            payload = self._payload(window, body, length)
            self.offset = end
            if payload:
                yield payload
        self.read = window.read
        self._mark = os.pread(fd, min(_MARK, self.offset), max(0, self.offset - _MARK))

    def _payload(self, window: _Window, body: int, length: int) -> bytes:
        if length > _SMALL:
            return _condensed(window, body, body + length)
        data = window.at(body, length + tfrecord.FOOTER)
        payload, footer = data[:length], data[length:]
        if len(footer) != tfrecord.FOOTER or not tfrecord.is_whole(payload, footer):
            self.spoilt += 1
            return b""
        return payload


class _Window:
    """A file that is read in blocks; `read`: bytes so far."""

    def __init__(self, fd: int) -> None:
        self._fd, self._data, self._from, self._block = fd, b"", 0, _NEAR
        self.read = 0

    def at(self, offset: int, size: int) -> bytes:
        """Fewer bytes at the end of the file."""
        start = offset - self._from
        if start < 0 or start + size > len(self._data):
            sequential = 0 <= start <= len(self._data)
            self._block = min(_FAR, 4 * self._block) if sequential else _NEAR
            self._data, self._from = os.pread(self._fd, max(self._block, size), offset), offset
            self.read += len(self._data)
            start = 0
        return self._data[start : start + size]


def _condensed(window: _Window, at: int, end: int, inside: bool = False) -> bytes:
    """An event without its long fields; of its summary, without the long values. b"" if it is malformed."""
    out: list[bytes] = []
    try:
        for _ in range(_MOST_FIELDS):
            if at >= end:
                return b"".join(out)
            head = window.at(at, min(22, end - at))
            key, body = varint(head, 0)
            size, wire = 0, key & 7
            if wire == 2:
                size, body = varint(head, body)
            elif wire == 0:
                _, body = varint(head, body)
            else:
                size = {1: 8, 5: 4}[wire]
            whole = body + size
            if at + whole > end:
                return b""
            if whole <= _SMALL:
                out.append(window.at(at, whole))
            elif key >> 3 == _SUMMARY and not inside:
                inner = _condensed(window, at + body, at + whole, inside=True)
                out.append(head[:1] + tfrecord.varint(len(inner)) + inner)
            at += whole
    except (ValueError, IndexError, KeyError):
        pass
    return b""
