"""TensorBoard's event files as scripts write them, made byte by byte."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from hpo_engine.system.tfrecord import record
from hpo_engine.trackers import tfevents

NAME = "events.out.tfevents.1700000000.host.77.0"
VERSION = record(b"\x09" + struct.pack("<d", 1.7e9) + b"\x1a\x0dbrain.Event:2")


def field(number: int, content: bytes) -> bytes:
    """A field of bytes."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(number: int) -> bytes:
    number &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def scalars(step: int, values: Mapping[str, float], at: float | None = None) -> bytes:
    """One event with all these values, as simple_value; `at`: UTC seconds, after a second per step if not given."""
    time = 1.7e9 + step if at is None else at
    return tfevents.summary(time, step, [tfevents.scalar(tag, value) for tag, value in values.items()])


def doubles(step: int, values: Mapping[str, float]) -> bytes:
    """The same as tensors of double precision."""
    return tfevents.summary(1.7e9 + step, step, [tensor(tag, 2, packed(value)) for tag, value in values.items()])


def packed(value: float) -> bytes:
    """The fields of a tensor with one number of double precision."""
    return field(4, struct.pack("<d", value))


def tensor(tag: str, dtype: int, numbers: bytes, *, plugin: str = "scalars", shape: bytes = b"") -> bytes:
    """A summary value that is a tensor.

    Args:
        numbers: the fields of the TensorProto that hold them; plugin: "": the metadata are left out.
    """
    out = field(1, tag.encode()) + field(8, b"\x08" + bytes([dtype]) + field(2, shape) + numbers)
    return out + (field(9, field(1, field(1, plugin.encode()))) if plugin else b"")
