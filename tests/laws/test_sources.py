"""The metric sources of ours, held to the laws of every one."""

from __future__ import annotations

import json
from collections.abc import Sequence

from hpo_engine.contract.paths import EMETRICS
from hpo_engine.contract.sources.emetrics import Emetrics
from hpo_engine.contract.sources.interface import MetricSource, TrialFiles
from hpo_engine.contract.sources.val_dict_list import ValDictList
from hpo_engine.study.objective import Row
from hpo_engine.testing import SourceLaws
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


class TestEmetricsOfTheTrialsNumber(TestEmetrics):
    def path(self, trial: TrialFiles) -> str:
        return f"{trial.paths.log_dir}/{trial.paths.name}/{EMETRICS}"
