"""Train with: python main.py fit --config configs/fit.yaml"""

import torch
from lightning.pytorch.cli import LightningCLI

from src.data.points import PointsDataModule
from src.models import LitMLP


def cli_main():
    torch.set_num_threads(1)
    LightningCLI(LitMLP, PointsDataModule, seed_everything_default=42)


if __name__ == "__main__":
    cli_main()
