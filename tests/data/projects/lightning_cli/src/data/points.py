import lightning as L
import torch
from torch.utils.data import DataLoader, TensorDataset


class PointsDataModule(L.LightningDataModule):
    def __init__(self, n_points: int = 400, batch_size: int = 32, num_workers: int = 0, data_dir: str = "data"):
        super().__init__()
        self.save_hyperparameters()

    def setup(self, stage=None):
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(self.hparams.n_points, 2, generator=generator)
        y = (x[:, 0] * x[:, 1] > 0).long()
        cut = len(x) * 3 // 4
        self.train = TensorDataset(x[:cut], y[:cut])
        self.val = TensorDataset(x[cut:], y[cut:])

    def train_dataloader(self):
        return DataLoader(self.train, batch_size=self.hparams.batch_size, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.val, batch_size=self.hparams.batch_size)
