"""A line to be fitted by Lightning. Apart from the tests: Lightning takes seconds to import."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

from hpo_trainees.lightning import ReportCallback


class Line(pl.LightningModule):
    """y = w x, fitted by plain SGD; logs each example's value so that every average can be computed by hand."""

    def __init__(self, **log: Any) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1, bias=False)
        self.log_options = {"on_step": False, "on_epoch": True, **log}
        self.train_losses: list[list[float]] = []
        self.validations = 0

    def on_train_epoch_start(self) -> None:
        self.train_losses.append([])

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        loss = ((self.layer(batch[0]) - batch[0]) ** 2).mean()
        self.train_losses[-1] += [float(loss)] * len(batch[0])
        self.log("train_loss", loss, **self.log_options)
        self.log("of_one_batch", loss)
        return loss

    def validation_step(self, batch: list[torch.Tensor], batch_idx: int) -> None:
        self.log("val_mean", batch[0].mean(), batch_size=len(batch[0]))
        self.log("validations", float(self.validations))

    def on_validation_epoch_end(self) -> None:
        self.validations += not self.trainer.sanity_checking

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def loader(values: list[float], batch_size: int) -> DataLoader[Any]:
    return DataLoader(TensorDataset(torch.tensor(values).reshape(-1, 1)), batch_size=batch_size)


TRAIN = [0.1 * i for i in range(10)]
VAL = [1.0, 2.0, 3.0, 4.0, 100.0]  # in batches of 2, 2 and 1: the mean of the batches' means is not the mean


def fit(folder: Path, model: pl.LightningModule, val: bool = True, **options: Any) -> list[dict[str, float]]:
    settings: dict[str, Any] = {
        "max_epochs": 2,
        "callbacks": [ReportCallback()],
        "logger": False,
        "enable_checkpointing": False,
    }
    settings |= {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu", **options}
    trainer = pl.Trainer(**settings)
    trainer.fit(model, loader(TRAIN, 4), loader(VAL, 2) if val else None)
    file = folder / "val_dict_list.json"
    return json.loads(file.read_text()) if file.exists() else []
