"""A small neural network on scikit-learn's handwritten digits, for as many epochs as config.json says.

The epochs come from the search: Hyperband begins with many short trainings and repeats the best ones with more.
Nothing here depends on that. Imports nothing from hpo-engine: config.json in, val_dict_list.json out.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier


def main() -> None:
    settings = json.loads(Path("config.json").read_text())
    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x / 16.0, y, test_size=0.4, random_state=0, stratify=y)
    network = MLPClassifier(
        (settings["hidden"],),
        activation=settings["activation"],
        solver="sgd",
        learning_rate_init=settings["learning_rate"],
        momentum=settings["momentum"],
        alpha=settings["weight_decay"],
        batch_size=settings["batch_size"],
        random_state=0,  # the same beginning each time, so that more epochs continue the same curve
    )
    rows = []
    for epoch in range(1, settings["epochs"] + 1):
        network.partial_fit(x_train, y_train, classes=np.arange(10))
        error = 1.0 - float(network.score(x_test, y_test))
        rows.append({"step": epoch, "error": round(error, 6), "loss": float(network.loss_)})
        aside = Path("val_dict_list.tmp")
        aside.write_text(json.dumps(rows))
        aside.replace("val_dict_list.json")  # whole or not at all, whoever reads it meanwhile
    print(f"{settings['epochs']} epochs: error {rows[-1]['error']:.4f}")


if __name__ == "__main__":
    main()
