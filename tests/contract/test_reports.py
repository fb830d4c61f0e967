"""What a metric source of the user's may return: rows are checked before anything counts on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hpo_engine.contract.paths import TrialPaths
from hpo_engine.contract.sources.candidates import Candidate
from hpo_engine.contract.sources.interface import MetricSource, Reading, TrialFiles
from hpo_engine.contract.sources.reports import Reports
from hpo_engine.study.objective import Row


class Mine(MetricSource):
    title = "mine"

    def __init__(self, answer: Callable[[], Any]) -> None:
        self._answer = answer

    def look(self) -> bool:
        self.rows = self._answer().rows
        return True

    def final(self, *, cut: bool) -> Reading:
        return self._answer()


def leave() -> None:
    raise SystemExit(4)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda: None, "final returned None and no Reading"),
        (lambda: Reading(rows=(1,)), "1 is no Row"),  # type: ignore[arg-type]
        (lambda: Reading(rows=({"loss": 1},)), "is no Row"),  # type: ignore[arg-type]
        (lambda: Reading(rows=(Row(1, {"loss": "abc"}),)), "loss is 'abc' and no number"),  # type: ignore[dict-item]
        (lambda: Reading(rows=(Row(1, {"loss": True}),)), "loss is True and no number"),
        (lambda: Reading(rows=(Row(1, {"loss": 10**400}),)), "OverflowError"),
        (lambda: Reading(rows=(Row("a", {"loss": 1.0}),)), "a step is 'a'"),  # type: ignore[arg-type]
        (lambda: Reading(rows=(Row(float("nan"), {"loss": 1.0}),)), "is no step"),
        (leave, "SystemExit: 4"),
    ],
)
def test_what_are_no_rows_fails_the_trial_and_not_the_engine(
    answer: Callable[[], Any], why: str, trial: TrialPaths
) -> None:
    """The engine ended with an internal error, and again whenever the study was resumed."""
    reports = Reports(TrialFiles(trial), [Candidate("mine", lambda files: Mine(answer))])
    assert reports.fresh() is None
    reading = reports.final()
    assert (reading.rows, reading.broken) == ((), True)
    assert reading.problem is not None
    assert reading.problem.startswith("mine cannot be read (")
    assert why in reading.problem


def test_numbers_of_numpy_become_pythons_own(trial: TrialPaths) -> None:
    row = Row(np.int64(2), {"loss": np.float32(1.5), "n": np.int64(3)})
    reports = Reports(TrialFiles(trial), [Candidate("mine", lambda files: Mine(lambda: Reading(rows=(row,))))])
    assert reports.fresh() == ((Row(2, {"loss": 1.5, "n": 3.0}),), False)
    (read,) = reports.final().rows
    assert {type(read.step), *map(type, read.values.values())} <= {int, float}
