"""A Lightning trainer that logs its own curves with WandbLogger; nothing in it knows hpo-engine."""

import argparse

import lightning as L
import torch
from lightning.pytorch.loggers import CSVLogger, WandbLogger
from torch.utils.data import DataLoader, TensorDataset


class Net(L.LightningModule):
    def __init__(self, lr, hidden):
        super().__init__()
        self.save_hyperparameters()
        self.layers = torch.nn.Sequential(torch.nn.Linear(2, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, 1))

    def _loss(self, batch):
        x, y = batch
        return torch.nn.functional.mse_loss(self.layers(x), y)

    def training_step(self, batch, index):
        return self._loss(batch)

    def validation_step(self, batch, index):
        self.log("val_loss", self._loss(batch))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.hparams.lr)


parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.01)
parser.add_argument("--hidden", type=int, default=16)
parser.add_argument("--epochs", type=int, default=5)
args = parser.parse_args()
L.seed_everything(1)
x = torch.rand(512, 2) * 2 - 1
data = TensorDataset(x, torch.sin(3 * x[:, :1]) * x[:, 1:])
trainer = L.Trainer(
    max_epochs=args.epochs, logger=[WandbLogger(), CSVLogger(".")], accelerator="cpu", enable_progress_bar=False
)
trainer.fit(Net(args.lr, args.hidden), DataLoader(data, 64, shuffle=True), DataLoader(data, 256))
