"""A trial's output as it lies on the disk: its parts in order, its end, and what a follower sees of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine.contract.outputlog.capture import Capture
from hpo_engine.contract.outputlog.logfiles import NAME, TAILS, Follower, lines, parts, tail, why
from tests.support.examples import some


def log_of(folder: Path, limit: int = 1 << 20) -> Capture:
    """The log as a supervisor writes it."""
    return Capture(str(folder / NAME), [str(folder / name) for name in TAILS], limit)


def aged(path: Path, data: bytes, age_s: float) -> None:
    path.write_bytes(data)
    os.utime(path, (2e9 - age_s, 2e9 - age_s))


def in_three(folder: Path, newest: int) -> None:
    """A log of three parts in which tail number `newest` is the newest."""
    aged(folder / NAME, b"head\n", 30)
    aged(folder / TAILS[1 - newest], b"older\n", 20)
    aged(folder / TAILS[newest], b"newest\n", 10)


# -- parts, tail, last line --------------------------------------------------------------------------------------------


def test_parts_of_a_silent_trial_are_none(tmp_path: Path) -> None:
    assert parts(str(tmp_path)) == parts(str(tmp_path / "none")) == []
    assert tail(str(tmp_path)) == tail(str(tmp_path / "none")) == b""
    assert why(str(tmp_path)) == why(str(tmp_path / "none")) == ""
    assert lines(str(tmp_path)) == lines(str(tmp_path / "none")) == []


@pytest.mark.parametrize("newest", [0, 1])
def test_parts_are_the_head_and_then_the_tails_by_age(tmp_path: Path, newest: int) -> None:
    in_three(tmp_path, newest)
    assert parts(str(tmp_path)) == [f"{tmp_path}/{n}" for n in (NAME, TAILS[1 - newest], TAILS[newest])]
    assert tail(str(tmp_path)) == b"head\nolder\nnewest\n"
    assert why(str(tmp_path)) == "its output ends: newest"
    (tmp_path / NAME).unlink()
    assert tail(str(tmp_path)) == b"older\nnewest\n"


@pytest.mark.parametrize("size", range(1, 20))
def test_tail_is_the_last_bytes_over_the_borders_of_parts(tmp_path: Path, size: int) -> None:
    in_three(tmp_path, 0)
    assert tail(str(tmp_path), size) == b"head\nolder\nnewest\n"[-size:]
    assert lines(str(tmp_path), 12) == ["newest"], "half a line is none"


def test_tail_takes_any_bytes_and_passes_over_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes("größe".encode()[3:] + b"\xff\0")  # begins in the middle of a letter
    assert lines(str(tmp_path)) == ["\ufffdße\ufffd\0"]
    (tmp_path / TAILS[0]).mkdir()
    assert tail(str(tmp_path)).endswith(b"\0")


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"one\ntwo", "two"),
        (b"one\ntwo\n", "two"),
        (b"one\n  two  \n \n\t\n\n", "two"),
        (b"epoch 1\repoch 2\r", "epoch 2"),
        (b"one\r\ntwo\r\n", "two"),
        (b"\n\n", ""),
        (b"", ""),
        (b"first\n" + b"x" * 5000, "x" * 5000),
        (b"first\n" + b"x" * 100_000, "x" * 65536),
    ],
)
def test_why_is_the_last_line_that_says_something(tmp_path: Path, data: bytes, line: str) -> None:
    (tmp_path / NAME).write_bytes(data)
    assert why(str(tmp_path)) == (f"its output ends: {line}" if line else "")


# -- the follower ------------------------------------------------------------------------------------------------------


def fresh(follower: Follower) -> bytes:
    return b"".join(follower.fresh())


def test_follower_reads_each_byte_once(tmp_path: Path) -> None:
    follower = Follower(str(tmp_path))
    assert fresh(follower) == b""
    log = log_of(tmp_path)
    for piece in (b"one", b"", b"\n", b"two\n" * 50_000):
        log.write(piece)
        assert fresh(follower) == piece
        assert fresh(follower) == b""
    log.finish()
    assert fresh(follower) == b""
    assert fresh(Follower(str(tmp_path))) == b"one\n" + b"two\n" * 50_000


LIMIT, HEAD, TAIL = 64, 32, 16  # bytes


def spread(folder: Path, written: int) -> None:
    """Sets the times of the tails as if each had been written long after the other: a clock ticks slowly."""
    newest = (written - HEAD - 1) // TAIL % 2
    for which, name in enumerate(TAILS):
        if (folder / name).exists():
            at = 1e9 + written - (0 if which == newest else 1)
            os.utime(folder / name, (at, at))


@settings(max_examples=some(60), deadline=None)
@given(st.lists(st.integers(1, TAIL - 1), min_size=1, max_size=40))
def test_follower_that_looks_often_enough_misses_nothing_when_tails_rotate(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("log")
    follower, log = Follower(str(folder)), log_of(folder, LIMIT)
    written = seen = b""
    for number, size in enumerate(sizes):
        piece = bytes([65 + number % 26]) * size
        written += piece
        log.write(piece)
        spread(folder, len(written))
        seen += fresh(follower)
        assert seen == written


def test_follower_that_looks_rarely_sees_what_is_kept_in_order(tmp_path: Path) -> None:
    log = log_of(tmp_path, LIMIT)
    follower = Follower(str(tmp_path))
    text = b"".join(b"%03d\n" % i for i in range(100))
    for at in range(0, len(text), 4):
        log.write(text[at : at + 4])
        if at == 40:
            spread(tmp_path, 44)
            assert fresh(follower) == text[:44]
    spread(tmp_path, len(text))
    found = fresh(follower)
    lines = found.split()
    assert lines == sorted(lines) and found.endswith(b"099\n")
    assert len(found) <= LIMIT


def test_follower_sees_the_end_of_a_log_that_was_joined_meanwhile(tmp_path: Path) -> None:
    log = log_of(tmp_path, LIMIT)
    follower = Follower(str(tmp_path))
    log.write(b"a" * 40)
    assert fresh(follower) == b"a" * 40
    log.write(b"b" * 100 + b"\nthe end\n")
    log.finish()
    assert parts(str(tmp_path)) == [f"{tmp_path}/{NAME}"]
    assert fresh(follower).endswith(b"the end\n")
    assert why(str(tmp_path)) == "its output ends: the end"


def test_follower_survives_a_folder_that_goes(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    log_of(tmp_path / "log").write(b"one\n")
    follower = Follower(str(tmp_path / "log"))
    assert fresh(follower) == b"one\n"
    (tmp_path / "log").rename(tmp_path / "gone")
    assert fresh(follower) == b""
    (tmp_path / "gone").rename(tmp_path / "log")
    (tmp_path / "log" / TAILS[0]).mkdir()  # what cannot be read is passed over
    with open(tmp_path / "log" / NAME, "ab") as file:
        file.write(b"two\n")
    assert fresh(follower) == b"two\n"


def test_tails_that_are_joined_between_two_looks_are_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_three(tmp_path, 1)
    stat = os.stat

    def joined_just_after(path: Any, **how: Any) -> os.stat_result:
        found = stat(path, **how)
        if str(path).endswith(TAILS[1]):
            for name in TAILS:
                (tmp_path / name).unlink()
        return found

    monkeypatch.setattr(os, "stat", joined_just_after)
    assert tail(str(tmp_path)) == b"head\n"
