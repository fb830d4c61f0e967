"""metrics.csv as Lightning writes it: sparse rows, a header that changes, several runs and fits."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.contract.paths import StudyPaths, TrialPaths
from hpo_engine.contract.sources.found import FoundFile
from hpo_engine.contract.sources.interface import MetricSource, TrialFiles
from hpo_engine.contract.sources.lightning_csv import LightningCsv, LightningFile
from hpo_engine.study.rows import same_rows

Line = Mapping[str, float]
Rows = Sequence[tuple[float, dict[str, float]]]


@pytest.fixture
def paths(tmp_path: Path) -> TrialPaths:
    paths = StudyPaths(str(tmp_path)).trial(3)
    for folder in (paths.result_dir, paths.log_dir, paths.own):
        os.makedirs(folder)
    return paths


class Logger:
    """Writes lines as CSVLogger does: appended, and all anew with sorted columns if there is a new one."""

    def __init__(self, paths: TrialPaths, name: str = "lightning_logs/version_0") -> None:
        self.path = Path(paths.result_dir, name, "metrics.csv")
        self.path.parent.mkdir(parents=True)
        self._keys: list[str] = []

    def log(self, *lines: Line) -> None:
        for line in lines:
            if new := line.keys() - set(self._keys):
                before = list(csv.DictReader(self.path.open())) if self._keys else []
                self._keys = sorted({*self._keys, *new})
                with open(self.path, "w", newline="") as file:
                    csv.DictWriter(file, self._keys).writeheader()
                    csv.DictWriter(file, self._keys).writerows(before)
            with open(self.path, "a", newline="") as file:
                csv.DictWriter(file, self._keys).writerow(line)


def epoch(number: int, batches: int = 100, **values: float) -> list[Line]:
    """What is logged in an epoch: the rate and the loss of a batch, the validation, the means of the epoch."""
    at = number * batches
    return [
        {"step": at + batches // 2 - 1, "lr-SGD": 0.1},
        {"step": at + batches // 2 - 1, "epoch": number, "train_loss_step": 9.0},
        {"step": at + batches - 1, "epoch": number, **{f"val_{k}": v for k, v in values.items()}},
        {"step": at + batches - 1, "epoch": number, "train_loss_epoch": 8.0},
    ]


def merged(number: int, **values: float) -> tuple[float, dict[str, float]]:
    return number + 1, {"lr-SGD": 0.1, "train_loss_step": 9.0, **{f"val_{k}": v for k, v in values.items()},
                        "train_loss_epoch": 8.0}  # fmt: skip


def source(paths: TrialPaths, *named: str) -> LightningCsv:
    return LightningCsv(TrialFiles(paths, named=frozenset(named)))


def of(found: Any) -> Rows:
    return [(row.step, dict(row.values)) for row in found.rows]


def live(found: MetricSource) -> Rows:
    while found.look():
        pass
    return of(found)


def both(paths: TrialPaths, *named: str) -> Rows:
    """The rows in the end, and that those seen live are the first of them."""
    final = of(source(paths, *named).final(cut=False))
    seen = live(source(paths, *named))
    assert seen == final[: len(seen)]
    return final


def test_an_epoch_is_a_row_that_is_there_with_its_validation(paths: TrialPaths) -> None:
    logger, seen = Logger(paths), source(paths, "val_loss")
    for number in range(3):
        *lines, means = epoch(number, loss=1.0 + number)
        for line in lines[:2]:
            logger.log(line)
            assert len(live(seen)) == number, "batches of an epoch make no row"
        logger.log(lines[2])
        assert live(seen)[-1][1]["val_loss"] == 1.0 + number
        logger.log(means)
        assert live(seen)[number:] == [merged(number, loss=1.0 + number)]
    logger.log({"step": 300, "epoch": 3, "test_loss": 0.5})
    assert both(paths, "val_loss") == [*(merged(i, loss=1.0 + i) for i in range(3)), (4, {"test_loss": 0.5})]
    assert both(paths, "test_loss")[-1] == (4, {"test_loss": 0.5})


def test_metrics_that_come_several_times_in_an_epoch_are_counted_by_batches(paths: TrialPaths) -> None:
    """val_check_interval, and losses that are logged for batches."""
    Logger(paths).log(
        {"step": 49, "epoch": 0, "train_loss": 5.0},
        {"step": 49, "epoch": 0, "val_loss": 4.0},
        {"step": 99, "lr-SGD": 0.1},
        {"step": 99, "epoch": 0, "train_loss": 3.0},
        {"step": 99, "epoch": 0, "val_loss": 2.0},
    )
    found = source(paths, "val_loss")
    expected = [(49, {"train_loss": 5.0, "val_loss": 4.0}), (99, {"lr-SGD": 0.1, "train_loss": 3.0, "val_loss": 2.0})]
    assert of(found.final(cut=False)) == expected == live(source(paths, "val_loss"))
    assert (found.steps(), both(paths, "train_loss")) == ("a step is a batch", expected)


def test_a_metric_shown_beside_the_objective_does_not_make_steps_of_batches(paths: TrialPaths) -> None:
    """A loss that is logged for each batch, in `metrics` of the study file: the objective came once for an epoch."""
    lines = [{"step": at, "epoch": at // 100, "train_loss": 9.0 - at} for at in (49, 99, 149, 199)]
    Logger(paths).log(*lines[:2], *epoch(0, loss=1.0), *lines[2:], *epoch(1, loss=2.0))
    trial = TrialFiles(paths, named=frozenset(["val_loss", "train_loss"]), objectives=frozenset(["val_loss"]))
    found = LightningCsv(trial)
    rows = of(found.final(cut=False))
    assert [(step, values["train_loss"], values["val_loss"]) for step, values in rows] == [(1, -90, 1), (2, -190, 2)]
    assert (found.steps(), live(LightningCsv(trial))) == ("a step is an epoch", rows)


def test_a_validation_before_the_training_does_not_make_steps_of_batches(paths: TrialPaths) -> None:
    logger = Logger(paths)
    logger.log({"step": 0, "epoch": 0, "val_loss": 99.0}, *epoch(0, loss=1.0), *epoch(1, loss=2.0))
    found = source(paths, "val_loss")
    assert of(found.final(cut=False)) == [merged(0, loss=1.0), merged(1, loss=2.0)]
    assert found.steps() == "a step is an epoch"


def test_a_second_fit_is_counted_on(paths: TrialPaths) -> None:
    logger = Logger(paths)
    for number in (0, 1, 0, 1):
        logger.log(*epoch(number, loss=1.0))
    assert [step for step, _ in both(paths, "val_loss")] == [1, 2, 3, 4]


def test_what_a_script_logs_itself_without_an_epoch_counts(paths: TrialPaths) -> None:
    Logger(paths).log(*epoch(0, loss=1.0), {"step": 0, "my_acc": 0.5}, *epoch(1, loss=1.0), {"step": 1, "my_acc": 0.6})
    rows = both(paths, "my_acc")
    assert [(step, values["my_acc"]) for step, values in rows] == [(1, 0.5), (2, 0.6)]


def test_rows_that_were_there_before_count_neither_live_nor_in_the_end(paths: TrialPaths) -> None:
    logger = Logger(paths)
    logger.log(*epoch(0, loss=9.0), *epoch(1, loss=9.0))
    path = logger.path
    for before in range(path.stat().st_size):
        file = FoundFile(paths.result_dir, "RESULT_DIR", "lightning_logs/version_0/metrics.csv", 0, 0, 0, before)
        seen, final = (LightningFile(TrialFiles(paths, named=frozenset(["val_loss"])), file) for _ in range(2))
        live(seen)
        assert of(seen) == of(final.final(cut=True)), f"{before} bytes"


def test_fabric_has_no_epochs_and_earlier_versions_do_not_sort(paths: TrialPaths) -> None:
    path = Path(paths.result_dir, "logs/version_0/metrics.csv")
    path.parent.mkdir(parents=True)
    path.write_text("loss,step\n0.5,3\n0.4,7\n")
    assert both(paths, "loss") == [(3, {"loss": 0.5}), (7, {"loss": 0.4})]
    path.write_text("val_loss,step,epoch\n0.5,9,0\n0.4,19,1\n")
    assert both(paths, "val_loss") == [(1, {"val_loss": 0.5}), (2, {"val_loss": 0.4})]


def test_another_programs_table_is_left_to_csv(paths: TrialPaths) -> None:
    Path(paths.result_dir, "metrics.csv").write_text("epoch,loss\n0,0.5\n")
    found = source(paths, "loss")
    assert not live(found)
    reading = source(paths, "loss").final(cut=False)
    assert not reading.rows
    assert reading.problem == "metrics.csv is not Lightning's: it has no columns epoch and step"


def test_the_newest_version_that_has_the_objective_counts(paths: TrialPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    seen = source(paths, "val_loss")
    for version, loss in ((0, 9.0), (1, 1.0)):
        time.sleep(0.012)
        Logger(paths, f"lightning_logs/version_{version}").log(*epoch(0, loss=loss))
        now += 9
        assert live(seen) == [merged(0, loss=loss)] == both(paths, "val_loss")
    time.sleep(0.012)
    Logger(paths, "lightning_logs/version_2").log({"step": 0, "epoch": 0, "test_loss": 0.5})
    now += 9
    assert live(seen) == [merged(0, loss=1.0)] == both(paths, "val_loss")


def test_rows_do_not_vanish_while_a_new_column_is_written(paths: TrialPaths) -> None:
    logger, seen = Logger(paths), source(paths, "val_loss")
    for number in range(20):
        logger.log(*epoch(number, loss=1.0 + number))
    rows = live(seen)
    text = logger.path.read_bytes()
    new = text.replace(b"epoch,", b"epoch,extra,", 1).replace(b"\r\n", b",\r\n")
    assert len(rows) == 20
    for end in range(0, len(text), 97):
        logger.path.write_bytes(text[:end])
        seen.look()
        assert [row.step for row in seen.rows] == [step for step, _ in rows], f"{end} bytes"
    logger.path.write_bytes(new)
    logger.log(*epoch(20, loss=5.0))


def test_a_run_that_was_ended_in_an_epoch_keeps_whole_rows_only(paths: TrialPaths) -> None:
    logger = Logger(paths)
    logger.log(*epoch(0, loss=1.0), *epoch(1, loss=2.0)[:2])
    assert of(source(paths, "val_loss").final(cut=True)) == [merged(0, loss=1.0)]


@pytest.mark.slow
def test_thousands_of_lines_are_read_in_no_long_time(paths: TrialPaths) -> None:
    logger = Logger(paths)
    logger.log(*epoch(0, loss=1.0))
    with open(logger.path, "a", newline="") as file:
        for number in range(1, 5_000):
            csv.DictWriter(file, logger._keys).writerows(epoch(number, loss=0.5))
    started = time.process_time()
    found = source(paths, "val_loss")
    rows = live(found)
    final = source(paths, "val_loss").final(cut=False).rows
    assert len(rows) == len(final) == 5_000 and same_rows(found.rows, final)
    assert time.process_time() - started < 60, "seconds of processor time"
