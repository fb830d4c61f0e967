"""Copies of folders: as the original, no larger than it, whole or not there; and made beside whoever wants them."""

from __future__ import annotations

import errno
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.contract import foldercopy
from hpo_engine.contract.copies import Cancelled, Copies
from hpo_engine.contract.foldercopy import copy_folder
from hpo_engine.system.faults import described
from tests.support.helpers import wait_until

MIB = 1 << 20


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "a b").mkdir()
    return tmp_path / "a b"


def copied(source: Path, **options: Any) -> Path:
    target = source.parent / "copy"
    copy_folder(str(source.parents[1]), str(source), str(target), **options)
    return target


def sparse(path: Path, size: int, *data_at: int) -> None:
    with open(path, "wb") as file:
        for at in data_at:
            os.pwrite(file.fileno(), b"x" * 4096, at)
        file.truncate(size)


@pytest.mark.parametrize("at", [(), (0,), (5 * MIB,), (0, 64 * MIB, 1000 * MIB), (2000 * MIB - 4096,)])
def test_holes_stay_holes(source: Path, at: tuple[int, ...]) -> None:
    sparse(source / "model", 2000 * MIB, *at)
    found = copied(source) / "model"
    seen = found.stat()
    assert seen.st_size == 2000 * MIB and seen.st_blocks <= (source / "model").stat().st_blocks + 64
    with open(found, "rb") as file:
        for place in at:
            assert os.pread(file.fileno(), 4096, place) == b"x" * 4096
        assert not any(os.pread(file.fileno(), 4096, 500 * MIB))


@pytest.mark.parametrize("how", ["copy_file_range", "SEEK_DATA"])
def test_where_the_file_system_lacks_something_the_bytes_are_the_same(
    source: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    def lacking(*args: object) -> int:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    if how == "SEEK_DATA":
        seek = os.lseek
        monkeypatch.setattr(os, "lseek", lambda fd, at, whence: lacking() if whence > 2 else seek(fd, at, whence))
    else:
        monkeypatch.setattr(os, "copy_file_range", lacking)
    data = os.urandom(3 * MIB + 17)
    (source / "model").write_bytes(data)
    (source / "empty").touch()
    target = copied(source)
    assert (target / "model").read_bytes() == data and (target / "empty").read_bytes() == b""


def test_odd_files_are_left_out_and_links_stay_links(source: Path) -> None:
    os.mkfifo(source / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(source, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
    (source / "to").symlink_to("/etc/hostname")
    (source / "gone").symlink_to("nowhere")
    (source / "deep").mkdir(mode=0o500)
    target = copied(source)
    assert sorted(os.listdir(target)) == ["deep", "gone", "to"]
    assert os.readlink(target / "to") == "/etc/hostname" and (target / "deep").stat().st_mode & 0o777 == 0o500


def test_disk_that_cannot_hold_the_copy_is_not_filled(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        (source / f"model{number}").write_bytes(b"x" * 40 * MIB)
    (source / "deep").mkdir()
    (source / "deep/model").write_bytes(b"x" * 8 * MIB)
    real = os.fstatvfs

    class Seen:
        f_bavail, f_frsize, f_blocks = 100 * MIB // 4096, 4096, 10**9

    monkeypatch.setattr(os, "fstatvfs", lambda fd: Seen if real(fd) else None)
    monkeypatch.setattr(foldercopy, "_cloned", lambda out, into: False)
    with pytest.raises(OSError, match="No space left") as caught:
        copied(source)
    assert caught.value.errno == errno.ENOSPC and "134 MB are needed" in described(caught.value)
    assert not (source.parent / "copy").exists()


def test_copy_that_fails_in_the_middle_leaves_nothing(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (source / "model").write_bytes(b"x" * 40 * MIB)
    calls = []

    def full(*args: Any) -> int:
        calls.append(args)
        if len(calls) > 1:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        return os.pwrite(args[1], b"x" * MIB, args[4])

    monkeypatch.setattr(os, "copy_file_range", full)
    monkeypatch.setattr(foldercopy, "_cloned", lambda out, into: False)
    with pytest.raises(OSError, match="quota"):
        copied(source)
    assert len(calls) == 2 and not (source.parent / "copy").exists()


# -- beside the loop ---------------------------------------------------------------------------------------------------


def test_copies_are_made_in_order_and_their_errors_are_raised_where_they_are_asked_for() -> None:
    order, gate, woken = list[str](), threading.Event(), list[int]()
    copies = Copies(lambda: woken.append(1), patience_s=0.0)

    def slow(check: Any) -> None:
        gate.wait(60)
        order.append("slow")

    def broken(check: Any) -> None:
        order.append("broken")
        raise OSError(errno.EIO, "broken")

    assert not copies.made((0, 1), slow) and not copies.made((1, 1), broken)
    assert order == [] and not copies.made((0, 1), slow)
    gate.set()
    wait_until(lambda: len(woken) == 2)
    assert copies.made((0, 1), slow) and order == ["slow", "broken"]
    with pytest.raises(OSError, match="broken"):
        copies.made((1, 1), broken)
    copies.close()


def test_copy_that_was_cancelled_stops_at_its_next_look_and_the_next_one_is_made(source: Path) -> None:
    begun, ended = threading.Event(), list[type]()
    copies = Copies(patience_s=0.0)

    def endless(check: Any) -> None:
        try:
            while True:
                begun.set()
                check()
        except Cancelled as error:
            ended.append(type(error))
            raise

    copies.made((0, 1), endless)
    copies.made((1, 1), endless)  # waits behind it
    begun.wait(60)
    copies.cancel(1)
    copies.cancel(0)
    (source / "state").touch()
    wait_until(lambda: copies.made((2, 1), lambda check: copy_folder(
        str(source.parents[1]), str(source), f"{source.parent}/copy", check=check)))  # fmt: skip
    assert ended == [Cancelled] and (source.parent / "copy/state").exists()
    begun.clear()
    copies.made((3, 1), endless)
    begun.wait(60)
    copies.close()
    wait_until(lambda: len(ended) == 2)


def test_without_room_for_a_thread_the_copy_is_made_in_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    done = list[int]()
    copies = Copies(patience_s=0.0)
    assert copies.made((0, 1), lambda check: done.append(1)) and done == [1]
    copies.close()
