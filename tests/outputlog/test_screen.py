"""Output as a terminal leaves it, in whatever pieces it comes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.outputlog.screen import MOST_OPEN, Screen, rendered

TQDM = b"".join(b"\r%3d%%|%s%s| %d/4" % (25 * i, b"#" * i, b" " * (4 - i), i) for i in range(5))


def nested(step: int) -> bytes:
    """An inner bar below an outer one, as tqdm redraws them."""
    return b"\router %d\n\rinner %d\x1b[A" % (step // 3, step % 3)


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"one\ntwo", ["one", "two"]),
        (b"one\r\ntwo\r\n", ["one", "two"]),
        (b"\n\n", ["", ""]),
        (TQDM + b"\ndone\n", ["100%|####| 4/4", "done"]),
        (b"a long one\rshort\n", ["shortg one"]),
        (b"a long one\r\x1b[Kshort\n", ["short"]),
        (b"a long one\r\x1b[2Kshort\n", ["short"]),
        (b"abc\x1b[1K\n", [""]),
        (b"abc\b\bX\n", ["aXc"]),
        (b"abc\x1b[2DX\x1b[3CY\x1b[1GZ\n", ["ZXc  Y"]),
        (b"".join(map(nested, range(7))) + b"\n\n\n", ["outer 2", "inner 0", ""]),
        (b"one\ntwo\nthree\n\x1b[3A\x1b[J4\n", ["4"]),
        (b"one\ntwo\n\x1b[2Fx\x1b[Ey\n", ["xne", "ywo"]),
        (b"\x1b[99A\x1b[999999Cx\x1b[9999Cy", ["\x1b[999999Cx" + " " * (4096 - 10) + "y"]),
        (b"\x1b[1;31mred\x1b[0m\x1b[?25l \x1b(Bok", ["red ok"]),
        (b"\x1b]52;c;eA==\x07 \x1b[5;1H \x1b[2;9r", ["\x1b]52;c;eA==\x07 \x1b[5;1H \x1b[2;9r"]),
        ("漢字1\r漢2\n".encode(), ["漢2 1"]),
        ("漢字1\r.\n".encode(), [". 字1"]),
        ("u\u0308x\ry\n".encode(), ["yx"]),
        (b"\xff\xc3", ["\ufffd\ufffd"]),
        (b"done   \r     \r", []),
    ],
)
def test_screen_shows(data: bytes, lines: list[str]) -> None:
    assert rendered(data) == lines


PIECES = [
    b"epoch 1\n",
    b"\r",
    b"\x1b[A",
    b"\x1b[2K",
    b"\x1b[31m",
    "漢".encode(),
    b"loss 0.5",
    b"\n",
    b"\b",
    nested(4),
    TQDM,
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=30), st.lists(st.integers(1, 9), min_size=1, max_size=9))
def test_pieces_show_what_the_whole_does(pieces: list[bytes], sizes: list[int]) -> None:
    data = b"".join(pieces)
    screen, at, turn, lines = Screen(MOST_OPEN), 0, 0, []
    while at < len(data):
        size = sizes[turn % len(sizes)]
        screen.feed(data[at : at + size])
        lines += screen.settled()
        at, turn = at + size, turn + 1
    screen.feed(b"", last=True)
    assert [*lines, *screen.settled(), *screen.open()] == rendered(data)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.lists(st.sampled_from(PIECES), max_size=9))
def test_any_bytes_are_taken(data: bytes, pieces: list[bytes]) -> None:
    rendered(data.join(pieces) + data)


def test_lines_settle_as_soon_as_nothing_comes_back_to_them() -> None:
    screen = Screen()
    screen.feed(b"one\ntwo\nthr")
    assert (screen.settled(), screen.open()) == (["one", "two"], ["thr"])
    for step in range(4):
        screen.feed(nested(step))
    assert (screen.settled(), screen.open()) == ([], ["outer 1", "inner 0"])
    screen.feed(b"\n\nmore\n")
    assert (screen.settled(), screen.open()) == (["outer 1", "inner 0"], ["more"])
    screen.feed(b"\x1b[999A" + b"x\n" * 10_000)
    assert len(screen.settled()) == 10_001 - MOST_OPEN and len(screen.open()) == MOST_OPEN - 1
    screen = Screen(reach=3)
    screen.feed(b"1\n2\n3\n4\n5")
    assert (screen.settled(), screen.open()) == (["1"], ["2", "3", "4", "5"])
