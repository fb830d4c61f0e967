"""MNIST and CIFAR-10 with a few images that a glance tells apart, in the data sets' own formats, and a server of them."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.server
import io
import os
import pickle
import struct
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

TRAIN, TEST = 240, 40


def pictures(count: int, shape: tuple[int, ...], seed: int) -> tuple[Any, Any]:
    """(bytes (count, *shape), labels (count,)): a bright block for each label in a place of its own, on noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 10
    images = rng.integers(0, 60, (count, *shape), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        row, column = 5 + 12 * (label // 5), 4 + 4 * (label % 5)
        image[..., row : row + 8, column : column + 4] = 250
    return images, labels.astype(np.uint8)


def mnist_files() -> dict[str, bytes]:
    """The four archives, by name."""
    out = {}
    for part, count, seed in (("train", TRAIN, 0), ("t10k", TEST, 1)):
        images, labels = pictures(count, (28, 28), seed)
        out[f"{part}-images-idx3-ubyte.gz"] = struct.pack(">IIII", 0x803, count, 28, 28) + images.tobytes()
        out[f"{part}-labels-idx1-ubyte.gz"] = struct.pack(">II", 0x801, count) + labels.tobytes()
    return {name: gzip.compress(content, mtime=0) for name, content in out.items()}


def cifar10_batches() -> dict[str, bytes]:
    """The seven files, by name."""
    out = {}
    for number in range(1, 7):
        count = TRAIN // 5 if number < 6 else TEST
        images, labels = pictures(count, (3, 32, 32), number)
        name = f"data_batch_{number}" if number < 6 else "test_batch"
        out[name] = pickle.dumps({"data": images.reshape(count, -1), "labels": labels.tolist()}, protocol=2)
    out["batches.meta"] = pickle.dumps({"label_names": [f"thing {number}" for number in range(10)]}, protocol=2)
    return out


def cifar10_archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in cifar10_batches().items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def lay_mnist(root: Path) -> None:
    for name, content in mnist_files().items():
        path = root / "MNIST" / "raw" / name.removesuffix(".gz")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.decompress(content))


def lay_cifar10(root: Path) -> None:
    for name, content in cifar10_batches().items():
        path = root / "cifar-10-batches-py" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def take_made_up_checksums(kind: Any, url: str = "http://127.0.0.1:9/", archive: bytes = b"") -> None:
    """Has a class of torchvision, MNIST or CIFAR10, expect the files above, from `url`."""
    if kind.__name__ == "MNIST":
        kind.mirrors = [url]
        kind.resources = [(name, md5(content)) for name, content in mnist_files().items()]
        return
    files = cifar10_batches()
    kind.url, kind.tgz_md5 = f"{url}cifar-10-python.tar.gz", md5(archive)
    kind.train_list = [[name, md5(content)] for name, content in files.items() if name.startswith("data")]
    kind.test_list = [["test_batch", md5(files["test_batch"])]]
    kind.meta = {**kind.meta, "md5": md5(files["batches.meta"])}


SITE = '''
"""For scripts that are run as they are: as soon as they import CIFAR-10, it expects the made-up files."""
import importlib.machinery
import sys


class Finder:
    def find_spec(self, name, path=None, target=None):
        if name != "torchvision.datasets.cifar":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module

        def execute_and_change(module):
            execute(module)
            from tests.support.made_up import take_made_up_checksums

            take_made_up_checksums(module.CIFAR10)

        spec.loader.exec_module = execute_and_change
        return spec


sys.meta_path.insert(0, Finder())
'''


@contextlib.contextmanager
def serving(files: dict[str, bytes], *, spoil: Callable[[str, int], str] = lambda name, request: "") -> Iterator[Any]:
    """A server of `files`. Gives an object with `url` and `requests`, the names in the order of the GET requests.

    Args:
        spoil: for the n-th request (from 1) of a name: "" serves it, "cut" breaks the connection in the middle, "hang"
            sends half and waits until the client has gone, "wrong" sends other bytes, "gone" answers 404.
    """
    requests: list[str] = []
    reached = threading.Event()
    over = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = os.path.basename(self.path)
            content = files[name]
            if self.headers.get("Method") == "HEAD":  # how torchvision asks where redirections lead to
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            requests.append(name)
            what = spoil(name, requests.count(name))
            if what == "gone":
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if what == "wrong":
                content = bytes(len(content))
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            if what == "hang":
                reached.set()
                over.wait(60)
            if what in ("cut", "hang"):
                self.close_connection = True
                return
            self.wfile.write(content[len(content) // 2 :])

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    class Served:
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        half_sent = reached

    Served.requests = requests  # type: ignore[attr-defined]
    try:
        yield Served
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()
