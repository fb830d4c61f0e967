"""Makes the tables of real trainings: `python -m benchmarks.search.tables --make TASK` (or `all`).

Half of a table's configurations are uniform in the space (Sobol points), the other half lie around the best so far, in
three rounds, so that the good regions are known well. Needs scikit-learn and torch; a task takes a
minute or so, sgd-digits nine.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402

from benchmarks.search.problems.spaces import TASKS, Task, data_path  # noqa: E402

Train = Callable[[Mapping[str, Any], Sequence[int]], list[float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--make", required=True, metavar="TASK", help=f"all, or one of {', '.join(TASKS)}")
    parser.add_argument("--rows", type=int, help="train this many configurations only, and write nothing")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    for name in TASKS if args.make == "all" else [args.make]:
        begin = time.process_time()
        points, losses = make(TASKS[name], TRAIN[name], args.rows)
        print(
            f"{name}: {len(points)} trainings in {time.process_time() - begin:.0f} s; best {losses[:, -1].min():.5g}, "
            f"median of the uniform ones {np.median(losses[: -(-len(losses) // 2), -1]):.5g}",
            flush=True,
        )
        if args.rows is None:
            np.savez_compressed(data_path(name), points=points.astype(np.float32), losses=losses.astype(np.float32))


def make(task: Task, train: Train, rows: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, d) as `SearchSpace.tidy` gives them and losses (n, levels), all finite."""
    from scipy.stats import qmc

    space = task.space
    rows = rows or task.rows
    if not rows:
        points = np.array([space.encode(params) for params in space.grid()])
        return points, np.array([train(params, task.levels) for params in space.grid()])
    rng = np.random.default_rng(0)
    d = len(space.dimensions)
    points = space.tidy(qmc.Sobol(d, rng=0).random(-(-rows // 2)))
    losses = [_finite(train(space.decode(p), task.levels)) for p in points]
    for left in (3, 2, 1):
        order = np.argsort([curve[-1] for curve in losses], kind="stable")
        good = points[order[: max(len(points) // 12, 5)]]
        new = _near(good, (rows - len(points)) // left, rng)
        new = space.tidy(new)
        losses += [_finite(train(space.decode(p), task.levels)) for p in new]
        points = np.concatenate([points, new])
    return points, np.array(losses)


def _near(good: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Points around good ones: each coordinate kept, moved a little, moved far, or drawn anew."""
    base = good[rng.integers(len(good), size=count)]
    base = np.where(np.isnan(base), rng.random(base.shape), base)
    kind = rng.random(base.shape)
    moved = base + rng.normal(size=base.shape) * np.where(kind < 0.6, 0.05, 0.2)
    return np.clip(np.where(kind < 0.25, base, np.where(kind < 0.9, moved, rng.random(base.shape))), 0, 1)


def _finite(curve: Sequence[float]) -> list[float]:
    return [float(v) if np.isfinite(v) else float("inf") for v in curve]


# -- data -----------------------------------------------------------------------------------------------------------


@cache
def _data(name: str) -> tuple[np.ndarray, np.ndarray]:
    from sklearn import datasets

    load = {"cancer": datasets.load_breast_cancer, "wine": datasets.load_wine, "digits": datasets.load_digits}
    return load.get(name, datasets.load_diabetes)(return_X_y=True)


@cache
def _folds(name: str, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    from sklearn.model_selection import KFold, StratifiedKFold

    x, y = _data(name)
    kind = KFold if name == "diabetes" else StratifiedKFold
    return list(kind(count, shuffle=True, random_state=0).split(x, y))


@cache
def _half(name: str) -> tuple[np.ndarray, np.ndarray]:
    return _folds(name, 2)[0]


def _scaler(name: str) -> Any:
    from sklearn import preprocessing as pre

    return {
        "none": None,
        "standard": pre.StandardScaler(),
        "minmax": pre.MinMaxScaler(),
        "robust": pre.RobustScaler(),
        "quantile": pre.QuantileTransformer(n_quantiles=100, output_distribution="normal", random_state=0),
        "power": pre.PowerTransformer(),
        "norm": pre.Normalizer(),
    }[name]


def _scaled(name: str, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scaler = _scaler(name)
    return (a, b) if scaler is None else (scaler.fit_transform(a), scaler.transform(b))


def _wrong(model: Any, data: str, folds: int, scaler: str = "none") -> float:
    """The share of rows that cross-validation gets wrong."""
    x, y = _data(data)
    wrong = 0
    for a, b in _folds(data, folds):
        train, test = _scaled(scaler, x[a], x[b])
        wrong += int((model.fit(train, y[a]).predict(test) != y[b]).sum())
    return wrong / len(y)


# -- tasks ----------------------------------------------------------------------------------------------------------


def _svm_cancer(p: Mapping[str, Any], levels: Sequence[int]) -> list[float]:
    from sklearn.svm import SVC

    model = SVC(
        kernel=p["kernel"], C=p["C"], gamma=p.get("gamma", "scale"), degree=p.get("degree", 3),
        coef0=p.get("coef0", 0.0), class_weight="balanced" if p["balanced"] else None, max_iter=10_000,
    )  # fmt: skip
    return [_wrong(model, "cancer", 5, p["scaler"])]


def _svr_diabetes(p: Mapping[str, Any], levels: Sequence[int]) -> list[float]:
    from sklearn.svm import SVR

    model = SVR(
        kernel=p["kernel"], C=p["C"], epsilon=p["epsilon"], gamma=p.get("gamma", "scale"),
        degree=p.get("degree", 3), max_iter=10_000,
    )  # fmt: skip
    x, y = _data("diabetes")
    errors = []
    for a, b in _folds("diabetes", 5):
        train, test = _scaled(p["scaler"], 20 * x[a], 20 * x[b])
        errors.append(np.mean((model.fit(train, y[a]).predict(test) - y[b]) ** 2))
    return [float(min(np.sqrt(np.mean(errors)), 300.0))]


def _forest_digits(p: Mapping[str, Any], levels: Sequence[int]) -> list[float]:
    from sklearn.ensemble import RandomForestClassifier

    x, y = _data("digits")
    a, b = _half("digits")
    model = RandomForestClassifier(
        p["n_estimators"], max_depth=p["max_depth"], min_samples_leaf=p["min_samples_leaf"],
        min_samples_split=p["min_samples_split"], max_features=p["max_features"], criterion=p["criterion"],
        bootstrap=p["bootstrap"], max_samples=p.get("max_samples"), random_state=0,
    )  # fmt: skip
    return [float(np.mean(model.fit(x[a], y[a]).predict(x[b]) != y[b]))]


def _boosting_diabetes(p: Mapping[str, Any], levels: Sequence[int]) -> list[float]:
    from sklearn.ensemble import GradientBoostingRegressor

    x, y = _data("diabetes")
    a, b = _folds("diabetes", 3)[0]
    model = GradientBoostingRegressor(
        n_estimators=levels[-1], learning_rate=p["learning_rate"], max_depth=p["max_depth"],
        min_samples_leaf=p["min_samples_leaf"], subsample=p["subsample"], max_features=p["max_features"],
        loss=p["loss"], alpha=p.get("alpha", 0.9), random_state=0,
    ).fit(x[a], y[a])  # fmt: skip
    staged = [float(np.sqrt(np.mean((out - y[b]) ** 2))) for out in model.staged_predict(x[b])]
    return [min(staged[level - 1], 300.0) for level in levels]


def _neighbours_digits(p: Mapping[str, Any], levels: Sequence[int]) -> list[float]:
    from sklearn.decomposition import PCA
    from sklearn.neighbors import KNeighborsClassifier

    x, y = _data("digits")
    a, b = _half("digits")
    train, test = _scaled(p["scaler"], x[a], x[b])
    pca = PCA(p["components"], random_state=0).fit(train)
    model = KNeighborsClassifier(
        p["k"], weights=p["weights"], metric=p["metric"], p=p.get("p", 2), algorithm="brute"
    ).fit(pca.transform(train), y[a])
    return [float(np.mean(model.predict(pca.transform(test)) != y[b]))]


@cache
def _reduced(fold: int, scaler: str, reduction: str) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.decomposition import PCA
    from sklearn.feature_selection import SelectKBest, f_classif
    from sklearn.random_projection import GaussianRandomProjection

    x, y = _data("cancer")
    a, b = _folds("cancer", 3)[fold]
    train, test = _scaled(scaler, x[a], x[b])
    if reduction == "none":
        return train, test
    step = {
        "pca": lambda k: PCA(k, random_state=0),
        "best": lambda k: SelectKBest(f_classif, k=k),
        "random": lambda k: GaussianRandomProjection(k, random_state=0),
    }[reduction.rstrip("0123456789")](int(reduction.lstrip("abcdefghijklmnopqrstuvwxyz")))
    return step.fit_transform(train, y[a]), step.transform(test)


def _pipeline_cancer(p: Mapping[str, Any], levels: Sequence[int]) -> list[float]:
    from sklearn import discriminant_analysis as da
    from sklearn.linear_model import LogisticRegression, RidgeClassifier
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import SVC
    from sklearn.tree import DecisionTreeClassifier

    at = ("lowest", "low", "high", "highest").index(p["strength"])
    weight = "balanced" if p["balanced"] else None
    priors = [0.5, 0.5] if p["balanced"] else None
    power = 10.0 ** (1 - at)
    model = {
        "logistic": lambda: LogisticRegression(C=power, class_weight=weight, max_iter=100),
        "ridge": lambda: RidgeClassifier(alpha=0.01 * 10**at, class_weight=weight),
        "lda": lambda: da.LinearDiscriminantAnalysis(solver="lsqr", shrinkage=(0, 0.05, 0.3, 0.9)[at], priors=priors),
        "qda": lambda: da.QuadraticDiscriminantAnalysis(reg_param=(0.0001, 0.05, 0.3, 0.9)[at], priors=priors),
        "bayes": lambda: GaussianNB(var_smoothing=1e-9 * 1000**at, priors=priors),
        "neighbours": lambda: KNeighborsClassifier(
            (1, 5, 11, 31)[at], weights="distance" if weight else "uniform", algorithm="brute"
        ),
        "tree": lambda: DecisionTreeClassifier(max_depth=(12, 6, 3, 2)[at], class_weight=weight, random_state=0),
        "svm": lambda: SVC(C=10 * power, class_weight=weight, max_iter=5000),
    }[p["model"]]()
    _, y = _data("cancer")
    wrong = 0
    for fold, (a, b) in enumerate(_folds("cancer", 3)):
        train, test = _reduced(fold, p["scaler"], p["reduction"])
        wrong += int((model.fit(train, y[a]).predict(test) != y[b]).sum())
    return [wrong / len(y)]


def _net_digits(p: Mapping[str, Any], levels: Sequence[int]) -> list[float]:
    import torch
    from torch import nn

    x, y = _data("digits")
    b, a = _folds("digits", 3)[0]  # a third to learn from
    layers: list[Any] = []
    width = 64
    for _ in range(p["layers"]):
        act = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU, "sigmoid": nn.Sigmoid}[p["activation"]]
        layers += [(width, p["width"]), act(), nn.Dropout(p["dropout"])]
        width = p["width"]
    torch.manual_seed(0)
    net = nn.Sequential(*[nn.Linear(*m) if isinstance(m, tuple) else m for m in layers], nn.Linear(width, 10))
    rate, decay = p["learning_rate"], p["weight_decay"]
    optimizer: Any = {
        "sgd": lambda: torch.optim.SGD(net.parameters(), rate, p["momentum"], weight_decay=decay),
        "adam": lambda: torch.optim.AdamW(net.parameters(), rate, weight_decay=decay),
        "rmsprop": lambda: torch.optim.RMSprop(net.parameters(), rate, weight_decay=decay),
    }[p["optimizer"]]()
    data = [torch.tensor(v / 16, dtype=torch.float32) for v in (x[a], x[b])]
    labels = [torch.tensor(v) for v in (y[a], y[b])]

    def validate() -> float:
        return min(float(nn.functional.cross_entropy(net(data[1]), labels[1])), 5.0)

    return _epochs(net, optimizer, data[0], labels[0], p["batch"], levels, nn.functional.cross_entropy, validate)


def _epochs(
    net: Any, optimizer: Any, x: Any, y: Any, batch: int, levels: Sequence[int], loss: Any,
    validate: Callable[[], float], decay: float = 1.0,
) -> list[float]:  # fmt: skip
    """Trains; the validation losses after the epochs in `levels`. Real scripts stop at NaN: the worst loss then.

    Args:
        decay: what the learning rate is multiplied by after an epoch.
    """
    import torch

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # nets that die out would take ten times as long
    generator = torch.Generator().manual_seed(1)
    curve = []
    for epoch in range(1, levels[-1] + 1):
        net.train()
        for rows in torch.randperm(len(x), generator=generator).split(batch):
            optimizer.zero_grad(set_to_none=False)
            loss(net(x[rows]), y[rows]).backward()
            optimizer.step()
        for group in optimizer.param_groups:
            group["lr"] *= decay
        if epoch in levels:
            net.eval()
            with torch.no_grad():
                value = validate()
            curve.append(value if value == value else 5.0)
    return curve


_ACTIVATIONS = {"relu": "ReLU", "tanh": "Tanh", "sigmoid": "Sigmoid"}


def _dense(sizes: Sequence[int], p: Mapping[str, Any], dropout: float = 0.0) -> list[Any]:
    """Layers between these numbers of units; weights are torch's own times `init_scale`, so are biases."""
    import torch
    from torch import nn

    out: list[Any] = []
    for inputs, outputs in zip(sizes, sizes[1:], strict=False):
        layer = nn.Linear(inputs, outputs)
        with torch.no_grad():
            layer.weight.mul_(p["init_scale"])
            layer.bias.mul_(p["init_scale"])
        out += [layer, getattr(nn, _ACTIVATIONS[p["activation"]])()]
        out += [nn.Dropout(dropout)] if dropout else []
    return out


def _flat(net: Any) -> list[Any]:
    """The parameters as views of one long one, which an optimiser is much quicker with."""
    import torch

    parts = list(net.parameters())
    flat = torch.nn.Parameter(torch.nn.utils.parameters_to_vector(parts).detach())
    flat.grad = torch.zeros_like(flat)
    begin = 0
    for part in parts:
        end = begin + part.numel()
        part.data, part.grad = flat.data[begin:end].view_as(part), flat.grad[begin:end].view_as(part)
        begin = end
    return [flat]


def _sgd_digits(p: Mapping[str, Any], levels: Sequence[int]) -> list[float]:
    import torch
    from torch import nn

    x, y = _data("digits")
    wrong = np.zeros(len(levels))
    for a, b in _folds("digits", 2):
        torch.manual_seed(0)
        widths = [64, *[p["width"]] * p["layers"]]
        head = nn.Linear(widths[-1], 10)
        net = nn.Sequential(*_dense(widths, p, p["dropout"]), head)
        optimizer = torch.optim.SGD(_flat(net), p["learning_rate"], p["momentum"], weight_decay=p["weight_decay"])
        data = [torch.tensor(v / 16, dtype=torch.float32) for v in (x[a], x[b])]
        labels = [torch.tensor(v) for v in (y[a], y[b])]

        def validate(net: Any = net, x: Any = data[1], y: Any = labels[1]) -> float:
            return float((net(x).nan_to_num().argmax(1) != y).sum())

        loss = nn.functional.cross_entropy
        wrong += _epochs(net, optimizer, data[0], labels[0], p["batch"], levels, loss, validate, p["decay"])
    return [float(v) for v in wrong / len(y)]


def _linear_cancer(p: Mapping[str, Any], levels: Sequence[int]) -> list[float]:
    from sklearn.linear_model import SGDClassifier

    x, y = _data("cancer")
    wrong = np.zeros(len(levels))
    for a, b in _folds("cancer", 3):
        train, test = _scaled(p["scaler"], x[a], x[b])
        model = SGDClassifier(
            loss=p["loss"], penalty=None if p["penalty"] == "none" else p["penalty"], alpha=p.get("alpha", 1e-4),
            l1_ratio=p.get("l1_ratio", 0.15), learning_rate=p["schedule"], eta0=p.get("eta0", 0.01),
            power_t=p.get("power_t", 0.5), average=p["average"], random_state=0,
        )  # fmt: skip
        for epoch in range(1, levels[-1] + 1):
            try:
                model.partial_fit(train, y[a], classes=[0, 1])
            except ValueError:  # floating-point overflow: the training has diverged
                wrong += np.array([len(b) * 0.6 if level >= epoch else 0 for level in levels])
                break
            if epoch in levels:
                wrong[levels.index(epoch)] += (model.predict(test) != y[b]).sum()
    return [float(v) for v in np.round(wrong) / len(y)]


def _elastic_diabetes(p: Mapping[str, Any], levels: Sequence[int]) -> list[float]:
    from sklearn.linear_model import ElasticNet
    from sklearn.preprocessing import PolynomialFeatures

    x, y = _data("diabetes")
    power = p["target_power"]
    target = np.log(y) if abs(power) < 1e-3 else (y**power - 1) / power
    errors = []
    for a, b in _folds("diabetes", 5):
        features = PolynomialFeatures(p["degree"], interaction_only=p.get("interactions", False), include_bias=False)
        train, test = features.fit_transform(20 * x[a]), features.transform(20 * x[b])
        train, test = _scaled(p["scaler"], train, test)
        mean, spread = target[a].mean(), target[a].std()
        model = ElasticNet(p["alpha"], l1_ratio=p["l1_ratio"], max_iter=60).fit(train, (target[a] - mean) / spread)
        out = model.predict(test) * spread + mean
        back = np.exp(out) if abs(power) < 1e-3 else np.maximum(out * power + 1, 1e-9) ** (1 / power)
        errors.append(np.mean((np.clip(back, 0, 500) - y[b]) ** 2))
    return [float(np.sqrt(np.mean(errors)))]


def _tree_digits(p: Mapping[str, Any], levels: Sequence[int]) -> list[float]:
    from sklearn.tree import DecisionTreeClassifier

    return [_wrong(DecisionTreeClassifier(**p, random_state=0), "digits", 3)]


def _boosting_wine(p: Mapping[str, Any], levels: Sequence[int]) -> list[float]:
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.metrics import log_loss

    x, y = _data("wine")
    losses = []
    for a, b in _folds("wine", 2):
        model = GradientBoostingClassifier(**p, random_state=0).fit(x[a], y[a])
        losses.append(log_loss(y[b], np.clip(model.predict_proba(x[b]), 1e-4, 1)))
    return [float(np.mean(losses))]


TRAIN: Mapping[str, Train] = {
    "svm-cancer": _svm_cancer,
    "svr-diabetes": _svr_diabetes,
    "forest-digits": _forest_digits,
    "boosting-diabetes": _boosting_diabetes,
    "neighbours-digits": _neighbours_digits,
    "pipeline-cancer": _pipeline_cancer,
    "net-digits": _net_digits,
    "linear-cancer": _linear_cancer,
    "elastic-diabetes": _elastic_diabetes,
    "tree-digits": _tree_digits,
    "boosting-wine": _boosting_wine,
    "sgd-digits": _sgd_digits,
}

if __name__ == "__main__":
    main()
