"""Bytes of TensorBoard's event files: the few protocol buffer messages that we write, each in a record.

A writer of TensorBoard's own costs an import of 190 ms and a thread a file; what is needed of its formats fits on
this page. Knows nothing of studies or files: values in, bytes out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hpo_engine.system.tfrecord import crc32c, framed, record, varint

HParam = float | str | bool

SUCCESS, FAILURE, UNKNOWN = 1, 2, 0
"""Status of a session (plugins/hparams: api.proto, Status)."""


@dataclass(frozen=True)
class HParamInfo:
    """A column of the HParams page. `type`: string | bool | number; domain: `choices`, `low` to `high`, or unknown."""

    name: str
    type: str
    choices: Sequence[HParam] = ()
    low: float | None = None
    high: float | None = None
    description: str = ""
    differs: bool = True


@dataclass(frozen=True)
class MetricInfo:
    """A metric's column of the HParams page: the last value of the scalar `tag` of each session."""

    tag: str
    description: str = ""


# --- events -----------------------------------------------------------------------------------------------------


def header(wall_time: float) -> bytes:
    """What a file begins with: the format's version, and a start that takes back what earlier files of the run hold.

    TensorBoard takes the first start of a run for the beginning, and every later one for a restart.
    """
    return record(_double(1, wall_time) + _string(3, "brain.Event:2")) + restart(wall_time, 0)


def summary(wall_time: float, step: int, values: Iterable[bytes]) -> bytes:
    """A record that holds summary values (made by the functions below) of one step."""
    return record(_double(1, wall_time) + _int(2, step) + _bytes(5, b"".join([_bytes(1, v) for v in values])))


class Stamped:
    """A record that is written often and differs only in its time: that stands last, so that the checksum of what
    comes before is worked out once."""

    def __init__(self, values: Iterable[bytes]) -> None:
        self._body = _bytes(5, b"".join([_bytes(1, v) for v in values]))
        self._crc = crc32c(self._body)

    def at(self, wall_time: float) -> bytes:
        end = _double(1, wall_time)
        return framed(self._body + end, crc32c(end, self._crc))


def restart(wall_time: float, step: int) -> bytes:
    """A record that takes back every scalar of this run from `step` on: what follows replaces them."""
    return record(_double(1, wall_time) + _int(2, step) + _bytes(7, _int(1, 1)))  # SessionLog.START


def scalar(tag: str, value: float) -> bytes:
    """A summary value; single precision, as TensorBoard keeps scalars."""
    try:
        packed = _FLOAT.pack(value)
    except OverflowError:  # beyond 3.4e38
        packed = _FLOAT.pack(float("inf") if value > 0 else float("-inf"))
    return _string(1, tag) + b"\x15" + packed


def session_start(hparams: Mapping[str, HParam], started_at: float) -> bytes:
    """A summary value that makes the run a session (a row) of the HParams page."""
    entries = [_bytes(1, _string(1, name) + _bytes(2, _value(v))) for name, v in hparams.items()]
    return _hparams("_hparams_/session_start_info", _bytes(3, b"".join(entries) + _double(5, started_at)))


def session_end(status: int, ended_at: float) -> bytes:
    """A summary value that closes the session; `status` SUCCESS, FAILURE or UNKNOWN."""
    return _hparams(SESSION_END, _bytes(4, _int(1, status) + _double(2, ended_at)))


SESSION_END = "_hparams_/session_end_info"


def experiment(
    description: str, created_at: float, hparams: Iterable[HParamInfo], metrics: Iterable[MetricInfo]
) -> bytes:
    """A summary value with the columns of the HParams page; one is enough for all runs below a log folder."""
    body = _string(1, description) + _double(3, created_at)
    body += b"".join([_bytes(4, _hparam_info(info)) for info in hparams])
    body += b"".join([_bytes(5, _bytes(1, _string(2, m.tag)) + _string(4, m.description)) for m in metrics])
    return _hparams("_hparams_/experiment", _bytes(2, body))


_TYPES = {"string": 1, "bool": 2, "number": 3}


def _hparam_info(info: HParamInfo) -> bytes:
    out = _string(1, info.name) + _string(3, info.description) + _int(4, _TYPES[info.type])
    if info.choices:
        out += _bytes(5, b"".join([_bytes(1, _value(v)) for v in info.choices]))
    elif info.low is not None and info.high is not None:
        out += _bytes(6, _double(1, info.low) + _double(2, info.high))
    return out + _int(7, int(info.differs))


def _hparams(tag: str, plugin_data: bytes) -> bytes:
    """Summary.Value whose whole content is metadata for the hparams plugin; the tensor is an empty vector of floats."""
    metadata = _bytes(1, _string(1, "hparams") + _bytes(2, plugin_data))
    return _string(1, tag) + _bytes(9, metadata) + _bytes(8, b"\x08\x01\x12\x02\x12\x00")


def _value(value: HParam) -> bytes:
    """google.protobuf.Value; a field of a oneof is written even if it holds its default."""
    if isinstance(value, str):
        text = _utf8(value)
        return b"\x1a" + varint(len(text)) + text
    if isinstance(value, bool):
        return b"\x20\x01" if value else b"\x20\x00"
    return b"\x11" + _DOUBLE.pack(value)


# --- protocol buffer wire format --------------------------------------------------------------------------------

_DOUBLE, _FLOAT = struct.Struct("<d"), struct.Struct("<f")


def _int(field: int, value: int) -> bytes:
    """int64, bool or enum: negative numbers in two's complement."""
    return varint(field << 3) + varint(value & 0xFFFFFFFFFFFFFFFF) if value else b""


def _double(field: int, value: float) -> bytes:
    return varint(field << 3 | 1) + _DOUBLE.pack(value) if value else b""


def _bytes(field: int, value: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(value)) + value


def _string(field: int, value: str) -> bytes:
    return _bytes(field, _utf8(value)) if value else b""


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")  # a lone surrogate would make the whole message unreadable
