"""Trainings in one process and in two on CPUs, for tests/trainees/test_questions.py; prints what came out as JSON.

A process of its own: Lightning forks it, which is safe only before torch has begun threads.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset
from torchmetrics import MeanMetric

ROWS, BATCH = 48, 8
VAL = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 70.0]  # seven values: two processes cannot share them evenly


class Net(pl.LightningModule):
    """Logs the mean of VAL in four ways, and keeps its weights after each step."""

    def __init__(self, plain_sampler: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1)).double()
        self.mean = MeanMetric()
        self.plain_sampler = plain_sampler
        self.steps: list[list[float]] = []

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        table, targets = batch
        return nn.functional.mse_loss(self.net(table).squeeze(1), targets)

    def on_train_batch_end(self, *_: Any) -> None:
        self.steps.append(torch.cat([weight.detach().flatten() for weight in self.parameters()]).tolist())

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        (values,) = batch
        self.log("plain", values.mean())
        self.log("synced", values.mean(), sync_dist=True)
        self.mean(values)
        self.log("metric", self.mean)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=0.01)

    def train_dataloader(self) -> Any:
        rows = torch.randn(ROWS, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        data = TensorDataset(rows, rows.sum(1).sin())
        parts, number = self.trainer.world_size, self.trainer.global_rank
        # The same global batches: of two processes, this one has rows 0, 2, 4 ... and the other one 1, 3, 5 ...
        sampler: Any = DistributedSampler(data, parts, number, shuffle=False)
        return DataLoader(data, batch_size=BATCH // parts, sampler=sampler)

    def val_dataloader(self) -> Any:
        mine = slice(self.trainer.global_rank, None, self.trainer.world_size) if self.plain_sampler else slice(None)
        return DataLoader(TensorDataset(torch.tensor(VAL)[mine]), batch_size=3)


def train(devices: int, folder: Path, plain_sampler: bool = False) -> dict[str, Any]:
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=devices,
        strategy="ddp_fork" if devices > 1 else "auto",
        use_distributed_sampler=not plain_sampler,
        max_epochs=3,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=[Keeps(folder)],
    )
    trainer.fit(Net(plain_sampler))
    return json.loads((folder / "rank0.json").read_text())


class Keeps(pl.Callback):
    """Writes what each process has at the end, as forked processes take it with them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        path = self.folder / f"rank{trainer.global_rank}.json"
        path.write_text(json.dumps({"metrics": metrics, "steps": pl_module.steps}))


def main() -> None:
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    out: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        # Two processes first: forked before this one has trained anything.
        out["two"] = train(2, Path(folder))
        out["two_rank1"] = json.loads((Path(folder) / "rank1.json").read_text())
        out["two_unpadded"] = train(2, Path(folder), plain_sampler=True)
        out["one"] = train(1, Path(folder))
    json.dump(out, sys.stdout)


if __name__ == "__main__":
    main()
