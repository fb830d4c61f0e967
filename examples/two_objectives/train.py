"""Trains a small network on handwritten digits and reports, after each epoch, its error and how many weights it has.

Imports nothing from hpo-engine: config.json in, val_dict_list.json out.
"""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier


def write(rows: list[dict[str, float]], path: Path) -> None:
    """All rows, aside and then renamed, so that nobody reads half a file."""
    aside = path.with_suffix(".tmp")
    aside.write_text(json.dumps(rows))
    aside.replace(path)


def main() -> None:
    settings = json.loads(Path("config.json").read_text())
    warnings.filterwarnings("ignore")  # the pixels that are the same in all images
    images, digits = load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split(images / 16, digits, test_size=0.3, random_state=0, stratify=digits)
    pixels = SelectKBest(f_classif, k=settings["pixels"]).fit(x, y)
    x, x_test = pixels.transform(x), pixels.transform(x_test)
    network = MLPClassifier(
        [settings["hidden"]] * settings["layers"],
        learning_rate_init=settings["learning_rate"],
        alpha=settings["weight_decay"],
        random_state=0,
    )
    rows: list[dict[str, float]] = []
    for epoch in range(1, settings["epochs"] + 1):
        network.partial_fit(x, y, classes=np.arange(10))
        weights = sum(part.size for part in [*network.coefs_, *network.intercepts_])
        rows.append({"step": epoch, "error": 1 - network.score(x_test, y_test), "weights": weights})
        write(rows, Path(os.environ.get("RESULT_DIR", ".")) / "val_dict_list.json")
        print(f"epoch {epoch}: error {rows[-1]['error']:.4f} with {weights} weights", flush=True)


if __name__ == "__main__":
    main()
