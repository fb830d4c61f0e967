from typing import Literal

import lightning as L
import torch
from torch import nn


class LitMLP(L.LightningModule):
    """A small perceptron.

    Args:
        hidden_dim: width of the hidden layer (8-128)
        dropout: probability of dropping a unit, in [0, 0.5]
        lr: learning rate
        weight_decay: L2 penalty
        activation: relu or tanh
    """

    def __init__(
        self,
        hidden_dim: int = 32,
        dropout: float = 0.1,
        lr: float = 1e-3,
        weight_decay: float = 1e-4,
        activation: Literal["relu", "tanh"] = "relu",
        layer_norm: bool = False,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        act = nn.ReLU() if activation == "relu" else nn.Tanh()
        norm = nn.LayerNorm(hidden_dim) if layer_norm else nn.Identity()
        self.net = nn.Sequential(nn.Linear(2, hidden_dim), norm, act, nn.Dropout(dropout), nn.Linear(hidden_dim, 2))
        self.loss = nn.CrossEntropyLoss()

    def _shared_step(self, batch, stage):
        x, y = batch
        logits = self.net(x)
        loss = self.loss(logits, y)
        acc = (logits.argmax(1) == y).float().mean()
        self.log(f"{stage}_loss", loss, prog_bar=True)
        self.log(f"{stage}_acc", acc, prog_bar=True)
        return loss

    def training_step(self, batch, batch_idx):
        return self._shared_step(batch, "train")

    def validation_step(self, batch, batch_idx):
        self._shared_step(batch, "val")

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.hparams.lr, weight_decay=self.hparams.weight_decay)
