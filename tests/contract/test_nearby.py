"""Which name that a script reports is meant by one that it does not report."""

from __future__ import annotations

import pytest

from hpo_engine.contract.sources.nearby import nearest_metric


@pytest.mark.parametrize(
    ("metric", "names", "near"),
    [
        ("loss", ["train_loss", "val_loss", "acc"], "val_loss"),
        ("loss", ["train_loss", "acc"], "train_loss"),
        ("val_loss", ["loss", "acc"], "loss"),
        ("valLoss", ["val/loss", "train/loss"], "val/loss"),
        ("acuracy", ["accuracy", "lr"], "accuracy"),
        ("metrics/mAP50", ["metrics/mAP50(B)", "train/box_loss"], "metrics/mAP50(B)"),
        ("f1", ["val_loss", "acc"], ""),
        ("", ["val_loss"], ""),
        ("loss", [], ""),
        ("x" * 20_000, ["x" * 19_999 + "y", "y"], "x" * 99),
    ],
)
def test_nearest_metric(metric: str, names: list[str], near: str) -> None:
    assert nearest_metric(metric, names)[:99] == near
