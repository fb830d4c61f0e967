"""The metric sources of ours, held to the laws of every one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from hpo_engine.contract.paths import EMETRICS
from hpo_engine.contract.sources import tree
from hpo_engine.contract.sources.documents import Json
from hpo_engine.contract.sources.emetrics import Emetrics
from hpo_engine.contract.sources.interface import MetricSource, TrialFiles
from hpo_engine.contract.sources.lightning_csv import LightningCsv
from hpo_engine.contract.sources.mlflow.source import MLflow
from hpo_engine.contract.sources.printed import Printed
from hpo_engine.contract.sources.tables import Csv, JsonLines
from hpo_engine.contract.sources.tensorboard.source import TensorBoard
from hpo_engine.contract.sources.trainer_state import STATE, TrainerState
from hpo_engine.contract.sources.val_dict_list import ValDictList
from hpo_engine.study.objective import Row
from hpo_engine.testing import FoundSourceLaws, SourceLaws
from tests.support import eventfiles
from tests.support.helpers import emetrics_line


class TestValDictList(SourceLaws):
    grows = False

    def make(self, trial: TrialFiles) -> MetricSource:
        return ValDictList(trial)

    def path(self, trial: TrialFiles) -> str:
        return trial.paths.result_file

    def text(self, rows: Sequence[Row]) -> str:
        return json.dumps([{"step": row.step, **row.values} for row in rows])


class TestEmetrics(SourceLaws):
    def make(self, trial: TrialFiles) -> MetricSource:
        return Emetrics(trial)

    def path(self, trial: TrialFiles) -> str:
        return f"{trial.paths.log_dir}/{EMETRICS}"

    def text(self, rows: Sequence[Row]) -> str:
        return "".join(emetrics_line(row.step, "test", **row.values) for row in rows)


class TestJsonLines(SourceLaws):
    def make(self, trial: TrialFiles) -> MetricSource:
        return JsonLines(trial, file="metrics.jsonl")

    def path(self, trial: TrialFiles) -> str:
        return f"{trial.paths.result_dir}/metrics.jsonl"

    def text(self, rows: Sequence[Row]) -> str:
        return "".join(json.dumps({"epoch": row.step, **row.values, "name": "x"}) + "\n" for row in rows)


class TestCsv(SourceLaws):
    def make(self, trial: TrialFiles) -> MetricSource:
        return Csv(trial, file="logs/m.csv", step="at")

    def path(self, trial: TrialFiles) -> str:
        return f"{trial.paths.result_dir}/logs/m.csv"

    def text(self, rows: Sequence[Row]) -> str:
        lines = [f"{row.step}; {row.values['loss']!r};{row.values.get('acc', '')!s};x\r\n" for row in rows]
        return "".join(["at; loss;acc;note\r\n", *lines])


class TestCsvFound(TestCsv):
    def make(self, trial: TrialFiles) -> MetricSource:
        return Csv(trial, step="at")

    def path(self, trial: TrialFiles) -> str:
        return f"{trial.paths.log_dir}/2026-11-27/a b/log.csv"


class TestJsonLinesFound(TestJsonLines, FoundSourceLaws):
    def make(self, trial: TrialFiles) -> MetricSource:
        return JsonLines(trial, file="**/log*")

    def path(self, trial: TrialFiles) -> str:
        return f"{trial.paths.result_dir}/out/log.json"


class TestJson(FoundSourceLaws):
    grows = False

    def make(self, trial: TrialFiles) -> MetricSource:
        return Json(trial)

    def path(self, trial: TrialFiles) -> str:
        return f"{trial.paths.result_dir}/out/history.json"

    def text(self, rows: Sequence[Row]) -> str:
        return json.dumps([{"epoch": row.step, **row.values} for row in rows])


class TestJsonColumns(TestJson):
    def text(self, rows: Sequence[Row]) -> str:
        names = ("loss", "acc") if rows and "acc" in rows[0].values else ("loss",)
        return json.dumps({"epoch": [row.step for row in rows]} | {n: [row.values[n] for row in rows] for n in names})


class TestTrainerState(FoundSourceLaws):
    grows = False

    def make(self, trial: TrialFiles) -> MetricSource:
        return TrainerState(trial)

    def path(self, trial: TrialFiles) -> str:
        return f"{trial.paths.result_dir}/out/checkpoint-6/{STATE}"

    def text(self, rows: Sequence[Row]) -> str:
        logged = [{"epoch": row.step, "step": 10 * row.step, n: v} for row in rows for n, v in row.values.items()]
        return json.dumps({"best_metric": None, "epoch": 6.0, "log_history": logged})


class TestLightningCsv(FoundSourceLaws):
    """A row of the learning rate, one of a batch, and one of the validation for each epoch."""

    def make(self, trial: TrialFiles) -> MetricSource:
        return LightningCsv(replace(trial, named=frozenset(["loss"])))

    def path(self, trial: TrialFiles) -> str:
        return f"{trial.paths.result_dir}/lightning_logs/version_0/metrics.csv"

    def text(self, rows: Sequence[Row]) -> str:
        lines = ["acc,epoch,loss,step"]
        for row in rows:
            epoch, step = row.step - 1, 10 * row.step
            if "acc" in row.values:
                lines += [f"{row.values['acc']!r},,,{step - 5}", f",{epoch},,{step - 5}"]
            lines.append(f",{epoch},{row.values['loss']!r},{step}")
        return "".join(f"{line}\r\n" for line in lines)


class TestPrinted(SourceLaws):
    def make(self, trial: TrialFiles) -> MetricSource:
        return Printed(trial)

    def path(self, trial: TrialFiles) -> str:
        return f"{trial.paths.attempt(1)}/output.log"

    def text(self, rows: Sequence[Row]) -> str:
        return "".join(
            f"10%|##   | 1/10\r\x1b[32mEpoch {row.step}/9\x1b[0m "
            + ", ".join(f"{name}: {value!r}" for name, value in row.values.items())
            + " done\n"
            for row in rows
        )


class TestTensorBoard(FoundSourceLaws):
    @pytest.fixture(autouse=True)
    def _folders_are_looked_at_each_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tree, "_EVERY_S", 0.0)
        monkeypatch.setattr(tree, "_SHARE", 0)

    def make(self, trial: TrialFiles) -> MetricSource:
        return TensorBoard(trial)

    def path(self, trial: TrialFiles) -> str:
        return f"{trial.paths.result_dir}/runs/Nov27_18-00-00_host/{eventfiles.NAME}"

    def data(self, rows: Sequence[Row]) -> bytes:
        event = eventfiles.doubles if len(rows) < 1000 else eventfiles.scalars  # the latter are made in half the time
        each = [event(int(row.step), row.values) for row in rows]
        return b"".join([eventfiles.VERSION, *each])


class TestMLflow(FoundSourceLaws):
    """MLflow's store in files has one for each metric of a run."""

    metrics = ("loss",)

    @pytest.fixture(autouse=True)
    def _folders_are_looked_at_each_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tree, "_EVERY_S", 0.0)
        monkeypatch.setattr(tree, "_SHARE", 0)

    def make(self, trial: TrialFiles) -> MetricSource:
        return MLflow(trial)

    def path(self, trial: TrialFiles) -> str:
        return f"{trial.paths.result_dir}/mlruns/0/{'0' * 32}/metrics/loss"

    def text(self, rows: Sequence[Row]) -> str:
        return "".join(f"{1000 * row.step} {row.values['loss']!r} {row.step}\n" for row in rows)


class TestEmetricsOfTheTrialsNumber(TestEmetrics):
    def path(self, trial: TrialFiles) -> str:
        return f"{trial.paths.log_dir}/{trial.paths.name}/{EMETRICS}"
