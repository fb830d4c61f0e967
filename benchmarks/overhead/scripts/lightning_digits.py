"""Three epochs of a small net on scikit-learn's digits, in plain Lightning; knows nothing of a tuner."""

import json
import logging
import os
import warnings
from typing import Any

import lightning.pytorch as pl
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Net(pl.LightningModule):
    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.layers = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
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
    images, labels = load_digits(return_X_y=True)
    data = TensorDataset(torch.tensor(images, dtype=torch.float32) / 16, torch.tensor(labels))
    train, held = torch.utils.data.random_split(data, [1400, len(data) - 1400], torch.Generator().manual_seed(0))
    net = Net(10 ** (config["x"] - 2))
    trainer = pl.Trainer(
        max_epochs=3, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(net, DataLoader(train, batch_size=64, shuffle=True), DataLoader(held, batch_size=256))
    with open(os.path.join(os.environ["RESULT_DIR"], "val_dict_list.json"), "w") as file:
        json.dump(net.rows, file)


if __name__ == "__main__":
    main()
