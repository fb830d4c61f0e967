"""What all classifiers here have in common: the loss, the metrics, the optimizer. A subclass brings the network."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from torch import Tensor, nn

from hpo_trainees.optimizers import OPTIMIZERS, SCHEDULES, check_choice, configured


class Classifier(pl.LightningModule):
    """Trains `net` by cross entropy; logs train_loss, val_loss and val_acc (test_loss and test_acc), each averaged over
    all examples of the epoch, and of all processes.

    Args:
        net: gives logits (n, classes) of the first part of a batch; the second part is the targets (n,).
        learning_rate: > 0; with a schedule, its highest value.
        optimizer: "adam", "adamw" or "sgd".
        momentum: of sgd; not used by the others.
        weight_decay: >= 0.
        schedule: "constant", or "cosine": down to 0 at the end of the training.
        label_smoothing: share of each target that is spread over all classes, 0..1; not in val_loss.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        learning_rate: float,
        optimizer: str = "adam",
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        schedule: str = "constant",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        check_choice("optimizer", optimizer, OPTIMIZERS)
        check_choice("schedule", schedule, SCHEDULES)
        self.save_hyperparameters(ignore=["net"])  # those of the subclass: load_from_checkpoint makes it again
        self.net = net
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.label_smoothing = label_smoothing

    def forward(self, inputs: Any) -> Tensor:
        """Logits (n, classes)."""
        logits: Tensor = self.net(inputs)
        return logits

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        inputs, targets = batch
        loss = nn.functional.cross_entropy(self(inputs), targets, label_smoothing=self.label_smoothing)
        self.log("train_loss", loss, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(targets))
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self._score(batch, "val")

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self._score(batch, "test")

    def configure_optimizers(self) -> Any:
        return configured(
            self,
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            momentum=self.momentum,
            schedule=self.schedule,
        )

    def _score(self, batch: Any, stage: str) -> None:
        inputs, targets = batch
        logits = self(inputs)
        hits = (logits.argmax(dim=1) == targets).float().mean()
        # The last batch is smaller: Lightning weighs by batch_size. Of several processes, sync_dist averages.
        self.log(f"{stage}_loss", nn.functional.cross_entropy(logits, targets), sync_dist=True, batch_size=len(targets))
        self.log(f"{stage}_acc", hits, sync_dist=True, batch_size=len(targets))
