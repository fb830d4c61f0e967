"""Framing of TensorBoard's event files: TFRecord, each record with its length, the payload, and checksums of both.

Source: tensorflow/core/lib/io/record_writer.h; RFC 3720, appendix B.4 (CRC-32C); for the numbers in payloads the
encoding of protocol buffers.
"""

from __future__ import annotations

import struct

HEADER, FOOTER = 12, 4
"""Bytes before and after a payload."""
_LENGTH, _CRC = struct.Struct("<Q"), struct.Struct("<I")
_FEW = 4096


def record(payload: bytes) -> bytes:
    """A record: length, its masked CRC-32C, the payload, its masked CRC-32C."""
    return framed(payload, crc32c(payload))


def framed(payload: bytes, crc: int) -> bytes:
    """The record of a payload whose CRC-32C is known."""
    length = _LENGTH.pack(len(payload))
    return b"".join((length, _CRC.pack(_mask(crc32c(length))), payload, _CRC.pack(_mask(crc))))


def length_of(header: bytes) -> int:
    """The length of the payload that follows a record's header. Raises ValueError if the header is damaged."""
    if (known := _lengths.get(header)) is not None:
        return known
    length = header[:8]
    if _CRC.unpack(header[8:HEADER])[0] != _mask(crc32c(length)):
        raise ValueError("the checksum of a record's length is wrong")
    (value,) = _LENGTH.unpack(length)
    if len(_lengths) < _FEW:
        _lengths[header] = value
    return int(value)


def is_whole(payload: bytes, footer: bytes) -> bool:
    """Whether a payload has the checksum that follows it."""
    return bool(_CRC.unpack(footer)[0] == _mask(crc32c(payload)))


def crc32c(data: bytes, crc: int = 0) -> int:
    """CRC-32C (Castagnoli) of what gave `crc`, followed by `data`; byte by byte, some 60 ns each."""
    crc ^= 0xFFFFFFFF
    table = _TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def varint(number: int) -> bytes:
    """A whole number from 0 on as payloads have it: seven bits a byte, the lowest first."""
    if number < 0x80:
        return _ONE_BYTE[number]
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _mask(crc: int) -> int:
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _table() -> tuple[int, ...]:
    out = []
    for crc in range(256):
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)  # the polynomial 0x1EDC6F41, bits reversed
        out.append(crc)
    return tuple(out)


_ONE_BYTE = tuple(bytes([i]) for i in range(0x80))
_TABLE = _table()
_lengths: dict[bytes, int] = {}  # by header: most records of a file are of few lengths
