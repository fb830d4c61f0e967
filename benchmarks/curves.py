"""Is what the stopper `curve` predicts true? Learning curves on scikit-learn's data, predicted from their parts.

    python -m benchmarks.curves record    trains, and writes curves.npz (some minutes)
    python -m benchmarks.curves           prints the tables of curves.md from it

No curve had a part in choosing the method's constants: those were chosen on the tasks named in `CHOSEN_ON`.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from hpo_engine.maths.extrapolation import extrapolated

DATA = Path(__file__).with_name("curves.npz")
COUNT = 30
CHOSEN_ON = ("net-digits", "boosting-diabetes")


def sgd(data: str, epochs: int) -> Callable[[np.random.Generator], Iterator[float]]:
    def curve(rng: np.random.Generator) -> Iterator[float]:
        from sklearn.linear_model import SGDClassifier
        from sklearn.metrics import log_loss

        train, test, y, z = _split(data)
        model = SGDClassifier(
            loss="log_loss", alpha=10 ** rng.uniform(-6, -1), learning_rate=str(rng.choice(["constant", "invscaling"])),
            eta0=10 ** rng.uniform(-4, 0), random_state=int(rng.integers(1 << 30)),
        )  # fmt: skip
        for _ in range(epochs):
            model.partial_fit(train, y, classes=np.unique(y))
            yield log_loss(z, model.predict_proba(test), labels=np.unique(y))

    return curve


def net(data: str, epochs: int) -> Callable[[np.random.Generator], Iterator[float]]:
    def curve(rng: np.random.Generator) -> Iterator[float]:
        from sklearn.neural_network import MLPClassifier

        train, test, y, z = _split(data)
        model = MLPClassifier(
            (int(2 ** rng.uniform(2, 6)),), solver=str(rng.choice(["adam", "sgd"])), alpha=10 ** rng.uniform(-6, -1),
            learning_rate_init=10 ** rng.uniform(-4, -0.7), batch_size=int(2 ** rng.uniform(4, 8)),
            random_state=int(rng.integers(1 << 30)),
        )  # fmt: skip
        for _ in range(epochs):
            model.partial_fit(train, y, classes=np.unique(y))
            yield 1 - model.score(test, z)

    return curve


def boosting(data: str, trees: int) -> Callable[[np.random.Generator], Iterator[float]]:
    def curve(rng: np.random.Generator) -> Iterator[float]:
        from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
        from sklearn.metrics import log_loss

        train, test, y, z = _split(data)
        regression = data == "diabetes"
        model = (GradientBoostingRegressor if regression else GradientBoostingClassifier)(
            n_estimators=trees, learning_rate=10 ** rng.uniform(-2.3, 0), max_depth=int(rng.integers(1, 6)),
            subsample=rng.uniform(0.4, 1), random_state=int(rng.integers(1 << 30)),
        )  # fmt: skip
        model.fit(train, y)
        if regression:
            yield from (float(np.sqrt(np.mean((p - z) ** 2))) for p in model.staged_predict(test))
        else:
            yield from (log_loss(z, p, labels=np.unique(y)) for p in model.staged_predict_proba(test))

    return curve


def _split(data: str) -> tuple[np.ndarray, ...]:
    from sklearn import datasets
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    name = {"cancer": "breast_cancer"}.get(data, data)
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    train, test, y_train, y_test = train_test_split(x, y, test_size=0.3, random_state=0)
    scaler = StandardScaler().fit(train)
    return scaler.transform(train), scaler.transform(test), y_train, y_test


TASKS = {
    "net-digits": net("digits", 27),
    "boosting-diabetes": boosting("diabetes", 50),
    "net-cancer": net("cancer", 30),
    "sgd-digits": sgd("digits", 30),
    "boosting-cancer": boosting("cancer", 40),
    "sgd-wine": sgd("wine", 40),
}


def record() -> None:
    warnings.simplefilter("ignore")
    found: dict[str, Any] = {}
    for name, curve in TASKS.items():
        found[name] = np.array([list(curve(np.random.default_rng([7, i]))) for i in range(COUNT)], dtype=np.float32)
        print(name, found[name].shape, flush=True)
        np.savez_compressed(DATA, **found)


# -- is it true? -------------------------------------------------------------------------------------------------------

SHARES = (0.2, 0.35, 0.5, 0.75)  # of a curve that is known
BINS = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)


def predictions(curves: np.ndarray, share: float) -> Iterator[tuple[float, bool]]:  # (n, steps)
    """(predicted probability, whether it came true) that a curve ends with a best loss below a quantile of all final
    ones. As in a study: trials that have reached that loss already are not asked about."""
    best = np.minimum.accumulate(curves, axis=1)
    known = max(5, round(share * curves.shape[1]))
    steps = np.arange(1, curves.shape[1] + 1, dtype=float)
    for target in np.quantile(best[:, -1], (0.02, 0.1, 0.25, 0.5)):
        for y, low in zip(curves, best, strict=True):
            if low[known - 1] > target and np.isfinite(y).all():
                predicted = extrapolated(steps[:known], y[:known].astype(float), steps[-1])
                yield predicted.below(float(target)), bool(low[-1] < target)


def table(found: list[tuple[float, bool]]) -> str:
    p, true = np.array([p for p, _ in found]), np.array([t for _, t in found])
    lines = ["| predicted | predictions | mean predicted | came true |", "| --- | --- | --- | --- |"]
    for low, high in pairwise(BINS):
        inside = (p >= low) & ((p < high) | (high == 1.0))
        if inside.any():
            mean, share = p[inside].mean(), true[inside].mean()
            lines.append(f"| {low:g} to {high:g} | {inside.sum()} | {mean:.3f} | {share:.3f} |")
    return "\n".join(lines)


def report() -> None:
    with np.load(DATA) as data:
        everything = {name: data[name] for name in TASKS if name in data}
    by_task = {n: [x for share in SHARES for x in predictions(c, share)] for n, c in everything.items()}
    for title, names in (("chosen on", CHOSEN_ON), ("held out", [n for n in by_task if n not in CHOSEN_ON])):
        print(f"\n{title}: {', '.join(names)}\n\n{table([x for n in names if n in by_task for x in by_task[n]])}")
    print(
        "\n| task | curves | predictions | ended at 0.05 | of these better after all | Brier score | of the base rate |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, found in by_task.items():
        p, true = np.array([p for p, _ in found]), np.array([t for _, t in found])
        stop, brier, base = p < 0.05, np.mean((p - true) ** 2), true.mean() * (1 - true.mean())
        wrong = f"{true[stop].mean():.3f}" if stop.any() else "-"
        print(
            f"| {name} | {len(everything[name])} | {len(p)} | {stop.mean():.2f} | {wrong} | {brier:.3f} | {base:.3f} |"
        )


if __name__ == "__main__":
    record() if sys.argv[1:] == ["record"] else report()
