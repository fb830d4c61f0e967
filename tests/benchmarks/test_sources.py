"""The benchmark of the metric sources runs, and sees every report."""

from __future__ import annotations

from pathlib import Path

from benchmarks.reporting import KINDS
from benchmarks.sources import measure
from hpo_engine.contract.sources.candidates import ORDER


def test_every_report_is_seen(tmp_path: Path) -> None:
    cost = measure("jsonl", trials=3, seconds=2, folder=tmp_path / "round")
    assert len(cost.delays) == cost.rows == 6
    assert all(0 <= delay < 30 for delay in cost.delays)
    assert cost.core > 0


def test_every_source_is_measured() -> None:
    assert list(KINDS) == list(ORDER)
