"""What an event of an event file says about scalars: the few protocol buffer messages that are needed for it.

Source: tensorboard/compat/proto/{event,summary,tensor,types}.proto. Knows bytes only. Whatever is in them, ValueError
is the only error, and the time that it takes is linear.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5  # wire types
_WALL_TIME, _STEP, _SUMMARY, _SESSION_LOG = 1, 2, 5, 7  # fields of Event
_TAG, _SIMPLE, _TENSOR, _METADATA = 1, 2, 8, 9  # of Summary.Value
SCALARS = "scalars"  # the plugin whose tensors are scalars
_START = 1  # SessionLog.START

_DOUBLE, _FLOAT, _HALF = struct.Struct("<d"), struct.Struct("<f"), struct.Struct("<e")
_CONTENT = {  # by DataType: how a number is packed in tensor_content
    1: "<f", 2: "<d", 3: "<i", 4: "<B", 5: "<h", 6: "<b", 9: "<q", 10: "<?", 17: "<H", 19: "<e", 22: "<I", 23: "<Q",
}  # fmt: skip
_BFLOAT16 = 14
_EXACT = 1e16  # whole numbers below it are shown with all their digits
_FLOATS, _DOUBLES, _HALVES = 5, 6, 13
_NUMBERS = frozenset((_FLOATS, _DOUBLES, _HALVES, 7, 10, 11, 16, 17))  # fields of TensorProto that hold numbers


class Value(NamedTuple):
    """A summary value. `number` is None unless it is a scalar, or a tensor of one number.

    `plugin`: which of TensorBoard's plugins it is for, "" if it does not say.
    """

    tag: str
    number: float | None
    plain: bool  # it is a scalar by its form, whatever the plugin
    plugin: str


class Event(NamedTuple):
    """`restarts`: values of its run from this step on were taken back."""

    wall_time: float
    step: int
    values: tuple[Value, ...]
    restarts: bool


# One value as PyTorch and most others write it: time, step, summary, value, tag, number. 100,000 of them must not take
# seconds.
_USUAL = re.compile(rb"\x09(.{8})(?:\x10([\x80-\xff]{0,9}[\x00-\x7f]))?\x2a(.)\x0a(.)\x0a(.)(.+)\x15(.{4})", re.DOTALL)


def event(data: bytes) -> Event:
    """Raises ValueError."""
    usual = _USUAL.fullmatch(data)
    if usual is not None:
        at, steps, whole, value, name, tag, packed = usual.groups()
        if name[0] == len(tag) and value[0] == len(tag) + 7 and whole[0] == len(tag) + 9 < 0x80:
            number = short(_FLOAT.unpack(packed)[0])
            step = _signed(varint(steps, 0)[0]) if steps else 0
            return Event(_time(at), step, (Value(tag.decode(errors="replace"), number, True, ""),), False)
    return _event(data)


def _event(data: bytes) -> Event:
    wall_time, step, restarts = 0.0, 0, False
    values: list[Value] = []
    try:
        for number, wire, found in fields(data):
            if number == _WALL_TIME and wire == _EIGHT:
                wall_time = _time(_raw(found))
            elif number == _STEP and wire == _VARINT:
                step = _signed(found)
            elif number == _SUMMARY and wire == _BYTES:
                values += [_value(each) for field, kind, each in fields(_raw(found)) if field == 1 and kind == _BYTES]
            elif number == _SESSION_LOG and wire == _BYTES:
                restarts = any(field == 1 and status == _START for field, _, status in fields(_raw(found)))
    except (struct.error, IndexError) as error:
        raise ValueError(f"not an event ({error})") from None
    return Event(wall_time, step, tuple(values), restarts)


def _time(packed: bytes) -> float:
    seconds = float(_DOUBLE.unpack(packed)[0])
    return seconds if math.isfinite(seconds) else 0.0


def fields(data: bytes) -> Iterator[tuple[int, int, bytes | int]]:
    """The fields of a message: number, wire type, and the number or bytes. Raises ValueError, IndexError."""
    at, end = 0, len(data)
    while at < end:
        key, at = varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == _BYTES:
            size, at = varint(data, at)
            found: bytes | int = data[at : at + size]
            at += size
        elif wire == _VARINT:
            found, at = varint(data, at)
        elif wire in (_EIGHT, _FOUR):
            size = 8 if wire == _EIGHT else 4
            found = data[at : at + size]
            at += size
        else:
            raise ValueError("unknown wire type")
        if at > end:
            raise ValueError("a field is cut short")
        yield number, wire, found


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at`, and where it ends. Raises ValueError, IndexError."""
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift = byte & 0x7F, 7
    while byte >= 0x80:
        at += 1
        byte = data[at]
        value |= (byte & 0x7F) << shift
        shift += 7
        if shift > 70:
            raise ValueError("a number is too long")
    return value, at + 1


def _value(data: bytes | int) -> Value:
    tag, number, plain, plugin = "", None, False, ""
    for field, wire, found in fields(_raw(data)):
        if field == _TAG and wire == _BYTES:
            tag = _raw(found).decode(errors="replace")
        elif field == _SIMPLE and wire == _FOUR:
            number, plain = short(_FLOAT.unpack(_raw(found))[0]), True
        elif field == _TENSOR and wire == _BYTES:
            number = _tensor(_raw(found))
        elif field == _METADATA and wire == _BYTES:
            plugin = _plugin(_raw(found))
    return Value(tag, number, plain, plugin)


def _plugin(data: bytes) -> str:
    for field, wire, found in fields(data):
        if field == 1 and wire == _BYTES:
            return next((_raw(n).decode(errors="replace") for f, w, n in fields(_raw(found)) if (f, w) == (1, 2)), "")
    return ""


def _tensor(data: bytes) -> float | None:
    """The number of a tensor that holds exactly one; None of any other."""
    kind, content, elements = 0, b"", 1
    numbers: list[tuple[int, int, bytes | int]] = []
    for field, wire, found in fields(data):
        if field == 1 and wire == _VARINT:
            kind = int(found)
        elif field == 2 and wire == _BYTES:
            elements = _elements(_raw(found))
        elif field == 4 and wire == _BYTES:
            content = _raw(found)
        elif field in _NUMBERS:
            numbers.append((field, wire, found))
    if elements != 1 or len(numbers) > 1 or (kind not in _CONTENT and kind != _BFLOAT16):
        return None
    if content:
        return _unpacked(kind, content)
    return _listed(kind, *numbers[0]) if numbers else 0.0


def _elements(data: bytes) -> int:
    """How many numbers a tensor of this shape holds."""
    out = 1
    for field, wire, found in fields(data):
        if field == 2 and wire == _BYTES:
            sizes = [size for f, w, size in fields(_raw(found)) if (f, w) == (1, _VARINT)]
            out *= int(sizes[-1]) if sizes else 0
            if out > 1 << 40:
                return out
    return out


def _unpacked(kind: int, content: bytes) -> float | None:
    if kind == _BFLOAT16:
        return float(_FLOAT.unpack(b"\0\0" + content)[0]) if len(content) == 2 else None
    form = struct.Struct(_CONTENT[kind])
    if len(content) != form.size:
        return None
    number = form.unpack(content)[0]
    return short(number) if kind == 1 else float(number)


def _listed(kind: int, field: int, wire: int, found: bytes | int) -> float | None:
    """The one number of a *_val field, which is packed into bytes or stands by itself."""
    if field == _FLOATS:
        return short(_FLOAT.unpack(_raw(found))[0])
    if field == _DOUBLES:
        return float(_DOUBLE.unpack(_raw(found))[0])
    number = found
    if wire == _BYTES:
        number, end = varint(_raw(found), 0)
        if end != len(_raw(found)):
            return None
    elif wire != _VARINT:
        return None
    if field == _HALVES:
        packed = struct.pack("<H", int(number) & 0xFFFF)
        return float(_FLOAT.unpack(b"\0\0" + packed)[0] if kind == _BFLOAT16 else _HALF.unpack(packed)[0])
    return float(number if kind == 23 else _signed(number))


def short(number: float) -> float:
    """A number of the same single precision with 7 digits, or 9: 0.3, not 0.30000001192092896."""
    if not math.isfinite(number) or (abs(number) < _EXACT and number == int(number)):
        return number
    near = float(f"{number:.7g}")
    try:
        if _FLOAT.unpack(_FLOAT.pack(near))[0] == number:
            return near
    except OverflowError:
        pass
    return float(f"{number:.9g}")


def _signed(value: bytes | int) -> int:
    number = int(value) & 0xFFFFFFFFFFFFFFFF
    return number - (1 << 64) if number >> 63 else number


def _raw(found: bytes | int) -> bytes:
    if isinstance(found, int):
        raise ValueError("a number in the place of bytes")
    return found
