"""Uploads: what clients send arrives whole, and what nobody should send leaves nothing behind."""

from __future__ import annotations

import gzip
import io
import os
import socket
import tarfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import requests
from fastapi import APIRouter, Depends, Request

from hpo_engine.service.dependencies import spool_of
from hpo_engine.service.intake import Limits, Spool, TooLarge, received
from hpo_engine.service.intake.multipart import Body
from tests.support.helpers import wait_until
from tests.support.service import Served, Trusting, served

BOUNDARY = "b0undary"


def packed(**files: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


TAR = packed(**{"train.py": b"print(1)\n" * 300_000})


def part(content: bytes, *headers: str) -> bytes:
    lines = "".join(f"{line}\r\n" for line in headers).encode()
    return f"--{BOUNDARY}\r\n".encode() + lines + b"\r\n" + content + b"\r\n"


def body(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def named(name: str, content: bytes = b"{}", extra: str = "") -> bytes:
    return part(content, f'Content-Disposition: form-data; name="{name}"{extra}')


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    router = APIRouter()

    @router.post("/intake")
    async def intake(request: Request, spool: Annotated[Spool, Depends(spool_of)]) -> dict[str, Any]:
        async with received(request, spool, limits=Limits(body=16 << 20, model=8 << 20)) as upload:
            model = upload.model
            told = None if model is None else [model.kind, model.name, model.size, len(Path(model.path).read_bytes())]
            return {"data": upload.texts.get("data", []), "model": told}

    def guard(app: Any) -> Any:
        app.include_router(router)
        return Trusting(app)

    with served(tmp_path_factory.mktemp("root"), guard) as service:
        yield service


def sent(service: Served, content: bytes, kind: str = f"multipart/form-data; boundary={BOUNDARY}") -> requests.Response:
    return service.post("/intake", data=content, headers={"Content-Type": kind})


def spooled(service: Served) -> list[str]:
    return os.listdir(f"{service.root}/.service/spool")


def test_parts_of_every_client_arrive(service: Served) -> None:
    """requests in a notebook, data as a field and as a file; the model named after the script, or not at all."""
    for files in (
        {"data": (None, "{}"), "train.py": ("train.tar", TAR)},
        {"data": ("data.json", "{}", "application/json"), "file": ("train.tar", TAR, "application/x-tar")},
    ):
        told = service.post("/intake", files=files).json()
        assert told == {"data": ["{}"], "model": ["tar", "train.tar", len(TAR), len(TAR)]}
    both = {"data": "{}"}, {"data": ("d.json", "{}"), "file": ("a/b\\m.py", b"print(1)")}
    told = service.post("/intake", data=both[0], files=both[1]).json()
    assert told == {"data": ["{}", "{}"], "model": ["script", "m.py", 8, 8]}
    assert spooled(service) == []


def test_a_model_without_a_filename_or_a_name_is_no_text(service: Served) -> None:
    """The SDK sends `file` without a filename; the usual parser refuses that above 1 MiB."""
    for headers in (['Content-Disposition: form-data; name="file"'], ["Content-Type: application/x-tar"], []):
        told = sent(service, body(named("data"), part(TAR, *headers))).json()
        assert told == {"data": ["{}"], "model": ["tar", "", len(TAR), len(TAR)]}
    assert sent(service, body(named("data"), named("file", b""))).json() == {"data": ["{}"], "model": None}


def test_kinds_are_told_by_content(service: Served) -> None:
    for content, kind in (
        (TAR, "tar"), (gzip.compress(TAR), "tar"), (bytes(10240), "tar"), (b"import os\n", "script"), (b"x" * 600, "script"),
    ):  # fmt: skip
        assert sent(service, body(named("file", content))).json()["model"][0] == kind
    for content in (b"PK\x03\x04rest", b"\x7fELF\0", b"BZh9", b"text\0text"):
        answer = sent(service, body(named("file", content)))
        assert answer.status_code == 400 and "tar" in answer.json()["error"]
    assert spooled(service) == []


BAD: dict[str, tuple[bytes, str]] = {
    "no boundary": (body(named("data")), "multipart/form-data"),
    "another boundary": (body(named("data")), "multipart/form-data; boundary=other"),
    "a long boundary": (body(named("data")), f"multipart/form-data; boundary={'x' * 300}"),
    "not multipart": (b"{}", "application/json"),
    "no type": (b"{}", ""),
    "cut off": (body(named("data"))[:-6], ""),
    "cut off in a header": (b"--b0undary\r\nContent-Dispo", ""),
    "empty": (b"", ""),
    "garbage": (os.urandom(5000), ""),
    "many parts": (body(*[named("data")] * 100), ""),
    "many headers": (body(part(b"x", *[f"X-{i}: y" for i in range(100)])), ""),
    "a long header": (body(part(b"x", "X: " + "y" * 100_000)), ""),
    "a header without a colon": (body(part(b"x", "nonsense")), ""),
    "two models": (body(named("a", b"print(1)"), named("b", b"print(2)")), ""),
    "no text": (body(named("data", b"\xff\xfe\x00")), ""),
    "base64": (
        body(part(b"eA==", 'Content-Disposition: form-data; name="data"', "Content-Transfer-Encoding: base64")),
        "",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_upload_is_400(service: Served, case: str) -> None:
    content, kind = BAD[case]
    answer = sent(service, content, kind or f"multipart/form-data; boundary={BOUNDARY}")
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"].count("\n") == 0 and spooled(service) == []


def test_a_compressed_body_is_400(service: Served) -> None:
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "Content-Encoding": "gzip"}
    assert service.post("/intake", data=gzip.compress(body(named("data"))), headers=headers).status_code == 400


def test_too_large_is_413(service: Served) -> None:
    assert sent(service, body(named("data", b" " * (1 << 20) + b"{}"))).status_code == 413
    assert sent(service, body(named("file", b"x" * (9 << 20)))).status_code == 413
    head = f"POST /intake HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
    assert b" 413 " in raw(service, f"{head}Content-Length: 99999999999\r\n\r\n".encode())
    assert spooled(service) == []


def test_an_endless_body_ends_with_413(service: Served) -> None:
    head = (
        "POST /intake HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
    ).encode()
    start = named("file", b"x")[:-2]
    chunk = b"10000\r\n" + b"y" * 65536 + b"\r\n"
    first = f"{len(start):x}\r\n".encode() + start + b"\r\n"
    assert b" 413 " in raw(service, head + first, endless=chunk)
    assert spooled(service) == []


def raw(service: Served, start: bytes, endless: bytes = b"") -> bytes:
    """The first bytes of the answer; `endless` is sent until it comes."""
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 60) as sock:
        sock.sendall(start)
        if endless:
            sock.settimeout(0.001)
        for _ in range(100_000):
            try:
                return sock.recv(100)
            except TimeoutError:
                sock.settimeout(60)
                sock.sendall(endless)
                sock.settimeout(0.001)
    raise AssertionError("no answer")


def test_a_broken_connection_leaves_nothing(service: Served) -> None:
    start = named("file", b"x" * 300_000)
    head = f"POST /intake HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 60) as sock:
        sock.sendall(f"{head}Content-Length: 9000000\r\n\r\n".encode() + start)
        wait_until(lambda: spooled(service))
    wait_until(lambda: not spooled(service))


def test_memory_stays_flat(tmp_path: Path) -> None:
    body = Body(BOUNDARY.encode(), ("data",), Spool(str(tmp_path)), Limits(model=48 << 20))
    tracemalloc.start()
    try:
        body.feed(named("file", b"x")[:-2])
        with pytest.raises(TooLarge):
            while True:
                body.feed(b"\r\n--b0undar" * 6000)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
        body.discard()
    assert not os.listdir(tmp_path)


def test_every_cut_of_the_stream_is_read_alike(tmp_path: Path) -> None:
    content = body(named("data", b"{1}"), part(b"a\r\n--b0undar\r\n\r\n--b0und\r", "X: y"), named("data", b"{2}"))
    for size in (1, 2, 3, 7, 11):
        found = Body(BOUNDARY.encode(), ("data",), Spool(str(tmp_path)), Limits())
        for i in range(0, len(content), size):
            found.feed(content[i : i + size])
        found.close()
        assert found.texts == {"data": ["{1}", "{2}"]} and found.model is not None
        assert found.model.head(100) == b"a\r\n--b0undar\r\n\r\n--b0und\r"
        found.discard()


def test_what_a_dead_service_left_in_the_spool_goes_away(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path))
    used = spool.file()
    (tmp_path / "left").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x").write_bytes(b"x")
    (tmp_path / "link").symlink_to("/etc/passwd")
    with spool.scratch() as folder:
        spool.sweep()
        assert {*os.listdir(tmp_path)} == {os.path.basename(used.path), os.path.basename(folder)}
    used.discard()
    assert os.path.exists("/etc/passwd")


def test_an_engine_that_uses_the_spool_sweeps_nothing_away(tmp_path: Path) -> None:
    """What the service is just making is not locked yet."""
    made = tmp_path / ".service" / "spool" / "made"
    made.mkdir(parents=True)
    Spool(str(made.parent))
    assert made.exists()
    Spool.below(str(tmp_path))
    assert not made.exists()
