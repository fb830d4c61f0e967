"""Tars with headers made by hand: what no tool would write."""

from __future__ import annotations

from typing import Any

BLOCK = 512
END = bytes(2 * BLOCK)


def header(name: bytes = b"train.py", size: int | bytes = 0, kind: bytes = b"0", **fields: Any) -> bytes:
    """A header with its checksum. `size`: as bytes it is the field itself. `fields`: mode, link, magic, prefix, checksum,
    raw (position and bytes to put in before the checksum is made)."""
    block = bytearray(BLOCK)
    block[:100] = name[:100].ljust(100, b"\0")
    block[100:108] = fields.get("mode", b"0000644\0")
    block[108:124] = b"0001750\x000001750\0"
    block[124:136] = size if isinstance(size, bytes) else b"%011o\0" % size
    block[136:148] = b"00000000000\0"
    block[156:157] = kind
    block[157:257] = fields.get("link", b"")[:100].ljust(100, b"\0")
    block[257:265] = fields.get("magic", b"ustar\x0000")
    block[345:500] = fields.get("prefix", b"")[:155].ljust(155, b"\0")
    for at, raw in fields.get("raw", ()):
        block[at : at + len(raw)] = raw
    block[148:156] = b" " * 8
    block[148:156] = fields.get("checksum", b"%06o\0 " % sum(block))
    return bytes(block)


def entry(name: bytes = b"train.py", content: bytes = b"", kind: bytes = b"0", **fields: Any) -> bytes:
    """A header and its content, padded."""
    return header(name, len(content), kind, **fields) + content + bytes(-len(content) % BLOCK)


def record(key: bytes, value: bytes) -> bytes:
    """A pax record, with its own length in it."""
    rest = b" %b=%b\n" % (key, value)
    length = len(rest)
    while len(rest) + len(b"%d" % length) != length:
        length = len(rest) + len(b"%d" % length)
    return b"%d%b" % (length, rest)


def pax(kind: bytes = b"x", **records: bytes) -> bytes:
    return raw_pax(b"".join(record(key.encode(), value) for key, value in records.items()), kind)


def raw_pax(content: bytes, kind: bytes = b"x") -> bytes:
    return entry(b"PaxHeaders/x", content, kind)


def long_name(name: bytes, kind: bytes = b"L") -> bytes:
    return entry(b"././@LongLink", name + b"\0", kind, magic=b"ustar  \0")


def hostile() -> dict[str, bytes]:
    """Tars that must be refused, by what is wrong with them."""
    ok = entry(b"train.py", b"print(1)\n")
    link = entry(b"d", kind=b"2", link=b"/etc")
    names = {
        "parent": b"../evil", "parent inside": b"a/../../evil", "parent at the end": b"a/..", "only parent": b"..",
        "parent that stays inside": b"a/../b", "absolute": b"/tmp/evil", "absolute twice": b"//tmp/evil",
        "newline": b"a\nb", "escape": b"\x1b[31mred", "delete": b"a\x7fb", "carriage return": b"a\rb", "tab": b"a\tb",
        "not utf-8": b"caf\xe9.py", "surrogate": b"\xed\xa0\x80", "overlong dot": b"\xc0\xae\xc0\xae/evil",
        "right to left": "a\u202ecod.py".encode(), "isolate": "a\u2066b".encode(), "c1 control": "a\u0085b".encode(),
        "empty": b"", "only slash": b"/", "a file called dot": b".", "a file called dot slash dot": b"./.",
    }  # fmt: skip
    kinds = {
        "link": b"2", "hard link": b"1", "character device": b"3", "block device": b"4", "pipe": b"6", "sparse": b"S",
        "incremental": b"D", "volume": b"M", "label": b"V", "old long name": b"N", "solaris": b"X", "unknown": b"Z",
        "high byte": b"\xff", "socket-like": b"s",
    }  # fmt: skip
    sizes = {
        "negative base 256": b"\xff" * 12, "huge base 256": b"\x80" + b"\x7f" * 11, "minus": b"-0000000001\0",
        "not octal": b"0000000009x\0", "hex": b"0x000000010\0", "words": b"many bytes..", "plus": b"+0000000001\0",
        "overlong": b"77777777777\0", "base 256 minus one": b"\xff" * 11 + b"\xfe",
    }  # fmt: skip
    found = {f"name: {what}": entry(name, b"x") + ok for what, name in names.items()}
    found |= {f"kind: {what}": ok + entry(b"d", kind=kind, link=b"/etc/passwd") for what, kind in kinds.items()}
    found |= {f"size: {what}": header(b"a", size) + bytes(BLOCK) for what, size in sizes.items()}
    found |= {
        "link, then a file through it": link + entry(b"d/passwd", b"x"),
        "link to itself, chained": entry(b"a", kind=b"2", link=b"b") + entry(b"b", kind=b"2", link=b"a"),
        "hard link, then written through": entry(b"h", kind=b"1", link=b"/etc/passwd") + entry(b"h", b"x"),
        "hard link to a link": link + entry(b"h", kind=b"1", link=b"d"),
        "link with contents": entry(b"a", b"../../x", b"2", link=b"b"),
        "twice": ok + ok,
        "file, then folder": entry(b"a", b"x") + entry(b"a/", kind=b"5"),
        "folder, then file": entry(b"a/", kind=b"5") + entry(b"a", b"x"),
        "a file below a file": entry(b"a", b"x") + entry(b"a/b", b"x"),
        "a file where a folder was implied": entry(b"a/b", b"x") + entry(b"a", b"x"),
        "twice, spelt otherwise": entry(b"a/b", b"x") + entry(b".//a/./b", b"y"),
        "case twins": entry(b"Train.py", b"x") + ok,
        "case twins of folders": entry(b"Data/x", b"x") + entry(b"data/y", b"y"),
        "accent twins": entry("\u00e9.py".encode(), b"x") + entry("e\u0301.py".encode(), b"y"),
        "sharp s twins": entry("stra\u00dfe".encode(), b"x") + entry(b"STRASSE", b"y"),
        "folder with contents": entry(b"a/", b"xxxx", b"5"),
        "deep": entry(b"a/" * 40 + b"b", b"x"),
        "long name": long_name(b"x/" * 2040) + ok,
        "long component": long_name(b"x" * 300) + ok,
        "long name that leads out": long_name(b"a/" * 60 + b"../" * 61 + b"evil") + ok,
        "long name of 2 MiB": long_name(b"x" * (2 << 20)) + ok,
        "prefix that leads out": entry(b"evil", b"x", prefix=b"../.."),
        "prefix that is absolute": entry(b"evil", b"x", prefix=b"/tmp"),
        "pax path that leads out": pax(path=b"../evil") + ok,
        "pax path that is absolute": pax(path=b"/tmp/evil") + ok,
        "pax path with a zero byte": pax(path=b"a\0../evil") + ok,
        "pax path of a folder": pax(path=b"../evil/") + entry(b"a/", kind=b"5"),
        "pax size that is no number": pax(size=b"-1") + ok,
        "pax size that is huge": pax(size=b"9" * 18) + ok,
        "pax size that hides a member": pax(size=b"0") + entry(b"a", b"x" * 10),
        "pax sparse": pax(**{"GNU.sparse.major": b"1", "GNU.sparse.name": b"../evil"}) + ok,
        "pax global path": pax(b"g", path=b"../evil") + ok,
        "pax global size": pax(b"g", size=b"1") + ok,
        "pax without length": raw_pax(b"path=a\n") + ok,
        "pax length zero": raw_pax(b"0 path=a\n") + ok,
        "pax length short": raw_pax(b"3 path=a\n") + ok,
        "pax length long": raw_pax(b"999 path=a\n") + ok,
        "pax length negative": raw_pax(b"-9 path=a\n") + ok,
        "pax length unbelievable": raw_pax(b"9" * 400 + b" path=a\n") + ok,
        "pax without newline": raw_pax(b"9 path=a.") + ok,
        "pax without equals sign": raw_pax(b"8 pathx\n") + ok,
        "pax without end": raw_pax(b"6 a=b\n"),
        "headers upon headers": pax(a=b"b") * 50 + ok,
        "header of another header": pax(path=b"a") + pax(b"g", comment=b"x") * 20 + ok,
        "cut off in a header": ok + header(b"a", 1)[:300],
        "cut off in contents": ok + header(b"a", 100_000) + b"x" * 600,
        "cut off in padding": header(b"a", 5) + b"xxxxx",
        "checksum": ok + header(b"a", 0, checksum=b"0000000\0"),
        "checksum that is no number": header(b"a", 0, checksum=b"zzzzzz\0 "),
        "garbage": bytes(range(256)) * 40,
        "text": b"print('hello')\n" * 100,
        "data behind the end": ok + END + entry(b"../evil", b"x"),
        "second tar behind the first": ok + END + entry(b"b", b"x") + END,
        "no files": entry(b"a/", kind=b"5"),
        "empty": b"",
        "a lone end": END,
        "2,048 bytes that loop for ever in tarfile": header(b"a", b"\xff" * 12, b"x") + header(b"b", b"\xff" * 12, b"x")
        + header(b"c", b"\x80" + bytes(10) + b"\0", b"x") + bytes(BLOCK),
        "2,048 bytes of empty pax headers": header(b"a", 0, b"x") * 4,
        "size that overflows what is read": header(b"a", b"\x80" + b"\xff" * 11) + bytes(BLOCK),
        "GNU sparse with extended headers": header(b"a", 512, b"S", magic=b"ustar  \0", raw=[(482, b"\1")]) + bytes(1024),
    }  # fmt: skip
    return {
        what: data if what.startswith(("empty", "cut off", "a lone", "text")) else data + END
        for what, data in found.items()
    }
