"""python main.py fit --config config.yaml"""

from data import DigitsDataModule
from lightning.pytorch.cli import LightningCLI
from model import DigitsClassifier


def main():
    LightningCLI(DigitsClassifier, DigitsDataModule, save_config_kwargs={"overwrite": True})


if __name__ == "__main__":
    main()
