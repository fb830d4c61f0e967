"""Files with rows under names, as tools write them: tables, JSON lines, JSON documents; and which of several counts."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.contract import binding
from hpo_engine.contract.paths import StudyPaths, TrialPaths
from hpo_engine.contract.sources.documents import Json
from hpo_engine.contract.sources.found import FoundFile
from hpo_engine.contract.sources.interface import MetricSource, Reading, TrialFiles
from hpo_engine.contract.sources.tables import Csv, CsvFile, JsonLines, JsonLinesFile
from hpo_engine.errors import ContractError

FILE = FoundFile("/nowhere", "RESULT_DIR", "m.csv", 0, 0, 0)
Rows = Sequence[tuple[float, dict[str, float]]]


def trial(*named: str) -> TrialFiles:
    return TrialFiles(StudyPaths("/nowhere").trial(0), named=frozenset(named))


def rows(source: Any, text: str) -> Rows:
    source.begin()
    return [(row.step, dict(row.values)) for row in source.rows_of(text.encode().split(b"\n"))]


def of(reading: Reading | MetricSource) -> Rows:
    return [(row.step, dict(row.values)) for row in reading.rows]


def write(paths: TrialPaths, files: dict[str, Any]) -> None:
    for name, content in files.items():
        path = Path(paths.result_dir, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        time.sleep(0.012)  # so that their times differ


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("epoch, train/loss ,val\n0, 1.5,\n1,,2e-1\n", [(0, {"train/loss": 1.5}), (1, {"val": 0.2})]),
        ("Epoch;loss\r\n1;0.5\r\n", [(1, {"loss": 0.5})]),
        ("loss\tacc\n0.5\t1\n0.4\t2\n", [(1, {"loss": 0.5, "acc": 1.0}), (2, {"loss": 0.4, "acc": 2.0})]),
        ("a,b\n1\n1,2,3\nx,y\n3,4\n", [(1, {"a": 3.0, "b": 4.0})]),
        ('"my, loss",step\n0.5,7\n', [(7, {"my, loss": 0.5})]),
    ],
)
def test_tables(text: str, expected: list[tuple[float, dict[str, float]]]) -> None:
    assert rows(CsvFile(trial(), FILE), text) == expected


def test_json_lines() -> None:
    text = '{"epoch": 3, "loss": 0.5, "name": "x", "ok": true}\nnot json\n[1]\n{"loss": NaN}\n{}\n'
    assert repr(rows(JsonLinesFile(trial(), FILE), text)) == repr([(3, {"loss": 0.5}), (4, {"loss": math.nan})])
    assert rows(JsonLinesFile(trial(), FILE, step="batch"), '{"batch": 9, "epoch": 1, "loss": 2}') == [
        (9, {"epoch": 1.0, "loss": 2.0})
    ]


YOLO = """\
                  epoch,         train/box_loss,      metrics/mAP50(B)
                      1,                 2.0145,               0.00101
                      2,                  1.5,                 0.31
"""
TIMM = "epoch,train_loss,eval_loss,eval_top1\n0,2.3,2.1,10.0\n1,1.9,1.7,33.5\n"
BEARPAW = "Learning Rate\tTrain Loss\tValid Acc.\t\n0.100000\t1.5\t40.0\t\n0.100000\t1.2\t50.0\t\n"
MONITOR = '#{"t_start": 1.5, "env_id": "CartPole-v1"}\nr,l,t\n9.0,9,0.1\n21.0,21,0.2\n'
PANDAS = ",loss,acc\n0,0.5,0.1\n1,0.4,\n"
FAIRSEQ = (
    "2026-11-27 10:00:00 | INFO | train_inner | "
    '{"epoch": 1, "update": 0.5, "loss": "9.1", "num_updates": "100", "lr": "1e-05"}\n'
    '2026-11-27 10:00:01 | INFO | valid | {"epoch": 1, "valid_loss": "8.5", "valid_num_updates": "200"}\n'
)
DETECTRON = '{"iteration": 19, "total_loss": 2.5}\n{"iteration": 39, "total_loss": 1.5, "bbox/AP": NaN}\n'
NESTED = '{"epoch": 1, "train": {"loss": 0.5}, "val": {"loss": 0.6, "by": {"cat": 1}}, "tags": ["a"], "ok": true}\n'


@pytest.mark.parametrize(
    ("reader", "text", "expected"),
    [
        (CsvFile, YOLO, [(1, {"train/box_loss": 2.0145, "metrics/mAP50(B)": 0.00101}),
                         (2, {"train/box_loss": 1.5, "metrics/mAP50(B)": 0.31})]),
        (CsvFile, TIMM, [(0, {"train_loss": 2.3, "eval_loss": 2.1, "eval_top1": 10.0}),
                         (1, {"train_loss": 1.9, "eval_loss": 1.7, "eval_top1": 33.5})]),
        (CsvFile, BEARPAW, [(1, {"Learning Rate": 0.1, "Train Loss": 1.5, "Valid Acc.": 40.0}),
                            (2, {"Learning Rate": 0.1, "Train Loss": 1.2, "Valid Acc.": 50.0})]),
        (CsvFile, MONITOR, [(1, {"r": 9.0, "l": 9.0, "t": 0.1}), (2, {"r": 21.0, "l": 21.0, "t": 0.2})]),
        (CsvFile, PANDAS, [(1, {"loss": 0.5, "acc": 0.1}), (2, {"loss": 0.4})]),
        (JsonLinesFile, FAIRSEQ, [(1, {"update": 0.5, "loss": 9.1, "num_updates": 100.0, "lr": 1e-5}),
                                  (1, {"valid_loss": 8.5, "valid_num_updates": 200.0})]),
        (JsonLinesFile, DETECTRON, [(19, {"total_loss": 2.5}), (39, {"total_loss": 1.5, "bbox/AP": math.nan})]),
        (JsonLinesFile, NESTED, [(1, {"train.loss": 0.5, "val.loss": 0.6, "val.by.cat": 1.0})]),
        (JsonLinesFile, '[\n  {"loss": 1},\n  {"loss": 2}\n]\n', []),
        (JsonLinesFile, '[{"loss": 1},\n  {"loss": 2}\n]\n', []),
        (JsonLinesFile, '{\n "train": {"loss": 1},\n "val": {"loss": 2}\n}\n', []),
        (JsonLinesFile, '[10:00 INFO] {"loss": 1}\n', [(1, {"loss": 1.0})]),
        (JsonLinesFile, 'saved "x" {"loss": 1}\n', []),
    ],
)  # fmt: skip
def test_what_tools_write(reader: Any, text: str, expected: Rows) -> None:
    assert repr(rows(reader(trial(), FILE), text)) == repr(expected)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ([{"epoch": 0, "loss": 0.5}, {"epoch": 1, "loss": 0.4, "name": "x"}], [(0, {"loss": 0.5}), (1, {"loss": 0.4})]),
        ({"loss": [0.5, 0.4], "val_loss": [0.6, 0.5]}, [(1, {"loss": 0.5, "val_loss": 0.6}), (2, {"loss": 0.4, "val_loss": 0.5})]),
        ({"epoch": [3, 4], "loss": [0.5, 0.4]}, [(3, {"loss": 0.5}), (4, {"loss": 0.4})]),
        ({"loss": [0.5, 0.4], "val_loss": [0.6], "best": 0.4}, [(1, {"loss": 0.5, "val_loss": 0.6}), (2, {"best": 0.4, "loss": 0.4})]),
        ({"params": {"lr": 0.1}, "history": {"loss": [0.5, None]}}, [(1, {"history.loss": 0.5}), (2, {"params.lr": 0.1})]),
        ({"loss": {"0": 0.5, "1": 0.4}}, [(1, {"loss": 0.5}), (2, {"loss": 0.4})]),
        ({"1": {"loss": 0.5}, "2": {"loss": 0.4}}, [(1, {"loss": 0.5}), (2, {"loss": 0.4})]),
        ({"args": {"lr": 1}, "log": [{"step": 5, "loss": 0.5}]}, [(5, {"loss": 0.5})]),
        ({"eval_accuracy": 0.9, "epoch": 3.0, "eval": {"f1": "0.5"}, "name": "x"}, [(3, {"eval_accuracy": 0.9, "eval.f1": 0.5})]),
        ({"loss": [0.5, "a", [1], {}]}, [(1, {"loss": 0.5})]),
        ([], []), ({}, []), ([1, 2], []), (3, []), ({"loss": []}, []), ([[{"loss": 1}]], []),
    ],
)  # fmt: skip
def test_json_documents(document: Any, expected: Rows, paths: TrialPaths) -> None:
    write(paths, {"deep/er/out.json": document})
    source = Json(TrialFiles(paths), file="**/out.json")
    source.look()
    assert of(source) == of(Json(TrialFiles(paths), file="**/out.json").final(cut=False)) == expected


@pytest.fixture
def paths(tmp_path: Path) -> TrialPaths:
    paths = StudyPaths(str(tmp_path)).trial(3)
    for folder in (paths.result_dir, paths.log_dir, paths.own):
        os.makedirs(folder)
    return paths


def both(source: type[Csv | JsonLines | Json], files: TrialFiles, **options: str) -> Rows:
    """What a source sees, live and in the end alike."""
    live = source(files, **options)
    while live.look():
        pass
    final = of(source(files, **options).final(cut=False))
    assert of(live) == final
    return final


def test_without_a_pattern_the_file_with_the_objective_is_found(paths: TrialPaths) -> None:
    lines = '{"step": 1, "loss": 0.5}\n'
    write(paths, {"data.csv": "x,y\n1,2\n", "runs/detect/train/results.csv": YOLO, "runs/predictions.csv": "id,p\n1,2\n",
                  "a.jsonl": '{"x": 1}\n', "b/scalars.json": lines, "notes.txt": "loss\nis high\n"})  # fmt: skip
    expected = [(1, {"train/box_loss": 2.0145, "metrics/mAP50(B)": 0.00101}),
                (2, {"train/box_loss": 1.5, "metrics/mAP50(B)": 0.31})]  # fmt: skip
    assert both(Csv, TrialFiles(paths, named=frozenset(["metrics/mAP50(B)"]))) == expected
    assert both(JsonLines, TrialFiles(paths, named=frozenset(["loss"]))) == [(1, {"loss": 0.5})]


def test_a_file_that_lacks_the_objective_is_not_shown_live_and_says_what_it_has(paths: TrialPaths) -> None:
    write(paths, {"metrics.csv": "epoch,loss\n1,2\n3,4\n", "m.jsonl": '{"val": 1}\n', "history.json": {"a": [1]}})
    files = TrialFiles(paths, named=frozenset(["acc"]))
    for source, name, has in ((Csv, "metrics.csv", "loss"), (JsonLines, "m.jsonl", "val"), (Json, "history.json", "a")):
        live = source(files)
        live.look()
        reading = source(files).final(cut=False)
        assert (live.rows, reading.source, reading.metrics) == ((), name, (has,))


def test_what_a_step_is_can_be_said(paths: TrialPaths) -> None:
    write(
        paths,
        {"metrics.csv": "Epoch,loss\n1,2\n", "m.jsonl": '{"num_updates": 1, "loss": 1}\n', "h.json": {"loss": [1]}},
    )
    for source, text in (
        (Csv, "a step is an epoch"),
        (JsonLines, 'steps are its own ("num_updates")'),
        (Json, "a step is a row"),
    ):
        made = source(TrialFiles(paths, named=frozenset(["loss"])))
        made.final(cut=False)
        assert made.steps() == text


def test_of_several_runs_the_newest_counts(paths: TrialPaths) -> None:
    files = TrialFiles(paths, named=frozenset(["loss"]))
    write(paths, {"fold_9/log.csv": "loss\n9\n", "fold_10/log.csv": "loss\n10\n", "a/log.csv": "loss\n1\n"})
    assert both(Csv, files, file="**/log.csv") == both(Csv, files) == [(1, {"loss": 1.0})]
    os.utime(Path(paths.result_dir, "fold_9/log.csv"))
    assert both(Csv, files, file="**/log.csv") == [(1, {"loss": 9.0})]


def test_a_copy_of_a_former_run_counts_only_if_nothing_else_does(paths: TrialPaths) -> None:
    named = frozenset(["loss", "acc"])
    write(paths, {"former/metrics.csv": "loss,acc\n-9,1\n"})
    os.utime(Path(paths.result_dir, "former/metrics.csv"), (1.7e9, 1.7e9))
    binding.write_config(paths, {})
    os.chmod(Path(paths.result_dir, "former/metrics.csv"), 0o644)  # its other time is that of this attempt
    assert both(Csv, TrialFiles(paths, named=named)) == [(1, {"loss": -9.0, "acc": 1.0})]
    write(paths, {"other.csv": "loss,lr\n1,2\n"})
    assert both(Csv, TrialFiles(paths, named=named)) == [(1, {"loss": 1.0, "lr": 2.0})], (
        "though it has fewer of the metrics, and another name"
    )


def test_more_of_the_studys_metrics_are_worth_more_than_a_newer_file(paths: TrialPaths) -> None:
    write(paths, {"val.csv": "loss,acc\n1,2\n", "train.csv": "loss,lr\n9,9\n"})
    assert both(Csv, TrialFiles(paths, named=frozenset(["loss", "acc"]))) == [(1, {"loss": 1.0, "acc": 2.0})]


def test_the_run_that_counts_does_not_swing_between_files_that_grow_together(
    paths: TrialPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    source = Csv(TrialFiles(paths, named=frozenset(["loss"])), file="**/log.csv")
    for turn, name in enumerate(["a", "b", "a", "b", "a"]):
        path = Path(paths.result_dir, name, "log.csv")
        path.parent.mkdir(exist_ok=True)
        with open(path, "a") as file:
            file.write(f"{'' if turn > 1 else 'loss' + chr(10)}{turn}\n")
        now += 9
        source.look()
    assert of(source) == [(1, {"loss": 1.0}), (2, {"loss": 3.0})]


def test_a_path_is_that_of_one_file_in_either_folder(paths: TrialPaths) -> None:
    write(paths, {"out/log.csv": "loss\n1\n", "log.csv.bak": "loss\n2\n"})
    Path(paths.log_dir, "log.csv").write_text("loss\n3\n")
    files = TrialFiles(paths)
    assert Csv(files, file="log.csv").files == ("log.csv",) and Csv(files, file="*/log.csv").files == ()
    assert both(Csv, files, file="log.csv") == [(1, {"loss": 3.0})]
    assert both(Csv, files, file="./out/log.csv") == [(1, {"loss": 1.0})]
    with pytest.raises(ContractError, match="no.csv in RESULT_DIR is missing"):
        Csv(files, file="no.csv").final(cut=False)


def test_rows_that_the_scripts_own_folder_had_do_not_count(paths: TrialPaths) -> None:
    old = {"m.csv": "loss\n9\n8\n", "m.jsonl": '{"loss": 9}\n{"loss": 8}\n', "m.json": [{"loss": 9}, {"loss": 8}]}
    frozen = paths.study.trial(9)._replace(study=StudyPaths(str(Path(paths.study.root, "x"))))
    write(frozen, old)
    os.rename(frozen.result_dir, paths.study.model)
    write(paths, old)
    Path(paths.config).write_text("{}")
    files = TrialFiles(paths, named=frozenset(["loss"]))
    for source in (Csv, JsonLines, Json):
        live = source(files)
        assert not live.look() and not live.rows
        with pytest.raises(ContractError, match="is missing"):
            source(files).final(cut=False)
    time.sleep(0.03)
    for name, more in (("m.csv", "7\n"), ("m.jsonl", '{"loss": 7}\n')):
        with open(Path(paths.result_dir, name), "a") as file:
            file.write(more)
    write(paths, {"m.json": [{"loss": 9}, {"loss": 8}, {"loss": 7}]})
    assert both(Csv, files) == both(JsonLines, files) == [(1, {"loss": 7.0})]
    assert both(Json, files) == [(3, {"loss": 7.0})]
    write(paths, {"m.csv": "loss\n5\n", "m.jsonl": '{"loss": 5}\n', "m.json": {"loss": [5]}})
    assert both(Csv, files) == both(JsonLines, files) == both(Json, files) == [(1, {"loss": 5.0})]


def test_thousands_of_files_and_many_megabytes_take_no_long_time(paths: TrialPaths) -> None:
    for number in range(200):
        Path(paths.result_dir, f"{number}.json").write_text('{"a": 1}')
        Path(paths.result_dir, f"{number}.csv").touch()
    for number in range(3):
        Path(paths.result_dir, f"big{number}.csv").write_bytes(b"a,b\n" * 2_000_000)
    files = TrialFiles(paths, named=frozenset(["loss"]))
    for source in (Csv(files), JsonLines(files), Json(files)):
        started = time.process_time()
        source.look()
        assert "loss" not in source.final(cut=False).metrics
        assert time.process_time() - started < 60, "seconds of processor time"
