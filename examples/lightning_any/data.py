import lightning as L
import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset, random_split


class Digits(L.LightningDataModule):
    """scikit-learn's 1,797 handwritten digits."""

    def __init__(self, batch_size: int = 64, val_share: float = 0.2):
        super().__init__()
        self.batch_size = batch_size
        self.val_share = val_share

    def setup(self, stage=None):
        x, y = load_digits(return_X_y=True)
        self.num_classes = len(set(y))
        data = TensorDataset(torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y))
        split = [1 - self.val_share, self.val_share]
        self.train, self.val = random_split(data, split, generator=torch.Generator().manual_seed(0))

    def train_dataloader(self):
        return DataLoader(self.train, batch_size=self.batch_size, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.val, batch_size=512)
