"""Regression on a small table: how far has diabetes progressed after a year? 442 patients, ten measurements each (Efron
et al. 2004), bundled with scikit-learn; nothing is downloaded.

By hand: `python -m hpo_trainees.tabular`; in a study: `command: python -m hpo_trainees.tabular`.
"""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from sklearn.datasets import load_diabetes
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MeanSquaredError, R2Score

from hpo_trainees.optimizers import OPTIMIZERS, SCHEDULES, check_choice, configured
from hpo_trainees.tune import tune_main
from hpo_trainees.values import ConfigError

FEATURES = 10
CENTRE, SPREAD = 150.0, 75.0  # of the target, 25..346, roughly: the network predicts (target - CENTRE) / SPREAD
ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}
Batch = tuple[Tensor, ...]  # features (n, 10), targets (n,) in the units of the data set


class TabularData(pl.LightningDataModule):
    """The patients in five folds, one of them for validation.

    Args:
        batch_size: rows in a training batch, >= 1.
        fold: which fold is for validation, 0..4. Of so few rows, one fold says little: a difference of 2 in val_rmse is
            chance.
        split_seed: how the rows are dealt out to the folds; trials that are compared must share it.
    """

    FOLDS = 5

    def __init__(self, batch_size: int = 32, fold: int = 0, split_seed: int = 0) -> None:
        super().__init__()
        if not 0 <= fold < self.FOLDS:
            raise ConfigError(f"fold must be in 0..{self.FOLDS - 1}, not {fold}")
        self.batch_size = batch_size
        self.fold = fold
        self.split_seed = split_seed
        self._train: TensorDataset | None = None
        self._val: TensorDataset | None = None

    def setup(self, stage: str | None = None) -> None:
        if self._train is not None:
            return
        table, targets = (
            torch.tensor(values, dtype=torch.float32) for values in load_diabetes(return_X_y=True, scaled=False)
        )
        order = torch.randperm(len(table), generator=torch.Generator().manual_seed(self.split_seed))
        parts = list(order.tensor_split(self.FOLDS))
        val = parts.pop(self.fold)
        train = torch.cat(parts)
        # By the training rows alone: validation rows that had a say in the scale would not be unseen.
        table = (table - table[train].mean(0)) / table[train].std(0)
        self._train = TensorDataset(table[train], targets[train])
        self._val = TensorDataset(table[val], targets[val])

    # No worker processes: the data is in memory, and starting them costs more than an epoch.

    def train_dataloader(self) -> DataLoader[Batch]:
        return DataLoader(_ready(self._train), batch_size=self.batch_size, shuffle=True, num_workers=0)

    def val_dataloader(self) -> DataLoader[Batch]:
        return DataLoader(_ready(self._val), batch_size=256, num_workers=0)


class TabularModule(pl.LightningModule):
    """A network with some hidden layers; logs train_loss and, over the whole validation set, val_loss (of the scaled
    target), val_rmse (in the units of the data set) and val_r2 (1: perfect, 0: no better than the mean).

    Args:
        layers: hidden layers, >= 0; 0 is linear regression.
        hidden: units of each, >= 1.
        activation: "relu", "gelu" or "tanh".
        dropout: share of hidden units dropped while training, 0..1.
        loss: "mse", or "huber", on which outliers have less influence.
        learning_rate: > 0; with a schedule, its highest value.
        optimizer: "adam", "adamw" or "sgd".
        momentum: of sgd; not used by the others.
        weight_decay: >= 0.
        schedule: "constant" or "cosine".
    """

    def __init__(
        self,
        layers: int = 1,
        hidden: int = 32,
        activation: str = "relu",
        dropout: float = 0.0,
        loss: str = "mse",
        learning_rate: float = 3e-3,
        optimizer: str = "adamw",
        momentum: float = 0.9,
        weight_decay: float = 0.01,
        schedule: str = "cosine",
    ) -> None:
        super().__init__()
        check_choice("activation", activation, ACTIVATIONS)
        check_choice("loss", loss, ("mse", "huber"))
        check_choice("optimizer", optimizer, OPTIMIZERS)
        check_choice("schedule", schedule, SCHEDULES)
        self.save_hyperparameters()
        self.learning_rate = learning_rate
        self.net = _network(layers, hidden, ACTIVATIONS[activation], dropout)
        self.loss = nn.MSELoss() if loss == "mse" else nn.HuberLoss()
        # Neither is a mean over batches: the metrics add up what they need and work it out at the end of the epoch.
        self.val_rmse = MeanSquaredError(squared=False)
        self.val_r2 = R2Score()

    def forward(self, table: Tensor) -> Tensor:
        """Predictions (n,) for features (n, 10), in the units of the data set."""
        return CENTRE + SPREAD * self._scaled(table)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        table, targets = batch
        loss: Tensor = self.loss(self._scaled(table), (targets - CENTRE) / SPREAD)
        self.log("train_loss", loss, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(targets))
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        table, targets = batch
        scaled = self._scaled(table)
        loss = self.loss(scaled, (targets - CENTRE) / SPREAD)
        self.log("val_loss", loss, sync_dist=True, batch_size=len(targets))
        self.val_rmse(CENTRE + SPREAD * scaled, targets)
        self.val_r2(CENTRE + SPREAD * scaled, targets)
        self.log("val_rmse", self.val_rmse)
        self.log("val_r2", self.val_r2)

    def configure_optimizers(self) -> Any:
        names = ("optimizer", "weight_decay", "momentum", "schedule")
        return configured(self, learning_rate=self.learning_rate, **{name: self.hparams[name] for name in names})

    def _scaled(self, table: Tensor) -> Tensor:
        values: Tensor = self.net(table)
        return values.squeeze(1)


def _network(layers: int, hidden: int, activation: type[nn.Module], dropout: float) -> nn.Module:
    parts: list[nn.Module] = []
    width = FEATURES
    for _ in range(layers):
        parts += [nn.Linear(width, hidden), activation(), nn.Dropout(dropout)]
        width = hidden
    return nn.Sequential(*parts, nn.Linear(width, 1))


def _ready(dataset: TensorDataset | None) -> TensorDataset:
    if dataset is None:
        raise RuntimeError("call setup() before asking for a dataloader")
    return dataset


if __name__ == "__main__":
    tune_main(TabularModule, TabularData, defaults={"max_epochs": 60})
