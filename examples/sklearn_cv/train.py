"""Cross-validates a classifier of the kind and with the settings that config.json names; one row per fold.

Imports nothing from hpo-engine: two files connect them, config.json in and val_dict_list.json out.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from sklearn import datasets
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC


def classifier(settings: dict[str, Any]) -> Any:
    """Only the settings of the chosen kind are in config.json, so nothing else can be used by mistake."""
    kind = settings["model"]
    if kind == "logistic":
        return make_pipeline(StandardScaler(), LogisticRegression(C=settings["C"], max_iter=2000))
    if kind == "svm":
        return make_pipeline(StandardScaler(), SVC(C=settings["C"], gamma=settings["gamma"]))
    if kind == "forest":
        size = {"n_estimators": settings["trees"], "max_depth": settings["depth"]}
        return RandomForestClassifier(**size, max_features=settings["max_features"], random_state=0)
    if kind == "boosting":
        rate = settings["learning_rate"]
        return HistGradientBoostingClassifier(max_depth=settings["depth"], learning_rate=rate, random_state=0)
    raise ValueError(f"unknown model {kind!r}")


def write(rows: list[dict[str, float]], path: Path) -> None:
    """All rows, aside and then renamed, so that nobody reads half a file."""
    aside = path.with_suffix(".tmp")
    aside.write_text(json.dumps(rows))
    aside.replace(path)


def main() -> None:
    settings = json.loads(Path("config.json").read_text())
    x, y = getattr(datasets, f"load_{settings['dataset']}")(return_X_y=True)
    folds = StratifiedKFold(settings["folds"], shuffle=True, random_state=0)  # the same folds for every trial
    rows: list[dict[str, float]] = []
    for number, (train, test) in enumerate(folds.split(x, y), start=1):
        score = classifier(settings).fit(x[train], y[train]).score(x[test], y[test])
        mean = (sum(row["fold_accuracy"] for row in rows) + score) / number
        rows.append({"step": number, "fold_accuracy": score, "accuracy": mean})
        write(rows, Path(os.environ.get("RESULT_DIR", ".")) / "val_dict_list.json")
        print(f"fold {number}: {score:.4f} (mean so far {mean:.4f})", flush=True)


if __name__ == "__main__":
    main()
