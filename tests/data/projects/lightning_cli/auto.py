from lightning.pytorch.cli import LightningCLI
LightningCLI(seed_everything_default=1)
