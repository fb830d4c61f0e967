"""Files in folders that a script may have tampered with: nothing is followed, nothing blocks, nothing leaks."""

from __future__ import annotations

import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.errors import ContractError
from hpo_engine.system.files import MAX_BYTES, safe_read


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    made: list[socket.socket] = []
    yield made
    for each in made:
        each.close()


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("missing", "f is missing"),
        ("fifo", "f is not a regular file but a pipe"),
        ("socket", "f is not a regular file but a socket"),
        ("folder", "f is not a regular file but a folder"),
        ("device", "f is not a regular file but a device"),
        ("symlink", "f is a link, not a file"),
        ("dangling", "f is a link, not a file"),
        ("hardlink", "f has other hard links; write a file of its own"),
        ("sparse", f"f is too big ({10 << 40:,} bytes, at most {MAX_BYTES:,})"),
        ("gone", "RESULT_DIR is gone"),
        ("linked folder", "RESULT_DIR is not a folder any more (something else was put in its place)"),
    ],
)
def test_safe_read_refuses_what_is_no_plain_file(
    tmp_path: Path, sockets: list[socket.socket], kind: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    secret, path = tmp_path / "secret", folder / "f"
    secret.write_text("secret")
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        monkeypatch.chdir(folder)  # a socket's path must be short
        sockets.append(socket.socket(socket.AF_UNIX))
        sockets[0].bind("f")
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        if os.geteuid() != 0:
            pytest.skip("only root makes devices")
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))
    elif kind in ("symlink", "dangling"):
        path.symlink_to(secret if kind == "symlink" else "nowhere")
    elif kind == "hardlink":
        os.link(secret, path)
    elif kind == "sparse":
        with open(path, "wb") as file:
            try:
                file.truncate(10 << 40)
            except OSError:
                pytest.skip("the file system takes no file of 10 TiB")
    elif kind == "gone":
        folder.rmdir()
    elif kind == "linked folder":
        folder.rmdir()
        folder.symlink_to(tmp_path)
    started = time.process_time()
    with pytest.raises(ContractError) as caught:
        safe_read(str(folder), "f")
    assert str(caught.value) == text
    assert time.process_time() - started < 60


def test_safe_read_at_its_limit_and_through_a_descriptor(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 100)
    assert safe_read(str(tmp_path), "f", 100) == b"x" * 100
    with pytest.raises(ContractError, match="too big"):
        safe_read(str(tmp_path), "f", 99)
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        assert safe_read(fd, "f") == b"x" * 100
    finally:
        os.close(fd)


def test_safe_read_never_gives_the_target_of_a_link_swapped_in(tmp_path: Path) -> None:
    """A thread renames honest files, symbolic and hard links to a secret into place as fast as it can."""
    folder = tmp_path / "d"
    folder.mkdir()
    secret = tmp_path / "secret"
    secret.write_text("secret")
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            for make in (
                lambda p: os.symlink(secret, p),
                lambda p: os.link(secret, p),
                lambda p: Path(p).write_text("honest"),
            ):
                make(folder / "new")
                os.replace(folder / "new", folder / "f")
            os.unlink(folder / "f")
            os.link(secret, folder / "f")
            os.unlink(folder / "f")  # now the secret has one name again

    thread, honest, refused = threading.Thread(target=swap), 0, 0
    thread.start()
    try:
        for _ in range(3000):
            try:
                assert safe_read(str(folder), "f") in (b"honest", b"")
                honest += 1
            except ContractError:
                refused += 1
    finally:
        done.set()
        thread.join()
    assert refused


def test_safe_read_refuses_a_hard_link_taken_away_after_it_was_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "f").write_text("honest")
    open_ = os.open

    def swapped(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if path != "f":
            return open_(path, flags, *args, **kwargs)
        os.unlink(tmp_path / "f")
        os.link(tmp_path / "secret", tmp_path / "f")
        fd = open_(path, flags, *args, **kwargs)
        os.unlink(tmp_path / "f")
        (tmp_path / "f").write_text("honest")
        return fd

    monkeypatch.setattr(os, "open", swapped)
    with pytest.raises(ContractError, match="replaced while it was read"):
        safe_read(str(tmp_path), "f")


@pytest.mark.parametrize("kind", ["fifo", "symlink"])
def test_safe_read_neither_waits_nor_follows_what_comes_between_look_and_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "f").write_text("honest")
    open_ = os.open

    def swapped(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if path == "f":
            os.unlink(tmp_path / "f")
            os.mkfifo(tmp_path / "f") if kind == "fifo" else os.symlink("secret", tmp_path / "f")
            assert flags & os.O_NONBLOCK  # else the next line would wait for ever
        return open_(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", swapped)
    with pytest.raises(ContractError, match="but a pipe" if kind == "fifo" else "is a link"):
        safe_read(str(tmp_path), "f")
