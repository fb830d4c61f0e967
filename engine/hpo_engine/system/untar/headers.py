"""One header of a tar: 512 bytes, and the fields that further headers before it add. POSIX.1-1988 (ustar), POSIX.1-2001
(pax), GNU (long names, numbers in base 256), and the first tars, which have no magic."""

from __future__ import annotations

import json
from typing import NamedTuple

from hpo_engine.system.untar.limits import BadTar, TarLimits
from hpo_engine.system.untar.streams import Stream, cut_off

BLOCK = 512
_KINDS = {b"0": "file", b"\0": "file", b"7": "file", b"5": "folder"}
_OTHERS = {
    b"1": "a hard link; pack with tar --hard-dereference", b"2": "a link; pack with tar -h, which follows links",
    b"3": "a device", b"4": "a device", b"6": "a pipe", b"S": "a sparse file; pack without --sparse",
    b"D": "a part of an incremental backup", b"M": "a part of a tar in several volumes", b"V": "a volume's label",
    b"N": "an old kind of long name", b"X": "an old kind of header",
}  # fmt: skip
_META = (b"x", b"g", b"L", b"K")


class Header(NamedTuple):
    """A member, as its headers say it. `name` is raw bytes."""

    name: bytes
    kind: str
    size: int
    executable: bool


def next_header(stream: Stream, limits: TarLimits) -> Header | None:
    """The next member's header, with the further ones before it; None at the end. Raises BadTar."""
    fields: dict[bytes, bytes] = {}
    further = 0
    while True:
        block = _exactly(stream, BLOCK)
        if block is None or not any(block):
            if further:
                raise BadTar("the tar ends after a header that describes another one")
            _only_zeros(stream)
            return None
        if not sum_fits(block):
            if stream.at == BLOCK:
                raise BadTar("the upload is no tar; send one made with tar czf model.tgz -C FOLDER .")
            raise BadTar(f"the tar is damaged near {quoted(block[:100].split(bytes(1))[0])}; pack it again")
        kind, size = block[156:157], _number(block[124:136], "size", block)
        if kind not in _META:
            return _member(block, kind, size, fields)
        further += 1
        if further > 8:
            raise _bad(block[:100], "has too many headers")
        if size > limits.meta:
            raise _bad(block[:100], "has a header that is too long")
        _add(fields, kind, _content(stream, size), block)


def quoted(name: bytes) -> str:
    """A member's name for a message: shortened, without control characters."""
    text = name.decode("utf-8", "backslashreplace")
    return json.dumps(text if len(text) <= 80 else f"{text[:77]}...", ensure_ascii=not text.isprintable())


def _bad(name: bytes, problem: str) -> BadTar:
    return BadTar(f"the tar's member {quoted(name.split(bytes(1))[0])} {problem}")


def _exactly(stream: Stream, count: int) -> bytes | None:
    """So many bytes; None if the stream ends before the first of them."""
    parts, have = [], 0
    while have < count:
        data = stream.read(count - have)
        if not data:
            if not have:
                return None
            raise cut_off()
        parts.append(data)
        have += len(data)
    return b"".join(parts)


def _content(stream: Stream, size: int) -> bytes:
    if size and (found := _exactly(stream, size)) is not None:
        stream.skip(-size % BLOCK)
        return found
    if size:
        raise cut_off()
    return b""


def _only_zeros(stream: Stream) -> None:
    """What is behind the end is padding: another reader might go on there and see another tar."""
    while data := stream.read(1 << 16):
        if any(data):
            raise BadTar("the tar has data behind its end; pack everything into one tar")


def sum_fits(block: bytes) -> bool:
    """Whether a header's checksum is that of its bytes."""
    rest = block[:148] + b" " * 8 + block[156:]
    plain = sum(rest)  # some old tars have the sum of signed bytes
    return _octal(block[148:156]) in (plain, plain - 256 * sum(byte > 127 for byte in rest))


def _octal(field: bytes) -> int | None:
    """The number in a field; None if it holds something else."""
    text = field.split(b"\0")[0].strip(b" ")
    if not text:
        return 0
    return int(text, 8) if not text.strip(b"01234567") else None


def _number(field: bytes, called: str, block: bytes) -> int:
    if field[0] & 0x80:  # GNU: base 256, two's complement
        found = -1 if field[0] & 0x40 else int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    else:
        octal = _octal(field)
        found = -1 if octal is None else octal
    if not 0 <= found < 1 << 60:
        raise _bad(block[:100], f"has no sensible {called}")
    return found


def _add(fields: dict[bytes, bytes], kind: bytes, content: bytes, block: bytes) -> None:
    """Adds what a further header says of the next member; a global one may only comment."""
    if kind == b"L":
        fields[b"path"] = content.split(b"\0")[0]
    elif kind in (b"x", b"g"):
        found = _records(content, block)
        if sparse := next((key for key in found if key.startswith(b"GNU.sparse")), None):
            raise _bad(block[:100], f"is a sparse file ({sparse.decode()}); pack without --sparse")
        if kind == b"x":
            fields.update(found)
        elif named := {b"path", b"size", b"linkpath"} & found.keys():
            raise BadTar(f"the tar has a global {min(named).decode()}; pack it with another tar")


def _records(content: bytes, block: bytes) -> dict[bytes, bytes]:
    """The records of a pax header: "<length> <key>=<value>\\n", each with its own length."""
    found = {}
    at = 0
    while at < len(content):
        length, space, _ = content[at : at + 20].partition(b" ")
        end = at + int(length) if space and length.isdigit() and len(length) < 10 else 0
        record = content[at + len(length) + 1 : end]
        key, equals, value = record[:-1].partition(b"=")
        if not at < end <= len(content) or record[-1:] != b"\n" or not equals or not key:
            raise _bad(block[:100], "has a damaged header")
        found[key] = value
        at = end
    return found


def _member(block: bytes, kind: bytes, size: int, fields: dict[bytes, bytes]) -> Header:
    name = block[:100].split(b"\0")[0]
    if block[257:263] == b"ustar\0" and (prefix := block[345:500].split(b"\0")[0]):
        name = prefix + b"/" + name
    name = fields.get(b"path") or name
    if kind not in _KINDS:
        raise _bad(name, f"is {_OTHERS.get(kind, 'of an unknown kind')}; only files and folders are taken")
    word = _KINDS[kind]
    if word == "file" and name.endswith(b"/"):  # of the first tars, which had no kind for folders
        word = "folder"
    if text := fields.get(b"size"):
        if not text.isdigit() or len(text) > 18:
            raise _bad(name, "has no sensible size")
        size = int(text)
    if word == "folder" and size:
        raise _bad(name, "is a folder with contents of its own")
    return Header(name, word, size, bool((_octal(block[100:108]) or 0) & 0o111))
