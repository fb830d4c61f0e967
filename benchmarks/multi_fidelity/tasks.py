"""The tasks: spaces, how much of the resource a full training is, and which rungs a run may be given.

Each has a table of real trainings on data that scikit-learn includes (`tables.py`). `tuning` tasks were looked at while
the searchers were worked on; the others were made afterwards, and were only ever used for the report.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hpo_engine.space.searchspace import Choice, Float, Int, SearchSpace

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Task:
    """`most`: units of the resource in a full training. `spans`: the learning rate follows a schedule that spans the
    run, so that a run with less of the resource is another training than the beginning of a longer one; such runs are
    known at `amounts`. `crossing`: configurations that are ahead early are often behind at the end. `tuning`: was seen
    while searchers were tuned. `resolution`: the metric comes in multiples of this (0: continuous)."""

    space: SearchSpace
    most: int
    unit: str = "epochs"
    spans: bool = False
    crossing: bool = False
    tuning: bool = True
    resolution: float = 0.0
    rows: int = 320

    @property
    def amounts(self) -> tuple[int, ...]:
        """The lengths of runs that a table knows: every one, or for `spans` a grid of them."""
        if not self.spans:
            return tuple(range(1, self.most + 1))
        return tuple(sorted({max(1, round(self.most / 3 ** (k / 2))) for k in range(7)}))


_NET = (
    Float("learning_rate", 1e-3, 3, log=True),
    Float("momentum", 0, 0.98),
    Float("weight_decay", 1e-6, 0.1, log=True),
)
_BOOSTING = (
    Float("learning_rate", 0.005, 1, log=True),
    Int("max_depth", 1, 6),
    Int("min_samples_leaf", 1, 40, log=True),
    Float("subsample", 0.3, 1),
    Float("max_features", 0.1, 1),
)

TASKS: Mapping[str, Task] = {
    "trees-cancer": Task(SearchSpace(_BOOSTING), 81, "trees", crossing=True),
    "cosine-digits": Task(
        SearchSpace((*_NET, Float("warmup", 0, 0.5), Choice("schedule", ("cosine", "linear", "step")),
                     Int("width", 4, 64, log=True), Choice("batch", (16, 64)))),
        27, spans=True, crossing=True,
    ),
    "adam-digits": Task(
        SearchSpace((Float("learning_rate", 1e-5, 0.3, log=True), Float("weight_decay", 1e-4, 3, log=True),
                     Float("dropout", 0, 0.7), Int("width", 4, 64, log=True), Float("smoothing", 0, 0.3),
                     Choice("batch", (16, 64, 256)), Choice("activation", ("relu", "tanh")))),
        27,
    ),
    "softmax-digits": Task(
        SearchSpace((*_NET, Float("decay", 0.8, 1), Float("noise", 0, 2))), 81, resolution=1 / 899,
    ),
    "values-diabetes": Task(
        SearchSpace((Float("learning_rate", 1e-4, 0.3, log=True), Float("momentum", 0, 0.98),
                     Float("weight_decay", 1e-5, 1, log=True), Int("width", 4, 64, log=True),
                     Float("dropout", 0, 0.7), Float("init_scale", 0.1, 3, log=True))),
        81, crossing=True,
    ),
    # Made after the searchers were done with:
    "ensemble-digits": Task(
        SearchSpace((Float("learning_rate", 0.01, 1, log=True), Int("max_leaf_nodes", 3, 24, log=True),
                     Int("min_samples_leaf", 1, 60, log=True), Float("l2", 1e-3, 30, log=True))),
        27, "trees", crossing=True, tuning=False, rows=160,
    ),
    "onecycle-cancer": Task(
        SearchSpace((Float("learning_rate", 1e-4, 1, log=True), Float("weight_decay", 1e-4, 3, log=True),
                     Float("warmup", 0.02, 0.7), Float("beta2", 0.9, 0.999), Int("width", 4, 64, log=True),
                     Float("dropout", 0, 0.6), Choice("schedule", ("cosine", "linear", "constant")))),
        27, spans=True, crossing=True, tuning=False, rows=240,
    ),
    "stumps-wine": Task(
        SearchSpace((Float("learning_rate", 0.003, 3, log=True), Int("max_depth", 1, 5),
                     Int("min_samples_leaf", 1, 30, log=True), Float("max_features", 0.05, 1))),
        81, "trees", crossing=True, tuning=False, rows=240,
    ),
    "coder-digits": Task(
        SearchSpace((Choice("optimizer", ("sgd", "adam")), Float("learning_rate", 1e-4, 3, log=True),
                     Float("momentum", 0, 0.98, when={"optimizer": "sgd"}), Int("width", 4, 64, log=True),
                     Float("noise", 0, 0.5), Float("weight_decay", 1e-6, 0.1, log=True),
                     Choice("activation", ("relu", "tanh")))),
        27, tuning=False, rows=240,
    ),
    "warmup-digits": Task(
        SearchSpace((*_NET, Float("dropout", 0, 0.6), Int("width", 4, 64, log=True),
                     Float("init_scale", 0.1, 4, log=True), Float("decay", 0.85, 1))),
        27, tuning=False, resolution=1 / 899, rows=240,
    ),
    "shrinkage-diabetes": Task(
        SearchSpace((*_BOOSTING, Choice("loss", ("squared_error", "huber", "absolute_error")),
                     Float("alpha", 0.5, 0.99, when={"loss": "huber"}))),
        81, "trees", crossing=True, tuning=False, rows=240,
    ),
}  # fmt: skip


def data_path(name: str) -> Path:
    return DATA / f"{name}.npz"
