"""trainer_state.json as Hugging Face's Trainer leaves it, while checkpoints come and go."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.contract.layout import lay_out, lay_out_study
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.contract.sources.interface import TrialFiles
from hpo_engine.contract.sources.trainer_state import STATE, TrainerState

HISTORY: list[dict[str, Any]] = [
    {"epoch": 0.5, "loss": 0.69, "learning_rate": 8e-4, "step": 4},
    {"epoch": 1.0, "loss": 0.68, "learning_rate": 7e-4, "step": 8},
    {"epoch": 1.0, "eval_loss": 0.66, "eval_accuracy": 0.5, "eval_runtime": 2.1, "step": 8},
    {"epoch": 2.0, "loss": 0.5, "step": 16},
    {"epoch": 2.0, "eval_loss": 0.6, "eval_accuracy": 0.7, "step": 16},
    {"epoch": 2.0, "train_loss": 0.59, "train_runtime": 39.4, "step": 16},
    {"epoch": 2.0, "eval_loss": 0.6, "eval_accuracy": 0.7, "step": 16},
]


@pytest.fixture
def trial(tmp_path: Path) -> TrialFiles:
    paths = StudyPaths(str(tmp_path))
    lay_out_study(paths, "user")
    lay_out(paths.trial(0))
    return TrialFiles(paths.trial(0), named=frozenset(("eval_loss",)))


def save(trial: TrialFiles, folder: str, count: int) -> None:
    os.makedirs(f"{trial.paths.result_dir}/{folder}", exist_ok=True)
    Path(f"{trial.paths.result_dir}/{folder}/{STATE}").write_text(json.dumps({"log_history": HISTORY[:count]}))


def rows(source: TrainerState) -> list[tuple[float, dict[str, float]]]:
    return [(row.step, dict(row.values)) for row in source.rows]


def seen(source: TrainerState, steps: list[float]) -> bool:
    """Whether it has rows of these steps soon."""
    deadline = time.monotonic() + 20
    while [row.step for row in source.rows] != steps and time.monotonic() < deadline:
        source.look()
        time.sleep(0.02)
    return [row.step for row in source.rows] == steps


def test_what_is_logged_at_one_step_is_one_row_and_epochs_count(trial: TrialFiles) -> None:
    save(trial, "out/checkpoint-16", 7)
    source = TrainerState(trial)
    reading = source.final(cut=False)
    assert [(row.step, dict(row.values)) for row in reading.rows] == [
        (0.5, {"loss": 0.69, "learning_rate": 8e-4}),
        (1, {"loss": 0.68, "learning_rate": 7e-4, "eval_loss": 0.66, "eval_accuracy": 0.5, "eval_runtime": 2.1}),
        (2, {"loss": 0.5, "eval_loss": 0.6, "eval_accuracy": 0.7, "train_loss": 0.59, "train_runtime": 39.4}),
    ]
    assert reading.source == f"out/checkpoint-16/{STATE}" and source.steps() == "a step is an epoch"
    assert [row.step for row in TrainerState(trial, step="step").final(cut=False).rows] == [4, 8, 16]


def test_rows_are_live_while_checkpoints_appear_and_are_rotated_away(trial: TrialFiles) -> None:
    source = TrainerState(trial)
    source.look()
    save(trial, "out/checkpoint-8", 3)
    assert seen(source, [0.5, 1])
    save(trial, "out/checkpoint-16", 5)
    shutil.rmtree(f"{trial.paths.result_dir}/out/checkpoint-8")
    assert seen(source, [0.5, 1, 2])
    save(trial, "out", 7)
    shutil.rmtree(f"{trial.paths.result_dir}/out/checkpoint-16")
    anew = TrainerState(TrialFiles(trial.paths, named=trial.named))
    assert [row.step for row in anew.final(cut=False).rows] == [0.5, 1, 2]


@pytest.mark.slow
def test_the_newest_of_many_checkpoints_is_read_live(trial: TrialFiles) -> None:
    source = TrainerState(trial)
    for number in range(1, 60):
        save(trial, f"out/checkpoint-{number}", 3)
        if number in (40, 52):
            assert seen(source, [0.5, 1])
    time.sleep(0.05)  # so that the next one is newer whatever the clock's ticks
    save(trial, "out/checkpoint-60", 5)
    assert seen(source, [0.5, 1, 2])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{}", "has no list called log_history"),
        ("[1]", "has no list called log_history"),
        ('{"log_history": [', "is torn at byte 17"),
        ('{"log_history": []}', "has no entries"),
        ('{"log_history": [1, null, {"step": 3}, {"epoch": "x"}]}', "has no entries"),
    ],
)
def test_what_is_wrong_is_one_line(trial: TrialFiles, text: str, problem: str) -> None:
    Path(f"{trial.paths.result_dir}/{STATE}").write_text(text)
    assert TrainerState(trial).final(cut=False).problem == f"{STATE} {problem}"


def test_entries_without_a_step_or_an_epoch_are_counted(trial: TrialFiles) -> None:
    entries = [{"loss": 1}, {"loss": 2}, {"step": 9, "loss": 3}, {"loss": "0.5"}]
    Path(f"{trial.paths.result_dir}/{STATE}").write_text(json.dumps({"log_history": entries}))
    found = TrainerState(trial).final(cut=False).rows
    assert [(row.step, row.values["loss"]) for row in found] == [(1, 1), (2, 2), (9, 3), (10, 0.5)]
