import lightning as L
import torch
from torch import nn
from torch.nn import functional as F


class DigitsClassifier(L.LightningModule):
    """A perceptron for images of 8x8 pixels.

    Args:
        hidden: Width of each hidden layer.
        depth: Number of hidden layers.
        lr: Learning rate.
        dropout: Share of the activations that training drops.
        optimizer: adam or sgd.
    """

    def __init__(
        self, hidden: int = 64, depth: int = 2, lr: float = 1e-3, dropout: float = 0.0, optimizer: str = "adam"
    ):
        super().__init__()
        self.save_hyperparameters()
        layers: list[nn.Module] = []
        width = 64
        for _ in range(depth):
            layers += [nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout)]
            width = hidden
        self.net = nn.Sequential(*layers, nn.Linear(width, 10))

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = F.cross_entropy(self.net(x), y)
        self.log("train/loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        logits = self.net(x)
        self.log("val/loss", F.cross_entropy(logits, y))
        self.log("val/acc", (logits.argmax(-1) == y).float().mean())

    def configure_optimizers(self):
        if self.hparams.optimizer == "sgd":
            return torch.optim.SGD(self.parameters(), lr=self.hparams.lr, momentum=0.9)
        return torch.optim.Adam(self.parameters(), lr=self.hparams.lr)
