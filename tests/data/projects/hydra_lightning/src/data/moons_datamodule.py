from pathlib import Path

import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader, TensorDataset


class MoonsDataModule(LightningDataModule):
    def __init__(self, data_dir: str = "data/", batch_size: int = 64, num_workers: int = 0, pin_memory: bool = False):
        super().__init__()
        self.save_hyperparameters(logger=False)

    def setup(self, stage=None):
        rows = [line.split(",") for line in (Path(self.hparams.data_dir) / "moons.csv").read_text().splitlines()[1:]]
        table = torch.tensor([[float(cell) for cell in row] for row in rows])
        x, y = table[:, :2], table[:, 2].long()
        cut = len(x) * 3 // 4
        self.data_train, self.data_val = TensorDataset(x[:cut], y[:cut]), TensorDataset(x[cut:], y[cut:])

    def train_dataloader(self):
        return DataLoader(self.data_train, batch_size=self.hparams.batch_size, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.data_val, batch_size=self.hparams.batch_size)
