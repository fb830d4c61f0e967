"""Trains a network on scikit-learn's handwritten digits, from the beginning or from a checkpoint.

python train.py --lr 0.003 --max_epochs 10
python train.py --lr 0.003 --max_epochs 20 --ckpt_path lightning_logs/version_0/checkpoints/last.ckpt
"""

import argparse

import lightning as L
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


class LitDigits(L.LightningModule):
    def __init__(self, hidden_dim=64, dropout=0.1, lr=1e-3):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(
            nn.Linear(64, hidden_dim),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_dim, 10),
        )

    def training_step(self, batch, batch_idx):
        x, y = batch
        return F.cross_entropy(self.net(x), y)

    def validation_step(self, batch, batch_idx):
        x, y = batch
        logits = self.net(x)
        self.log("val_loss", F.cross_entropy(logits, y), prog_bar=True)
        self.log("val_acc", (logits.argmax(dim=1) == y).float().mean(), prog_bar=True)

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=self.hparams.lr)


def main(args):
    L.seed_everything(args.seed)
    digits = load_digits()
    data = TensorDataset(torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target))
    train_set, val_set = random_split(data, [1500, 297], generator=torch.Generator().manual_seed(0))

    trainer = L.Trainer(
        max_epochs=args.max_epochs,
        accelerator="auto",
        logger=CSVLogger("."),
        callbacks=[ModelCheckpoint(monitor="val_loss", save_last=True)],
    )
    trainer.fit(
        LitDigits(args.hidden_dim, args.dropout, args.lr),
        DataLoader(train_set, batch_size=args.batch_size, shuffle=True),
        DataLoader(val_set, batch_size=256),
        ckpt_path=args.ckpt_path,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--hidden_dim", type=int, default=64)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--max_epochs", type=int, default=10)
    parser.add_argument("--ckpt_path", help="train on from this checkpoint")
    parser.add_argument("--seed", type=int, default=42)
    main(parser.parse_args())
