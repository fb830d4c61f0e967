"""Data sets of small images that fit into memory: the split, the batches, crops and flips."""

from __future__ import annotations

import contextlib
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from hpo_trainees.shared_files import DataError, data_root, provide
from hpo_trainees.values import ConfigError

Batch = tuple[Tensor, ...]  # images (n, channels, height, width), targets (n,)
SHIFT = 4  # pixels that an image is moved by at most; common for 32x32 (He et al. 2016, section 4.2)
TRIES = 3
STALLED_S = 60.0  # of a connection that sends nothing


class Source(NamedTuple):
    """A data set of torchvision.

    `kind` is its class; `files`: what it must have below its root; `archives`: what it downloads, by the names under
    which it looks for them there first; `mean`, `std`: of the training pixels in 0..1, one for each channel; `flips`:
    whether a mirror image is an image of the same class.
    """

    kind: Callable[[], Any]
    files: tuple[str, ...]
    archives: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    flips: bool


class ImageData(pl.LightningDataModule):
    """A data set of torchvision, downloaded once into DATA_DIR; part of its training set is for validation.

    Batches leave the loaders as bytes and are normalised, cropped and flipped on the device, a whole batch at a time.

    Args:
        source: the data set.
        batch_size: images in a training batch, >= 1.
        augment: whether training images are moved by up to 4 pixels (a crop of the padded image) and mirrored.
        val_share: of the training set, for validation, 0..1; at least one image.
        split_seed: which images are for validation; trials that are compared must share it.
        train_size: how many training images are used, the first of those that the split gives; 0: all.
    """

    def __init__(
        self, source: Source, *, batch_size: int, augment: bool, val_share: float, split_seed: int, train_size: int
    ) -> None:
        super().__init__()
        if not 0 < val_share < 1:
            raise ConfigError(f"val_share must be between 0 and 1, not {val_share}")
        self.source = source
        self.batch_size = batch_size
        self.augment = augment
        self.val_share = val_share
        self.split_seed = split_seed
        self.train_size = train_size
        self._sets: dict[str, TensorDataset] = {}

    def prepare_data(self) -> None:
        kind, root = self.source.kind(), data_root()

        def make(folder: Path) -> None:
            for name in self.source.archives:  # put there by hand: a copy, as torchvision overwrites damaged ones
                if (root / name).is_file():
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(root / name, folder / name)
            _download(kind, folder)

        provide(root, self.source.files, make)

    def setup(self, stage: str | None = None) -> None:
        if stage in ("fit", "validate", None) and "fit" not in self._sets:
            images, targets = self._read(train=True)
            order = torch.randperm(len(images), generator=torch.Generator().manual_seed(self.split_seed))
            held_out = max(1, round(self.val_share * len(images)))
            val, train = order[:held_out], order[held_out:][: self.train_size or None]
            self._sets["fit"] = TensorDataset(images[train], targets[train])
            self._sets["validate"] = TensorDataset(images[val], targets[val])
        if stage in ("test", None) and "test" not in self._sets:
            self._sets["test"] = TensorDataset(*self._read(train=False))

    # No worker processes: the images are in memory, and what is costly is done a batch at a time on the device.

    def train_dataloader(self) -> DataLoader[Batch]:
        return DataLoader(self._set("fit"), batch_size=self.batch_size, shuffle=True, num_workers=0)

    def val_dataloader(self) -> DataLoader[Batch]:
        return DataLoader(self._set("validate"), batch_size=500, num_workers=0)

    def test_dataloader(self) -> DataLoader[Batch]:
        return DataLoader(self._set("test"), batch_size=500, num_workers=0)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        images, targets = batch
        images = self.normalised(images)
        if self.augment and self.trainer is not None and self.trainer.training:
            images = shifted(images, SHIFT)
            if self.source.flips:
                images = mirrored(images)
        return images, targets

    def normalised(self, images: Tensor) -> Tensor:
        """Bytes (n, channels, height, width) as numbers with mean 0 and deviation 1 over the training set."""
        mean, std = (
            images.new_tensor(v, dtype=torch.float32).view(1, -1, 1, 1) for v in (self.source.mean, self.source.std)
        )
        return (images / 255 - mean) / std

    def _set(self, name: str) -> TensorDataset:
        if name not in self._sets:
            raise RuntimeError("call prepare_data() and setup() before asking for a dataloader")
        return self._sets[name]

    def _read(self, train: bool) -> tuple[Tensor, Tensor]:
        """Images (n, channels, height, width) as bytes, targets (n,)."""
        root = data_root()
        try:
            found = self.source.kind()(root=root, train=train)
            images, targets = torch.as_tensor(found.data), torch.as_tensor(found.targets, dtype=torch.int64)
            if len(images) != len(targets) or not len(images):
                raise ValueError(f"{len(images)} images and {len(targets)} labels")
        except Exception as error:  # whatever torch, numpy and pickle make of other bytes
            folder = root / Path(self.source.files[0]).parts[0]
            raise DataError(
                f"the files in {folder} cannot be read ({_one_line(error)}): delete that folder, and the next run "
                "downloads them"
            ) from None
        return (images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)).contiguous(), targets


def shifted(images: Tensor, most: int) -> Tensor:
    """Each image (n, channels, height, width) moved by up to `most` pixels up or down, left or right; zeros move in."""
    n, channels, height, width = images.shape
    padded = torch.nn.functional.pad(images, (most, most, most, most))
    top, left = torch.randint(0, 2 * most + 1, (2, n), device=images.device)
    rows = (top[:, None] + torch.arange(height, device=images.device))[:, None, :, None]  # (n, 1, height, 1)
    columns = (left[:, None] + torch.arange(width, device=images.device))[:, None, None, :]  # (n, 1, 1, width)
    which = torch.arange(n, device=images.device)[:, None, None, None]
    return padded[which, torch.arange(channels, device=images.device)[None, :, None, None], rows, columns]


def mirrored(images: Tensor) -> Tensor:
    """Each image (n, channels, height, width) as it is or left for right, with equal chances."""
    flips = torch.rand(len(images), device=images.device) < 0.5
    return torch.where(flips[:, None, None, None], images.flip(3), images)


def _download(kind: Any, folder: Path) -> None:
    """torchvision's own download, with its checksums; tried anew where a connection is lost."""
    print(f"preparing {kind.__name__} in {folder.parent}", flush=True)
    for again in range(TRIES):
        try:
            with _timeout(STALLED_S):
                kind(root=folder, download=True)
            return
        except (OSError, RuntimeError, EOFError) as error:
            if again == TRIES - 1:
                raise DataError(
                    f"{kind.__name__} could not be downloaded to {folder.parent} ({_one_line(error)}): try again, or "
                    "set DATA_DIR (in a study file: data_dir) to a folder that has it"
                ) from None
            time.sleep(2**again)


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


@contextlib.contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
