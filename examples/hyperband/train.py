"""A small neural network on scikit-learn's handwritten digits, for as many epochs as config.json says.

The epochs come from the search: Hyperband begins with many short trainings and goes on with the best ones. A training
that goes on finds its checkpoint in HPO_RESUME_FROM; without it, all of them would begin anew. Imports nothing from
hpo-engine: config.json in, val_dict_list.json out.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier


def main() -> None:
    settings = json.loads(Path("config.json").read_text())
    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x / 16.0, y, test_size=0.4, random_state=0, stratify=y)
    network, rows = started(settings)
    for epoch in range(len(rows) + 1, settings["epochs"] + 1):
        network.partial_fit(x_train, y_train, classes=np.arange(10))
        error = 1.0 - float(network.score(x_test, y_test))
        rows.append({"step": epoch, "error": round(error, 6), "loss": float(network.loss_)})
        # Aside first, so that each file is whole or not there, whoever reads it and whatever ends the training.
        joblib.dump((network, rows), "last.ckpt.tmp")
        Path("last.ckpt.tmp").replace("last.ckpt")
        Path("val_dict_list.tmp").write_text(json.dumps(rows))
        Path("val_dict_list.tmp").replace("val_dict_list.json")
    print(f"{settings['epochs']} epochs: error {rows[-1]['error']:.4f}")


def started(settings: dict[str, Any]) -> tuple[MLPClassifier, list[dict[str, float]]]:
    """The network and its rows so far: those of the checkpoint, or new ones."""
    if checkpoint := os.environ.get("HPO_RESUME_FROM"):
        network, rows = joblib.load(checkpoint)
        return network, rows
    network = MLPClassifier(
        (settings["hidden"],),
        activation=settings["activation"],
        solver="sgd",
        learning_rate_init=settings["learning_rate"],
        momentum=settings["momentum"],
        alpha=settings["weight_decay"],
        batch_size=settings["batch_size"],
        random_state=0,
    )
    return network, []


if __name__ == "__main__":
    main()
