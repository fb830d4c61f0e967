"""Trials as columns: what a table of them shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.reports.columns import Columns
from hpo_engine.reports.objects import dump
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import Budget
from tests.support.drawn_studies import SITUATIONS, history_of
from tests.support.study_by_hand import Study


def cells(found: dict[str, Any], key: str, part: str = "cells") -> list[Any]:
    (column,) = (column for column in found["columns"] if column["key"] == key)
    values: list[Any] = column[part]
    return values


def columns(study: Study, since: int = -1, known: Columns | None = None) -> dict[str, Any]:
    known = known or Columns()
    known.read(study.history)
    return known.to_json(since)


def test_the_best_value_of_a_metric_to_maximise_comes_with_its_step(tmp_path: Path) -> None:
    study = Study(tmp_path, objectives=(Objective("accuracy", "maximize"),))
    trial = study.start()
    study.report(trial, (1, {"accuracy": 0.5}), (2, {"accuracy": 0.9}), (3, {"accuracy": 0.7}))
    study.end(trial, 0.9)
    found = columns(study)
    assert cells(found, "value.accuracy") == [0.9]
    assert cells(found, "step.accuracy") == [2]
    assert cells(found, "steps") == [3]


def test_of_an_objective_that_counts_at_the_end_the_step_is_the_last(tmp_path: Path) -> None:
    study = Study(tmp_path, objectives=(Objective("loss", over="last"),))
    trial = study.start()
    study.report(trial, (1, {"loss": 0.1}), (2, {"loss": 0.3}))
    study.end(trial, 0.3)
    assert cells(columns(study), "step.loss") == [2]


def test_a_running_trial_has_a_value_so_far_and_no_result(tmp_path: Path) -> None:
    study = Study(tmp_path)
    study.report(study.start(), (1, {"loss": 0.5, "accuracy": 0.1}))
    found = columns(study)
    assert cells(found, "value.loss") == [None]
    assert cells(found, "value.loss", "so_far") == [0.5]
    assert cells(found, "metric.accuracy") == [0.1]


def test_values_that_are_not_finite_are_no_values(tmp_path: Path) -> None:
    study = Study(tmp_path)
    study.report(study.start(), (1, {"loss": float("nan"), "norm": float("inf")}), (2, {"loss": 0.25, "norm": 3.0}))
    found = columns(study)
    assert cells(found, "value.loss", "so_far") == [0.25]
    assert "NaN" not in dump(found)


def test_only_trials_that_have_changed_are_sent_again(tmp_path: Path) -> None:
    study, known = Study(tmp_path), Columns()
    study.end(study.start(), 0.5)
    study.start()
    first = columns(study, known=known)
    assert first["rows"] == [0, 1]
    study.end(1, 0.25)
    study.start()
    second = columns(study, first["events"], known)
    assert second["rows"] == [1, 2]
    assert (cells(second, "value.loss"), second["best"], second["trials"]) == ([0.25, None], [1], 3)
    assert columns(study, second["events"], known)["rows"] == []


def test_a_history_that_another_reader_has_overtaken_changes_nothing(tmp_path: Path) -> None:
    study, known = Study(tmp_path), Columns()
    study.start()
    older = study.history
    study.end(0, 0.5)
    newest = columns(study, known=known)
    known.read(older)
    assert known.to_json() == newest


@pytest.mark.parametrize("situation", [name for name in SITUATIONS if name != "long_names"])
def test_columns_agree_with_the_history(situation: str) -> None:
    history = history_of(situation, 10)
    known = Columns()
    known.read(history)
    found = known.to_json()
    assert all(len(column["cells"]) == len(history.trials) for column in found["columns"])
    for k, aim in enumerate(history.spec.objectives):
        expected = [history.values(trial)[k] if trial.results else None for trial in history.trials]
        assert cells(found, f"value.{aim.metric}") == expected
        for trial, step in zip(history.trials, cells(found, f"step.{aim.metric}"), strict=True):
            if trial.results and step is not None:
                assert any(r.step == step and r.values.get(aim.metric) == history.values(trial)[k] for r in trial.rows)
    dump(found)


def test_a_study_whose_space_was_changed_is_read_anew(tmp_path: Path) -> None:
    study, known = Study(tmp_path), Columns()
    study.start()
    before = columns(study, known=known)
    spec = replace(study.history.spec, extra_metrics={"accuracy": "maximize"}, budget=Budget(trials=50))
    study.history = replace(study.history, spec=spec, events=study.history.events + 1)
    assert columns(study, before["events"], known)["rows"] == [0]
