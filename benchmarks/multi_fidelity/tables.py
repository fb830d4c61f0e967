"""Makes the tables of learning curves: `python -m benchmarks.multi_fidelity.tables TASK ... | tuning | all`

Configurations are drawn at random (Sobol points); each is really trained, with every amount of the resource that makes
a difference, and its validation loss is kept after every unit. Needs scikit-learn and torch; a task takes one to five
minutes on one core.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402

from benchmarks.multi_fidelity import nets  # noqa: E402
from benchmarks.multi_fidelity.tasks import TASKS, Task, data_path  # noqa: E402

Train = Callable[[Sequence[Mapping[str, Any]], int], np.ndarray]
"""(configurations, amount of the resource) -> losses after each unit (configurations, amount)."""


def main() -> None:
    warnings.filterwarnings("ignore")
    words = sys.argv[1:]
    wanted = {"all": list(TASKS), "tuning": [name for name, task in TASKS.items() if task.tuning]}
    for name in [name for word in words for name in wanted.get(word, [word])]:
        begin = time.process_time()
        points, losses = made(TASKS[name], TRAIN[name])
        final = losses[:, -1]
        print(
            f"{name}: {len(points)} configurations in {time.process_time() - begin:.0f} s; best {final.min():.5g}, "
            f"median {np.median(final):.5g}",
            flush=True,
        )
        np.savez_compressed(
            data_path(name),
            points=points.astype(np.float32),
            losses=losses.astype(np.float16 if losses.max() < 6e4 and losses.min() > 1e-3 else np.float32),
        )


def made(task: Task, train: Train) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, d), and losses (n, columns): the curve of a full training, preceded by those of shorter runs where
    they differ from its beginning (`spans`), the shortest first."""
    from scipy.stats import qmc

    points = task.space.tidy(qmc.Sobol(len(task.space.dimensions), rng=0).random(task.rows))
    params = [task.space.decode(p) for p in points]
    lengths = task.amounts if task.spans else (task.most,)
    return points, np.concatenate([train(params, length) for length in lengths], axis=1)


# -- data -----------------------------------------------------------------------------------------------------------


def _split(name: str, validation: float = 0.5) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    load = {"cancer": datasets.load_breast_cancer, "wine": datasets.load_wine, "digits": datasets.load_digits}
    x, y = load.get(name, datasets.load_diabetes)(return_X_y=True)
    x = x / 16 if name == "digits" else (x - x.mean(0)) / x.std(0)
    if name == "diabetes":
        y = (y - y.mean()) / y.std()
    labels = None if name == "diabetes" else y
    a, b, ya, yb = train_test_split(x, y, test_size=validation, random_state=0, stratify=labels)
    return a, ya, b, yb


def _data(name: str, error: bool = False) -> nets.Data:
    a, ya, b, yb = _split(name)
    return nets.Data(a, ya, b, yb, "values" if name == "diabetes" else "classes", error)


# -- trainings ------------------------------------------------------------------------------------------------------


def _nets(
    name: str, params: Sequence[Mapping[str, Any]], epochs: int, error: bool = False, layers: int = 1, **fixed: Any
) -> np.ndarray:
    return nets.curves(_data(name, error), [{**fixed, **p} for p in params], epochs, layers)


def _coder(params: Sequence[Mapping[str, Any]], epochs: int) -> np.ndarray:
    """Denoising autoencoders."""
    a, _, b, _ = _split("digits")
    return nets.curves(nets.Data(a, a, b, b, "values"), params, epochs, layers=1)


def _boosted(name: str, params: Sequence[Mapping[str, Any]], trees: int) -> np.ndarray:
    from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

    a, ya, b, yb = _split(name)
    kind = GradientBoostingRegressor if name == "diabetes" else GradientBoostingClassifier
    out = []
    for p in params:
        model = kind(n_estimators=trees, random_state=0, **p).fit(a, ya)
        if name == "diabetes":
            out.append([float(np.sqrt(np.mean((v - yb) ** 2))) for v in model.staged_predict(b)])
        else:
            out.append([_log_loss(v, yb) for v in model.staged_predict_proba(b)])
    return np.minimum(np.array(out), 2.0)


def _histogram(params: Sequence[Mapping[str, Any]], trees: int) -> np.ndarray:
    from sklearn.ensemble import HistGradientBoostingClassifier

    a, ya, b, yb = _split("digits")
    out = []
    for p in params:
        model = HistGradientBoostingClassifier(
            learning_rate=p["learning_rate"], max_leaf_nodes=p["max_leaf_nodes"], max_iter=trees,
            min_samples_leaf=p["min_samples_leaf"], l2_regularization=p["l2"], early_stopping=False, random_state=0,
            max_bins=17,
        ).fit(a, ya)  # fmt: skip
        out.append([_log_loss(v, yb) for v in model.staged_predict_proba(b)])
    return np.minimum(np.array(out), 3.5)


def _stumps(params: Sequence[Mapping[str, Any]], trees: int) -> np.ndarray:
    """AdaBoost, which may end early when it fits perfectly: its last value stays."""
    from sklearn.ensemble import AdaBoostClassifier
    from sklearn.tree import DecisionTreeClassifier

    a, ya, b, yb = _split("wine", 0.6)
    out = []
    for p in params:
        tree = DecisionTreeClassifier(
            max_depth=p["max_depth"], min_samples_leaf=p["min_samples_leaf"], max_features=p["max_features"]
        )
        model = AdaBoostClassifier(tree, n_estimators=trees, learning_rate=p["learning_rate"], random_state=0)
        curve = [_log_loss(v, yb) for v in model.fit(a, ya).staged_predict_proba(b)]
        out.append(curve + curve[-1:] * (trees - len(curve)))
    return np.minimum(np.array(out), 2.0)


def _log_loss(probabilities: np.ndarray, y: np.ndarray) -> float:
    own = probabilities[np.arange(len(y)), y]
    return float(-np.mean(np.log(np.clip(np.nan_to_num(own, nan=1e-4), 1e-4, 1))))


TRAIN: Mapping[str, Train] = {
    "trees-cancer": partial(_boosted, "cancer"),
    "cosine-digits": partial(_nets, "digits"),
    "adam-digits": partial(_nets, "digits", optimizer="adam"),
    "softmax-digits": partial(_nets, "digits", error=True, layers=0, schedule="exponential"),
    "values-diabetes": partial(_nets, "diabetes", layers=2),
    "ensemble-digits": _histogram,
    "onecycle-cancer": partial(_nets, "cancer", optimizer="adam", layers=2),
    "stumps-wine": _stumps,
    "coder-digits": _coder,
    "warmup-digits": partial(_nets, "digits", error=True, layers=2, schedule="exponential", warmup=0.05),
    "shrinkage-diabetes": partial(_boosted, "diabetes"),
}

if __name__ == "__main__":
    main()
