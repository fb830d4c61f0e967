from data import Digits
from model import LitMLP

from hpo_trainees.tune import tune_main

if __name__ == "__main__":
    tune_main(LitMLP, Digits, link={"data.num_classes": "model.num_classes"})
