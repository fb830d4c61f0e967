"""Output as a terminal leaves it, in whatever pieces it comes."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine.contract.outputlog.screen import MOST_OPEN, Screen, rendered
from tests.support.examples import some

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
        (b"\x1b]52;c;eA==\x07 \x1b[5;1H \x1b[2;9r", ["\x1b]52;c;eA==\x07", "", "", "", " \x1b[2;9r"]),
        ("漢字1\r漢2\n".encode(), ["漢2 1"]),
        ("漢字1\r.\n".encode(), [". 字1"]),
        ("u\u0308x\ry\n".encode(), ["yx"]),
        (b"\xff\xc3", ["\ufffd\ufffd"]),
        (b"done   \r     \r", []),
        (b"starting\n" + b"\x1b[2J\x1b[Hstep %d\nloss\n" * 3 % (1, 2, 3) + b"done\n", ["step 3", "loss", "done"]),
        (b"starting\n" + b"\x1b[H\x1b[2J\x1b[3Jstep\nloss\n" * 3, ["step", "loss"]),
        (b"starting\n\x1b[H\x1b[Jstep\n" + b"\x1b[1;1fSTEP\x1b[K\n", ["STEP"]),
        (b"1\n2\n3\n\x1b[2dX\x1b[3;3HY\x1b[HZ", ["Z", "X", "3 Y"]),
        (b"ab\ncd\nefg\x1b[2;2H\x1b[1J", ["", "", "efg"]),
        (b"abcd\x1b[2G\x1b[1K", ["  cd"]),
        ("漢字".encode() + b"\x1b[1G\x1b[1K", ["  字"]),
        (b"x" * 5000 + b"\x1b[m" + b"y" * 5000 + b"\r\nnext", ["x" * 5000 + "y" * 5000, "next"]),
        (b"".join(b"%d\n" % i for i in range(200)) + b"\x1b[2J\x1b[Hframe", [*map(str, range(101)), "frame"]),
    ],
)
def test_screen_shows(data: bytes, lines: list[str]) -> None:
    assert rendered(data) == lines


BOMBS = [
    b"\x1b[2J\x1b[H", b"\x1b[H\x1b[2J\x1b[3J", b"\x1b[2J", b"\x1b[1K", b"x\x1b[1K", b"\x1b[1J", b"\x1b[Hx", b"x\x1b[m",
    b"\x1b[100;4000Hx\x1b[2J", b"\x1b[4000Gx\x1b[1K", b"\n\x1b[4096Gx", b"\x1b[99B", b"\x1b[99B\n", b"\x1b[99E",
    b"\x1b[4096Gx\x1b[2K", b"\x1b[A\x1b[1K\x1b[B\x1b[1K", b"a\r", b"\x1b[A\n", b"x\b", b"\x1b[4096C.\x1b[A", b"\x1b[99A\n",
    b"\x1b[999;999f", b"\x1b[9999d\x1b[J\n", b"\x1b[1", b"\x1b[99999999;9H", "\u0308".encode(), "漢\b".encode(), b"\x1b[;H",
]  # fmt: skip


@pytest.mark.by_default(3)
@pytest.mark.parametrize("bomb", BOMBS)
def test_what_is_kept_is_bounded_by_the_size_of_the_output(bomb: bytes) -> None:
    """Also after wide rows that could be blanked again and again."""
    for before in (b"", b"x" * 4000 + b"\n" + b"y" * 4000 + b"\x1b[2000G"):
        data = before + bomb * (25_000 // len(bomb))
        screen = Screen(MOST_OPEN)
        for at in range(0, len(data), 1 << 12):
            screen.feed(data[at : at + (1 << 12)])
            screen.settled()
            assert len(screen._rows) <= MOST_OPEN + len(data) // 4096
        shown = rendered(data)
        assert sum(map(len, shown)) <= 34 * len(data) + (1 << 17)
        assert len(shown) <= data.count(b"\n") + MOST_OPEN


@pytest.mark.by_default(8)
@pytest.mark.parametrize("bomb", BOMBS)
def test_time_is_linear_in_the_size_of_the_output(bomb: bytes) -> None:
    """The engine's own processor time for 60 KB; what was quadratic took minutes for two."""
    wide = b"x" * 4000 + b"\n" + b"y" * 4000 + b"\x1b[2000G"
    began = time.process_time()
    rendered(wide + bomb * (60_000 // len(bomb)))
    assert time.process_time() - began < 60


PIECES = [
    b"\x1b[2J\x1b[H",
    b"\x1b[1J",
    b"\x1b[1K",
    b"\x1b[2;3Hx",
    b"\x1b[9B",
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


@settings(max_examples=some(60), deadline=None)
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


@settings(max_examples=some(60), deadline=None)
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
