"""A small real task for examples and tests: scikit-learn's 1,797 handwritten digits, 8x8 pixels, bundled with it.

Nothing is downloaded; the split depends on its seed only. Knows nothing of the engine or of files.
"""

from __future__ import annotations

import lightning.pytorch as pl
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

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


class DigitsModule(pl.LightningModule):
    """A classifier of the digits; logs train_loss, val_loss and val_acc, each averaged over the epoch.

    Args:
        arch: "mlp" (one hidden layer) or "cnn" (two convolutions, then one hidden layer).
        hidden: units of the hidden layer, >= 1.
        dropout: share of hidden units dropped while training, 0..1.
        learning_rate: > 0.
        optimizer: "adam" or "sgd".
        momentum: of sgd; not used by adam.
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
        super().__init__()
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.momentum = momentum
        self.weight_decay = weight_decay
        if optimizer not in ("adam", "sgd"):
            raise ValueError(f'optimizer must be "adam" or "sgd", not {optimizer!r}')
        features, width = _features(arch)
        head = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, CLASSES))
        self.net = nn.Sequential(features, head)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, 10) of images (n, 1, 8, 8)."""
        logits: Tensor = self.net(images)
        return logits

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        images, targets = batch
        loss = nn.functional.cross_entropy(self(images), targets)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(targets))
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        images, targets = batch
        logits = self(images)
        hits = (logits.argmax(dim=1) == targets).float().mean()
        self.log("val_loss", nn.functional.cross_entropy(logits, targets), batch_size=len(targets))
        self.log("val_acc", hits, batch_size=len(targets))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        weights, rate, decay = self.parameters(), self.learning_rate, self.weight_decay
        if self.optimizer == "adam":
            return torch.optim.Adam(weights, lr=rate, weight_decay=decay)
        return torch.optim.SGD(weights, lr=rate, weight_decay=decay, momentum=self.momentum)


def _ready(dataset: TensorDataset | None) -> TensorDataset:
    if dataset is None:
        raise RuntimeError("call setup() before asking for a dataloader")
    return dataset


def _features(arch: str) -> tuple[nn.Module, int]:
    """What comes before the hidden layer, and how many numbers it gives for an image."""
    if arch == "mlp":
        return nn.Flatten(), 8 * 8
    if arch == "cnn":
        first, second = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)
        return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()), 32 * 4 * 4
    raise ValueError(f'arch must be "mlp" or "cnn", not {arch!r}')
