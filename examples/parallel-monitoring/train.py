"""Trains a small network on scikit-learn's handwritten digits, and logs each epoch to MLflow.

python train.py --lr 0.003 --hidden_dim 64 --max_epochs 5
"""

import argparse
import os

import lightning as L
import torch
import torch.nn.functional as F
from lightning.pytorch.loggers import MLFlowLogger
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


class LitDigits(L.LightningModule):
    def __init__(self, hidden_dim=64, dropout=0.1, lr=1e-3):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(
            nn.Flatten(), nn.Linear(64, hidden_dim), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden_dim, 10)
        )

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = F.cross_entropy(self(x), y)
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        logits = self(x)
        self.log("val_loss", F.cross_entropy(logits, y), prog_bar=True)
        self.log("val_acc", (logits.argmax(dim=1) == y).float().mean(), prog_bar=True)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.hparams.lr)


def loaders(batch_size):
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32) / 16
    data = TensorDataset(images, torch.tensor(digits.target))
    train_set, val_set = random_split(data, [1500, 297], generator=torch.Generator().manual_seed(0))
    return DataLoader(train_set, batch_size, shuffle=True), DataLoader(val_set, 297)


def main(args):
    L.seed_everything(args.seed)
    # The server's address is MLFLOW_TRACKING_URI, which Lightning takes by itself; the experiment it has to be told.
    logger = MLFlowLogger(experiment_name=os.environ.get("MLFLOW_EXPERIMENT_NAME", "digits"))
    trainer = L.Trainer(
        max_epochs=args.max_epochs, accelerator="cpu", logger=logger, log_every_n_steps=1000, enable_progress_bar=False
    )
    trainer.fit(LitDigits(args.hidden_dim, args.dropout, args.lr), *loaders(args.batch_size))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--hidden_dim", type=int, default=64)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--max_epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    main(parser.parse_args())
