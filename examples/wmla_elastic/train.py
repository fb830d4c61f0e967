"""A script for elastic distributed training, as WMLA's users have them."""

import argparse
import json
import os
import sys

sys.path.insert(0, os.path.join(os.environ["FABRIC_HOME"], "libs", "fabric.zip"))

import torch
import torch.nn.functional as F
from callbacks import Callback
from edtcallback import EDTLoggerCallback
from fabric_model import FabricModel
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import TensorDataset


class Decay(Callback):
    def __init__(self, gamma):
        super().__init__()
        self.gamma = gamma

    def on_epoch_begin(self, epoch):
        if epoch > 0:
            for group in self.params["optimizer"].param_groups:
                group["lr"] *= self.gamma


def get_datasets():
    images, labels = load_digits(return_X_y=True)
    images = torch.tensor(images / 16.0, dtype=torch.float32)
    labels = torch.tensor(labels)
    return TensorDataset(images[:1400], labels[:1400]), TensorDataset(images[1400:], labels[1400:])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--numWorker", type=int, default=16, help="the most workers")
    args, _ = parser.parse_known_args()
    with open("config.json") as f:
        config = json.load(f)
    torch.manual_seed(1)
    width = config["width"]
    model = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=config["learning_rate"], momentum=0.9)
    edt = FabricModel(
        model,
        get_datasets,
        F.cross_entropy,
        optimizer,
        user_callback=[Decay(config["gamma"])],
        driver_logger=EDTLoggerCallback(),
    )
    edt.train(config["epochs"], 32, args.numWorker)


if __name__ == "__main__":
    main()
