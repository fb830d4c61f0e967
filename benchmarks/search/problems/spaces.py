"""The spaces of the training tasks, and at how much of the resource their learning curves are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hpo_engine.space.searchspace import Choice, Float, Int, SearchSpace


def data_path(name: str) -> Path:
    """Where a task's table is."""
    return Path(__file__).parent / "data" / f"{name}.npz"


@dataclass(frozen=True)
class Task:
    """`levels`: resource of each column of the curve, the last one is the full training. `unit`: what a unit is.

    `resolution`: the metric comes in multiples of this (0: continuous). `rows`: configurations that are trained, half
    of them uniform and half near good ones; 0: all there are. `league`: whether it is one of the problems that all
    algorithms are compared on; if not, it is one of the `curves` only.
    """

    space: SearchSpace
    rows: int
    levels: tuple[int, ...] = (1,)
    unit: str = ""
    resolution: float = 0.0
    league: bool = True


_SCALERS = ("none", "standard", "minmax", "robust")
_KERNELS = {"kernel": ["rbf", "poly", "sigmoid"]}

TASKS: Mapping[str, Task] = {
    "svm-cancer": Task(
        SearchSpace(
            (
                Choice("kernel", ("linear", "rbf", "poly", "sigmoid")),
                Float("C", 1e-3, 1e3, log=True),
                Float("gamma", 1e-5, 10, log=True, when=_KERNELS),
                Int("degree", 2, 5, when={"kernel": "poly"}),
                Float("coef0", 0, 2, when={"kernel": ["poly", "sigmoid"]}),
                Choice("scaler", _SCALERS),
                Choice("balanced", (False, True)),
            )
        ),
        rows=600,
        resolution=1 / 569,
    ),
    "svr-diabetes": Task(
        SearchSpace(
            (
                Choice("kernel", ("rbf", "linear", "poly")),
                Float("C", 1e-2, 1e4, log=True),
                Float("epsilon", 1e-2, 50, log=True),
                Float("gamma", 1e-4, 10, log=True, when={"kernel": ["rbf", "poly"]}),
                Int("degree", 2, 4, when={"kernel": "poly"}),
                Choice("scaler", _SCALERS),
            )
        ),
        rows=500,
    ),
    "forest-digits": Task(
        SearchSpace(
            (
                Int("n_estimators", 4, 64, log=True),
                Int("max_depth", 2, 24),
                Int("min_samples_leaf", 1, 32, log=True),
                Int("min_samples_split", 2, 64, log=True),
                Float("max_features", 0.02, 1, log=True),
                Choice("criterion", ("gini", "entropy")),
                Choice("bootstrap", (True, False)),
                Float("max_samples", 0.2, 1, when={"bootstrap": True}),
            )
        ),
        rows=450,
        resolution=1 / 898,
    ),
    "boosting-diabetes": Task(
        SearchSpace(
            (
                Float("learning_rate", 0.01, 1, log=True),
                Int("max_depth", 1, 8),
                Int("min_samples_leaf", 1, 50, log=True),
                Float("subsample", 0.3, 1),
                Float("max_features", 0.1, 1),
                Choice("loss", ("squared_error", "huber", "absolute_error")),
                Float("alpha", 0.5, 0.99, when={"loss": "huber"}),
            )
        ),
        rows=250,
        levels=(1, 3, 9, 27, 81),
        unit="trees",
    ),
    "neighbours-digits": Task(
        SearchSpace(
            (
                Choice("scaler", ("none", "standard", "minmax", "norm")),
                Int("components", 2, 64),
                Int("k", 1, 40, log=True),
                Choice("weights", ("uniform", "distance")),
                Choice("metric", ("minkowski", "chebyshev", "cosine", "canberra")),
                Float("p", 1, 4, when={"metric": "minkowski"}),
            )
        ),
        rows=400,
        resolution=1 / 898,
    ),
    "pipeline-cancer": Task(
        SearchSpace(
            (
                Choice("scaler", ("none", "standard", "minmax", "robust", "quantile", "power", "norm")),
                Choice("reduction", ("none", "pca2", "pca5", "pca10", "best3", "best8", "best20", "random8")),
                Choice("model", ("logistic", "ridge", "lda", "qda", "bayes", "neighbours", "tree", "svm")),
                Choice("strength", ("lowest", "low", "high", "highest"), ordered=True),
                Choice("balanced", (False, True)),
            )
        ),
        rows=0,
        resolution=1 / 569,
    ),
    "net-digits": Task(
        SearchSpace(
            (
                Choice("optimizer", ("sgd", "adam", "rmsprop")),
                Float("learning_rate", 1e-4, 1, log=True),
                Float("momentum", 0, 0.99, when={"optimizer": "sgd"}),
                Float("weight_decay", 1e-6, 1e-1, log=True),
                Int("batch", 5, 8, power=2),
                Int("layers", 1, 3),
                Int("width", 8, 128, log=True),
                Float("dropout", 0, 0.7),
                Choice("activation", ("relu", "tanh", "gelu", "sigmoid")),
            )
        ),
        rows=240,
        levels=(1, 3, 9, 27),
        unit="epochs",
    ),
    "linear-cancer": Task(
        SearchSpace(
            (
                Choice("loss", ("log_loss", "hinge", "modified_huber", "perceptron")),
                Choice("penalty", ("l2", "l1", "elasticnet", "none")),
                Float("alpha", 1e-7, 1, log=True, when={"penalty": ["l2", "l1", "elasticnet"]}),
                Float("l1_ratio", 0, 1, when={"penalty": "elasticnet"}),
                Choice("schedule", ("constant", "invscaling", "optimal")),
                Float("eta0", 1e-5, 10, log=True, when={"schedule": ["constant", "invscaling"]}),
                Float("power_t", 0.05, 0.9, when={"schedule": "invscaling"}),
                Choice("average", (False, True)),
                Choice("scaler", _SCALERS),
            )
        ),
        rows=450,
        levels=(1, 3, 9, 27),
        unit="epochs",
        resolution=1 / 569,
    ),
    "elastic-diabetes": Task(
        SearchSpace(
            (
                Float("alpha", 1e-4, 100, log=True),
                Float("l1_ratio", 0.01, 1, log=True),
                Int("degree", 1, 3),
                Choice("interactions", (True, False), when={"degree": [2, 3]}),
                Choice("scaler", _SCALERS),
                Float("target_power", -1, 2),
            )
        ),
        rows=600,
    ),
    "tree-digits": Task(
        SearchSpace(
            (
                Choice("criterion", ("gini", "entropy")),
                Choice("splitter", ("best", "random")),
                Int("max_depth", 2, 30),
                Int("min_samples_split", 2, 100, log=True),
                Int("min_samples_leaf", 1, 50, log=True),
                Int("max_leaf_nodes", 10, 300, log=True),
                Int("max_features", 4, 64),
                Float("ccp_alpha", 1e-6, 1e-1, log=True),
            )
        ),
        rows=1000,
        resolution=1 / 1797,
    ),
    "boosting-wine": Task(
        SearchSpace(
            (
                Int("n_estimators", 2, 60, log=True),
                Float("learning_rate", 0.005, 2, log=True),
                Int("max_depth", 1, 6),
                Int("min_samples_leaf", 1, 30, log=True),
                Int("max_features", 1, 13),
                Float("subsample", 0.2, 1, step=0.1),
                Choice("criterion", ("friedman_mse", "squared_error")),
            )
        ),
        rows=500,
    ),
    # What people use short runs for: an optimiser's settings over so many decades that most trainings fail, and a few
    # epochs show which. Spaces, data and metrics were fixed before any algorithm ran on them.
    "sgd-digits": Task(
        SearchSpace(
            (
                Float("learning_rate", 1e-4, 10, log=True),
                Float("momentum", 0, 0.99),
                Float("weight_decay", 1e-7, 1e-1, log=True),
                Float("decay", 0.9, 1),  # of the learning rate, an epoch
                Int("batch", 6, 9, power=2),
                Int("layers", 1, 3),
                Int("width", 8, 128, log=True),
                Choice("activation", ("relu", "tanh", "sigmoid")),
                Float("init_scale", 0.03, 10, log=True),
                Float("dropout", 0, 0.8),
            )
        ),
        rows=320,
        levels=(1, 3, 9, 27, 81),
        unit="epochs",
        resolution=1 / 1797,
        league=False,
    ),
}
