"""A small real task for examples and tests: scikit-learn's 1,797 handwritten digits, 8x8 pixels, bundled with it.

By hand: `python -m hpo_trainees.digits`; in a study: `command: python -m hpo_trainees.digits`. Nothing is downloaded;
the split depends on its seed only.
"""

from __future__ import annotations

import lightning.pytorch as pl
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from hpo_trainees.classifier import Classifier
from hpo_trainees.optimizers import check_choice
from hpo_trainees.tune import tune_main

CLASSES = 10
Batch = tuple[Tensor, ...]  # images (n, 1, 8, 8) with pixels in 0..1, targets (n,)


class DigitsData(pl.LightningDataModule):
    """The digits, a fifth of them for validation.

    Args:
        batch_size: images in a training batch, >= 1.
        split_seed: which images are for validation; trials that are compared must share it.
    """

    def __init__(self, batch_size: int = 64, split_seed: int = 0) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.split_seed = split_seed
        self._train: TensorDataset | None = None
        self._val: TensorDataset | None = None

    def setup(self, stage: str | None = None) -> None:
        if self._train is not None:
            return
        pixels, labels = load_digits(return_X_y=True)
        images = torch.tensor(pixels, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16  # pixels are 0..16
        targets = torch.tensor(labels, dtype=torch.int64)
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(self.split_seed))
        val, train = order[: len(images) // 5], order[len(images) // 5 :]
        self._train = TensorDataset(images[train], targets[train])
        self._val = TensorDataset(images[val], targets[val])

    # No worker processes: the data is in memory, and starting them costs more than an epoch.

    def train_dataloader(self) -> DataLoader[Batch]:
        return DataLoader(_ready(self._train), batch_size=self.batch_size, shuffle=True, num_workers=0)

    def val_dataloader(self) -> DataLoader[Batch]:
        return DataLoader(_ready(self._val), batch_size=256, num_workers=0)


class DigitsModule(Classifier):
    """A classifier of the digits; logs train_loss, val_loss and val_acc, each averaged over the epoch.

    Args:
        arch: "mlp" (one hidden layer) or "cnn" (two convolutions, then one hidden layer).
        hidden: units of the hidden layer, >= 1.
        dropout: share of hidden units dropped while training, 0..1.
        learning_rate: > 0.
        optimizer: "adam", "adamw" or "sgd".
        momentum: of sgd; not used by the others.
        weight_decay: >= 0.
    """

    def __init__(
        self,
        arch: str = "mlp",
        hidden: int = 64,
        dropout: float = 0.0,
        learning_rate: float = 1e-3,
        optimizer: str = "adam",
        momentum: float = 0.9,
        weight_decay: float = 0.0,
    ) -> None:
        features, width = _features(arch)
        head = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, CLASSES))
        super().__init__(
            nn.Sequential(features, head),
            learning_rate=learning_rate,
            optimizer=optimizer,
            momentum=momentum,
            weight_decay=weight_decay,
        )


def _ready(dataset: TensorDataset | None) -> TensorDataset:
    if dataset is None:
        raise RuntimeError("call setup() before asking for a dataloader")
    return dataset


def _features(arch: str) -> tuple[nn.Module, int]:
    """What comes before the hidden layer, and how many numbers it gives for an image."""
    check_choice("arch", arch, ("mlp", "cnn"))
    if arch == "mlp":
        return nn.Flatten(), 8 * 8
    first, second = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()), 32 * 4 * 4


if __name__ == "__main__":
    tune_main(DigitsModule, DigitsData, defaults={"max_epochs": 6})
