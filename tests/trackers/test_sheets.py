"""Studies in CSV files and in files of JSON lines."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.contract.paths import StudyPaths
from hpo_engine.core.ports import Listener
from hpo_engine.study.objective import Objective
from hpo_engine.system import writing
from hpo_engine.testing import TrackerLaws
from hpo_engine.trackers import rowfile, sheets
from hpo_engine.trackers.sheets import CsvTracker, JsonLinesTracker
from tests.support.helpers import wait_until
from tests.support.study_by_hand import PARAMS, Study


class TestCsv(TrackerLaws):
    def make(self, paths: StudyPaths) -> Listener:
        return CsvTracker(paths)


class TestJsonLines(TrackerLaws):
    def make(self, paths: StudyPaths) -> Listener:
        return JsonLinesTracker(paths, folder="../sheets of all")


def read(study: Study, name: str) -> list[dict[str, Any]]:
    path = Path(study.paths.root, name)
    data = path.read_bytes()
    assert data.endswith(b"\n") or not data, "a reader sees whole lines at any time"
    if name.endswith("jsonl"):
        return [json.loads(line, parse_constant=pytest.fail) for line in data.splitlines()]
    return list(csv.DictReader(data.decode().splitlines(keepends=True)))


def steps(study: Study) -> list[tuple[str, ...]]:
    return [(row["trial"], row["attempt"], row["step"], row["loss"]) for row in read(study, "metrics.csv")]


def test_rows_are_there_as_soon_as_they_are_known(study: Study) -> None:
    study.listen(CsvTracker(study.paths))
    first = study.start()
    study.report(first, (1, {"loss": 0.5}), (2, {"loss": math.nan, "f1, é": math.inf}))
    assert steps(study) == [("0", "1", "1", "0.5"), ("0", "1", "2", "nan")]
    assert [row["f1, é"] for row in read(study, "metrics.csv")] == ["", "inf"], "a column that appeared later"
    study.end(first, 0.5)
    study.end(study.start({"lr": 0.1, "optimizer": "a\nb"}), None, reason='said "no", twice')
    done, failed = read(study, "trials.csv")
    assert (done["trial"], done["state"], done["value"], done["params.lr"]) == ("0", "completed", "0.5", "0.01")
    assert (failed["state"], failed["value"], failed["reason"]) == ("failed", "", 'said "no", twice')
    assert (failed["params.optimizer"], failed["params.hidden"], done["last.f1, é"]) == ("a\nb", "", "inf")


def test_objects_are_those_of_show_and_strict_json(make_study: Callable[..., Study]) -> None:
    study = make_study(objectives=(Objective("loss"), Objective("size", "maximize")))
    study.listen(JsonLinesTracker(study.paths))
    trial = study.start()
    study.report(trial, (1, {"loss": math.nan, "size": 3, "trial": 7}))
    study.end(trial, state="failed")
    assert read(study, "metrics.jsonl")[0] | {"at": 0} == {
        "trial": 0, "attempt": 1, "step": 1, "at": 0, "loss": None, "size": 3, "metric.trial": 7,
    }  # fmt: skip
    (row,) = read(study, "trials.jsonl")
    assert row["params"] == dict(study.history.trials[0].params) and row["last_row"]["size"] == 3


def test_resumed_study_has_no_row_twice_and_none_is_missing(study: Study) -> None:
    study.listen(CsvTracker(study.paths))
    done, running, late = study.start(), study.start(), study.start()
    study.report(done, (1, {"loss": 1.0}))
    study.end(done, 1.0)
    study.report(running, (1, {"loss": 1.0}), (1, {"loss": 2.0}), (2, {"loss": 3.0}))
    study.report(late, (1, {"loss": 4.0}))
    path = Path(study.paths.root, "metrics.csv")
    whole = steps(study)
    data = path.read_bytes()
    for cut in range(len(data)):  # as the kernel may have left it
        path.write_bytes(data[:cut])
        study.listen(CsvTracker(study.paths))
        assert sorted(steps(study)) == sorted(whole), cut
    path.unlink()
    study.report(late, (2, {"loss": 5.0}))
    study.listen(CsvTracker(study.paths))
    assert sorted(steps(study)) == sorted([*whole, ("2", "1", "2", "5.0")])
    assert [row["trial"] for row in read(study, "trials.csv")] == ["0"]


def test_attempts_that_failed_keep_their_rows_and_replaced_rows_are_added(study: Study) -> None:
    study.listen(CsvTracker(study.paths))
    trial = study.start()
    study.report(trial, (1, {"loss": 1.0}))
    study.lose(trial)
    study.attempt(trial)
    study.report(trial, (1, {"loss": 2.0}), (2, {"loss": 3.0}))
    study.report(trial, (1, {"loss": 2.0}), (2, {"loss": 4.0}), (3, {"loss": 5.0}), replace=True)
    expected = [("0", "1", "1", "1.0"), ("0", "2", "1", "2.0"), ("0", "2", "2", "3.0"), ("0", "2", "2", "4.0"),
                ("0", "2", "3", "5.0")]  # fmt: skip
    assert steps(study) == expected
    study.listen(CsvTracker(study.paths))
    assert steps(study) == expected


def test_row_of_a_trial_that_runs_again_is_replaced(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    from hpo_engine.study.events import TrialReopened

    monkeypatch.setattr(sheets, "_REWRITE_S", 0.0)
    study.listen(CsvTracker(study.paths))
    for _ in range(3):
        study.end(study.start(), None)
    study.feed(TrialReopened(study.now, 1))
    study.attempt(1)

    def left() -> list[str]:
        study.tick()
        return [row["trial"] for row in read(study, "trials.csv")]

    wait_until(lambda: left() == ["0", "2"])
    study.end(1, 0.5)
    study.close()
    assert sorted((row["trial"], row["state"]) for row in read(study, "trials.csv")) == [
        ("0", "failed"), ("1", "completed"), ("2", "failed"),
    ]  # fmt: skip


def test_file_that_somebody_edits_moves_or_replaces_is_taken_up_again(study: Study) -> None:
    study.listen(CsvTracker(study.paths))
    path, trial = Path(study.paths.root, "metrics.csv"), study.start()
    study.report(trial, (1, {"loss": 1.0}))
    for harm in (lambda: path.write_text("mine\n1\n"), path.unlink, lambda: path.write_bytes(path.read_bytes()[:-3])):
        harm()
        before = len(study.history.trials[trial].rows)
        study.report(trial, (before + 1, {"loss": 1.0}))
        study.tick()
        assert [int(step) for _, _, step, _ in steps(study)] == list(range(1, before + 2))


def test_full_disk_costs_rows_until_there_is_room(
    study: Study, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sheets, "_REST_S", 0.0)
    study.listen(CsvTracker(study.paths))
    trial = study.start()
    study.report(trial, (1, {"loss": 1.0}))

    def full(fd: int, data: bytes) -> None:
        os.write(fd, bytes(data[: len(data) // 2]))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rowfile, "write_all", full)
    for step in (2, 3):
        study.report(trial, (step, {"loss": 1.0}))
        study.tick()
    assert len(steps(study)) == 1, "no half line is left"
    study.end(trial, 1.0)
    (record,) = caplog.records
    assert "No space left" in record.message and study.paths.root in record.message
    monkeypatch.setattr(rowfile, "write_all", writing.write_all)
    study.close()
    assert [step for _, _, step, _ in steps(study)] == ["1", "2", "3"] and len(read(study, "trials.csv")) == 1


@pytest.mark.parametrize("tracker", [CsvTracker, JsonLinesTracker])
def test_line_breaks_in_values_and_names_stay_in_their_cells(study: Study, tracker: type[sheets.SheetTracker]) -> None:
    text = 'two\nlines, "quoted"\r\x85\u2028'
    study.listen(tracker(study.paths))
    for number, metric in enumerate(("loss", "a\nb", "later")):
        trial = study.start({**PARAMS, "text": text})
        study.report(trial, (1, {"loss": 1.0, metric: 2.0}))
        study.end(trial, 1.0)
        if number == 1:  # another engine
            study.close()
            study.listen(tracker(study.paths))

    if tracker is JsonLinesTracker:
        for name in ("trials", "metrics"):
            lines = Path(study.paths.root, f"{name}.jsonl").read_bytes().removesuffix(b"\n").split(b"\n")
            assert [json.loads(line)["trial"] for line in lines] == [0, 1, 2]
        return
    for name, prefix in (("trials", "last."), ("metrics", "")):
        with Path(study.paths.root, f"{name}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["trial"] for row in rows] == ["0", "1", "2"]
        assert [row[f"{prefix}a\nb"] for row in rows] == ["", "2.0", ""] and rows[2][f"{prefix}later"] == "2.0"
        assert name == "metrics" or {row["params.text"] for row in rows} == {text}


def test_folder_elsewhere_and_no_steps(study: Study, tmp_path: Path) -> None:
    study.listen(CsvTracker(study.paths, folder=str(tmp_path / "new" / "er"), steps=False))
    study.end(study.start(), 1.0)
    study.close()
    assert os.listdir(tmp_path / "new" / "er") == ["trials.csv"]
