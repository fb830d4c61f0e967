"""python main.py --config config.yaml"""

from data import Digits
from model import LitMLP

from hpo_trainees.tune_cli import TuneCLI


def main():
    TuneCLI(LitMLP, Digits)


if __name__ == "__main__":
    main()
