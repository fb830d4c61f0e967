"""What scripts print, as their libraries do it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from hpo_engine.contract.paths import StudyPaths
from hpo_engine.contract.sources.interface import TrialFiles
from hpo_engine.contract.sources.printed import Printed


def rows(source: Any, text: str) -> list[tuple[float, dict[str, float]]]:
    source.begin()
    return [(row.step, dict(row.values)) for row in source.rows_of(text.encode().split(b"\n"))]


def trial(*named: str) -> TrialFiles:
    return TrialFiles(StudyPaths("/nowhere").trial(0), named=frozenset(named))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Epoch 1/3\n32/32 - 1s - loss: 0.5000 - accuracy: 0.8 - val_loss: 0.61\nEpoch 2/3\n loss: 0.4",
            [(1, {"loss": 0.5, "accuracy": 0.8, "val_loss": 0.61}), (2, {"loss": 0.4})],
        ),
        (
            "[0]\ttrain-rmse:0.52\teval-rmse:0.61\n[1]\ttrain-rmse:0.42",
            [(0, {"train-rmse": 0.52, "eval-rmse": 0.61}), (1, {"train-rmse": 0.42})],
        ),
        ("[5]\tvalid_0's auc: 0.99\tvalid_0's binary_logloss: 0.1", [(5, {"auc": 0.99, "binary_logloss": 0.1})]),
        (
            "Epoch 4:   0%|   | 0/44 [00:00<?]\rEpoch 4: 100%|###| 44/44 [00:01<00:00, 30.1it/s, v_num=0, loss=0.5]",
            [(4, {"v_num": 0.0, "loss": 0.5})],
        ),
        ("{'eval_loss': 0.34, 'epoch': 2.0}", [(2, {"eval_loss": 0.34})]),
        ("\x1b[1mstep=7\x1b[0m loss = 1e-3 acc: 93.1% lr=nan", [(7, {"loss": 1e-3, "acc": 93.1, "lr": math.nan})]),
        ("eta: 0:01:02 time=2026-11-27 took: 3s batch: 10/100 http://a:80", []),
        ("loss=1\nnothing\nloss=2", [(1, {"loss": 1.0}), (2, {"loss": 2.0})]),
        ("step=1e400 loss=1", [(1, {"loss": 1.0})]),
        ("Epoch 99999999999999999999 loss=1", [(1, {"loss": 1.0})]),
    ],
)
def test_lines_as_libraries_print_them(text: str, expected: list[tuple[float, dict[str, float]]]) -> None:
    assert repr(rows(Printed(trial()), text)) == repr(expected)


def test_a_metric_that_the_study_names_is_no_step() -> None:
    assert rows(Printed(trial("epoch")), "epoch=3 loss=1") == [(1, {"epoch": 3.0, "loss": 1.0})]


@pytest.mark.parametrize(
    "line", ["x=1 " * 5000, "a" * 100_000, "=" * 100_000, "1:" * 50_000, "\x1b[" * 20_000, "\r" * 99_999]
)
def test_odd_lines_take_no_time(line: str) -> None:
    rows(Printed(trial()), line)
