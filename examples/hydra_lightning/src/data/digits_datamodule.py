import lightning as L
import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset, random_split


class DigitsDataModule(L.LightningDataModule):
    def __init__(self, batch_size=64, val_share=0.2, num_workers=0):
        super().__init__()
        self.save_hyperparameters(logger=False)

    def setup(self, stage=None):
        x, y = load_digits(return_X_y=True)
        data = TensorDataset(torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y))
        share = self.hparams.val_share
        parts = random_split(data, [1 - 2 * share, share, share], generator=torch.Generator().manual_seed(42))
        self.data_train, self.data_val, self.data_test = parts

    def loader(self, data, shuffle=False):
        return DataLoader(
            data, batch_size=self.hparams.batch_size, num_workers=self.hparams.num_workers, shuffle=shuffle
        )

    def train_dataloader(self):
        return self.loader(self.data_train, shuffle=True)

    def val_dataloader(self):
        return self.loader(self.data_val)

    def test_dataloader(self):
        return self.loader(self.data_test)
