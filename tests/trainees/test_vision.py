"""MNIST and CIFAR-10 from made-up files, with torchvision's own download and a real server; in an environment that has
torchvision (`.ci/run` makes one)."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import made_up

pytest.importorskip("torchvision", exc_type=ImportError)
pytestmark = pytest.mark.filterwarnings("ignore")

ARCHIVE = made_up.cifar10_archive()
FILES = {**made_up.mnist_files(), "cifar-10-python.tar.gz": ARCHIVE}
KINDS = ("mnist", "cifar10")


def data_class(name: str) -> Any:
    from hpo_trainees.cifar10 import Cifar10Data
    from hpo_trainees.mnist import MnistData

    return {"mnist": MnistData, "cifar10": Cifar10Data}[name]


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """DATA_DIR, and classes that expect the made-up files and quickly give up."""
    from torchvision import datasets

    names = ("mirrors", "resources", "url", "tgz_md5", "train_list", "test_list", "meta")
    for kind in (datasets.MNIST, datasets.CIFAR10):
        for name in names:
            if hasattr(kind, name):
                monkeypatch.setattr(kind, name, getattr(kind, name))  # put back afterwards
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("RESULT_DIR", raising=False)
    return tmp_path / "data"


def expect(url: str) -> None:
    from torchvision import datasets

    for kind in (datasets.MNIST, datasets.CIFAR10):
        made_up.take_made_up_checksums(kind, url, ARCHIVE)


def left(root: Path) -> list[str]:
    """What a download leaves in DATA_DIR beside the lock."""
    return sorted(path.name for path in root.iterdir() if not path.name.endswith(".lock"))


def checked(data: Any, name: str) -> None:
    """The images are those of the files, whole and with their labels, split by the seed."""
    import torch

    data.setup(None)
    shape = {"mnist": (1, 28, 28), "cifar10": (3, 32, 32)}[name]
    sets = {part: data._sets[part].tensors for part in ("fit", "validate", "test")}
    for images, targets in sets.values():
        assert images.shape[1:] == shape and images.dtype == torch.uint8
        for image, label in zip(images, targets, strict=True):
            row, column = 5 + 12 * (int(label) // 5), 4 + 4 * (int(label) % 5)
            assert (image[..., row : row + 8, column : column + 4] == 250).all() and image.float().mean() < 60
    assert len(sets["fit"][0]) + len(sets["validate"][0]) == made_up.TRAIN and len(sets["test"][0]) == made_up.TEST


@pytest.mark.parametrize("name", KINDS)
def test_downloaded_once_and_read_as_it_is(name: str, root: Path) -> None:
    with made_up.serving(FILES) as server:
        expect(server.url)
        data_class(name)().prepare_data()
        asked = len(server.requests)
        assert asked == {"mnist": 4, "cifar10": 1}[name]
        data = data_class(name)()
        data.prepare_data()
        assert len(server.requests) == asked
    checked(data, name)
    assert left(root) == [{"mnist": "MNIST", "cifar10": "cifar-10-batches-py"}[name]]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("how", ["cut", "wrong", "gone"])
def test_a_download_that_fails_is_tried_again(name: str, how: str, root: Path) -> None:
    spoilt = {"mnist": "t10k-images-idx3-ubyte.gz", "cifar10": "cifar-10-python.tar.gz"}[name]
    with made_up.serving(FILES, spoil=lambda file, n: how if (file, n) == (spoilt, 1) else "") as server:
        expect(server.url)
        data = data_class(name)()
        data.prepare_data()
        assert server.requests.count(spoilt) == 2 and len(server.requests) == {"mnist": 5, "cifar10": 2}[name]
    checked(data, name)


@pytest.mark.parametrize("name", KINDS)
def test_without_a_network_one_sentence_says_so_and_nothing_is_left(name: str, root: Path) -> None:
    from hpo_trainees.shared_files import DataError

    expect("http://127.0.0.1:9/")  # nobody listens there
    with pytest.raises(DataError, match="could not be downloaded.*refused.*DATA_DIR"):
        data_class(name)().prepare_data()
    assert left(root) == []


@pytest.mark.parametrize("name", KINDS)
def test_an_archive_that_was_put_there_by_hand_is_used(name: str, root: Path) -> None:
    expect("http://127.0.0.1:9/")
    place = root / "MNIST" / "raw" if name == "mnist" else root
    place.mkdir(parents=True)
    mine = made_up.mnist_files() if name == "mnist" else {"cifar-10-python.tar.gz": ARCHIVE}
    for file, content in mine.items():
        (place / file).write_bytes(content)
    data = data_class(name)()
    data.prepare_data()
    checked(data, name)


def test_two_that_need_it_at_once_download_it_once(root: Path) -> None:
    with made_up.serving(FILES) as server:
        expect(server.url)
        fork = multiprocessing.get_context("fork")
        both = [fork.Process(target=data_class("cifar10")().prepare_data) for _ in range(2)]
        for process in both:
            process.start()
        for process in both:
            process.join(60)
        assert [process.exitcode for process in both] == [0, 0] and server.requests == ["cifar-10-python.tar.gz"]
    data = data_class("cifar10")()
    checked(data, "cifar10")


def test_after_a_kill_in_the_middle_of_a_download_the_next_one_begins_afresh(root: Path) -> None:
    with made_up.serving(FILES, spoil=lambda file, request: "hang" if request == 1 else "") as server:
        expect(server.url)
        child = multiprocessing.get_context("fork").Process(target=data_class("cifar10")().prepare_data)
        child.start()
        assert server.half_sent.wait(60)
        assert child.pid
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        assert not (root / "cifar-10-batches-py").exists()
        data = data_class("cifar10")()
        data.prepare_data()
        assert len(server.requests) == 2
    checked(data, "cifar10")
    assert left(root) == ["cifar-10-batches-py"]


@pytest.mark.parametrize(
    ("name", "file"), [("mnist", "MNIST/raw/train-images-idx3-ubyte"), ("cifar10", "cifar-10-batches-py/data_batch_3")]
)
@pytest.mark.parametrize("how", ["cut", "noise", "empty"])
def test_a_damaged_file_is_named_with_what_to_do(name: str, file: str, how: str, root: Path) -> None:
    from hpo_trainees.shared_files import DataError

    expect("http://127.0.0.1:9/")
    made_up.lay_mnist(root)
    made_up.lay_cifar10(root)
    whole = (root / file).read_bytes()
    (root / file).write_bytes({"cut": whole[:1000], "noise": bytes(len(whole)), "empty": b""}[how])
    data = data_class(name)()
    data.prepare_data()
    with pytest.raises(DataError, match=f"{file.split('/')[0]} cannot be read .*delete that folder"):
        data.setup("fit")


@pytest.mark.parametrize("arch", ["cnn", "resnet18"])
def test_networks_have_the_weights_and_the_resolution_that_they_say(arch: str) -> None:
    import torch

    from hpo_trainees.cifar10 import Cifar10Module

    net: Any = Cifar10Module(arch=arch).net
    weights = sum(weight.numel() for weight in net.parameters())
    assert weights == {"cnn": 288_746, "resnet18": 11_173_962}[arch]
    if arch == "resnet18":
        seen: list[Any] = []
        net.layer1.register_forward_hook(lambda module, inputs, output: seen.append(tuple(output.shape)))
        net(torch.zeros(2, 3, 32, 32))
        assert seen == [(2, 64, 32, 32)], "no pixel is lost before the first stage"


@pytest.mark.parametrize("name", KINDS)
def test_script_learns_by_hand(name: str, root: Path, tmp_path: Path) -> None:
    made_up.lay_mnist(root)
    made_up.lay_cifar10(root)
    (tmp_path / "sitecustomize.py").write_text(made_up.SITE)
    work = tmp_path / "work"
    work.mkdir()
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}", "OMP_NUM_THREADS": "1"}
    argv = [sys.executable, "-m", f"hpo_trainees.{name}", "--max_epochs", "4", "--batch_size", "16", "--width", "4"]
    argv += ["--optimizer", "adam", "--learning_rate", "0.01", "--augment", "false"]
    done = subprocess.run(argv, cwd=work, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = json.loads((work / "val_dict_list.json").read_text())
    assert [row["step"] for row in rows] == [1, 2, 3, 4] and max(row["val_acc"] for row in rows) > 0.5
