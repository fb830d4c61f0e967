"""Two epochs of a small CNN, in plain Lightning, as most scripts are: it says nothing of threads, nor of a tuner."""

import json
import logging
import os
import warnings
from typing import Any

import lightning.pytorch as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Net(pl.LightningModule):
    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(800, 64), nn.ReLU(), nn.Linear(64, 10),
        )  # fmt: skip
        self.rows: list[dict[str, float]] = []

    def training_step(self, batch: Any, index: int) -> Any:
        return nn.functional.cross_entropy(self.layers(batch[0]), batch[1])

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("loss", nn.functional.cross_entropy(self.layers(batch[0]), batch[1]))

    def on_validation_epoch_end(self) -> None:
        self.rows.append({"step": self.current_epoch + 1, "loss": float(self.trainer.callback_metrics["loss"])})

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), self.rate)


def main() -> None:
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with open("config.json") as file:
        config = json.load(file)
    pl.seed_everything(0, verbose=False)
    images = torch.rand(2400, 1, 28, 28)
    labels = (images.mean((1, 2, 3)) * 1000).long() % 10
    train, held = TensorDataset(images[:2000], labels[:2000]), TensorDataset(images[2000:], labels[2000:])
    net = Net(10 ** (config["x"] - 3))
    trainer = pl.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(net, DataLoader(train, batch_size=64, shuffle=True), DataLoader(held, batch_size=200))
    with open(os.path.join(os.environ["RESULT_DIR"], "val_dict_list.json"), "w") as file:
        json.dump(net.rows, file)


if __name__ == "__main__":
    main()
